//! Which key of a set verifies a token, and which keys are refused.

use tollgate_core::{JwksError, KeySet, TokenRequirements};

use crate::keys::{ED25519_X, HS256_K, Keys, P256_X, P256_Y, RSA_N, ed25519_jwk, hs256_jwk, p256_jwk, rsa_jwk};
use crate::token_builder::{TokenSigner as _, encode};
use crate::{NOW, code, requirements, valid_token, verify_with};

fn set(keys: &[String]) -> Result<KeySet, JwksError> {
    KeySet::from_jwks(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes())
}

/// The code of the answer for a token, with or without a `kid`, by these keys.
fn answer(jwks: &[String], alg: &'static str, kid: Option<&str>) -> &'static str {
    let keys = Keys::new();
    let mut draft = valid_token(&keys, alg).header("kid", ());
    if let Some(kid) = kid {
        draft = draft.header("kid", kid);
    }
    code(&verify_with(&set(jwks).expect("a valid key set"), &requirements(), NOW, draft.sign()))
}

#[test]
fn a_key_is_used_only_for_its_use_algorithm_and_type() {
    let mut checked = 0;
    for (alg, jwk) in
        [("HS256", hs256_jwk("k")), ("EdDSA", ed25519_jwk("k")), ("ES256", p256_jwk("k")), ("RS256", rsa_jwk("k"))]
    {
        let with = |from: &str, to: &str| {
            let changed = jwk.replace(from, to);
            assert_ne!(changed, jwk);
            vec![changed]
        };
        for (jwks, word) in [
            (vec![jwk.clone()], "passes"),
            (with(r#""use":"sig","#, ""), "passes"),
            (with(r#""use":"sig""#, r#""use":"enc""#), "unknown_key"),
            (with(r#""use":"sig""#, r#""use":"SIG""#), "unknown_key"),
            (with(r#""use":"sig""#, r#""key_ops":["verify"]"#), "passes"),
            (with(r#""use":"sig""#, r#""key_ops":["sign","verify"]"#), "passes"),
            (with(r#""use":"sig""#, r#""key_ops":["sign"]"#), "unknown_key"),
            (with(r#""use":"sig""#, r#""key_ops":[]"#), "unknown_key"),
            (with(r#""use":"sig""#, r#""key_ops":["encrypt","wrapKey"]"#), "unknown_key"),
            (with(&format!(r#""alg":"{alg}","#), ""), "passes"),
            (with(&format!(r#""alg":"{alg}""#), r#""alg":"PS256""#), "unknown_key"),
            (with(&format!(r#""alg":"{alg}""#), r#""alg":"none""#), "unknown_key"),
            (with(r#""kty":""#, r#""kty":"x"#), "unknown_key"),
        ] {
            for kid in [Some("k"), None] {
                assert_eq!(answer(&jwks, alg, kid), word, "{alg} {kid:?} {jwks:?}");
                checked += 1;
            }
        }
    }
    let fully_specified = ed25519_jwk("k").replace(r#""alg":"EdDSA""#, r#""alg":"Ed25519""#);
    assert_ne!(fully_specified, ed25519_jwk("k"));
    assert_eq!(answer(&[fully_specified], "EdDSA", Some("k")), "passes", "RFC 9864 names the same algorithm");
    for (alg, jwk, from, to) in [
        ("EdDSA", ed25519_jwk("k"), "Ed25519", "Ed448"),
        ("ES256", p256_jwk("k"), "P-256", "P-384"),
        ("EdDSA", ed25519_jwk("k"), "Ed25519", "X25519"),
    ] {
        assert_eq!(answer(&[jwk.replace(from, to)], alg, Some("k")), "unknown_key");
        checked += 1;
    }
    println!("{checked} keys and tokens");
}

#[test]
fn without_a_kid_exactly_one_key_must_match() {
    let two = |jwk: fn(&str) -> String| vec![jwk("a"), jwk("b")];
    for (alg, jwk) in
        [("HS256", hs256_jwk as fn(&str) -> String), ("EdDSA", ed25519_jwk), ("ES256", p256_jwk), ("RS256", rsa_jwk)]
    {
        assert_eq!(answer(&[jwk("a")], alg, None), "passes", "{alg}");
        assert_eq!(answer(&two(jwk), alg, None), "unknown_key", "{alg}: two keys match");
        assert_eq!(answer(&two(jwk), alg, Some("b")), "passes", "{alg}");
        assert_eq!(answer(&[], alg, None), "unknown_key", "{alg}: no key");
        let unnamed = jwk("a").replace(r#""kid":"a","#, "");
        assert_eq!(answer(std::slice::from_ref(&unnamed), alg, None), "passes", "{alg}: the key has no name either");
        assert_eq!(answer(&[unnamed], alg, Some("a")), "unknown_key", "{alg}: a name is matched, not guessed");
    }
}

#[test]
fn weak_and_malformed_keys_are_refused_when_the_set_is_read() {
    let ed25519 = |x: &str| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#);
    let p256 = |x: &str, y: &str| format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
    let rsa = |n: &str, e: &str| format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#);
    let secret = |k: &str| format!(r#"{{"kty":"oct","k":"{k}"}}"#);
    let flipped = P256_Y.replacen('x', "y", 1);
    let modulus = |bytes: usize| encode([&[0xc1], vec![0xab; bytes - 2].as_slice(), &[0x01]].concat());
    let mut weak: Vec<(String, String)> = vec![
        ("CVE-2017-12974 (Nimbus) a point off the curve".into(), p256(P256_X, &flipped)),
        ("CVE-2017-12974 (Nimbus) the point 0, 0".into(), p256(&encode([0; 32]), &encode([0; 32]))),
        ("a coordinate of 31 bytes".into(), p256(&encode([1; 31]), P256_Y)),
        ("a coordinate of 33 bytes".into(), p256(&encode([0; 33]), P256_Y)),
        ("a coordinate with padding".into(), p256(&format!("{P256_X}="), P256_Y)),
        ("RSA, 1024 bits".into(), rsa(&modulus(128), "AQAB")),
        ("RSA, 2040 bits".into(), rsa(&modulus(255), "AQAB")),
        ("RSA, 2047 bits".into(), rsa(&encode([&[0x61], vec![0xab; 254].as_slice(), &[0x01]].concat()), "AQAB")),
        ("RSA, 4104 bits".into(), rsa(&modulus(513), "AQAB")),
        ("RSA, 16384 bits".into(), rsa(&modulus(2048), "AQAB")),
        ("RSA, e of 0".into(), rsa(RSA_N, "AA")),
        ("RSA, e of 1".into(), rsa(RSA_N, "AQ")),
        ("RSA, an even e".into(), rsa(RSA_N, "AQAA")),
        ("RSA, an even n".into(), rsa(&encode([&[0xc1], vec![0xab; 254].as_slice(), &[0x02]].concat()), "AQAB")),
        ("RSA, no e".into(), format!(r#"{{"kty":"RSA","n":"{RSA_N}"}}"#)),
        ("CVE-2019-20933 (InfluxDB) an empty secret".into(), secret("")),
        ("a secret of 31 bytes".into(), secret(&encode([7; 31]))),
        ("a secret of 513 bytes".into(), secret(&encode([7; 513]))),
        ("a secret with padding".into(), secret(&format!("{HS256_K}=="))),
        ("Ed25519, 31 bytes".into(), ed25519(&encode([7; 31]))),
        ("Ed25519, no point".into(), ed25519(&encode([2; 32]))),
    ];
    weak.extend(
        small_order_points().map(|point| (format!("Ed25519, small order {point:02x?}"), ed25519(&encode(point)))),
    );
    for (name, jwk) in &weak {
        let refused = set(std::slice::from_ref(jwk));
        assert!(matches!(refused, Err(JwksError::BadKey { index: 0, .. })), "{name}: {refused:?}");
    }
    let twice = set(&[ed25519_jwk("k"), p256_jwk("k")]);
    assert!(matches!(twice, Err(JwksError::BadKey { index: 1, .. })), "two keys of one name: {twice:?}");
    for valid in [
        ed25519(ED25519_X),
        p256(P256_X, P256_Y),
        rsa(RSA_N, "AQAB"),
        rsa(RSA_N, "Aw"),
        secret(&encode([7; 32])),
        secret(&encode([7; 512])),
    ] {
        assert_eq!(set(std::slice::from_ref(&valid)).map(|set| set.len()), Ok(1), "{valid}");
    }
    println!("{} weak keys refused", weak.len() + 1);
}

/// All encodings of points whose order divides 8, including those not below p and those with the
/// wrong sign (table 6 of "Taming the many EdDSAs", and similar ones).
fn small_order_points() -> impl Iterator<Item = [u8; 32]> {
    const ORDER_8: [&str; 2] = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];
    let bytes = |hex: &str| std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap());
    let y = |low: u8, middle: u8, high: u8| {
        let mut point = [middle; 32];
        (point[0], point[31]) = (low, high);
        point
    };
    let plain = [y(1, 0, 0), y(0, 0, 0), y(0xec, 0xff, 0x7f), y(0xed, 0xff, 0x7f), y(0xee, 0xff, 0x7f)];
    let eighth: [[u8; 32]; 2] = ORDER_8.map(bytes);
    plain.into_iter().chain(eighth).flat_map(|point| {
        let mut signed = point;
        signed[31] |= 0x80;
        [point, signed]
    })
}

#[test]
fn plain_jwt_passes_only_if_the_policy_allows_it() {
    let (keys, set) = (Keys::new(), crate::all_keys());
    let lax = TokenRequirements { allow_plain_jwt: true, ..requirements() };
    for (typ, word) in [
        (Some("JWT"), "passes"),
        (Some("jwt"), "passes"),
        (Some("at+jwt"), "passes"),
        (None, "passes"),
        (Some("id+jwt"), "wrong_type"),
        (Some("logout+jwt"), "wrong_type"),
        (Some("application/jwt"), "wrong_type"),
        (Some(""), "wrong_type"),
    ] {
        let draft = valid_token(&keys, "ES256").header("typ", ());
        let token = typ.map_or_else(|| draft.clone(), |typ| draft.clone().header("typ", typ)).sign();
        assert_eq!(code(&verify_with(&set, &lax, NOW, &token)), word, "{typ:?}");
        let strict = if typ == Some("at+jwt") { "passes" } else { "wrong_type" };
        assert_eq!(code(&verify_with(&set, &requirements(), NOW, &token)), strict, "{typ:?}");
    }
    // Allowing plain JWTs allows nothing else: the signature is still checked.
    let token = format!(
        "{}.{}",
        valid_token(&keys, "ES256").header("typ", "JWT").signing_input(),
        encode(keys.signature("ES256", b"other"))
    );
    assert_eq!(code(&verify_with(&set, &lax, NOW, &token)), "bad_signature");
}

#[test]
fn ed25519_is_the_second_name_of_eddsa_and_of_no_other_algorithm() {
    let (keys, set) = (Keys::new(), crate::all_keys());
    for (alg, word) in [("EdDSA", "passes"), ("ES256", "wrong_algorithm"), ("RS256", "wrong_algorithm")] {
        let token = valid_token(&keys, alg).header("alg", "Ed25519").sign();
        assert_eq!(code(&verify_with(&set, &requirements(), NOW, &token)), word, "{alg} called Ed25519");
    }
}
