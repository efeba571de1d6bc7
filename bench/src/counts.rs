//! Instructions by callgrind: a figure that the machine's noise does not touch.

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};

use crate::lanes::Start;

/// Checks that are counted, where one takes microseconds at most.
const CHEAP: u32 = 500;
/// And where it takes longer.
const DEAR: u32 = 10;

/// What callgrind can say here.
pub struct Callgrind {
    /// Whether a program sees SHA instructions when callgrind runs it.
    pub sees_sha: bool,
}

impl Callgrind {
    /// Nothing where valgrind is not installed.
    ///
    /// # Errors
    /// When it is there and does not run.
    pub fn find() -> Result<Option<Self>> {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["-q", "--tool=none"]).arg(env::current_exe()?).arg("sha");
        match valgrind.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("valgrind does not run"),
            Ok(output) => Ok(Some(Self { sees_sha: output.stdout.starts_with(b"true") })),
        }
    }

    /// The instructions of one check in a lane of this machine's code.
    ///
    /// # Errors
    /// When the check cannot be run.
    pub fn instructions(&self, lane: &Start, check: &str, folder: &Path) -> Result<f64> {
        let count = if check.ends_with("HS256") { CHEAP } else { DEAR };
        let out = folder.join("callgrind.out");
        let mut valgrind = Command::new("valgrind");
        // The functions in which the lanes repeat a check, and nothing else.
        valgrind.args(["-q", "--tool=callgrind", "--collect-atstart=no"]);
        valgrind
            .args(["--toggle-collect=tollgate_bench_lane::repeat*", "--toggle-collect=tollgate_bench_peers::repeat*"]);
        valgrind.arg(format!("--callgrind-out-file={}", out.display())).args(&lane.command);
        let mut child = valgrind.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        writeln!(child.stdin.take().context("its standard input")?, "{check} {count}")?;
        ensure!(child.wait()?.success(), "callgrind cannot run {check}");
        let said = fs::read_to_string(&out)?;
        let total = said.lines().find_map(|line| line.strip_prefix("totals: ")).context("callgrind tells no totals")?;
        Ok(total.trim().parse::<f64>()? / f64::from(count))
    }
}

/// Whether a program sees SHA instructions.
pub fn sees_sha() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("sha");
    #[cfg(not(target_arch = "x86_64"))]
    false
}
