//! Millions of issued tokens. Each is computed from its number when it is needed, so that none is
//! stored.

use anyhow::Result;
use tollgate_core::{
    CascadeBuilder, EpochTokenId, HashChain, RevocationId, RevocationKind, RevokedBefore, SnapshotParts,
    SnapshotSigner, build_snapshot,
};

use crate::tokens::ISSUER;

/// The issuing epoch of all tokens.
const EPOCH: u32 = 1;

/// Live tokens, with revoked ones at regular distances.
#[derive(Debug, Clone, Copy)]
pub struct Population {
    /// Number of tokens that are issued and not expired.
    pub live: u64,
    /// Number of these that are revoked; a divisor of `live`.
    pub revoked: u64,
}

impl Population {
    /// A million revoked of a hundred million tokens, or a tenth of these if `quick`.
    pub fn large(quick: bool) -> Self {
        let share = if quick { 10 } else { 1 };
        Self { live: 100_000_000 / share, revoked: 1_000_000 / share }
    }

    /// The nth token, from two streams of SplitMix64: the same in each run.
    pub fn token(nth: u64) -> EpochTokenId {
        let mut random = [0; EpochTokenId::UNIQUE_BYTES];
        let (high, low) = random.split_at_mut(8);
        high.copy_from_slice(&mix(nth).to_be_bytes());
        low.copy_from_slice(&mix(nth ^ 0xd134_2543_de82_ef95).to_be_bytes()[..6]);
        EpochTokenId::new(EPOCH, random)
    }

    /// Numbers of `count` tokens that are not revoked, distributed over all.
    pub fn not_revoked(self, count: u64) -> impl Iterator<Item = u64> {
        let stride = self.live / count;
        (0..count).map(move |nth| nth * stride).map(move |nth| if self.is_revoked(nth) { nth + 1 } else { nth })
    }

    /// The signed snapshot of all tokens.
    ///
    /// # Errors
    /// If it cannot be built.
    pub fn snapshot(self, config: &[u8]) -> Result<Vec<u8>> {
        let revoked = (0..self.live).step_by(self.step()).map(|nth| Self::token(nth).revocation_id()).collect();
        let mut builder = CascadeBuilder::new(revoked, self.live)?;
        builder.add_covered((0..self.live).map(|nth| Self::token(nth).revocation_id()))?;
        let covered = builder.finish()?;
        let parts = SnapshotParts::new(ISSUER, self.revoked, 1, HashChain::genesis(ISSUER), config);
        Ok(build_snapshot(&SnapshotParts { epoch: EPOCH, covered: Some(&covered), ..parts }, &signer())?)
    }

    /// Entropy for each revoked token in bytes, the lower bound of any exact encoding: log₂ of the
    /// number of ways to choose the revoked tokens from the live ones.
    pub fn entropy_bytes(self) -> f64 {
        let share = self.revoked as f64 / self.live as f64;
        let entropy = -share * share.log2() - (1.0 - share) * (1.0 - share).log2();
        entropy / share / 8.0
    }

    fn step(self) -> usize {
        usize::try_from(self.live / self.revoked).unwrap_or(usize::MAX)
    }

    fn is_revoked(self, nth: u64) -> bool {
        nth.is_multiple_of(self.live / self.revoked)
    }
}

/// A small snapshot with a thousand revocations of each kind of group, none of which applies to the
/// measured tokens: every lookup searches four ids.
///
/// # Errors
/// If it cannot be built.
pub fn snapshot_with_groups(config: &[u8]) -> Result<Vec<u8>> {
    let revocation = |kind| {
        move |nth: u32| (kind, RevocationId::new(kind, ISSUER, &nth.to_string()), RevokedBefore::through_epoch(EPOCH))
    };
    let groups: Vec<_> = RevocationKind::GROUPS.into_iter().flat_map(|kind| (0..1000).map(revocation(kind))).collect();
    let parts = SnapshotParts::new(ISSUER, 1, 1, HashChain::genesis(ISSUER), config);
    Ok(build_snapshot(&SnapshotParts { epoch: EPOCH, groups: &groups, ..parts }, &signer())?)
}

/// The key that signs the snapshots.
pub fn signer() -> SnapshotSigner {
    SnapshotSigner::from_seed(&[7; 32])
}

fn mix(counter: u64) -> u64 {
    let mut bits = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}
