//! One key in three variants: without a table, with a small one, with a large one.

use std::cell::Cell;

use tollgate_core::{Algorithm, KeySet, TableSize};

/// The key in three sets, with counts of the checked and accepted signatures.
pub(crate) struct KeyVariants {
    algorithm: Algorithm,
    sets: [KeySet; 3],
    pub(crate) checked: Cell<u64>,
    pub(crate) accepted: Cell<u64>,
}

impl KeyVariants {
    /// `None` if the key is refused.
    fn new(algorithm: Algorithm, members: &str) -> Option<Self> {
        let plain = KeySet::from_jwks(format!(r#"{{"keys":[{{{members}}}]}}"#).as_bytes()).ok()?;
        let sets = [TableSize::None, TableSize::Small, TableSize::Large].map(|size| {
            let mut set = plain.clone();
            set.prepare_tables(size);
            assert_eq!(set.table_bytes() == 0, size == TableSize::None);
            set
        });
        Some(Self { algorithm, sets, checked: Cell::new(0), accepted: Cell::new(0) })
    }

    pub(crate) fn ed25519(key: &[u8; 32]) -> Option<Self> {
        Self::new(Algorithm::EdDsa, &ed25519_jwk(key))
    }

    pub(crate) fn p256(x: &[u8], y: &[u8]) -> Option<Self> {
        Self::new(Algorithm::Es256, &p256_jwk(x, y))
    }

    /// The answer of all three variants, which must be the same.
    #[track_caller]
    pub(crate) fn accepts(&self, signed: &[u8], signature: &[u8]) -> bool {
        let [plain, small, large] =
            self.sets.each_ref().map(|set| set.check_signature(None, self.algorithm, signed, signature).is_ok());
        assert_eq!((small, large), (plain, plain), "{:?}: {signature:02x?} over {signed:02x?}", self.sets);
        self.checked.set(self.checked.get() + 1);
        self.accepted.set(self.accepted.get() + u64::from(plain));
        plain
    }
}

/// The members of a JWK.
pub(crate) fn ed25519_jwk(key: &[u8; 32]) -> String {
    format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, base64url(key))
}

/// The members of a JWK.
pub(crate) fn p256_jwk(x: &[u8], y: &[u8]) -> String {
    format!(r#""kty":"EC","crv":"P-256","x":"{}","y":"{}""#, base64url(x), base64url(y))
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let sextets = |three: &[u8]| {
        let bits = three.iter().chain(&[0; 2]).take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        (0..=three.len()).map(move |at| char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize])).collect::<String>()
    };
    bytes.chunks(3).map(sextets).collect()
}

/// Bytes from hexadecimal digits.
pub(crate) fn hex<const N: usize>(digits: &str) -> [u8; N] {
    assert_eq!(digits.len(), 2 * N);
    std::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
}

/// xorshift64*: the same numbers on all machines.
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| (self.next() >> 56) as u8)
    }
}
