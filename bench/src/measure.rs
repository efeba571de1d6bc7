//! Timing that a noisy machine does not spoil: medians of many short batches, what is compared measured in turn.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Batches of which the median is taken.
const BATCHES: usize = 101;
/// How long a batch should take: long beside the clock's grain, short beside a scheduler's slice.
const BATCH: Duration = Duration::from_millis(2);

/// The median time of one call of each, nanoseconds. A batch of the one follows a batch of the other, so that whatever slows
/// the machine down slows them alike, and their ratio can be trusted.
pub fn in_turn<const N: usize>(mut calls: [&mut dyn FnMut(); N]) -> [f64; N] {
    let counts = calls.each_mut().map(|call| {
        let mut count = 1_u32;
        while time(count, call) < BATCH {
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

/// What the call gave, and the seconds it took.
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

/// The value that so many percent of the sorted values do not exceed; 0 if there are none.
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The most memory this process ever had in use (`VmHWM`), bytes.
///
/// # Errors
/// Where there is no `/proc`.
pub fn peak_memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("the peak memory is read from /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("/proc tells no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn time(calls: u32, call: &mut dyn FnMut()) -> Duration {
    let started = Instant::now();
    for _ in 0..calls {
        call();
    }
    started.elapsed()
}
