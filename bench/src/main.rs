//! Benchmarks of the core: token checks, size of snapshots, revocation lookups. `cargo xtask bench`
//! runs it; `tollgate-bench-stack` has the benchmarks over the network. Compiled to WebAssembly,
//! this program runs the lookups in wasmtime (`query`).

mod size;
mod token;

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use tollgate_bench::figures::{Figure, Part};
use tollgate_bench::population::Population;
use tollgate_bench::{callgrind, kit, lookup_cost, report};

const USAGE: &str = "tollgate-bench kit FOLDER                               create tokens and snapshot for the lanes
tollgate-bench token FOLDER PLOTS COMPONENT [--quick]   measure token checks in the lanes of FOLDER
tollgate-bench revocation FOLDER PLOTS [--quick]        measure snapshot sizes and lookups
tollgate-bench report SECTION FOLDER PAGE COMMAND DATE  write a section of the results page
tollgate-bench check FOLDER...                          fail if a target is missed
tollgate-bench sha                                      print whether SHA instructions are available
tollgate-bench size LIVE REVOKED FILE                   build one snapshot and print size, time and memory
tollgate-bench query FILE LIVE REVOKED                  measure lookups in a snapshot";

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["token", folder, plots, component, quick @ ..] => {
            token::measure(Path::new(folder), Path::new(plots), Path::new(component), quick == ["--quick"])
        }
        ["kit", folder] => kit::write(Path::new(folder)),
        ["revocation", folder, plots, quick @ ..] => {
            revocation(Path::new(folder), Path::new(plots), quick == ["--quick"])
        }
        ["report", section, folder, page, command, date] => {
            let parts = report::parts(Path::new(folder))?;
            let old = fs::read_to_string(page).unwrap_or_default();
            Ok(fs::write(page, report::update(&old, section, &parts, command, date)?)?)
        }
        ["check", folders @ ..] => check(folders),
        ["sha"] => {
            println!("{}", callgrind::has_sha_instructions());
            Ok(())
        }
        ["size", live, revoked, file] => size::build(population(live, revoked)?, Path::new(file)),
        ["query", file, live, revoked] => {
            let costs = lookup_cost::measure(&fs::read(file)?, population(live, revoked)?)?;
            println!("{}", serde_json::to_string(&costs)?);
            Ok(())
        }
        _ => bail!("usage:\n{USAGE}"),
    }
}

fn revocation(folder: &Path, plots: &Path, quick: bool) -> Result<()> {
    let (snapshot, population) = size::measure(folder, plots, quick)?;
    lookups(&snapshot, population)?.finish(folder, "2-lookup")
}

/// Cost of a revocation lookup, natively.
fn lookups(snapshot: &PathBuf, population: Population) -> Result<Part> {
    let bytes = fs::read(snapshot).with_context(|| format!("cannot read {}", snapshot.display()))?;
    let costs = lookup_cost::measure(&bytes, population)?;
    let mut part = Part::new(
        "Revocation lookup, natively",
        format!(
            "A lookup in a replica of {} revoked of {} live tokens, for 65,536 different covered tokens, and the strict HS256 \
             check of the same tokens. With groups there are 1,000 revocations for each of session, subject, client and key; \
             without revocations of a kind, its id is not computed. A new instance has the snapshot's bytes in memory; it \
             checks the signature and decodes them.",
            population.revoked, population.live
        ),
    );
    part.figures = lookup_cost::figures(&costs, "natively");
    part.figures.push(Figure::new("SHA-512 natively", bytes.len() as f64 / costs.sha512_ms / 1e6, "GB/s"));
    Ok(part)
}

fn check(folders: &[&str]) -> Result<()> {
    let mut missed = Vec::new();
    for folder in folders {
        missed.extend(report::missed_targets(&report::parts(Path::new(folder))?));
    }
    if missed.is_empty() {
        println!("all targets are met");
        return Ok(());
    }
    bail!("targets missed:\n  {}", missed.join("\n  "))
}

fn population(live: &str, revoked: &str) -> Result<Population> {
    Ok(Population { live: live.parse()?, revoked: revoked.parse()? })
}
