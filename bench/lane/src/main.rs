//! A lane: reads lines `CHECK COUNT`, runs the check, and writes the nanoseconds that it took.

use std::io::{self, BufRead as _, Write as _};
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};
use tollgate_bench_lane::{checks, repeat};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [kit, snapshot] = arguments.as_slice() else {
        bail!("usage: tollgate-bench-lane KIT SNAPSHOT (started by `cargo xtask bench`)");
    };
    let read = |file: &str| fs::read(file).with_context(|| format!("cannot read {file}"));
    let checks = checks(&serde_json::from_slice(&read(kit)?)?, read(snapshot)?)?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (name, count) = line.split_once(' ').context("a line is CHECK COUNT")?;
        let check = checks.get(name).with_context(|| format!("unknown check {name}"))?;
        let count = count.parse()?;
        let started = Instant::now();
        let wrong = repeat(check, count);
        let took = started.elapsed();
        ensure!(wrong == 0, "{name} gave {wrong} wrong answers of {count}");
        println!("{}", took.as_nanos());
        io::stdout().flush()?;
    }
    Ok(())
}
