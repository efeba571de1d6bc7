//! Measures what needs the core alone: what a token check costs, how large a snapshot is, what a question costs. `cargo xtask
//! bench` runs it; `tollgate-bench-stack` measures what crosses the network. Compiled to WebAssembly it answers `query`.

mod size;
mod token;

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use tollgate_bench::figures::{Figure, Part};
use tollgate_bench::population::Population;
use tollgate_bench::{counts, kit, query, report};

const USAGE: &str = "tollgate-bench kit FOLDER                          what the lanes of token checks are given
tollgate-bench token FOLDER PLOTS COMPONENT [--quick]   token checks in the lanes of FOLDER; parts go there
tollgate-bench revocation FOLDER PLOTS [--quick]   sizes and questions; parts go to FOLDER
tollgate-bench report SECTION FOLDER PAGE COMMAND DATE  writes the section of the page
tollgate-bench check FOLDER...                     fails when a target is missed
tollgate-bench sha                                whether a program sees SHA instructions here
tollgate-bench size LIVE REVOKED FILE              builds one snapshot, says what it took
tollgate-bench query FILE LIVE REVOKED             asks a snapshot, says what it took";

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
            println!("{}", counts::sees_sha());
            Ok(())
        }
        ["size", live, revoked, file] => size::build(population(live, revoked)?, Path::new(file)),
        ["query", file, live, revoked] => {
            let costs = query::costs(&fs::read(file)?, population(live, revoked)?)?;
            println!("{}", serde_json::to_string(&costs)?);
            Ok(())
        }
        _ => bail!("it is used so:\n{USAGE}"),
    }
}

fn revocation(folder: &Path, plots: &Path, quick: bool) -> Result<()> {
    let (snapshot, population) = size::measure(folder, plots, quick)?;
    questions(&snapshot, population)?.finish(folder, "2-question")
}

/// The costs of a question, natively.
fn questions(snapshot: &PathBuf, population: Population) -> Result<Part> {
    let bytes = fs::read(snapshot).with_context(|| format!("cannot read {}", snapshot.display()))?;
    let costs = query::costs(&bytes, population)?;
    let mut part = Part::new(
        "Asking, natively",
        format!(
            "A question by an edge's replica of {} revoked of {} live tokens, over 65,536 different covered tokens in turn, and \
             the strict HS256 check of the same tokens. The marks of groups are 1,000 for each of session, subject, client and \
             key; where there are none of a kind, its name is not computed. The fresh instance has the snapshot's bytes in \
             memory and reads them, signature and all.",
            population.revoked, population.live
        ),
    );
    part.figures = query::figures(&costs, "natively");
    part.figures.push(Figure::new("SHA-512 natively", bytes.len() as f64 / costs.sha512_ms / 1e6, "GB/s"));
    Ok(part)
}

fn check(folders: &[&str]) -> Result<()> {
    let mut missed = Vec::new();
    for folder in folders {
        missed.extend(report::missed(&report::parts(Path::new(folder))?));
    }
    if missed.is_empty() {
        println!("every target holds");
        return Ok(());
    }
    bail!("targets missed:\n  {}", missed.join("\n  "))
}

fn population(live: &str, revoked: &str) -> Result<Population> {
    Ok(Population { live: live.parse()?, revoked: revoked.parse()? })
}
