//! Tables that make checking an Ed25519 or ECDSA P-256 signature two to seven times faster, for keys that earn their memory.
//!
//! Such a check computes `aG + bQ` for the curve's generator `G` and the public key `Q`. Neither point changes from token to
//! token, so multiples of both can be kept. A number is written with signed digits of `w` bits, `Σ d(i)·2^(w·i)` with
//! `|d(i)| ≤ 2^(w-1)`, and row `j` of a [`Comb`] of the point `P` holds `d·2^(w·g·j)·P` for every `d` from 1 to `2^(w-1)`. With
//! `i = g·j + t` the product is `Σₜ 2^(w·t)·Σⱼ d(g·j+t)·2^(w·g·j)·P`: `g` rounds of additions out of the table, one for each digit
//! that is not zero, and `w` doublings between two rounds. Wider digits make the additions fewer, more rounds make the table
//! smaller ([`Shape`]).
//!
//! Everything here is public (keys, signatures, what was signed), so nothing is done in constant time, and it must never
//! be used with a secret. What a signature must be to pass is not decided by speed: a key with a table accepts what it accepts
//! without one, which `core/tests/tables` tries on vectors, on crafted cases and on a million signatures.

mod ed25519;
mod p256;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub(crate) use self::ed25519::Ed25519Key;
pub(crate) use self::p256::P256Key;

/// Digits of the narrowest shape.
const MAX_DIGITS: usize = 43;

/// How much memory a public key may take so that its signatures are checked faster. The generator of the curve takes as much
/// again, once for all keys of a [`KeySet`](crate::KeySet) and its clones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TableSize {
    /// No table: nothing to keep, nothing to compute first.
    #[default]
    None,
    /// 56,320 bytes for an Ed25519 key, 22,528 for a P-256 key.
    Small,
    /// 327,680 bytes for an Ed25519 key, 131,072 for a P-256 key.
    Large,
}

impl TableSize {
    /// Its name in settings: `none`, `small` or `large`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Small => "small",
            Self::Large => "large",
        }
    }

    /// The size of that name, compared byte for byte.
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

/// What a table holds; see the module's documentation.
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

/// Multiples of one point.
struct Comb<P> {
    shape: Shape,
    /// Row after row.
    points: Box<[P]>,
}

impl<P> Comb<P> {
    /// The points to add in one round, and whether each is to be subtracted instead.
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

/// A number in signed digits, the least first. There are more than a shape may need; those are zero.
struct Digits([i16; MAX_DIGITS]);

impl Digits {
    /// The digits of a little-endian number below 2²⁵⁵, whose last digit then takes its carry.
    fn of(number: &[u8; 32], shape: Shape) -> Self {
        let byte = |at: usize| number.get(at).copied().unwrap_or(0);
        let base = 1 << shape.width;
        let mut carry = 0;
        Self(core::array::from_fn(|at| {
            let bit = at * shape.width;
            let bits = u16::from_le_bytes([byte(bit / 8), byte(bit / 8 + 1)]) >> (bit % 8);
            let digit = (bits & (base - 1)) as i16 + carry;
            carry = i16::from(digit > base as i16 / 2);
            digit - carry * base as i16
        }))
    }
}

/// A key's table with its generator's.
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

    /// Where each table is and how many bytes it has.
    fn places(&self) -> [(usize, usize); 2] {
        [&self.generator, &self.key].map(|comb| (Arc::as_ptr(comb).addr(), comb.bytes()))
    }
}

/// The generators' tables of one size: those that some key has, and those computed for the next.
pub(crate) struct Generators {
    size: TableSize,
    ed25519: Option<Arc<Comb<ed25519::Point>>>,
    p256: Option<Arc<Comb<p256::Point>>>,
}

impl Generators {
    pub(crate) fn new(size: TableSize) -> Self {
        Self { size, ed25519: None, p256: None }
    }
}

/// The bytes of these tables, each place counted once.
pub(crate) fn distinct_bytes(places: impl Iterator<Item = [(usize, usize); 2]>) -> usize {
    let mut distinct = Vec::new();
    for place in places.flatten() {
        if !distinct.contains(&place) {
            distinct.push(place);
        }
    }
    distinct.iter().map(|(_, bytes)| bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers whose digits are all least, all greatest, or carry all the way.
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
            let most = shape.row_length() as i16;
            assert!(digits.0.iter().all(|digit| (-most + 1..=most).contains(digit)));
            // In bytes that may be negative or large until they are carried.
            let mut bytes = [0_i64; 40];
            for (at, digit) in digits.0.iter().enumerate().filter(|(_, digit)| **digit != 0) {
                let bit = at * shape.width;
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
