//! Precomputed tables (fixed-base combs) that make an Ed25519 or ECDSA P-256 signature check two to
//! seven times faster.
//!
//! A check computes `aG + bQ` for the curve's generator `G` and the public key `Q`. Both points are
//! the same for many tokens, so multiples of them can be stored. A number is written with signed
//! digits of `w` bits, `Σ d(i)·2^(w·i)` with `|d(i)| ≤ 2^(w-1)`, and row `j` of a [`Comb`] of the
//! point `P` holds `d·2^(w·g·j)·P` for every `d` from 1 to `2^(w-1)`. With `i = g·j + t` the
//! product is `Σₜ 2^(w·t)·Σⱼ d(g·j+t)·2^(w·g·j)·P`: `g` rounds of additions from the table, one for
//! each digit that is not zero, and `w` doublings between two rounds. Wider digits need fewer
//! additions, more rounds a smaller table ([`Shape`]).
//!
//! Never: a secret. Keys, signatures and signed bytes are public, so nothing here runs in constant
//! time.
//!
//! A key accepts the same signatures with a table as without one. `core/tests/tables` checks this
//! on vectors, on crafted cases and on a million random signatures.

mod ed25519;
mod p256;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub(crate) use self::ed25519::Ed25519Key;
pub(crate) use self::p256::P256Key;

/// Number of digits of the shape with the narrowest digits.
const MAX_DIGITS: usize = 43;

/// Size of the table of a public key. The curve's generator needs a table of the same size, once
/// for all keys of a [`KeySet`](crate::KeySet) and its clones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TableSize {
    /// No table.
    #[default]
    None,
    /// 56,320 bytes for an Ed25519 key, 22,528 bytes for a P-256 key.
    Small,
    /// 327,680 bytes for an Ed25519 key, 131,072 bytes for a P-256 key.
    Large,
}

impl TableSize {
    /// The name in settings: `none`, `small` or `large`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Small => "small",
            Self::Large => "large",
        }
    }

    /// The size with this name, compared byte for byte.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Small, Self::Large].into_iter().find(|size| size.name() == name)
    }

    fn shape(self) -> Option<Shape> {
        match self {
            Self::None => None,
            Self::Small => Some(Shape { width: 6, rounds: 4 }),
            Self::Large => Some(Shape { width: 8, rounds: 2 }),
        }
    }
}

/// Parameters of a table: see the module's documentation.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// Bits of a digit, `w`: 6 to 8.
    width: usize,
    /// Digits that share a row, `g`.
    rounds: usize,
}

impl Shape {
    fn rows(self) -> usize {
        256_usize.div_ceil(self.width).div_ceil(self.rounds)
    }

    /// Points of a row.
    fn row_length(self) -> usize {
        1 << (self.width - 1)
    }
}

/// Table of multiples of one point.
struct Comb<P> {
    shape: Shape,
    /// All rows, one after another.
    points: Box<[P]>,
}

impl<P> Comb<P> {
    /// The points to add in one round, each with whether to subtract it instead.
    fn terms<'a>(&'a self, digits: &'a Digits, round: usize) -> impl Iterator<Item = (&'a P, bool)> {
        let digits = digits.0.iter().skip(round).step_by(self.shape.rounds);
        let rows = self.points.chunks_exact(self.shape.row_length());
        digits.zip(rows).filter_map(|(digit, row)| {
            let index = usize::from(digit.unsigned_abs()).checked_sub(1)?;
            row.get(index).map(|point| (point, *digit < 0))
        })
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.points)
    }
}

/// A number in signed digits, the least significant first. Digits that a shape does not need are
/// zero.
struct Digits([i16; MAX_DIGITS]);

impl Digits {
    /// The digits of a little-endian number below 2²⁵⁵, so that the last carry fits the last digit.
    fn of(number: &[u8; 32], shape: Shape) -> Self {
        let byte = |index: usize| number.get(index).copied().unwrap_or(0);
        let base = 1 << shape.width;
        let mut carry = 0;
        Self(core::array::from_fn(|index| {
            let bit = index * shape.width;
            let bits = u16::from_le_bytes([byte(bit / 8), byte(bit / 8 + 1)]) >> (bit % 8);
            let digit = (bits & (base - 1)) as i16 + carry;
            carry = i16::from(digit > base as i16 / 2);
            digit - carry * base as i16
        }))
    }
}

/// The table of a key and that of its curve's generator.
struct Tables<P> {
    generator: Arc<Comb<P>>,
    key: Arc<Comb<P>>,
}

impl<P> Clone for Tables<P> {
    fn clone(&self) -> Self {
        Self { generator: Arc::clone(&self.generator), key: Arc::clone(&self.key) }
    }
}

impl<P> Tables<P> {
    fn shape(&self) -> Shape {
        self.key.shape
    }

    /// Address and size in bytes of each table.
    fn locations(&self) -> [(usize, usize); 2] {
        [&self.generator, &self.key].map(|comb| (Arc::as_ptr(comb).addr(), comb.bytes()))
    }
}

/// Generator tables of one size that the keys of a set share.
pub(crate) struct GeneratorTables {
    size: TableSize,
    ed25519: Option<Arc<Comb<ed25519::Point>>>,
    p256: Option<Arc<Comb<p256::Point>>>,
}

impl GeneratorTables {
    pub(crate) fn new(size: TableSize) -> Self {
        Self { size, ed25519: None, p256: None }
    }
}

/// Sum of the sizes of these tables, where each address counts once.
pub(crate) fn distinct_bytes(locations: impl Iterator<Item = [(usize, usize); 2]>) -> usize {
    let mut distinct = Vec::new();
    for location in locations.flatten() {
        if !distinct.contains(&location) {
            distinct.push(location);
        }
    }
    distinct.iter().map(|(_, bytes)| bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers whose digits are all minimal, all maximal, or carry through all digits.
    #[test]
    fn digits_add_up_to_their_number_and_stay_small() {
        let patterns: [u8; 12] = [0x00, 0x01, 0x1f, 0x20, 0x21, 0x7f, 0x80, 0x81, 0xdf, 0xe0, 0xfe, 0xff];
        for (shape, low, high) in [TableSize::Small, TableSize::Large]
            .into_iter()
            .filter_map(TableSize::shape)
            .flat_map(|shape| patterns.map(|low| (shape, low)))
            .flat_map(|(shape, low)| patterns.map(|high| (shape, low, high & 0x7f)))
        {
            let mut number = [low; 32];
            number[31] = high;
            let digits = Digits::of(&number, shape);
            let max = shape.row_length() as i16;
            assert!(digits.0.iter().all(|digit| (-max + 1..=max).contains(digit)));
            // Bytes may be negative or above 255 here; the carries are propagated below.
            let mut bytes = [0_i64; 40];
            for (index, digit) in digits.0.iter().enumerate().filter(|(_, digit)| **digit != 0) {
                let bit = index * shape.width;
                bytes[bit / 8] += i64::from(*digit) << (bit % 8);
            }
            let mut carry = 0;
            let sum = bytes.map(|byte| {
                carry += byte;
                let low = carry & 0xff;
                carry >>= 8;
                low as u8
            });
            assert_eq!((&sum[..32], carry), (&number[..], 0));
        }
    }
}
