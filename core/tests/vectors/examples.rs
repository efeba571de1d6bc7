//! The examples of the RFCs as tokens. Their signatures are valid (`signed/rfc.rs`), but the
//! profile refuses their claims, format or algorithm; the test checks the reason for each.

use tollgate_core::{CheckedByCaller, KeySet, Refusal, TokenRequirements, UnknownStatusPolicy, verify};

use crate::keys::{Keys, rsa_jwk};
use crate::signed::rfc::examples;
use crate::token_builder::TokenBuilder;

fn requirements<'a>(issuer: &'a str, audience: &'a str) -> TokenRequirements<'a> {
    let (scope, leeway, allow_plain_jwt) = (&[], 0, true);
    let (on_stale, on_not_covered) = (UnknownStatusPolicy::Deny, UnknownStatusPolicy::Deny);
    TokenRequirements { issuer, audience, scope, rules: None, leeway, allow_plain_jwt, on_stale, on_not_covered }
}

#[test]
fn the_examples_are_refused_with_the_listed_reasons() {
    let examples = examples();
    for example in &examples {
        let jwks = example.jwks.as_deref().unwrap_or(r#"{"keys":[]}"#);
        let keys = KeySet::from_jwks(jwks.as_bytes()).expect(&example.name);
        let verdict = verify(example.token.as_bytes(), &keys, &requirements("joe", "x"), &CheckedByCaller, 0);
        let code = verdict.as_ref().map_or_else(Refusal::code, |_| "passes");
        println!("{}: {code}, for {}", example.name, example.why);
        assert_eq!(code, example.code, "{}", example.name);
    }
    assert!(examples.len() >= 18);
}

/// RFC 9068 section 3 prints header and claims of an access token without a signature. Signed by a
/// key with its `kid`, it is valid.
#[test]
fn the_access_token_of_rfc_9068_is_valid() {
    const HEADER: &str = r#"{"typ":"at+JWT","alg":"RS256","kid":"RjEwOwOA"}"#;
    const CLAIMS: &str = r#" {
     "iss": "https://authorization-server.example.com/",
     "sub": "5ba552d67",
     "aud":   "https://rs.example.com/",
     "exp": 1639528912,
     "iat": 1618354090,
     "jti" : "dbe39bf3a3ba4238a513f51d6e1691c4",
     "client_id": "s6BhdRkqt3",
     "scope": "openid profile reademail"
   }"#;
    let keys = Keys::new();
    let token = TokenBuilder::new(&keys, "RS256", "", "", 0).header_bytes(HEADER).claims_bytes(CLAIMS).sign();
    let set = KeySet::from_jwks(format!(r#"{{"keys":[{}]}}"#, rsa_jwk("RjEwOwOA")).as_bytes()).unwrap();
    let requirements = requirements("https://authorization-server.example.com/", "https://rs.example.com/");
    let requirements = TokenRequirements { allow_plain_jwt: false, ..requirements };
    let verified = verify(token.as_bytes(), &set, &requirements, &CheckedByCaller, 1_618_354_091).unwrap();
    assert_eq!((verified.subject(), verified.client_id()), ("5ba552d67", "s6BhdRkqt3"));
    assert_eq!(
        (verified.token_id(), verified.scope()),
        ("dbe39bf3a3ba4238a513f51d6e1691c4", "openid profile reademail")
    );
    let refused = verify(token.as_bytes(), &set, &requirements, &CheckedByCaller, 1_639_528_912).unwrap_err();
    assert_eq!(refused.code(), "expired");
}
