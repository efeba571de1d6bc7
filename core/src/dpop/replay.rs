//! Detection of DPoP proofs that are used twice (RFC 9449 section 11.1).
//!
//! Never: a proof that passes twice while the set exists, whatever the load. A set that is full
//! forgets the uses that expire first, and from then on refuses every proof that expires no later
//! than these. So a flood shortens the time for which a proof is accepted; it lets no replay pass,
//! and fresh proofs of clients with a correct clock still pass.

use alloc::collections::BTreeMap;

use super::ProofError;

/// Most uses in a set: some three megabytes. The lifetime of a proof at an edge is two minutes, so
/// the set is full at 546 proofs a second; at 5,000 a second it holds those of ten seconds.
pub const MAX_PROOF_USES: usize = 65_536;
/// Seconds that are distinguished when room is made; longer than any proof is valid.
const COUNTED_SECONDS: usize = 256;

/// One use of a proof: its key and `jti`, and when the proof expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProofUse {
    /// Hash of key and `jti`.
    pub id: [u8; 16],
    /// Unix seconds from which on the proof is refused in any case.
    pub expires_at: u64,
}

/// The uses of proofs that could be replayed.
#[derive(Debug, Default)]
pub struct ReplaySet {
    expires_at: BTreeMap<[u8; 16], u64>,
    /// Uses that expire at this time or before are not in the set.
    forgotten_until: u64,
}

impl ReplaySet {
    /// Records a use at the Unix time `now`, in seconds.
    ///
    /// # Errors
    /// [`ProofError::Replayed`] if the proof was used before; [`ProofError::OutOfTime`] if that
    /// cannot be known.
    pub fn record(&mut self, proof_use: ProofUse, now: u64) -> Result<(), ProofError> {
        if self.expires_at.contains_key(&proof_use.id) {
            return Err(ProofError::Replayed);
        }
        if self.expires_at.len() >= MAX_PROOF_USES {
            self.make_room(now);
        }
        if proof_use.expires_at <= self.forgotten_until {
            return Err(ProofError::OutOfTime);
        }
        self.expires_at.insert(proof_use.id, proof_use.expires_at);
        Ok(())
    }

    /// Forgets at least a quarter of the uses: those that expire first.
    fn make_room(&mut self, now: u64) {
        let second = |expires_at: u64| expires_at.saturating_sub(now).min(COUNTED_SECONDS as u64 - 1) as usize;
        let mut counts = [0; COUNTED_SECONDS];
        for expires_at in self.expires_at.values() {
            if let Some(count) = counts.get_mut(second(*expires_at)) {
                *count += 1;
            }
        }
        let mut forgotten = 0;
        let last = counts.iter().position(|count| {
            forgotten += count;
            forgotten >= MAX_PROOF_USES / 4
        });
        let last = last.unwrap_or(COUNTED_SECONDS - 1);
        // Not `retain`, which adds more code to a component.
        for (id, expires_at) in core::mem::take(&mut self.expires_at) {
            if second(expires_at) > last {
                self.expires_at.insert(id, expires_at);
            } else {
                self.forgotten_until = self.forgotten_until.max(expires_at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn proof_use(number: u64, expires_at: u64) -> ProofUse {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        ProofUse { id, expires_at }
    }

    #[test]
    fn a_proof_is_used_once() {
        let mut set = ReplaySet::default();
        assert_eq!(set.record(proof_use(1, NOW + 90), NOW), Ok(()));
        assert_eq!(set.record(proof_use(1, NOW + 90), NOW + 1), Err(ProofError::Replayed));
        assert_eq!(
            set.record(proof_use(1, NOW + 91), NOW + 1),
            Err(ProofError::Replayed),
            "the same jti, signed later"
        );
        assert_eq!(set.record(proof_use(2, NOW + 90), NOW), Ok(()));
    }

    #[test]
    fn a_full_set_refuses_the_oldest_proofs_and_lets_no_replay_pass() {
        let mut set = ReplaySet::default();
        let mut number = 0;
        // 4,096 proofs a second for 64 seconds: four times as many as the set holds.
        for second in 0..64 {
            for _ in 0..4096 {
                number += 1;
                assert_eq!(set.record(proof_use(number, NOW + second + 90), NOW + second), Ok(()), "{number}");
            }
            assert!(set.expires_at.len() <= MAX_PROOF_USES);
        }
        for replayed in (1..=number).step_by(37) {
            let expires_at = NOW + (replayed - 1) / 4096 + 90;
            assert!(set.record(proof_use(replayed, expires_at), NOW + 63).is_err(), "{replayed}");
        }
        // A proof that was delayed is refused, because it cannot be distinguished from a replay.
        assert_eq!(set.record(proof_use(number + 1, NOW + 90), NOW + 63), Err(ProofError::OutOfTime));
        assert_eq!(set.record(proof_use(number + 1, NOW + 63 + 90), NOW + 63), Ok(()), "a fresh one passes");
    }

    #[test]
    fn expired_uses_make_room() {
        let mut set = ReplaySet::default();
        for number in 0..MAX_PROOF_USES as u64 {
            assert_eq!(set.record(proof_use(number, NOW + 90), NOW), Ok(()));
        }
        let later = NOW + 91;
        assert_eq!(set.record(proof_use(u64::MAX, later + 30), later), Ok(()), "one that was delayed by a minute");
        assert_eq!(set.expires_at.len(), 1);
    }
}
