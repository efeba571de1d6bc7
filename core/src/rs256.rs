//! RSASSA-PKCS1-v1_5 with SHA-256: verification only (RFC 8017 section 8.2.2).
//!
//! Never: a private key. Key, signature and message are public, so nothing here runs in constant
//! time.
//!
//! It is four times as fast as a general library of large integers, which supports any size and
//! protects secrets: `s^e mod n` takes eighteen Montgomery multiplications for an `e` of 65537, and
//! values that depend only on the key are computed once.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use sha2::{Digest as _, Sha256};

/// A digit of a large integer, and an integer that holds the product of two digits. WebAssembly
/// multiplies to at most 64 bits.
#[cfg(target_pointer_width = "64")]
type Limb = u64;
#[cfg(target_pointer_width = "64")]
type Wide = u128;
#[cfg(not(target_pointer_width = "64"))]
type Limb = u32;
#[cfg(not(target_pointer_width = "64"))]
type Wide = u64;

/// Size of the modulus. RFC 7518 section 3.3 requires 2048 bits or more; the upper bound keeps a
/// check under a millisecond.
const MODULUS_BITS: RangeInclusive<usize> = 2048..=4096;
/// Range of the public exponent, as in other libraries: 1 protects nothing, and a large one only
/// takes time.
const EXPONENT_RANGE: RangeInclusive<u64> = 3..=(1 << 33) - 1;
/// The DER encoding of a `DigestInfo` up to the SHA-256 hash (RFC 8017 section 9.2, note 1).
const DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// An RSA public key with the values that Montgomery multiplication derives from it. `R` is 2 to
/// the number of bits of all limbs.
pub(crate) struct PublicKey {
    /// The least significant limb first; the last limb is not zero.
    modulus: Vec<Limb>,
    /// -1/n modulo one limb.
    negated_inverse: Limb,
    /// R² modulo n.
    r_squared: Vec<Limb>,
    exponent: u64,
    /// Length of the modulus and of every signature, in bytes.
    modulus_bytes: usize,
}

impl PublicKey {
    /// Reads modulus and exponent, big-endian, with or without leading zeros.
    ///
    /// # Errors
    /// What is wrong with the key: the reason of [`JwksError::BadKey`](crate::JwksError::BadKey).
    pub(crate) fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, &'static str> {
        let bytes = without_leading_zeros(modulus);
        let bits = bytes.first().map_or(0, |first| bytes.len() * 8 - first.leading_zeros() as usize);
        if !MODULUS_BITS.contains(&bits) {
            return Err("n must have 2048 to 4096 bits");
        }
        let exponent = without_leading_zeros(exponent);
        let exponent =
            if exponent.len() > 8 { 0 } else { exponent.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)) };
        let modulus = limbs(bytes);
        let lowest = modulus.first().copied().unwrap_or_default();
        if lowest % 2 == 0 || exponent % 2 == 0 || !EXPONENT_RANGE.contains(&exponent) {
            return Err("n and e are not an RSA key");
        }
        let mut key = Self {
            negated_inverse: inverse(lowest).wrapping_neg(),
            r_squared: Vec::new(),
            modulus,
            exponent,
            modulus_bytes: bytes.len(),
        };
        key.r_squared = key.r_squared(bits);
        Ok(key)
    }

    /// Whether this signature over `signed` is valid.
    pub(crate) fn accepts(&self, signed: &[u8], signature: &[u8]) -> bool {
        if signature.len() != self.modulus_bytes {
            return false;
        }
        let signature = limbs(signature);
        // A number that is not below n would be a second encoding of the same signature.
        is_less(&signature, &self.modulus) && self.power(&signature) == limbs(&self.encoded(signed))
    }

    /// EMSA-PKCS1-v1_5 (RFC 8017 section 9.2). The expected encoding is built and compared as a
    /// whole, because parsers of encodings have accepted garbage inside them (Bleichenbacher,
    /// 2006).
    fn encoded(&self, signed: &[u8]) -> Vec<u8> {
        let hash = Sha256::digest(signed);
        let padding = self.modulus_bytes.saturating_sub(3 + DIGEST_INFO.len() + hash.len());
        let mut encoded = vec![0xff; 2 + padding];
        for (byte, first) in encoded.iter_mut().zip([0, 1]) {
            *byte = first;
        }
        encoded.push(0);
        encoded.extend(DIGEST_INFO);
        encoded.extend(hash);
        encoded
    }

    /// `base^e mod n`: for each bit of the exponent below the highest, squares, and multiplies if
    /// the bit is set.
    fn power(&self, base: &[Limb]) -> Vec<Limb> {
        let times_r = self.product(base, &self.r_squared);
        let mut power = times_r.clone();
        for bit in (1..self.exponent.ilog2()).rev() {
            power = self.product(&power, &power);
            if (self.exponent >> bit) & 1 == 1 {
                power = self.product(&power, &times_r);
            }
        }
        power = self.product(&power, &power);
        // The lowest bit is set. Multiplying by the base without its factor R also removes R from
        // the result.
        self.product(&power, base)
    }

    /// `one · other / R mod n`, for numbers below n (Koç, Acar, Kaliski: "Analyzing and Comparing
    /// Montgomery Multiplication Algorithms", FIOS). Each round adds a multiple of n that makes the
    /// lowest limb zero, and drops that limb.
    fn product(&self, one: &[Limb], other: &[Limb]) -> Vec<Limb> {
        let mut sum = vec![0; self.modulus.len()];
        let mut above: Limb = 0;
        for &factor in other {
            let mut digits = sum.iter_mut().zip(one).zip(&self.modulus);
            let Some(((mut lower, &one), &modulus)) = digits.next() else { break };
            let (low, mut carry) = multiply_add(one, factor, *lower, 0);
            let multiple = low.wrapping_mul(self.negated_inverse);
            let (_, mut dropped_carry) = multiply_add(multiple, modulus, low, 0);
            for ((digit, &one), &modulus) in digits {
                let low;
                (low, carry) = multiply_add(one, factor, *digit, carry);
                (*lower, dropped_carry) = multiply_add(multiple, modulus, low, dropped_carry);
                lower = digit;
            }
            (*lower, above) = split(Wide::from(carry) + Wide::from(dropped_carry) + Wide::from(above));
        }
        self.reduce(&mut sum, above);
        sum
    }

    /// Subtracts n once if the number is not below n. `above` is the limb above the highest of
    /// `number`.
    fn reduce(&self, number: &mut [Limb], above: Limb) {
        if above == 0 && is_less(number, &self.modulus) {
            return;
        }
        let mut borrow = false;
        for (digit, &modulus) in number.iter_mut().zip(&self.modulus) {
            let (difference, below) = digit.overflowing_sub(modulus);
            let (difference, below_too) = difference.overflowing_sub(Limb::from(borrow));
            (*digit, borrow) = (difference, below || below_too);
        }
    }

    /// R² modulo n, for an n of this number of bits. Doubling leads to `2^count · R`, where `count`
    /// is the number of limbs; each squaring by [`product`](Self::product) doubles the exponent
    /// `count` until it is the number of bits of R.
    fn r_squared(&self, bits: usize) -> Vec<Limb> {
        let (count, limb_bits) = (self.modulus.len(), Limb::BITS as usize);
        // n is odd, so the power of two of its highest bit is below n.
        let mut number = vec![0; count];
        if let Some(highest) = number.last_mut() {
            *highest = 1 << ((bits - 1) % limb_bits);
        }
        for _ in bits - 1..count * limb_bits + count {
            let mut above = 0;
            for digit in &mut number {
                (*digit, above) = ((*digit << 1) | above, *digit >> (limb_bits - 1));
            }
            self.reduce(&mut number, above);
        }
        for _ in 0..Limb::BITS.ilog2() {
            number = self.product(&number, &number);
        }
        number
    }
}

/// `one · other + more + carry` as low limb and high limb. The sum always fits two limbs.
#[inline(always)]
fn multiply_add(one: Limb, other: Limb, more: Limb, carry: Limb) -> (Limb, Limb) {
    split(Wide::from(one) * Wide::from(other) + Wide::from(more) + Wide::from(carry))
}

#[inline(always)]
fn split(wide: Wide) -> (Limb, Limb) {
    (wide as Limb, (wide >> Limb::BITS) as Limb)
}

/// 1/odd modulo one limb, by Newton's iteration: each round doubles the number of correct bits, and
/// an odd number is its own inverse in the lowest three.
fn inverse(odd: Limb) -> Limb {
    (0..5).fold(odd, |inverse, _| inverse.wrapping_mul((2 as Limb).wrapping_sub(odd.wrapping_mul(inverse))))
}

/// Whether `one` is less than `other`, for numbers of the same number of limbs.
fn is_less(one: &[Limb], other: &[Limb]) -> bool {
    one.iter().rev().lt(other.iter().rev())
}

/// Converts big-endian bytes to limbs.
fn limbs(bytes: &[u8]) -> Vec<Limb> {
    let limb = |digits: &[u8]| digits.iter().fold(0, |limb: Limb, byte| (limb << 8) | Limb::from(*byte));
    bytes.rchunks(size_of::<Limb>()).map(limb).collect()
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    bytes.iter().position(|byte| *byte != 0).map_or(&[], |first| bytes.split_at(first).1)
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
    use crypto_bigint::{BoxedUint, Odd};

    use super::{PublicKey, limbs};

    /// SplitMix64: the same numbers at each run.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut bits = self.0;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bits ^ (bits >> 31)
        }

        /// `count` bytes: sometimes all zeros, all ones, or ones at one end, where carries run far.
        fn bytes(&mut self, count: usize) -> Vec<u8> {
            let ones = self.next() as usize % count;
            match self.next() % 8 {
                0 => vec![0; count],
                1 => vec![0xff; count],
                2 => (0..count).map(|at| if at < ones { 0xff } else { 0 }).collect(),
                3 => (0..count).map(|at| if at < ones { 0 } else { 0xff }).collect(),
                _ => (0..count).map(|_| self.next() as u8).collect(),
            }
        }

        /// An odd number of `bits` bits.
        fn modulus(&mut self, bits: usize) -> Vec<u8> {
            let mut modulus = self.bytes(bits.div_ceil(8));
            let highest = 1_u8 << ((bits - 1) % 8);
            modulus[0] = (modulus[0] % highest) | highest;
            *modulus.last_mut().expect("it is not empty") |= 1;
            modulus
        }
    }

    /// `base^exponent mod modulus` by `crypto-bigint`.
    fn reference_power(base: &[u8], exponent: u64, modulus: &[u8]) -> Vec<super::Limb> {
        let bits = modulus.len() as u32 * 8;
        let integer = |bytes: &[u8]| BoxedUint::from_be_slice(bytes, bits).expect("it fits");
        let parameters = BoxedMontyParams::new(Odd::new(integer(modulus)).expect("it is odd"));
        let base = BoxedMontyForm::new(integer(base), &parameters);
        let power = base.pow(&BoxedUint::from(exponent)).retrieve();
        // The library rounds the number of bits up to its own limbs.
        let bytes = power.to_be_bytes();
        limbs(bytes.split_at(bytes.len() - modulus.len()).1)
    }

    #[test]
    fn powers_equal_those_of_crypto_bigint() {
        let mut random = Random(4711);
        for round in 0..600 {
            let bits = 2048 + if round % 2 == 0 { 0 } else { random.next() as usize % 2049 };
            let modulus = random.modulus(bits);
            let exponent = [3, 17, 65_537, (1 << 33) - 1, (random.next() % (1 << 33)) | 3][round % 5];
            let key = PublicKey::new(&modulus, &exponent.to_be_bytes()).expect("a key");
            assert_eq!((key.modulus_bytes, key.exponent), (modulus.len(), exponent));
            let mut base = random.bytes(modulus.len());
            if limbs(&base).iter().rev().ge(key.modulus.iter().rev()) {
                base = modulus.clone();
                *base.last_mut().expect("it is not empty") &= 0xfe; // n - 1
            }
            assert_eq!(
                key.power(&limbs(&base)),
                reference_power(&base, exponent, &modulus),
                "{bits} bits, e = {exponent}"
            );
        }
    }

    #[test]
    fn weak_and_oversized_keys_are_refused() {
        let modulus = Random(1).modulus(2048);
        let even: Vec<u8> = modulus.iter().copied().take(255).chain([2]).collect();
        let padded: Vec<u8> = [0, 0].into_iter().chain(modulus.clone()).collect();
        assert!(PublicKey::new(&modulus, &[1, 0, 1]).is_ok());
        assert!(PublicKey::new(&padded, &[0, 0, 0, 0, 0, 0, 0, 1, 0, 1]).is_ok());
        for (modulus, exponent) in [
            (&modulus, &[1][..]),
            (&modulus, &[2]),
            (&modulus, &[0]),
            (&modulus, &[2, 0, 0, 0, 1]),
            (&modulus, &[1, 0, 0, 0, 0, 0, 0, 0, 3]),
            (&even, &[1, 0, 1]),
        ] {
            assert_eq!(PublicKey::new(modulus, exponent).err(), Some("n and e are not an RSA key"), "{exponent:?}");
        }
        for modulus in [vec![], vec![0; 256], Random(2).modulus(2047), Random(3).modulus(4097)] {
            assert_eq!(PublicKey::new(&modulus, &[3]).err(), Some("n must have 2048 to 4096 bits"));
        }
    }

    #[test]
    fn signatures_of_another_length_or_not_below_the_modulus_are_refused() {
        let mut random = Random(5);
        let modulus = random.modulus(2050);
        let key = PublicKey::new(&modulus, &[3]).expect("a key");
        // n itself is a second encoding of 0.
        for signature in [&modulus[..], &modulus[1..], &[&[0], &modulus[..]].concat(), &[], &[0xff; 257]] {
            assert!(!key.accepts(b"signed", signature));
        }
    }
}
