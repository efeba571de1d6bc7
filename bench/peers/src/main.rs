//! A lane of other libraries: reads lines `CHECK COUNT`, runs the check, and writes the nanoseconds
//! that it took.

use std::io::{self, BufRead as _, Write as _};
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};
use tollgate_bench_peers::{Backend, checks, repeat};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [kit, backend] = arguments.as_slice() else {
        bail!("usage: tollgate-bench-peers KIT BACKEND (started by `cargo xtask bench`)");
    };
    let kit = serde_json::from_slice(&fs::read(kit).with_context(|| format!("cannot read {kit}"))?)?;
    let checks = checks(&kit, Backend::from_name(backend)?)?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (name, count) = line.split_once(' ').context("a line is CHECK COUNT")?;
        let check = checks.get(name).with_context(|| format!("unknown check {name}"))?;
        let count = count.parse()?;
        let started = Instant::now();
        let refused = repeat(check, count);
        let took = started.elapsed();
        ensure!(refused == 0, "{name} refused {refused} of {count} tokens");
        println!("{}", took.as_nanos());
        io::stdout().flush()?;
    }
    Ok(())
}
