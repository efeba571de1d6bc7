//! Samples of the processor's time: a timer interrupts the thread that runs, and its stack is
//! recorded (crate `pprof`). The timer runs only while a profile is taken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pprof::{Frames, ProfilerGuardBuilder, Report};
use tokio::task::spawn_blocking;

use crate::format::{Frame, Profile};

/// Duration of a profile for which none is asked.
pub const DEFAULT_DURATION: Duration = Duration::from_secs(30);
/// Longest profile.
pub const MAX_DURATION: Duration = Duration::from_secs(120);
/// Samples a second; a prime, so that it is not in step with periodic work.
const FREQUENCY: i32 = 97;
/// Libraries in whose code the stack is not walked: they may hold the lock that walking needs.
const NOT_WALKED: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// How often the thread that samples looks whether the profile is still wanted.
const CALLER_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Samples the process for this long, or until the caller is cancelled. A process can take one such
/// profile at a time.
///
/// # Errors
/// When the timer cannot be set, or the names of functions cannot be found.
pub async fn sample_cpu(duration: Duration) -> Result<Profile, String> {
    let caller = Arc::new(());
    let has_caller = Arc::downgrade(&caller);
    // On a thread of its own, because finding the names of functions takes seconds.
    let sampling = spawn_blocking(move || {
        let guard = ProfilerGuardBuilder::default().frequency(FREQUENCY).blocklist(&NOT_WALKED).build()?;
        let began = Instant::now();
        while began.elapsed() < duration && has_caller.strong_count() > 0 {
            std::thread::sleep(CALLER_CHECK_INTERVAL.min(duration));
        }
        guard.report().build().map(|report| profile(&report))
    });
    let sampled = sampling.await;
    drop(caller);
    match sampled {
        Ok(sampled) => sampled.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn profile(report: &Report) -> Profile {
    let nanoseconds = 1_000_000_000 / u64::from(FREQUENCY.unsigned_abs());
    let mut profile = Profile::new([("samples", "count"), ("cpu", "nanoseconds")]);
    profile.period = Some(("cpu", "nanoseconds", nanoseconds));
    for (frames, count) in &report.data {
        let count = u64::try_from(*count).unwrap_or_default();
        profile.add(stack(frames), [count, count.saturating_mul(nanoseconds)]);
    }
    profile
}

/// The stack, the innermost frame first, below all the thread. An address may have several frames,
/// of functions that were inlined.
fn stack(frames: &Frames) -> Vec<Frame> {
    let symbols = frames.frames.iter().flatten();
    let frame = |symbol: &pprof::Symbol| Frame {
        function: symbol.name(),
        file: symbol.filename().into_owned(),
        line: symbol.lineno(),
    };
    symbols.map(frame).chain([Frame::named(frames.thread_name_or_id())]).collect()
}
