//! Timing that a noisy machine does not spoil.

use std::time::{Duration, Instant};

/// Batches of which the median is taken.
const BATCHES: usize = 101;
/// How long a batch should take: long beside the clock's grain, short beside a scheduler's slice.
const BATCH: Duration = Duration::from_millis(2);

/// The median time of one call, nanoseconds.
pub(crate) fn median(mut call: impl FnMut()) -> f64 {
    let mut calls = 1_u32;
    while time(calls, &mut call) < BATCH {
        calls *= 2;
    }
    let mut batches: Vec<Duration> = (0..BATCHES).map(|_| time(calls, &mut call)).collect();
    batches.sort_unstable();
    batches[BATCHES / 2].as_nanos() as f64 / f64::from(calls)
}

/// What the call gave, and the seconds it took.
pub(crate) fn seconds<T>(call: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let result = call();
    (result, started.elapsed().as_secs_f64())
}

fn time(calls: u32, call: &mut impl FnMut()) -> Duration {
    let started = Instant::now();
    for _ in 0..calls {
        call();
    }
    started.elapsed()
}
