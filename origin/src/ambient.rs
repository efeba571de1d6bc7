//! The clock and the random source of the process. Everything else takes times and random bytes as arguments, so that a
//! reader finds every ambient input here, and tests choose their own.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch. A clock set before 1970 counts as 0.
#[must_use]
pub fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds since the Unix epoch.
#[must_use]
pub fn now() -> u64 {
    now_ms() / 1000
}

/// `N` bytes from the operating system's random source.
///
/// # Errors
/// When the system has no randomness to give; the caller answers as for any outage of its own.
pub fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// The account that runs the process, if the environment tells.
pub(crate) fn user() -> Option<String> {
    std::env::var("USER").ok()
}

/// A number in `0.0..1.0` for spreading retries; never for secrets, so a failing source simply means no spread.
pub(crate) fn jitter() -> f64 {
    let bytes = random::<4>().unwrap_or([0x80; 4]);
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}
