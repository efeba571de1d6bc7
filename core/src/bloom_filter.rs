//! A blocked Bloom filter. Reading one cache line answers "not revoked" for all but about one in a
//! thousand ids that are not in the list; for the rest, the exact list is searched.
//!
//! After Putze, Sanders, Singler: *Cache-, Hash- and Space-Efficient Bloom Filters* (2007). A hash
//! of the whole id selects the block, because ids of one issuing epoch begin alike. Seven groups of
//! nine bits of the id's lower half, which is random, select the bits in the block.

use crate::fuse_filter::mix;
use crate::revocation::RevocationId;

/// Size of a block in bytes: a cache line.
pub(crate) const BLOCK_BYTES: usize = 64;
/// Number of bits set for an id.
const PROBES: u32 = 7;
/// Ids for each block of a new filter: 16 bits for each id.
#[cfg(feature = "build")]
const IDS_PER_BLOCK: usize = 32;

/// Whether `blocks` (a multiple of 64 bytes) may contain `id`.
pub(crate) fn may_contain(blocks: &[u8], id: RevocationId) -> bool {
    let (block_bits, probe_bits) = bits(id);
    let count = (blocks.len() / BLOCK_BYTES) as u128;
    let start = ((u128::from(block_bits) * count) >> 64) as usize * BLOCK_BYTES;
    blocks.get(start..start + BLOCK_BYTES).is_some_and(|block| {
        probes(probe_bits).all(|bit| block.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1))
    })
}

/// Builds the filter of `ids`.
#[cfg(feature = "build")]
pub(crate) fn build(ids: impl ExactSizeIterator<Item = RevocationId>) -> alloc::vec::Vec<u8> {
    let count = ids.len().div_ceil(IDS_PER_BLOCK);
    let mut blocks = alloc::vec![0; count * BLOCK_BYTES];
    for id in ids {
        let (block_bits, probe_bits) = bits(id);
        let start = ((u128::from(block_bits) * count as u128) >> 64) as usize * BLOCK_BYTES;
        for bit in probes(probe_bits) {
            if let Some(byte) = blocks.get_mut(start + bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
    blocks
}

/// The bits that select the block, and the bits that select the probes.
fn bits(id: RevocationId) -> (u64, u64) {
    let (high, low) = id.halves();
    (mix(high ^ mix(low)), low)
}

/// The seven bit positions in a block.
fn probes(bits: u64) -> impl Iterator<Item = usize> {
    (0..PROBES).map(move |probe| (bits >> (9 * probe)) as usize & 511)
}
