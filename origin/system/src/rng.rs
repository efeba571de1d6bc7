//! Random bytes of the operating system.

use std::cell::RefCell;

use zeroize::{Zeroize as _, Zeroizing};

/// Bytes that a thread draws in one system call for its next identifiers.
const POOL_BYTES: usize = 1024;

thread_local! {
    static ID_POOL: RefCell<Pool> =
        RefCell::new(Pool { bytes: Zeroizing::new([0; POOL_BYTES]), used: POOL_BYTES });
}

/// Random bytes drawn in advance, and how many of them are used.
struct Pool {
    bytes: Zeroizing<[u8; POOL_BYTES]>,
    used: usize,
}

/// Draws `N` bytes from the operating system's random source.
///
/// # Errors
/// When the random source fails; callers report an internal error.
#[expect(clippy::disallowed_methods, reason = "the origin's random source")]
pub fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Returns `N` random bytes for an identifier that must be unguessable but grants nothing by
/// itself, such as a token's `jti`.
///
/// The bytes come from the same source as those of [`random`], but are drawn for many identifiers
/// in one system call. Nothing is derived from them: each byte is used once, by the thread that
/// drew it, and wiped on use. An attacker who can read the unused bytes of this process can read
/// its signing keys too. The process never forks; if a virtual machine is copied while it runs,
/// only the next identifiers of a thread can repeat. For that reason, secrets come from [`random`].
///
/// # Errors
/// As [`random`].
pub fn random_id<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    ID_POOL.with_borrow_mut(Pool::draw)
}

impl Pool {
    #[expect(clippy::disallowed_methods, reason = "the origin's random source")]
    fn draw<const N: usize>(&mut self) -> Result<[u8; N], getrandom::Error> {
        const { assert!(N <= POOL_BYTES) };
        if POOL_BYTES - self.used < N {
            self.used = POOL_BYTES;
            getrandom::fill(self.bytes.as_mut_slice())?;
            self.used = 0;
        }
        let mut drawn = [0; N];
        let bytes = &mut self.bytes[self.used..self.used + N];
        drawn.copy_from_slice(bytes);
        bytes.zeroize();
        self.used += N;
        Ok(drawn)
    }
}

/// Returns a number in `0.0..1.0` that spreads retries over time. Never for secrets: if the random
/// source fails, it returns 0.5.
pub fn jitter() -> f64 {
    let bytes = random::<4>().unwrap_or([0, 0, 0, 0x80]);
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn identifiers_are_unique_and_used_bytes_are_wiped() {
        let ids: BTreeSet<[u8; 14]> = (0..1000).map(|_| random_id().expect("randomness")).collect();
        assert_eq!(ids.len(), 1000);
        ID_POOL.with_borrow(|pool| assert!(pool.bytes[..pool.used].iter().all(|byte| *byte == 0)));
    }
}
