//! Answers to introspection questions: truncated, changed and foreign ones are refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

use tollgate_core::{
    CheckedByCaller, EdgeKey, MAX_INTROSPECTION_BYTES, Nonce, Refusal, TokenReference, TokenRequirements,
    UnknownStatusPolicy, WireError,
};

const NONCE: Nonce = Nonce::from_bytes([7; Nonce::LEN]);
const CLAIMS: &[u8] = br#"{"iss":"https://auth.example","sub":"s","aud":"https://api.example","exp":1800003600,"iat":1800000000,"jti":"tg_AAAAAQAAAAAAAAAAAAAAAAAA","client_id":"c","sid":"g","scope":"read","extra":{"a":[1]}}"#;
const NOW: u64 = 1_800_000_000;

fn key() -> EdgeKey {
    EdgeKey::new(&[1; 32])
}

fn requirements(scope: &[String]) -> TokenRequirements<'_> {
    TokenRequirements {
        issuer: "https://auth.example",
        audience: "https://api.example",
        scope,
        rules: None,
        leeway: 30,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    }
}

#[test]
fn an_active_token_is_verified_like_a_signed_one() {
    let reference = TokenReference::Opaque([2; 32]);
    let answer = key().seal_introspection(NONCE, Some(("key-1", CLAIMS)));
    let token = key().open_introspection(&answer, &reference, NONCE).expect("the answer").expect("active");
    let scope = ["read".to_owned()];
    let verified = token.verify(&requirements(&scope), None, &CheckedByCaller, NOW).expect("a good token");
    assert_eq!((verified.subject(), verified.session(), verified.scope()), ("s", Some("g"), "read"));
    let expired = token.verify(&requirements(&scope), None, &CheckedByCaller, NOW + 3630);
    assert!(matches!(expired, Err(Refusal::Expired { .. })));
    let write = ["write".to_owned()];
    let lacking = token.verify(&requirements(&write), None, &CheckedByCaller, NOW);
    assert!(matches!(lacking, Err(Refusal::InsufficientScope { .. })));
    let inactive = key().seal_introspection(NONCE, None);
    assert!(key().open_introspection(&inactive, &reference, NONCE).expect("the answer").is_none());
}

#[test]
fn every_other_answer_is_refused() {
    let reference = TokenReference::Opaque([2; 32]);
    for answer in [key().seal_introspection(NONCE, Some(("key-1", CLAIMS))), key().seal_introspection(NONCE, None)] {
        for length in 0..answer.len() {
            assert!(key().open_introspection(&answer[..length], &reference, NONCE).is_err(), "{length} bytes");
            let mut changed = answer.clone();
            changed[length] ^= 1;
            assert!(key().open_introspection(&changed, &reference, NONCE).is_err(), "byte {length}");
        }
        let longer = [&answer[..], &[0]].concat();
        assert!(key().open_introspection(&longer, &reference, NONCE).is_err());
        assert!(EdgeKey::new(&[2; 32]).open_introspection(&answer, &reference, NONCE).is_err(), "another edge");
        let other_nonce = Nonce::from_bytes([8; Nonce::LEN]);
        assert!(key().open_introspection(&answer, &reference, other_nonce).is_err(), "another question");
    }
    let other = TokenReference::of_id("tg_AAAAAgAAAAAAAAAAAAAAAAAA").expect("an id");
    let answer = key().seal_introspection(NONCE, Some(("key-1", CLAIMS)));
    let refused = key().open_introspection(&answer, &other, NONCE).map(|token| token.is_some());
    assert_eq!(refused, Err(WireError::Malformed("the claims are of another token")));
    for claims in [&b""[..], b"{}", b"[]", b"\xff", &CLAIMS[..CLAIMS.len() - 1]] {
        let answer = key().seal_introspection(NONCE, Some(("key-1", claims)));
        assert!(key().open_introspection(&answer, &reference, NONCE).is_err(), "{claims:?}");
    }
    let long = [CLAIMS, &vec![b' '; MAX_INTROSPECTION_BYTES][..]].concat();
    let answer = key().seal_introspection(NONCE, Some(("key-1", &long)));
    assert!(key().open_introspection(&answer, &reference, NONCE).is_err(), "{} bytes", answer.len());
}
