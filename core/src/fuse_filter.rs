//! Binary fuse filters: static functions from ids to values of a few bits, stored in little more
//! than these bits. After Graf and Lemire, *Binary Fuse Filters: Fast and Smaller Than Xor Filters*
//! (2022).
//!
//! Each id has three slots, and the XOR of their contents is the id's value. An id that was built
//! in has the value it was built with; any other id has a random value. With fingerprints as values
//! the function is a filter; with values of one bit it divides a known set of ids into two parts
//! exactly.
//!
//! ```text
//! function = seed width ids cells
//! seed     = %x00-FF                ; of the attempt that succeeded
//! width    = %x01-10                ; bits of a value
//! ids      = u32                    ; number of ids; the number of slots follows from it
//! cells    = *OCTET                 ; slots × width bits, lowest first, then 3 OCTET padding
//! ```

use core::ops::Range;

use crate::revocation::RevocationId;
use crate::wire::{Body, WireError};

/// Most bits of a value.
const MAX_WIDTH: u32 = 16;
/// Bytes after the last cell, so that every cell can be read as part of four bytes.
const PADDING_BYTES: usize = 3;

/// Layout of a function. The slots of an id lie in three adjacent segments, so that a lookup
/// touches nearby memory; construction then succeeds with high probability with an eighth more
/// slots than ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    segment_bits: u32,
    segments: u64,
}

impl Shape {
    /// The paper's sizes, computed in integers so that all machines get the same layout. Segments
    /// have `2^⌊log₃.₃₃(ids) + 2.25⌋` slots. The slots are 1.125 times the ids, and more for fewer
    /// than a million ids.
    fn of(ids: u32) -> Self {
        let log = log2_milli(ids.max(2));
        let segment_bits = ((log * 1000 / 1736 + 2250) / 1000).clamp(2, 18) as u32;
        let factor = (875 + 4983 * 1000 / log.max(1)).max(1125); // 0.875 + 0.25 · log₂(10⁶) / log₂(ids)
        let slots = (u64::from(ids.max(2)) * factor).div_ceil(1000);
        Self { segment_bits, segments: slots.div_ceil(1 << segment_bits).saturating_sub(2).max(1) }
    }

    fn slots(self) -> u64 {
        (self.segments + 2) << self.segment_bits
    }

    /// The three slots of the id with this hash.
    fn slots_of(self, hash: u64) -> [u64; 3] {
        let segment = ((u128::from(hash) * u128::from(self.segments)) >> 64) as u64;
        let mask = (1 << self.segment_bits) - 1;
        let base = segment << self.segment_bits;
        let inner = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        [0, 1, 2].map(|nth| {
            base + (nth << self.segment_bits) + (inner >> (64 - self.segment_bits * (nth as u32 + 1)) & mask)
        })
    }
}

/// log₂ in thousandths, interpolated linearly between powers of two: accurate enough here, and the
/// same on all machines.
fn log2_milli(number: u32) -> u64 {
    let whole = number.ilog2();
    let above = u64::from(number) - (1 << whole);
    u64::from(whole) * 1000 + above * 1000 / (1 << whole)
}

/// The hash of an id for one attempt, and the id's fingerprint. Both depend on the whole id: the
/// higher halves of ids of one epoch contain the time and only 8 random bits, and for two ids with
/// the same hash every attempt fails.
fn hashes(id: RevocationId, seed: u8) -> (u64, u64) {
    let (high, low) = id.halves();
    let fingerprint = mix(low ^ mix(high));
    (mix(high ^ mix(low ^ u64::from(seed).wrapping_mul(0xd6e8_feb8_6659_fd93))), fingerprint)
}

/// The finalizer of MurmurHash3: each input bit changes about half of the output bits.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ bits >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ bits >> 33
}

/// A static function that borrows its cells from a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StaticFunction<'a> {
    ids: u32,
    seed: u8,
    width: u32,
    shape: Shape,
    cells: &'a [u8],
}

/// A static function with the range of its cells in a message, so that its header is parsed only
/// once.
#[derive(Debug, Clone)]
pub(crate) struct StaticFunctionRange {
    ids: u32,
    seed: u8,
    width: u32,
    shape: Shape,
    cells: Range<usize>,
}

impl StaticFunctionRange {
    /// The function in its message.
    pub(crate) fn of<'a>(&self, message: &'a [u8]) -> StaticFunction<'a> {
        let Self { ids, seed, width, shape, ref cells } = *self;
        StaticFunction { ids, seed, width, shape, cells: message.get(cells.clone()).unwrap_or_default() }
    }
}

impl<'a> StaticFunction<'a> {
    pub(crate) fn read(body: &mut Body<'a>) -> Result<Self, WireError> {
        let seed = body.u8()?;
        let width = u32::from(body.u8()?);
        if !(1..=MAX_WIDTH).contains(&width) {
            return Err(WireError::Malformed("invalid width of a function's values"));
        }
        let ids = body.u32()?;
        let shape = Shape::of(ids);
        let cells = body.bytes(cell_bytes(shape, width).ok_or(WireError::Truncated)?)?;
        Ok(Self { ids, seed, width, shape, cells })
    }

    /// The function's range in a message in which it ends before offset `end`.
    pub(crate) fn range(&self, end: usize) -> StaticFunctionRange {
        let Self { ids, seed, width, shape, cells } = *self;
        StaticFunctionRange { ids, seed, width, shape, cells: end - cells.len()..end }
    }

    /// Number of ids that were built in.
    pub(crate) fn ids(&self) -> usize {
        self.ids as usize
    }

    /// The value of `id`: the one it was built with, or a random one if it was not built in.
    pub(crate) fn value(&self, id: RevocationId) -> u32 {
        let (hash, _) = hashes(id, self.seed);
        self.shape.slots_of(hash).into_iter().fold(0, |value, slot| value ^ self.cell(slot))
    }

    /// Whether the value of `id` is its fingerprint: always for an id that was built in with it,
    /// else with probability 2^-width.
    pub(crate) fn has_fingerprint(&self, id: RevocationId) -> bool {
        self.value(id) == fingerprint(id, self.width)
    }

    fn cell(&self, slot: u64) -> u32 {
        let bit = slot * u64::from(self.width);
        let start = (bit / 8) as usize;
        let word = self.cells.get(start..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes));
        word >> (bit % 8) & ((1 << self.width) - 1)
    }
}

/// The fingerprint of `id`. It is independent of the id's slots.
pub(crate) fn fingerprint(id: RevocationId, width: u32) -> u32 {
    (hashes(id, 0).1 >> 32) as u32 & ((1 << width) - 1)
}

fn cell_bytes(shape: Shape, width: u32) -> Option<usize> {
    let bits = shape.slots().checked_mul(u64::from(width))?;
    usize::try_from(bits.div_ceil(8)).ok()?.checked_add(PADDING_BYTES)
}

/// Builds the function that maps each id to its value. The ids must be distinct.
///
/// `None` if none of the 256 attempts succeeds. The first one nearly always does.
#[cfg(feature = "build")]
pub(crate) fn build(values: &[(RevocationId, u32)], width: u32) -> Option<alloc::vec::Vec<u8>> {
    let ids = u32::try_from(values.len()).ok()?;
    let shape = Shape::of(ids);
    let (seed, order) = (0..=u8::MAX).find_map(|seed| Some((seed, peeling_order(values, shape, seed)?)))?;

    let mut function = alloc::vec![seed, width as u8];
    function.extend(ids.to_be_bytes());
    let mut contents = alloc::vec![0_u32; shape.slots() as usize];
    // In reverse order, the slot by which an id was peeled is the last of its three to be filled,
    // and gives the XOR its value.
    for (id, slot) in order.into_iter().rev() {
        let (id, value) = values.get(id as usize)?;
        let others = shape.slots_of(hashes(*id, seed).0).into_iter().fold(0, |xor, slot| xor ^ contents[slot as usize]);
        contents[slot as usize] = value ^ others; // the slot itself is still 0
    }
    function.extend(pack(&contents, width, cell_bytes(shape, width)?));
    Some(function)
}

/// An order in which the ids can be removed, each while it is the only one left in one of its
/// slots; each id comes with that slot. `None` if there is no such order.
#[cfg(feature = "build")]
fn peeling_order(values: &[(RevocationId, u32)], shape: Shape, seed: u8) -> Option<alloc::vec::Vec<(u32, u32)>> {
    use alloc::vec::Vec;
    let slots = shape.slots() as usize;
    let (mut count, mut ids) = (alloc::vec![0_u32; slots], alloc::vec![0_u32; slots]);
    let slots_of = |id: u32| values.get(id as usize).map_or([0; 3], |(id, _)| shape.slots_of(hashes(*id, seed).0));
    for id in 0..values.len() as u32 {
        for slot in slots_of(id) {
            count[slot as usize] += 1;
            ids[slot as usize] ^= id;
        }
    }
    let mut single: Vec<u32> = (0..slots as u32).filter(|&slot| count[slot as usize] == 1).collect();
    let mut order = Vec::with_capacity(values.len());
    while let Some(slot) = single.pop() {
        if count[slot as usize] != 1 {
            continue; // its last id was removed by another slot
        }
        let id = ids[slot as usize];
        order.push((id, slot));
        for other in slots_of(id) {
            count[other as usize] -= 1;
            ids[other as usize] ^= id;
            if count[other as usize] == 1 {
                single.push(other as u32);
            }
        }
    }
    (order.len() == values.len()).then_some(order)
}

#[cfg(feature = "build")]
fn pack(contents: &[u32], width: u32, bytes: usize) -> alloc::vec::Vec<u8> {
    let mut packed = alloc::vec![0; bytes];
    for (slot, content) in contents.iter().enumerate() {
        let bit = slot * width as usize;
        let spread = u64::from(*content) << (bit % 8);
        for (byte, part) in packed[bit / 8..].iter_mut().zip(spread.to_le_bytes()).take(4) {
            *byte |= part;
        }
    }
    packed
}

#[cfg(all(test, feature = "build"))]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn ids(count: u32) -> Vec<RevocationId> {
        (0..count).map(|n| RevocationId::for_token("https://auth.example", &alloc::format!("{n}"))).collect()
    }

    #[test]
    fn every_id_has_the_value_it_was_given() {
        for (count, width) in [(0, 1), (1, 1), (2, 3), (3, 16), (10, 8), (100, 1), (5_000, 7), (200_000, 1)] {
            let values: Vec<_> = ids(count).into_iter().zip((0..).map(|n: u32| (n * 7) & ((1 << width) - 1))).collect();
            let built = build(&values, width).expect("differing ids");
            let mut body = Body::new(&built);
            let function = StaticFunction::read(&mut body).expect("what was built");
            assert_eq!(body.remaining(), 0);
            for (id, value) in values {
                assert_eq!(function.value(id), value, "{count} ids of {width} bits");
            }
        }
    }

    #[test]
    fn ids_that_are_equal_in_one_half_are_distinguished() {
        let id =
            |high: u8, low: u8| RevocationId::from_bytes(core::array::from_fn(|at| if at < 8 { high } else { low }));
        let values = [(id(1, 1), 0), (id(1, 2), 1), (id(2, 1), 1), (id(2, 2), 0)];
        let built = build(&values, 1).expect("differing ids");
        let function = StaticFunction::read(&mut Body::new(&built)).expect("what was built");
        assert!(values.iter().all(|(id, value)| function.value(*id) == *value));
    }

    #[test]
    fn a_filter_has_few_false_positives_and_little_overhead() {
        let all = ids(300_000);
        let (built_in, others) = all.split_at(100_000);
        let values: Vec<_> = built_in.iter().map(|id| (*id, fingerprint(*id, 8))).collect();
        let built = build(&values, 8).expect("differing ids");
        assert!(built.len() < 120_000, "{} bytes for 100,000 ids", built.len());
        let function = StaticFunction::read(&mut Body::new(&built)).expect("what was built");
        assert!(built_in.iter().all(|id| function.has_fingerprint(*id)));
        let passed = others.iter().filter(|id| function.has_fingerprint(**id)).count();
        assert!((600..970).contains(&passed), "{passed} of 200,000 others pass, one in 256 would be 781");
    }
}
