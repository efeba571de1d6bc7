//! The core's checks for the benchmarks: runs a check by its name for a number of times. The same
//! source runs natively, as a component in wasmtime and as a module in V8. The caller measures the
//! time and alternates between lanes.

mod bare;
mod checks;
mod kit;
#[cfg(target_os = "unknown")]
mod v8;

use std::collections::BTreeMap;

pub use checks::{BATCH_TOKENS, checks, requirements};
pub use kit::{HostileToken, Kit, Token};

/// A check to measure. It returns whether its answer was right.
pub type Check = Box<dyn Fn() -> bool>;
/// Checks by name.
pub type Checks = BTreeMap<String, Check>;

/// Runs a check `count` times and returns the number of wrong answers. Never inlined, because
/// instructions are counted inside it.
#[inline(never)]
pub fn repeat(check: &Check, count: u32) -> u32 {
    (0..count).map(|_| u32::from(!check())).sum()
}
