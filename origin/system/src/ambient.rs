//! The clock and the random source of the process. Everything else takes times and random bytes as arguments, so that a
//! reader finds every ambient input here, and tests choose their own.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use zeroize::{Zeroize as _, Zeroizing};

/// Bytes that a thread draws at once for its next identifiers.
const POOL: usize = 1024;

thread_local! {
    static IDS: RefCell<Pool> = RefCell::new(Pool { bytes: Zeroizing::new([0; POOL]), used: POOL });
}

/// Bytes of the system's random source that are still to be handed out, and how many of them were.
struct Pool {
    bytes: Zeroizing<[u8; POOL]>,
    used: usize,
}

/// Milliseconds since the Unix epoch. A clock set before 1970 counts as 0.
#[expect(clippy::disallowed_methods, reason = "the origin's clock")]
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
#[expect(clippy::disallowed_methods, reason = "the origin's random source")]
pub fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// `N` random bytes for an identifier that must be guessed by nobody but opens nothing by itself, as a token's `jti`.
///
/// They are the system's as those of [`random`] are, only drawn for many identifiers at once, so that most cost no system call.
/// Nothing is computed from them: each byte is handed out once, to the thread that drew it, and wiped in that moment; a process
/// that could read those still to come could read the signing keys as well. This process never forks, and of a machine that is
/// copied while it runs, only the next identifiers of a thread can be the same in both. That is why secrets come from [`random`].
///
/// # Errors
/// As [`random`].
pub fn random_id<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    IDS.with_borrow_mut(Pool::take)
}

impl Pool {
    #[expect(clippy::disallowed_methods, reason = "the origin's random source")]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], getrandom::Error> {
        const { assert!(N <= POOL) };
        if POOL - self.used < N {
            self.used = POOL;
            getrandom::fill(self.bytes.as_mut_slice())?;
            self.used = 0;
        }
        let mut taken = [0; N];
        let bytes = &mut self.bytes[self.used..self.used + N];
        taken.copy_from_slice(bytes);
        bytes.zeroize();
        self.used += N;
        Ok(taken)
    }
}

/// The account that runs the process, if the environment tells.
pub fn user() -> Option<String> {
    std::env::var("USER").ok()
}

/// A number in `0.0..1.0` for spreading retries; never for secrets, so a failing source simply means no spread.
pub fn jitter() -> f64 {
    let bytes = random::<4>().unwrap_or([0x80; 4]);
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn identifiers_never_repeat_and_leave_nothing_behind() {
        let ids: BTreeSet<[u8; 14]> = (0..1000).map(|_| random_id().expect("randomness")).collect();
        assert_eq!(ids.len(), 1000);
        IDS.with_borrow(|pool| assert!(pool.bytes[..pool.used].iter().all(|byte| *byte == 0)));
    }
}
