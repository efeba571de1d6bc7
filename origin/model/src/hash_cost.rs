//! The cost of a password hash.

use super::malformed::Malformed;

/// KiB. Argon2 requires eight for each lane (RFC 9106 §3.1).
const MIN_MEMORY: u32 = 8;
/// KiB: 1 GiB. Bounds the memory that a stored hash can demand.
const MAX_MEMORY: u32 = 1024 * 1024;
/// Bounds the time that a stored hash can demand.
const MAX_ITERATIONS: u32 = 64;

/// Argon2id parameters of a password hash: memory, and iterations over it.
///
/// The default is the first recommendation of OWASP's Password Storage Cheat Sheet: 19 MiB and two
/// iterations. RFC 9106 §4 describes how to choose parameters for a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    memory: u32,
    iterations: u32,
}

impl Default for HashCost {
    fn default() -> HashCost {
        HashCost { memory: 19 * 1024, iterations: 2 }
    }
}

impl HashCost {
    /// `memory` is in KiB.
    ///
    /// # Errors
    /// If Argon2 does not allow these parameters, or they exceed 1 GiB or 64 iterations.
    pub fn new(memory: u32, iterations: u32) -> Result<HashCost, Malformed> {
        let is_allowed = (MIN_MEMORY..=MAX_MEMORY).contains(&memory) && (1..=MAX_ITERATIONS).contains(&iterations);
        match is_allowed {
            true => Ok(HashCost { memory, iterations }),
            false => Err(Malformed::new("cost of a hash", "must be 8 KiB to 1 GiB of memory and 1 to 64 iterations")),
        }
    }

    /// Memory in KiB.
    #[must_use]
    pub const fn memory(self) -> u32 {
        self.memory
    }

    #[must_use]
    pub const fn iterations(self) -> u32 {
        self.iterations
    }

    /// Memory in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        u64::from(self.memory) * 1024
    }

    /// KiB written in all iterations: proportional to the time of a hash, and to the cost of a
    /// guess.
    #[must_use]
    pub fn work(self) -> u64 {
        u64::from(self.memory) * u64::from(self.iterations)
    }
}
