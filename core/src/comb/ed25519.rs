//! Ed25519 signature checks (RFC 8032), with or without a table.
//!
//! Invariant: a key accepts exactly the signatures that [`VerifyingKey::verify_strict`] accepts.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::iter;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity as _;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha512};

use super::{Comb, Digits, GeneratorTables, Shape, Tables};

/// A point of a comb, in extended coordinates: the only ones that `curve25519-dalek` offers
/// addition for.
pub(super) type Point = EdwardsPoint;

/// A public key of large order.
#[derive(Clone)]
pub(crate) struct Ed25519Key {
    key: VerifyingKey,
    /// Tables of the basepoint and of the negated key.
    tables: Option<Tables<Point>>,
}

impl Ed25519Key {
    /// # Errors
    /// What is wrong with the key: the reason of [`JwksError::BadKey`](crate::JwksError::BadKey).
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Result<Self, &'static str> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| "x is not a point of the curve")?;
        // A key of small order accepts signatures that can be made without its private key.
        if key.is_weak() { Err("x is a point of small order") } else { Ok(Self { key, tables: None }) }
    }

    /// Whether this signature over `signed` is valid.
    pub(crate) fn accepts(&self, signed: &[u8], signature: &[u8]) -> bool {
        match &self.tables {
            Some(tables) => self.accepts_with_tables(tables, signed, signature).unwrap_or(false),
            None => Signature::from_slice(signature)
                .is_ok_and(|signature| self.key.verify_strict(signed, &signature).is_ok()),
        }
    }

    /// The strict check of dalek, with two differences that change no answer. `R` is not decoded
    /// but compared with the encoding of the computed point: if they are equal, `R` is canonical
    /// and decodes to that point, so the order of that point is checked instead. The order of the
    /// key was checked when the key was created.
    fn accepts_with_tables(&self, tables: &Tables<Point>, signed: &[u8], signature: &[u8]) -> Option<bool> {
        let signature: &[u8; 64] = signature.try_into().ok()?;
        let (r, s) = signature.split_first_chunk::<32>()?;
        let s = Scalar::from_canonical_bytes(s.try_into().ok()?).into_option()?;
        let hash = Sha512::new().chain_update(r).chain_update(self.key.as_bytes()).chain_update(signed).finalize();
        let k = Scalar::from_bytes_mod_order_wide(&hash.into());
        let point = sum_of_products(tables, &s, &k);
        Some(point.compress() == CompressedEdwardsY(*r) && !point.is_small_order())
    }

    /// Computes a table of the wanted size if the key has none of that size, or drops it for size
    /// `None`.
    pub(crate) fn prepare_table(&mut self, generators: &mut GeneratorTables) {
        self.tables = generators.size.shape().map(|shape| match self.tables.take() {
            Some(tables) if tables.shape() == shape => tables,
            _ => Tables {
                generator: Arc::clone(
                    generators.ed25519.get_or_insert_with(|| Arc::new(comb(ED25519_BASEPOINT_POINT, shape))),
                ),
                key: Arc::new(comb(-self.key.to_edwards(), shape)),
            },
        });
    }

    /// Offers the basepoint's table to the other keys of the set, if it has the wanted size.
    pub(crate) fn share_generator_table(&self, generators: &mut GeneratorTables) {
        if let Some(tables) = self.tables.as_ref().filter(|tables| Some(tables.shape()) == generators.size.shape()) {
            generators.ed25519.get_or_insert_with(|| Arc::clone(&tables.generator));
        }
    }

    /// Reuses the tables of `other` if that is the same key.
    pub(crate) fn reuse_table_from(&mut self, other: &Self) {
        if self.tables.is_none() && self.key == other.key {
            self.tables.clone_from(&other.tables);
        }
    }

    /// Address and size in bytes of the key's table and of its generator's.
    pub(crate) fn table_locations(&self) -> Option<[(usize, usize); 2]> {
        self.tables.as_ref().map(Tables::locations)
    }
}

fn comb(mut base: EdwardsPoint, shape: Shape) -> Comb<Point> {
    let mut points = Vec::with_capacity(shape.rows() * shape.row_length());
    for _ in 0..shape.rows() {
        points.extend(iter::successors(Some(base), |multiple| Some(multiple + base)).take(shape.row_length()));
        base = (0..shape.rounds).fold(base, |base, _| shifted(base, shape));
    }
    Comb { shape, points: points.into() }
}

/// The point times 2^w: doubled once for each bit of a digit.
fn shifted(point: EdwardsPoint, shape: Shape) -> EdwardsPoint {
    let point = (0..shape.width / 3).fold(point, |point, _| point.mul_by_cofactor());
    (0..shape.width % 3).fold(point, |point, _| point + point)
}

/// `s` times the basepoint minus `k` times the key; both numbers are below 2²⁵³. A key may have a
/// component of small order, so `k` is used as an integer, not modulo the order of the basepoint.
fn sum_of_products(tables: &Tables<Point>, s: &Scalar, k: &Scalar) -> EdwardsPoint {
    let shape = tables.shape();
    let (s, k) = (Digits::of(s.as_bytes(), shape), Digits::of(k.as_bytes(), shape));
    let mut sum = EdwardsPoint::identity();
    for round in (0..shape.rounds).rev() {
        for (comb, digits) in [(&tables.generator, &s), (&tables.key, &k)] {
            for (point, is_negative) in comb.terms(digits, round) {
                sum = if is_negative { sum - point } else { sum + point };
            }
        }
        if round > 0 {
            sum = shifted(sum, shape);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;

    use super::*;
    use crate::comb::TableSize;

    fn scalars() -> Vec<Scalar> {
        let whole = [0_u64, 1, 2, 31, 32, 33, 127, 128, 129, u64::MAX].map(Scalar::from);
        let random = (0_u8..6).map(|seed| Scalar::from_bytes_mod_order([seed.wrapping_mul(83) ^ 0xa5; 32]));
        let positive: Vec<_> = whole.into_iter().chain(random).collect();
        positive.iter().flat_map(|scalar| [*scalar, -scalar]).collect()
    }

    /// Keys of every order, including the small ones that [`Ed25519Key::from_bytes`] refuses.
    #[test]
    fn sums_equal_those_of_dalek() {
        let large = [1_u64, 2, 3, 128, 0x1234_5678].map(|a| EdwardsPoint::mul_base(&Scalar::from(a)));
        let keys =
            large.into_iter().flat_map(|point| EIGHT_TORSION.map(|torsion| point + torsion)).chain(EIGHT_TORSION);
        for (key, shape) in keys.flat_map(|key| [TableSize::Small, TableSize::Large].map(|size| (key, size.shape()))) {
            let shape = shape.unwrap();
            let tables =
                Tables { generator: Arc::new(comb(ED25519_BASEPOINT_POINT, shape)), key: Arc::new(comb(-key, shape)) };
            for (s, k) in scalars().iter().zip(scalars().iter().rev().chain(&scalars())) {
                let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(k, &-key, s);
                assert_eq!(sum_of_products(&tables, s, k), expected, "{s:?} {k:?}");
            }
        }
    }
}
