//! Timing that is robust against noise: medians of many short batches, with alternatives measured
//! in alternation.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Number of batches for a median.
const BATCHES: usize = 101;
/// Duration of a batch: long compared with the clock's resolution, short compared with a
/// scheduler's time slice.
const BATCH_DURATION: Duration = Duration::from_millis(2);

/// The median time of one call of each function, in nanoseconds. Batches alternate between the
/// functions, so that other load slows all of them alike and does not change the ratios.
pub fn alternating_medians<const N: usize>(mut calls: [&mut dyn FnMut(); N]) -> [f64; N] {
    let counts = calls.each_mut().map(|call| {
        let mut count = 1_u32;
        while time(count, call) < BATCH_DURATION {
            count *= 2;
        }
        count
    });
    let mut batches: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(BATCHES));
    for _ in 0..BATCHES {
        for ((call, count), batch) in calls.iter_mut().zip(counts).zip(&mut batches) {
            batch.push(time(count, call).as_nanos() as f64 / f64::from(count));
        }
    }
    batches.map(|batch| percentile(&sorted(batch), 50.0))
}

/// The result of the call and its duration in seconds.
pub fn seconds<T>(call: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let result = call();
    (result, started.elapsed().as_secs_f64())
}

/// The values in ascending order.
pub fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The smallest value that is not exceeded by `percent` percent of the sorted values; 0 if there
/// are no values.
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Peak memory of this process (`VmHWM`), in bytes.
///
/// # Errors
/// If the system has no `/proc`.
pub fn peak_memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("/proc/self/status has no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn time(calls: u32, call: &mut dyn FnMut()) -> Duration {
    let started = Instant::now();
    for _ in 0..calls {
        call();
    }
    started.elapsed()
}
