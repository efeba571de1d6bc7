//! How large an exact snapshot is, and what building it takes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tollgate_bench::figures::{Figure, Part};
use tollgate_bench::measure::{peak_memory, seconds};
use tollgate_bench::plot::{Axis, Plot, Scale, Series};
use tollgate_bench::population::Population;
use tollgate_bench::tokens;

/// The small snapshot that is promised a size.
const SMALL: Population = Population { live: 10_000_000, revoked: 10_000 };
/// Live tokens for each point of the plot, and revoked ones, at least: with fewer, the plot would show the envelope's size.
const PLOTTED: (u64, u64) = (4_000_000, 10_000);
/// One token in so many is revoked, for each point of the plot.
const ONE_IN: [u64; 10] = [10_000, 4_000, 1_000, 400, 100, 40, 20, 10, 4, 2];
const GIBIBYTE: f64 = (1_u64 << 30) as f64;

/// What a process of its own said of its build.
#[derive(Serialize, Deserialize)]
struct Built {
    bytes: usize,
    seconds: f64,
    peak: u64,
}

/// Builds one snapshot, keeps it, and tells what it took.
pub(crate) fn build(population: Population, file: &Path) -> Result<()> {
    let config = tokens::config(&tokens::Signer::all()?);
    let (snapshot, seconds) = seconds(|| population.snapshot(config.as_bytes()));
    let snapshot = snapshot?;
    let built = Built { bytes: snapshot.len(), seconds, peak: peak_memory()? };
    fs::write(file, snapshot).with_context(|| format!("cannot write {}", file.display()))?;
    println!("{}", serde_json::to_string(&built)?);
    Ok(())
}

/// Measures sizes; the large snapshot's file and what is in it.
pub(crate) fn measure(folder: &Path, plots: &Path, quick: bool) -> Result<(PathBuf, Population)> {
    fs::create_dir_all(folder)?;
    let large = Population::large(quick);
    let file = folder.join("large.snapshot");
    let of_large = in_a_process(large, &file)?;
    let of_small = in_a_process(SMALL, &folder.join("small.snapshot"))?;
    let name = if quick { "QUICK, 100,000 of 10 million" } else { "1 million of 100 million" };
    let mut part = Part::new(
        "Size of an exact snapshot",
        "The whole signed snapshot, configuration and three public keys included, divided by the revoked tokens in it. Each is \
         built by a process of its own, whose peak memory (VmHWM) is told; the ids of the live tokens are streamed and never \
         all in memory.",
    );
    part.figures = vec![
        Figure::new(format!("{name}: the snapshot"), of_large.bytes as f64, "bytes"),
        Figure::new(format!("{name}: for each revoked token"), each(&of_large, large), "bytes").at_most(2.5),
        Figure::new("what information theory asks", large.entropy_bytes(), "bytes"),
        Figure::new(format!("{name}: built in"), of_large.seconds, "s").at_most(60.0),
        Figure::new(format!("{name}: peak memory"), of_large.peak as f64 / GIBIBYTE, "GiB").at_most(2.0),
        Figure::new("10 thousand of 10 million: the snapshot", of_small.bytes as f64, "bytes").at_most(40_000.0),
        Figure::new("10 thousand of 10 million: for each revoked token", each(&of_small, SMALL), "bytes"),
        Figure::new("what information theory asks", SMALL.entropy_bytes(), "bytes"),
    ];
    draw(&plots.join("size.svg"))?;
    part.plots.push(("size.svg".to_owned(), "Bytes for each revoked token over the share that is revoked".to_owned()));
    part.finish(folder, "1-size")?;
    Ok((file, large))
}

/// Builds in a process of its own, so that the peak of its memory is its own.
fn in_a_process(population: Population, file: &Path) -> Result<Built> {
    let Population { live, revoked } = population;
    println!("building a snapshot of {revoked} revoked of {live} live tokens …");
    let mut command = Command::new(env::current_exe()?);
    let output = command.args(["size", &live.to_string(), &revoked.to_string()]).arg(file).output()?;
    ensure!(output.status.success(), "it failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn each(built: &Built, population: Population) -> f64 {
    built.bytes as f64 / population.revoked as f64
}

fn draw(file: &Path) -> Result<()> {
    let populations = ONE_IN.map(|one_in| {
        let live = PLOTTED.0.max(PLOTTED.1 * one_in);
        Population { live, revoked: live / one_in }
    });
    let share = |population: Population| population.revoked as f64 / population.live as f64 * 100.0;
    let mut measured = Vec::new();
    for population in populations {
        let bytes = population.snapshot(tokens::PLAIN_CONFIG.as_bytes())?.len();
        measured.push((share(population), bytes as f64 / population.revoked as f64));
    }
    let entropy = populations.map(|population| (share(population), population.entropy_bytes()));
    let x = Axis::new("revoked, percent of the live tokens", Scale::Log, (0.01, 50.0));
    let wide = |value: f64| vec![(0.01, value), (50.0, value)];
    let series = vec![
        Series::line("exact snapshot", measured).marked(),
        Series::line("entropy bound", entropy.to_vec()).bound(),
        Series::line("target at 1 percent", wide(2.5)).bound(),
    ];
    let y = Axis::new("bytes for each revoked token", Scale::Linear, (0.0, 4.0));
    let title = "Size of an exact snapshot, for each revoked token".to_owned();
    Plot { title, x, y, series }.save(file)
}
