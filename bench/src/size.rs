//! Size of an exact snapshot, and time and memory to build it.

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

/// The small snapshot, which has a target for its size.
const SMALL_POPULATION: Population = Population { live: 10_000_000, revoked: 10_000 };
/// Least live and revoked tokens for each point of the plot: with fewer, the size of the envelope
/// would matter.
const MIN_PLOTTED: (u64, u64) = (4_000_000, 10_000);
/// Live tokens for each revoked one, for each point of the plot.
const LIVE_PER_REVOKED: [u64; 10] = [10_000, 4_000, 1_000, 400, 100, 40, 20, 10, 4, 2];
const GIB: f64 = (1_u64 << 30) as f64;

/// Results of a build in a separate process.
#[derive(Serialize, Deserialize)]
struct BuildResult {
    bytes: usize,
    seconds: f64,
    peak_memory_bytes: u64,
}

/// Builds one snapshot, writes it to a file and prints the results.
pub(crate) fn build(population: Population, file: &Path) -> Result<()> {
    let config = tokens::config(&tokens::Signer::all()?);
    let (snapshot, seconds) = seconds(|| population.snapshot(config.as_bytes()));
    let snapshot = snapshot?;
    let built = BuildResult { bytes: snapshot.len(), seconds, peak_memory_bytes: peak_memory()? };
    fs::write(file, snapshot).with_context(|| format!("cannot write {}", file.display()))?;
    println!("{}", serde_json::to_string(&built)?);
    Ok(())
}

/// Measures sizes. Returns the file and the population of the large snapshot.
pub(crate) fn measure(folder: &Path, plots: &Path, quick: bool) -> Result<(PathBuf, Population)> {
    fs::create_dir_all(folder)?;
    let large = Population::large(quick);
    let file = folder.join("large.snapshot");
    let of_large = build_in_process(large, &file)?;
    let of_small = build_in_process(SMALL_POPULATION, &folder.join("small.snapshot"))?;
    let name = if quick { "QUICK, 100,000 of 10 million" } else { "1 million of 100 million" };
    let mut part = Part::new(
        "Size of an exact snapshot",
        "Size of the signed snapshot, including configuration and three public keys, divided by the number of revoked tokens. Each \
         snapshot is built in a separate process, of which the peak memory (VmHWM) is given. The ids of the live tokens are \
         streamed.",
    );
    part.figures = vec![
        Figure::new(format!("{name}: snapshot"), of_large.bytes as f64, "bytes"),
        Figure::new(format!("{name}: for each revoked token"), bytes_per_revoked(&of_large, large), "bytes")
            .at_most(2.5),
        Figure::new("entropy bound for each revoked token", large.entropy_bytes(), "bytes"),
        Figure::new(format!("{name}: build time"), of_large.seconds, "s").at_most(60.0),
        Figure::new(format!("{name}: peak memory"), of_large.peak_memory_bytes as f64 / GIB, "GiB").at_most(2.0),
        Figure::new("10 thousand of 10 million: snapshot", of_small.bytes as f64, "bytes").at_most(40_000.0),
        Figure::new(
            "10 thousand of 10 million: for each revoked token",
            bytes_per_revoked(&of_small, SMALL_POPULATION),
            "bytes",
        ),
        Figure::new("entropy bound for each revoked token", SMALL_POPULATION.entropy_bytes(), "bytes"),
    ];
    draw(&plots.join("size.svg"))?;
    part.plots.push(("size.svg".to_owned(), "Bytes for each revoked token by the share of revoked tokens".to_owned()));
    part.finish(folder, "1-size")?;
    Ok((file, large))
}

/// Builds in a separate process, so that its peak memory can be measured.
fn build_in_process(population: Population, file: &Path) -> Result<BuildResult> {
    let Population { live, revoked } = population;
    println!("building a snapshot of {revoked} revoked of {live} live tokens …");
    let mut command = Command::new(env::current_exe()?);
    let output = command.args(["size", &live.to_string(), &revoked.to_string()]).arg(file).output()?;
    ensure!(output.status.success(), "the build failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn bytes_per_revoked(built: &BuildResult, population: Population) -> f64 {
    built.bytes as f64 / population.revoked as f64
}

fn draw(file: &Path) -> Result<()> {
    let populations = LIVE_PER_REVOKED.map(|ratio| {
        let live = MIN_PLOTTED.0.max(MIN_PLOTTED.1 * ratio);
        Population { live, revoked: live / ratio }
    });
    let share = |population: Population| population.revoked as f64 / population.live as f64 * 100.0;
    let mut measured = Vec::new();
    for population in populations {
        let bytes = population.snapshot(tokens::KEYLESS_CONFIG.as_bytes())?.len();
        measured.push((share(population), bytes as f64 / population.revoked as f64));
    }
    let entropy = populations.map(|population| (share(population), population.entropy_bytes()));
    let x = Axis::new("revoked, percent of the live tokens", Scale::Log, (0.01, 50.0));
    let horizontal = |value: f64| vec![(0.01, value), (50.0, value)];
    let series = vec![
        Series::line("exact snapshot", measured).with_markers(),
        Series::line("entropy bound", entropy.to_vec()).as_bound(),
        Series::line("target at 1 percent", horizontal(2.5)).as_bound(),
    ];
    let y = Axis::new("bytes for each revoked token", Scale::Linear, (0.0, 4.0));
    let title = "Size of an exact snapshot, for each revoked token".to_owned();
    Plot { title, x, y, series }.save(file)
}
