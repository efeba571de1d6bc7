//! ECDSA P-256 signature checks over SHA-256 (RFC 7518 section 3.4), with or without a table.
//!
//! Invariant: a key accepts exactly the signatures that p256's `VerifyingKey::verify` accepts.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::elliptic_curve::ff::PrimeField as _;
use p256::elliptic_curve::hazmat::FieldArithmetic;
use p256::elliptic_curve::ops::{Invert as _, Reduce as _};
use p256::elliptic_curve::point::AffineCoordinates as _;
use p256::elliptic_curve::scalar::IsHigh as _;
use p256::{AffinePoint, NistP256, Scalar};
use sha2::{Digest as _, Sha256};

use super::{Comb, Digits, GeneratorTables, Shape, Tables};

/// A number modulo the field's prime `p`, with the arithmetic of the p256 crate.
type FieldElement = <NistP256 as FieldArithmetic>::FieldElement;

/// `p - n`: the difference between the prime of the field and the order of the curve.
const FIELD_MINUS_ORDER: u128 = 0x4319_0553_58e8_617b_0c46_353d_039c_daae;

/// A point of a comb, in affine coordinates. Never the point at infinity.
#[derive(Clone, Copy)]
pub(super) struct Point {
    x: FieldElement,
    y: FieldElement,
}

/// A public key.
#[derive(Clone)]
pub(crate) struct P256Key {
    key: VerifyingKey,
    tables: Option<Tables<Point>>,
}

impl P256Key {
    /// # Errors
    /// What is wrong with the key: the reason of [`JwksError::BadKey`](crate::JwksError::BadKey).
    pub(crate) fn from_coordinates(x: &[u8; 32], y: &[u8; 32]) -> Result<Self, &'static str> {
        let mut point = [4; 65]; // SEC 1: the uncompressed form begins with 4.
        let (_, coordinates) = point.split_at_mut(1);
        coordinates.copy_from_slice([*x, *y].as_flattened());
        let key = VerifyingKey::from_sec1_bytes(&point).map_err(|_| "x and y are not a point of the curve")?;
        Ok(Self { key, tables: None })
    }

    /// Whether this signature over `signed` is valid. `r` and `s` must be in range and not zero; a
    /// high `s` is accepted.
    pub(crate) fn accepts(&self, signed: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| match &self.tables {
            Some(tables) => accepts_with_tables(tables, signed, &signature).unwrap_or(false),
            None => self.key.verify(signed, &signature).is_ok(),
        })
    }

    /// Computes a table of the wanted size if the key has none of that size, or drops it for size
    /// `None`.
    pub(crate) fn prepare_table(&mut self, generators: &mut GeneratorTables) {
        self.tables = generators.size.shape().map(|shape| match self.tables.take() {
            Some(tables) if tables.shape() == shape => tables,
            _ => Tables {
                generator: Arc::clone(
                    generators.p256.get_or_insert_with(|| Arc::new(comb(&AffinePoint::GENERATOR, shape))),
                ),
                key: Arc::new(comb(self.key.as_affine(), shape)),
            },
        });
    }

    /// Offers the generator's table to the other keys of the set, if it has the wanted size.
    pub(crate) fn share_generator_table(&self, generators: &mut GeneratorTables) {
        if let Some(tables) = self.tables.as_ref().filter(|tables| Some(tables.shape()) == generators.size.shape()) {
            generators.p256.get_or_insert_with(|| Arc::clone(&tables.generator));
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

/// The check of FIPS 186-5 section 6.4.2 as p256 does it, except that the `x` of the sum is
/// compared without a division.
fn accepts_with_tables(tables: &Tables<Point>, signed: &[u8], signature: &Signature) -> Option<bool> {
    let (r, s) = signature.split_scalars();
    let hash = Scalar::reduce(&Sha256::digest(signed));
    let inverse = *s.invert_vartime();
    let sum = sum_of_products(tables, &(hash * inverse), &(*r * inverse))?;
    sum.has_x_equal_to(&r)
}

fn comb(base: &AffinePoint, shape: Shape) -> Comb<Point> {
    let mut points = Vec::with_capacity(shape.rows() * shape.row_length());
    let mut base = Point::from(base);
    for _ in 0..shape.rows() {
        let mut row = vec![Jacobian::from(base)];
        for _ in 1..shape.row_length() {
            row.extend(row.last().and_then(|multiple| multiple.plus(&base)));
        }
        // The last multiple is the base, doubled once for each bit of a digit except one.
        let doublings = (shape.rounds - 1) * shape.width + 1;
        row.extend(row.last().map(|last| (0..doublings).fold(*last, |point, _| point.doubled())));
        let mut row = affine(&row);
        base = row.pop().unwrap_or(base);
        points.append(&mut row);
    }
    Comb { shape, points: points.into() }
}

/// Converts points to affine coordinates with one inversion for all of them (Montgomery's trick):
/// that of the product of all `z`.
fn affine(points: &[Jacobian]) -> Vec<Point> {
    let mut all = FieldElement::ONE;
    let mut affine = Vec::with_capacity(points.len());
    for point in points {
        // Until the loop below, x holds the product of the z of all points before this one.
        affine.push(Point { x: all, y: point.y });
        all = product(all, point.z);
    }
    // Inverse of the product of the z up to the current point, from the last point to the first. No
    // z is zero.
    let mut inverse = all.invert_vartime().unwrap_or(FieldElement::ZERO);
    for (point, affine) in points.iter().zip(&mut affine).rev() {
        let z_inverse = product(inverse, affine.x);
        inverse = product(inverse, point.z);
        let square = product(z_inverse, z_inverse);
        *affine = Point { x: product(point.x, square), y: product(product(point.y, square), z_inverse) };
    }
    affine
}

/// Not inlined: each inlined multiplication adds 1.5 KiB of code.
#[inline(never)]
fn product(a: FieldElement, b: FieldElement) -> FieldElement {
    a * b
}

/// `a` times the generator plus `b` times the key; `None` is the point at infinity.
fn sum_of_products(tables: &Tables<Point>, a: &Scalar, b: &Scalar) -> Option<Jacobian> {
    let shape = tables.shape();
    let (a, b) = (SignedDigits::of(a, shape), SignedDigits::of(b, shape));
    let mut sum: Option<Jacobian> = None;
    for round in (0..shape.rounds).rev() {
        for (comb, number) in [(&tables.generator, &a), (&tables.key, &b)] {
            for (point, is_negative) in comb.terms(&number.digits, round) {
                let y = if is_negative == number.is_negative { point.y } else { -point.y };
                let point = Point { x: point.x, y };
                sum = match sum {
                    Some(sum) => sum.plus(&point),
                    None => Some(point.into()),
                };
            }
        }
        if round > 0 {
            sum = (0..shape.width).fold(sum, |sum, _| sum.map(Jacobian::doubled));
        }
    }
    sum
}

/// The digits of a scalar, or of its negative if that is smaller: a number below 2²⁵⁵.
struct SignedDigits {
    is_negative: bool,
    digits: Digits,
}

impl SignedDigits {
    fn of(scalar: &Scalar, shape: Shape) -> Self {
        let is_negative = bool::from(scalar.is_high());
        let mut number: [u8; 32] = if is_negative { -scalar } else { *scalar }.to_bytes().into();
        number.reverse();
        Self { is_negative, digits: Digits::of(&number, shape) }
    }
}

/// The point `(x/z², y/z³)`. Never the point at infinity. Adding a point of a table takes 11
/// multiplications; p256's own formula, which is free of branches for use with secrets, takes 13.
#[derive(Clone, Copy)]
struct Jacobian {
    x: FieldElement,
    y: FieldElement,
    z: FieldElement,
}

impl From<&AffinePoint> for Point {
    fn from(point: &AffinePoint) -> Self {
        // The coordinates of a point are in range.
        let coordinate = |bytes| FieldElement::from_repr(bytes).unwrap_or(FieldElement::ZERO);
        Self { x: coordinate(point.x()), y: coordinate(point.y()) }
    }
}

impl From<Point> for Jacobian {
    fn from(point: Point) -> Self {
        Self { x: point.x, y: point.y, z: FieldElement::ONE }
    }
}

impl Jacobian {
    /// Cohen, Miyaji, Ono (1998): `madd-1998-cmo` of the Explicit-Formulas Database. `None` is the
    /// point at infinity.
    fn plus(self, point: &Point) -> Option<Self> {
        let z_squared = self.z.square();
        let h = point.x * z_squared - self.x;
        let r = point.y * z_squared * self.z - self.y;
        if h == FieldElement::ZERO {
            // The x are equal. The formula below is wrong for a point and itself, and for a point
            // and its negative.
            return if r == FieldElement::ZERO { Some(self.doubled()) } else { None };
        }
        let h_squared = h.square();
        let h_cubed = h_squared * h;
        let v = self.x * h_squared;
        let x = r.square() - h_cubed - v.double();
        Some(Self { x, y: r * (v - x) - self.y * h_cubed, z: self.z * h })
    }

    /// Bernstein (2001): `dbl-2001-b` of the Explicit-Formulas Database, for `a = -3`. No point of
    /// the curve has order 2.
    fn doubled(self) -> Self {
        let delta = self.z.square();
        let gamma = self.y.square();
        let beta_4 = (self.x * gamma).double().double();
        let slope = (self.x - delta) * (self.x + delta);
        let alpha = slope.double() + slope;
        let x = alpha.square() - beta_4.double();
        let z = (self.y + self.z).square() - gamma - delta;
        Self { x, y: alpha * (beta_4 - x) - gamma.square().double().double().double(), z }
    }

    /// Whether the affine x equals `r` modulo the order `n`: it is `r`, or `r + n` if that is below
    /// `p`.
    fn has_x_equal_to(self, r: &Scalar) -> Option<bool> {
        let z_squared = self.z.square();
        let x = FieldElement::from_repr(r.to_bytes()).into_option()?;
        // Modulo p, r + n is r - (p - n).
        Some(
            x * z_squared == self.x
                || *r < Scalar::from(FIELD_MINUS_ORDER)
                    && (x - FieldElement::from_u128(FIELD_MINUS_ORDER)) * z_squared == self.x,
        )
    }
}

#[cfg(test)]
mod tests {
    use p256::ProjectivePoint;
    use p256::elliptic_curve::ops::LinearCombination as _;

    use super::*;
    use crate::comb::TableSize;

    fn scalars() -> Vec<Scalar> {
        let whole = [0_u64, 1, 2, 31, 32, 33, 127, 128, 129, u64::MAX].map(Scalar::from);
        let random = (0_u8..2).map(|seed| Scalar::reduce(&p256::FieldBytes::from([seed.wrapping_mul(83) ^ 0xa5; 32])));
        let half = Scalar::from(2_u64).invert().unwrap();
        let positive: Vec<_> = whole.into_iter().chain(random).chain([half, half + Scalar::ONE]).collect();
        positive.iter().flat_map(|scalar| [*scalar, -scalar]).collect()
    }

    /// Every pair of scalars, with keys for which partial sums are equal, opposite and at infinity.
    #[test]
    fn sums_equal_those_of_p256() {
        let keys = [1_u64, 2, 0x1234_5678].map(|a| ProjectivePoint::GENERATOR * Scalar::from(a));
        let mut infinite = 0;
        for (key, size) in keys
            .iter()
            .flat_map(|key| [*key, -key])
            .flat_map(|key| [TableSize::Small, TableSize::Large].map(|size| (key, size)))
        {
            let shape = size.shape().unwrap();
            let generator = Arc::new(comb(&AffinePoint::GENERATOR, shape));
            let tables = Tables { generator, key: Arc::new(comb(&key.to_affine(), shape)) };
            for (a, b) in scalars().iter().flat_map(|a| scalars().into_iter().map(move |b| (a, b))) {
                let expected = ProjectivePoint::lincomb_vartime(&[(ProjectivePoint::GENERATOR, *a), (key, b)]);
                let sum = sum_of_products(&tables, a, &b).map(|sum| affine(&[sum])[0]);
                infinite += u32::from(sum.is_none());
                let expected = (expected != ProjectivePoint::IDENTITY).then(|| Point::from(&expected.to_affine()));
                assert_eq!(sum.map(coordinates), expected.map(coordinates), "{a:?} {b:?}");
            }
        }
        assert!(infinite > 20, "only {infinite} sums were at infinity");
    }

    fn coordinates(point: Point) -> [p256::FieldBytes; 2] {
        [point.x.to_repr(), point.y.to_repr()]
    }

    /// Compares the constant with the `p` and `n` of the p256 crate.
    #[test]
    fn field_minus_order_is_the_difference_of_the_moduli() {
        let order = FieldElement::from_repr((-Scalar::ONE).to_bytes()).unwrap() + FieldElement::ONE;
        assert_eq!(order + FieldElement::from_u128(FIELD_MINUS_ORDER), FieldElement::ZERO);
    }
}
