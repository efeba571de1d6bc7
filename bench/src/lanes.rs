//! Lanes: programs that run checks on demand. A line `CHECK COUNT` goes in, a line with nanoseconds comes out; so a check in
//! this machine's code, in wasmtime, in Node and in workerd are asked alike, and in turn.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::measure::{percentile, sorted};

/// How long a lane may take to end itself.
const GRACE: Duration = Duration::from_secs(5);

/// How to start a lane.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Start {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How long a batch should take, milliseconds: long beside the grain of what starts and ends it.
    pub batch_ms: f64,
    /// How long a check runs before it counts, milliseconds: V8 compiles what runs often.
    pub warm_ms: u64,
}

/// Every lane, by name.
pub type Starts = BTreeMap<String, Start>;

/// Reads how the lanes are started.
///
/// # Errors
/// When the file is not there or no such document.
pub fn read(file: &Path) -> Result<Starts> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// Is a lane: runs what standard input asks for, and says how long it took.
///
/// # Errors
/// When a line is none of a lane's, or a check fails.
pub fn serve(mut run: impl FnMut(&str, u32) -> Result<Duration>) -> Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (check, count) = line.split_once(' ').context("a line is CHECK COUNT")?;
        println!("{}", run(check, count.parse()?)?.as_nanos());
        io::stdout().flush()?;
    }
    Ok(())
}

/// A program that runs checks. Dropped, it is ended.
pub struct Lane {
    name: String,
    start: Start,
    child: Child,
    /// Closed, it ends the program.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Lane {
    /// Starts the program.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, start: &Start) -> Result<Self> {
        let (program, arguments) = start.command.split_first().context("a lane has a command")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let output = BufReader::new(child.stdout.take().context("its standard output")?);
        let input = child.stdin.take();
        Ok(Self { name: name.to_owned(), start: start.clone(), child, input, output })
    }

    /// The nanoseconds that so many checks take.
    ///
    /// # Errors
    /// When a check comes out wrong, of which the program tells on its standard error, or the program ends.
    pub fn run(&mut self, check: &str, count: u32) -> Result<f64> {
        let failed = || format!("lane {} does not run {check}", self.name);
        let input = self.input.as_mut().with_context(failed)?;
        writeln!(input, "{check} {count}").and_then(|()| input.flush()).with_context(failed)?;
        let mut line = String::new();
        self.output.read_line(&mut line).with_context(failed)?;
        line.trim().parse().with_context(failed)
    }

    /// Warms a check up; how many make a batch. The shortest of three counts: were the machine busy elsewhere during one, the
    /// batches would come out too small ever after.
    fn calibrate(&mut self, check: &str) -> Result<u32> {
        let (started, warm) = (Instant::now(), Duration::from_millis(self.start.warm_ms));
        let wanted = self.start.batch_ms * 1e6;
        let mut count = 1_u32;
        loop {
            let mut took = self.run(check, count)?;
            for _ in 0..2 {
                took = took.min(self.run(check, count)?);
            }
            if took < wanted / 2.0 {
                count = count.saturating_mul(2);
            } else if started.elapsed() >= warm {
                // Of a call that takes longer than a batch, one is enough.
                return Ok((f64::from(count) * wanted / took).ceil().max(1.0) as u32);
            }
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // What runs may be a bridge with children of its own: it ends them when its input does.
        drop(self.input.take());
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is to be measured, and what was.
pub struct Race {
    lanes: BTreeMap<String, Lane>,
    /// Each of a lane's checks, with the times of one call in nanoseconds, a time for each round.
    times: BTreeMap<(String, String), Vec<f64>>,
}

impl Race {
    /// Starts the lanes.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start(starts: &Starts) -> Result<Self> {
        let lanes = starts.iter().map(|(name, start)| Ok((name.clone(), Lane::start(name, start)?)));
        Ok(Self { lanes: lanes.collect::<Result<_>>()?, times: BTreeMap::new() })
    }

    /// Measures these checks, `(lane, check)`, in turn: every round runs a batch of each, so that whatever slows the machine
    /// down slows them alike.
    ///
    /// # Errors
    /// When one cannot be run or comes out wrong.
    pub fn measure(&mut self, wanted: &[(&str, String)], rounds: usize) -> Result<()> {
        let mut counts = Vec::with_capacity(wanted.len());
        for (lane, check) in wanted {
            counts.push(self.lane(lane)?.calibrate(check)?);
        }
        for _ in 0..rounds {
            for ((lane, check), count) in wanted.iter().zip(&counts) {
                let took = self.lane(lane)?.run(check, *count)?;
                ensure!(took > 0.0, "{lane} ran {check} in no time");
                let times = self.times.entry(((*lane).to_owned(), check.clone())).or_default();
                times.push(took / f64::from(*count));
            }
        }
        Ok(())
    }

    /// The median time of one call, nanoseconds.
    ///
    /// # Errors
    /// When it was not measured.
    pub fn ns(&self, lane: &str, check: &str) -> Result<f64> {
        Ok(percentile(&sorted(self.times(lane, check)?.clone()), 50.0))
    }

    /// How many times as long the one takes as the other: the median of the rounds' ratios.
    ///
    /// # Errors
    /// When one was not measured.
    pub fn ratio(&self, (lane, check): (&str, &str), (other_lane, other): (&str, &str)) -> Result<f64> {
        let (times, others) = (self.times(lane, check)?, self.times(other_lane, other)?);
        let ratios = times.iter().zip(others).map(|(time, other)| time / other);
        Ok(percentile(&sorted(ratios.collect()), 50.0))
    }

    fn times(&self, lane: &str, check: &str) -> Result<&Vec<f64>> {
        let times = self.times.get(&(lane.to_owned(), check.to_owned()));
        times.with_context(|| format!("{check} was not measured in {lane}"))
    }

    fn lane(&mut self, name: &str) -> Result<&mut Lane> {
        self.lanes.get_mut(name).with_context(|| format!("there is no lane {name}"))
    }
}
