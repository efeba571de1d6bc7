//! Lanes: programs that run checks on demand. A lane reads lines `CHECK COUNT` and writes
//! nanoseconds. So checks in native code, in wasmtime, in Node and in workerd have the same
//! interface and are measured in alternation.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::measure::{percentile, sorted};

/// Time for a lane to exit after its input was closed.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Command and timing of a lane.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LaneSettings {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Duration of a batch in milliseconds: long compared with the overhead of a batch.
    pub batch_ms: f64,
    /// Warm-up of a check in milliseconds, in which V8 compiles hot code.
    pub warm_ms: u64,
}

/// Lanes by name.
pub type LaneMap = BTreeMap<String, LaneSettings>;

/// Reads the settings of the lanes.
///
/// # Errors
/// If the file does not exist or is malformed.
pub fn read(file: &Path) -> Result<LaneMap> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// Serves as a lane: reads requests from standard input and writes durations to standard output.
///
/// # Errors
/// If a line is malformed or a check fails.
pub fn serve(mut run: impl FnMut(&str, u32) -> Result<Duration>) -> Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (check, count) = line.split_once(' ').context("a line is CHECK COUNT")?;
        println!("{}", run(check, count.parse()?)?.as_nanos());
        io::stdout().flush()?;
    }
    Ok(())
}

/// A running lane. Dropping it ends the program.
pub struct Lane {
    name: String,
    settings: LaneSettings,
    child: Child,
    /// Closing it ends the program.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Lane {
    /// Starts the program.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(name: &str, settings: &LaneSettings) -> Result<Self> {
        let (program, arguments) = settings.command.split_first().context("a lane has a command")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let output = BufReader::new(child.stdout.take().context("its standard output")?);
        let input = child.stdin.take();
        Ok(Self { name: name.to_owned(), settings: settings.clone(), child, input, output })
    }

    /// Runs a check `count` times and returns the nanoseconds.
    ///
    /// # Errors
    /// If the check gives a wrong answer, which the program writes to its standard error, or if the
    /// program ends.
    pub fn run(&mut self, check: &str, count: u32) -> Result<f64> {
        let failed = || format!("lane {} failed to run {check}", self.name);
        let input = self.input.as_mut().with_context(failed)?;
        writeln!(input, "{check} {count}").and_then(|()| input.flush()).with_context(failed)?;
        let mut line = String::new();
        self.output.read_line(&mut line).with_context(failed)?;
        line.trim().parse().with_context(failed)
    }

    /// Warms a check up and returns the number of checks of a batch. It uses the shortest of three
    /// runs, because a run that other load slowed would make all batches too small.
    fn calibrate(&mut self, check: &str) -> Result<u32> {
        let (started, warm) = (Instant::now(), Duration::from_millis(self.settings.warm_ms));
        let wanted = self.settings.batch_ms * 1e6;
        let mut count = 1_u32;
        loop {
            let mut took = self.run(check, count)?;
            for _ in 0..2 {
                took = took.min(self.run(check, count)?);
            }
            if took < wanted / 2.0 {
                count = count.saturating_mul(2);
            } else if started.elapsed() >= warm {
                // A check that takes longer than a batch runs once in each batch.
                return Ok((f64::from(count) * wanted / took).ceil().max(1.0) as u32);
            }
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // The program may have child processes, which it ends when its input is closed.
        drop(self.input.take());
        let deadline = Instant::now() + EXIT_TIMEOUT;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Running lanes and the measured times.
pub struct Benchmark {
    lanes: BTreeMap<String, Lane>,
    /// Nanoseconds of one call in each round, by lane and check.
    times: BTreeMap<(String, String), Vec<f64>>,
}

impl Benchmark {
    /// Starts the lanes.
    ///
    /// # Errors
    /// If a lane does not start.
    pub fn start(lanes: &LaneMap) -> Result<Self> {
        let lanes = lanes.iter().map(|(name, settings)| Ok((name.clone(), Lane::start(name, settings)?)));
        Ok(Self { lanes: lanes.collect::<Result<_>>()?, times: BTreeMap::new() })
    }

    /// Measures these checks, `(lane, check)`. Each round runs a batch of each, so that other load
    /// slows all of them alike.
    ///
    /// # Errors
    /// If a check cannot be run or gives a wrong answer.
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

    /// The median time of one call, in nanoseconds.
    ///
    /// # Errors
    /// If it was not measured.
    pub fn ns(&self, lane: &str, check: &str) -> Result<f64> {
        Ok(percentile(&sorted(self.times(lane, check)?.clone()), 50.0))
    }

    /// The time of the first check divided by that of the second: the median of the rounds' ratios.
    ///
    /// # Errors
    /// If one of them was not measured.
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
        self.lanes.get_mut(name).with_context(|| format!("unknown lane {name}"))
    }
}
