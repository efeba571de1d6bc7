//! Instruction counts by callgrind, which do not depend on other load.

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};

use crate::lanes::LaneSettings;

/// Number of counted checks, for checks of at most microseconds.
const FAST_CHECK_COUNT: u32 = 500;
/// Number of counted checks, for slower ones.
const SLOW_CHECK_COUNT: u32 = 10;

/// An installed callgrind.
pub struct Callgrind {
    /// Whether a program that callgrind runs has SHA instructions.
    pub has_sha_instructions: bool,
}

impl Callgrind {
    /// `None` if valgrind is not installed.
    ///
    /// # Errors
    /// If it is installed and does not run.
    pub fn find() -> Result<Option<Self>> {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["-q", "--tool=none"]).arg(env::current_exe()?).arg("sha");
        match valgrind.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("valgrind does not run"),
            Ok(output) => Ok(Some(Self { has_sha_instructions: output.stdout.starts_with(b"true") })),
        }
    }

    /// Number of instructions of one check in a native lane.
    ///
    /// # Errors
    /// If the check cannot be run.
    pub fn instructions(&self, lane: &LaneSettings, check: &str, folder: &Path) -> Result<f64> {
        let count = if check.ends_with("HS256") { FAST_CHECK_COUNT } else { SLOW_CHECK_COUNT };
        let out = folder.join("callgrind.out");
        let mut valgrind = Command::new("valgrind");
        // Count only inside the functions that repeat a check.
        valgrind.args(["-q", "--tool=callgrind", "--collect-atstart=no"]);
        valgrind
            .args(["--toggle-collect=tollgate_bench_lane::repeat*", "--toggle-collect=tollgate_bench_peers::repeat*"]);
        valgrind.arg(format!("--callgrind-out-file={}", out.display())).args(&lane.command);
        let mut child = valgrind.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        writeln!(child.stdin.take().context("no standard input")?, "{check} {count}")?;
        ensure!(child.wait()?.success(), "callgrind cannot run {check}");
        let output = fs::read_to_string(&out)?;
        let total =
            output.lines().find_map(|line| line.strip_prefix("totals: ")).context("callgrind printed no totals")?;
        Ok(total.trim().parse::<f64>()? / f64::from(count))
    }
}

/// Whether this program can use SHA instructions.
pub fn has_sha_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("sha");
    #[cfg(not(target_arch = "x86_64"))]
    false
}
