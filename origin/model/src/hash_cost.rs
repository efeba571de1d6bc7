//! What a password hash costs.

use crate::Malformed;

/// Memory that Argon2 needs at the least, in KiB (RFC 9106 section 3.1): eight for each lane.
const MIN_MEMORY: u32 = 8;
/// Memory that a stored hash may ask for, in KiB: 1 GiB, as much as a setting may.
const MAX_MEMORY: u32 = 1024 * 1024;

/// Passes over it that a stored hash may ask for.
const MAX_PASSES: u32 = 64;

/// What a hash costs whoever makes one: memory, and how often all of it is gone over. 19 MiB and two passes are the first choice
/// of OWASP's Password Storage Cheat Sheet, and what RFC 9106 section 4 asks to be weighed against the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    memory: u32,
    passes: u32,
}

impl Default for HashCost {
    fn default() -> HashCost {
        HashCost { memory: 19 * 1024, passes: 2 }
    }
}

impl HashCost {
    /// A cost of so many KiB and passes.
    ///
    /// # Errors
    /// When Argon2 has no such parameters, or they are beyond 1 GiB or 64 passes.
    pub fn new(memory: u32, passes: u32) -> Result<HashCost, Malformed> {
        let possible = (MIN_MEMORY..=MAX_MEMORY).contains(&memory) && (1..=MAX_PASSES).contains(&passes);
        match possible {
            true => Ok(HashCost { memory, passes }),
            false => Err(Malformed::new("cost of a hash", "must be 8 KiB to 1 GiB of memory and 1 to 64 passes")),
        }
    }

    /// The memory of a hash, in KiB.
    #[must_use]
    pub const fn memory(self) -> u32 {
        self.memory
    }

    /// Passes over that memory.
    #[must_use]
    pub const fn passes(self) -> u32 {
        self.passes
    }

    /// The memory of a hash, in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        u64::from(self.memory) * 1024
    }

    /// What is done for a hash: KiB that are written. Time follows it closely, and so does what a guesser pays.
    #[must_use]
    pub fn work(self) -> u64 {
        u64::from(self.memory) * u64::from(self.passes)
    }
}
