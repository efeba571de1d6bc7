//! What is measured of the core, on demand: each check by its name, so many times. The same source runs natively, as a
//! component in wasmtime and as a module in V8; whoever asks holds the clock and takes turns with the other lanes.

mod bare;
mod checks;
mod kit;
#[cfg(target_os = "unknown")]
mod v8;

use std::collections::BTreeMap;

pub use checks::{BATCH, checks, expected};
pub use kit::{Hostile, Kit, Token};

/// One thing to measure; whether it came out as it must.
pub type Check = Box<dyn Fn() -> bool>;
/// All of them, by name.
pub type Checks = BTreeMap<String, Check>;

/// Runs a check so many times; how many of these came out wrong. Never inlined: instruction counts are taken inside it.
#[inline(never)]
pub fn repeat(check: &Check, count: u32) -> u32 {
    (0..count).map(|_| u32::from(!check())).sum()
}
