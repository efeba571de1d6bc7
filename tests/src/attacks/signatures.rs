//! Signatures.

use super::{ALGORITHMS, AttackList, BAD_SIGNATURE, ProfileRule, resigned};
use crate::token_builder::decode;

/// The order of Ed25519's group, little-endian (RFC 8032 section 5.1).
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
/// The order of P-256's group, big-endian (FIPS 186-4 appendix D.1.2.3).
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

impl AttackList<'_> {
    pub(super) fn signatures(&mut self) {
        for (alg, rule) in [
            ("EdDSA", ProfileRule::Ed25519),
            ("ES256", ProfileRule::Ecdsa),
            ("RS256", ProfileRule::Rsa),
            ("HS256", ProfileRule::Alg),
        ] {
            self.damaged(alg, rule);
        }
        self.ed25519();
        self.ecdsa();
        self.rsa();
    }

    /// Signatures that no algorithm may accept: a flipped bit, another length, the signature of
    /// another token or algorithm.
    fn damaged(&mut self, alg: &'static str, rule: ProfileRule) {
        let good = self.good(alg).sign();
        let signature = signature_of(&good);
        for at in [0, signature.len() / 2, signature.len() - 1] {
            let mut flipped = signature.clone();
            flipped[at] ^= 1;
            self.fails(rule, format!("{alg}, a bit of byte {at} flipped"), resigned(&good, flipped), BAD_SIGNATURE);
        }
        let others: Vec<(String, Vec<u8>)> = vec![
            ("a byte less".into(), signature[1..].to_vec()),
            ("the last byte gone".into(), signature[..signature.len() - 1].to_vec()),
            ("half of it".into(), signature[..signature.len() / 2].to_vec()),
            ("one byte".into(), signature[..1].to_vec()),
            ("a zero behind".into(), [signature.as_slice(), &[0]].concat()),
            ("a zero before".into(), [&[0], signature.as_slice()].concat()),
            ("twice".into(), [signature.as_slice(), &signature].concat()),
            ("all zeros".into(), vec![0; signature.len()]),
            ("all ones".into(), vec![0xff; signature.len()]),
            ("10,000 bytes".into(), vec![1; 10_000]),
        ];
        for (name, other) in others {
            self.fails(rule, format!("{alg} signature, {name}"), resigned(&good, other), BAD_SIGNATURE);
        }
        let another = self.good(alg).claim("sub", "somebody else").sign();
        let borrowed = resigned(&good, signature_of(&another));
        self.fails(rule, format!("{alg} signature of another token"), borrowed, BAD_SIGNATURE);
        for other in ALGORITHMS.into_iter().filter(|other| *other != alg) {
            let (input, _) = good.rsplit_once('.').expect("a token");
            let borrowed = resigned(&good, self.context.signer.signature(other, input.as_bytes()));
            self.fails(rule, format!("{alg} signed with the {other} key"), borrowed, BAD_SIGNATURE);
        }
    }

    fn ed25519(&mut self) {
        let good = self.eddsa().sign();
        let signature = signature_of(&good);
        let (r, s) = signature.split_at(32);
        self.passes(ProfileRule::Ed25519, "a canonical S", good.clone());
        let beyond = beyond_the_order(&signature);
        self.fails(ProfileRule::Ed25519, "S plus the group's order", resigned(&good, beyond), BAD_SIGNATURE);
        let zero = [r, &[0; 32]].concat();
        self.fails(ProfileRule::Ed25519, "S of zero", resigned(&good, zero), BAD_SIGNATURE);
        let order = [r, &ED25519_ORDER].concat();
        self.fails(ProfileRule::Ed25519, "S of the group's order", resigned(&good, order), BAD_SIGNATURE);
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut not_canonical = [0xff; 32]; // p + 1, another encoding of the identity's y
        (not_canonical[0], not_canonical[31]) = (0xee, 0x7f);
        for (name, r) in [
            ("R of the identity", identity),
            ("R of the identity, spelled beyond p", not_canonical),
            ("R of order 4", [0; 32]),
        ] {
            let token = resigned(&good, [&r, s].concat());
            self.fails(ProfileRule::Ed25519, name, token, BAD_SIGNATURE);
            let token = resigned(&good, [r, [0; 32]].concat());
            self.fails(ProfileRule::Ed25519, format!("{name}, S of zero"), token, BAD_SIGNATURE);
        }
        let swapped = [s, r].concat();
        self.fails(ProfileRule::Ed25519, "R and S in the wrong order", resigned(&good, swapped), BAD_SIGNATURE);
    }

    fn ecdsa(&mut self) {
        let good = self.good("ES256").sign();
        let signature = signature_of(&good);
        let (r, s) = signature.split_at(32);
        let one: [u8; 32] = std::array::from_fn(|at| u8::from(at == 31));
        let zero = [0; 32];
        self.passes(ProfileRule::Ecdsa, "64 bytes", good.clone());
        // Both s and n - s are valid, and RFC 7518 requires neither. Nothing identifies a token by
        // its text.
        let other = [r, &difference_be(&P256_ORDER, s)].concat();
        self.passes(ProfileRule::Ecdsa, "the other s of the pair", resigned(&good, other));
        for (name, r, s) in [
            ("r and s of zero", zero.as_slice(), zero.as_slice()),
            ("r of zero", &zero, s),
            ("s of zero", r, &zero),
            ("r of the order", &P256_ORDER, s),
            ("s of the order", r, &P256_ORDER),
            ("r and s of the order", &P256_ORDER, &P256_ORDER),
            ("r and s of one", &one, &one),
            ("r of zero, s of one", &zero, &one),
            ("r and s in the wrong order", s, r),
        ] {
            self.fails(ProfileRule::Ecdsa, name, resigned(&good, [r, s].concat()), BAD_SIGNATURE);
        }
        self.fails(ProfileRule::Ecdsa, "DER", resigned(&good, der(r, s)), BAD_SIGNATURE);
        let wide = [&[0], r, &[0], s].concat();
        self.fails(ProfileRule::Ecdsa, "33 bytes a number", resigned(&good, wide), BAD_SIGNATURE);
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        self.fails(ProfileRule::Ecdsa, "hexadecimal", resigned(&good, hex), BAD_SIGNATURE);
    }

    fn rsa(&mut self) {
        let good = self.good("RS256").sign();
        self.passes(ProfileRule::Rsa, "PKCS#1 v1.5", good.clone());
        let modulus = decode(self.public_jwk("RS256")["n"].as_str().expect("n"));
        self.fails(ProfileRule::Rsa, "the modulus as the signature", resigned(&good, &modulus), BAD_SIGNATURE);
        let mut one = vec![0; modulus.len()];
        one[modulus.len() - 1] = 1;
        self.fails(ProfileRule::Rsa, "one as the signature", resigned(&good, &one), BAD_SIGNATURE);
        let mut reversed = signature_of(&good);
        reversed.reverse();
        self.fails(ProfileRule::Rsa, "the bytes the other way round", resigned(&good, reversed), BAD_SIGNATURE);
        for alg in ["PS256", "RS384", "RS512"] {
            let token = self.good("RS256").header("alg", alg).sign();
            self.fails(ProfileRule::Rsa, format!("called {alg}"), token, super::UNKNOWN_ALGORITHM);
        }
    }
}

/// The decoded signature of a token.
pub(super) fn signature_of(token: &str) -> Vec<u8> {
    decode(token.rsplit_once('.').expect("a token").1)
}

/// The same Ed25519 signature with the group's order added to S: lax verifiers accept it, RFC 8032
/// §5.1.7 does not.
pub(super) fn beyond_the_order(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    [r, &sum_le(s, &ED25519_ORDER)].concat()
}

/// The sum of two little-endian numbers of 32 bytes, without the final carry.
fn sum_le(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let add = |(a, b): (&u8, &u8)| {
        let sum = u16::from(*a) + u16::from(*b) + carry;
        carry = sum >> 8;
        sum as u8
    };
    a.iter().zip(b).map(add).collect()
}

/// The difference of two big-endian numbers of the same length; `a` is the greater.
fn difference_be(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let subtract = |(a, b): (&u8, &u8)| {
        let difference = 0x100 + u16::from(*a) - u16::from(*b) - borrow;
        borrow = 1 - (difference >> 8);
        difference as u8
    };
    let mut reversed: Vec<u8> = a.iter().zip(b).rev().map(subtract).collect();
    reversed.reverse();
    reversed
}

/// DER encoding of an ECDSA signature.
pub(super) fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let significant: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        let sign = if significant.first().is_none_or(|byte| *byte >= 0x80) { vec![0] } else { vec![] };
        let content = [sign, significant].concat();
        [vec![2, content.len() as u8], content].concat()
    };
    let both = [integer(r), integer(s)].concat();
    [vec![0x30, both.len() as u8], both].concat()
}
