//! Tokens that are bound to a key, with good proofs of possession, with hostile ones, and with
//! none: DPoP (RFC 9449 sections 4.3 and 7) and client certificates (RFC 8705 section 3).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "a test may fail by panic, and the modules that it shares with others are public there"
)]

mod hostile_proofs;
#[path = "../keys/mod.rs"]
mod keys;
#[path = "../../../tests/kit/src/token_builder.rs"]
mod token_builder;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tollgate_core::{
    CheckedByCaller, DpopRequest, KeySet, NonceKey, Possession, ProofError, ProofUse, Refusal, RequestUrl, TableSize,
    Thumbprint, TokenRequirements, UnknownStatusPolicy, Verifier,
};

use crate::keys::Keys;
use crate::token_builder::{TokenBuilder, encode};

const ISSUER: &str = "https://auth.example";
const AUDIENCE: &str = "https://api.example";
const URL: &str = "https://api.example/reports/7";
const NOW: u64 = 1_800_000_000;
const LEEWAY: u64 = 30;

/// The public key of the client for this algorithm.
fn client_jwk(alg: &str) -> Value {
    match alg {
        "ES256" => json!({ "crv": "P-256", "kty": "EC", "x": keys::P256_X, "y": keys::P256_Y }),
        "EdDSA" => json!({ "crv": "Ed25519", "kty": "OKP", "x": keys::ED25519_X }),
        "RS256" => json!({ "e": "AQAB", "kty": "RSA", "n": keys::RSA_N }),
        other => panic!("the client has no key for {other}"),
    }
}

/// Thumbprint (RFC 7638) of a public key of [`client_jwk`], whose members are in the right order.
fn thumbprint(jwk: &Value) -> String {
    encode(Sha256::digest(jwk.to_string()))
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// A token with this `cnf`, or none for null.
fn token(keys: &Keys, cnf: Value) -> String {
    TokenBuilder::new(keys, "HS256", ISSUER, AUDIENCE, NOW).claim("cnf", cnf).sign()
}

fn token_of(keys: &Keys, alg: &str) -> String {
    token(keys, json!({ "jkt": thumbprint(&client_jwk(alg)) }))
}

/// A good proof for a GET of [`URL`] with `token`.
fn proof<'a>(keys: &'a Keys, alg: &'static str, token: &str) -> TokenBuilder<'a> {
    let draft = TokenBuilder::new(keys, alg, ISSUER, AUDIENCE, NOW);
    let other_claims = ["iss", "sub", "aud", "client_id", "exp", "scope"];
    let draft = other_claims.into_iter().fold(draft, |draft, name| draft.claim(name, ()));
    draft
        .header("typ", "dpop+jwt")
        .header("kid", ())
        .header("jwk", client_jwk(alg))
        .claim("jti", "one")
        .claim("htm", "GET")
        .claim("htu", URL)
        .claim("ath", encode(digest(token)))
}

/// What a request presents with its token.
#[derive(Default)]
struct Presented<'a> {
    /// The proofs, if the scheme is `DPoP`.
    dpop: Option<Vec<&'a [u8]>>,
    certificate: Option<Thumbprint>,
    is_binding_required: bool,
    nonce_key: Option<&'a NonceKey>,
}

/// Verifies a token in a GET of [`URL`], and returns the use of its proof.
fn verify_in_request(token: &str, presented: &Presented<'_>) -> Result<Option<ProofUse>, Refusal> {
    let mut verifier =
        Verifier::new(KeySet::from_jwks(Keys::jwks().as_bytes()).expect("valid keys"), 4, TableSize::None);
    let requirements = TokenRequirements {
        issuer: ISSUER,
        audience: AUDIENCE,
        scope: &[],
        rules: None,
        leeway: LEEWAY,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    let dpop = presented.dpop.as_ref().map(|proofs| DpopRequest {
        proof: match &proofs[..] {
            [] => Err(ProofError::Missing),
            [proof] => Ok(*proof),
            _ => Err(ProofError::Several),
        },
        method: "GET",
        url: Some(RequestUrl { is_https: true, authority: "api.example", path: "/reports/7" }),
        token: token.as_bytes(),
        nonce_key: presented.nonce_key,
        leeway: LEEWAY,
        now: NOW,
    });
    let certificate = || presented.certificate;
    let possession = Possession::new(dpop, &certificate, presented.is_binding_required);
    let mut verdict = Ok(None);
    // The answer is the same whether the token was in the cache or not.
    for _ in 0..2 {
        let result =
            verifier.verify_in_request(token.as_bytes(), &requirements, Some(&possession), &CheckedByCaller, NOW);
        verdict = result.map(|_| possession.proof_use());
    }
    verdict
}

fn with_proof(token: &str, proof: &str) -> Result<Option<ProofUse>, Refusal> {
    verify_in_request(token, &Presented { dpop: Some(vec![proof.as_bytes()]), ..Presented::default() })
}

#[test]
fn a_bound_token_passes_with_a_proof_by_its_key() {
    let keys = Keys::new();
    for alg in ["ES256", "EdDSA", "RS256"] {
        let token = token_of(&keys, alg);
        let used = with_proof(&token, &proof(&keys, alg, &token).sign()).expect(alg).expect("a proof was used");
        assert_eq!(used.expires_at, NOW + 60 + LEEWAY);
        // Another name of the algorithm, and members of no meaning here.
        let jwk = {
            let mut jwk = client_jwk(alg);
            jwk["kid"] = json!("mine");
            jwk["use"] = json!("sig");
            jwk
        };
        let other = proof(&keys, alg, &token).header("jwk", jwk).header("kid", "ignored").header("x", 1);
        let other = if alg == "EdDSA" { other.header("alg", "Ed25519") } else { other };
        assert_eq!(with_proof(&token, &other.sign()), Ok(Some(used)), "{alg}: the same key and jti");
        let another_id = proof(&keys, alg, &token).claim("jti", "two").sign();
        assert_ne!(with_proof(&token, &another_id), Ok(Some(used)));
    }
}

#[test]
fn a_proof_is_compared_with_a_small_tolerance() {
    let keys = Keys::new();
    let token = token_of(&keys, "EdDSA");
    for (what, from, to) in [
        ("scheme and host in capitals", URL, "HTTPS://API.example/reports/7".to_owned()),
        ("the default port", URL, "https://api.example:443/reports/7".to_owned()),
        ("query and fragment", URL, format!("{URL}?page=2#end")),
        ("an encoded letter", URL, "https://api.example/%72eports/7".to_owned()),
        ("a clock that is ahead", "1800000000", (NOW + LEEWAY).to_string()),
        ("a slow network", "1800000000", (NOW - 60 - LEEWAY).to_string()),
        ("a fraction of a second", "1800000000", "1800000000.25".to_owned()),
        ("unknown claims", "{", "{\"x\":[null],".to_owned()),
    ] {
        let proof = proof(&keys, "EdDSA", &token).rewrite(|text| text.replacen(from, &to, 1)).sign();
        assert!(with_proof(&token, &proof).is_ok(), "{what}");
    }
}

#[test]
fn a_bound_token_without_its_proof_is_refused() {
    let keys = Keys::new();
    let token = token_of(&keys, "ES256");
    let good = proof(&keys, "ES256", &token).sign();
    let without_proof = Presented { dpop: Some(Vec::new()), ..Presented::default() };
    assert_eq!(verify_in_request(&token, &Presented::default()), Err(Refusal::BoundToKey), "as a bearer token");
    let certified = Presented { certificate: Some([1; 32]), ..Presented::default() };
    assert_eq!(verify_in_request(&token, &certified), Err(Refusal::BoundToKey), "with a certificate");
    assert_eq!(verify_in_request(&token, &without_proof), Err(ProofError::Missing.into()));
    let twice = Presented { dpop: Some(vec![good.as_bytes(); 2]), ..Presented::default() };
    assert_eq!(verify_in_request(&token, &twice), Err(ProofError::Several.into()));
    let other = token_of(&keys, "EdDSA");
    assert_eq!(with_proof(&other, &good), Err(ProofError::OtherKey.into()));
    for cnf in [json!({}), json!(true), json!({ "jwk": client_jwk("ES256") }), json!({ "jkt": "short" })] {
        let unsupported = self::token(&keys, cnf.clone());
        let proof = proof(&keys, "ES256", &unsupported).sign();
        assert_eq!(with_proof(&unsupported, &proof), Err(Refusal::BoundToKey), "{cnf}");
    }
}

#[test]
fn a_token_that_is_not_bound_is_no_dpop_token() {
    let keys = Keys::new();
    let token = token(&keys, Value::Null);
    assert_eq!(verify_in_request(&token, &Presented::default()), Ok(None));
    assert_eq!(with_proof(&token, &proof(&keys, "ES256", &token).sign()), Err(Refusal::NotBound));
    let required = Presented { is_binding_required: true, ..Presented::default() };
    assert_eq!(verify_in_request(&token, &required), Err(Refusal::NotBound), "the route requires a bound token");
    let bound = token_of(&keys, "ES256");
    let good = proof(&keys, "ES256", &bound).sign();
    let required = Presented { dpop: Some(vec![good.as_bytes()]), is_binding_required: true, ..Presented::default() };
    assert!(verify_in_request(&bound, &required).is_ok());
}

#[test]
fn a_nonce_is_required_where_the_gate_has_a_key_for_it() {
    let keys = Keys::new();
    let token = token_of(&keys, "EdDSA");
    let (own, other) = (NonceKey::new(&[1; 32]), NonceKey::new(&[2; 32]));
    let with_nonce = |nonce: &Value| {
        let proof = proof(&keys, "EdDSA", &token).claim("nonce", nonce.clone()).sign();
        let dpop = Some(vec![proof.as_bytes()]);
        verify_in_request(&token, &Presented { dpop, nonce_key: Some(&own), ..Presented::default() })
    };
    assert!(with_nonce(&json!(own.nonce(NOW))).is_ok());
    assert!(with_nonce(&json!(own.nonce(NOW - 120))).is_ok(), "the one before");
    for nonce in [json!(own.nonce(NOW - 240)), json!(other.nonce(NOW)), json!(""), json!("my-own")] {
        assert_eq!(with_nonce(&nonce), Err(ProofError::NonceRequired.into()), "{nonce}");
    }
    assert_eq!(with_nonce(&json!(1)), Err(ProofError::Malformed.into()));
}

#[test]
fn a_certificate_bound_token_passes_with_its_certificate_only() {
    let keys = Keys::new();
    let own = digest("the client's certificate");
    let token = token(&keys, json!({ "x5t#S256": encode(own) }));
    let with = |certificate| verify_in_request(&token, &Presented { certificate, ..Presented::default() });
    assert_eq!(with(Some(own)), Ok(None));
    assert_eq!(with(None), Err(Refusal::MissingCertificate));
    for bit in [0, 7, 128, 255] {
        let mut other = own;
        other[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(with(Some(other)), Err(Refusal::WrongCertificate), "bit {bit}");
    }
    let good = proof(&keys, "ES256", &token).sign();
    let dpop = Presented { dpop: Some(vec![good.as_bytes()]), certificate: Some(own), ..Presented::default() };
    assert_eq!(verify_in_request(&token, &dpop), Err(ProofError::OtherKey.into()), "it is no DPoP token");
}

#[test]
fn a_token_with_two_bindings_needs_both_proofs() {
    let keys = Keys::new();
    let own = digest("the client's certificate");
    let token = token(&keys, json!({ "jkt": thumbprint(&client_jwk("ES256")), "x5t#S256": encode(own) }));
    let good = proof(&keys, "ES256", &token).sign();
    let presented = |proofs, certificate| Presented { dpop: proofs, certificate, ..Presented::default() };
    assert!(verify_in_request(&token, &presented(Some(vec![good.as_bytes()]), Some(own))).is_ok());
    let missing = verify_in_request(&token, &presented(Some(vec![good.as_bytes()]), None));
    assert_eq!(missing, Err(Refusal::MissingCertificate));
    assert_eq!(verify_in_request(&token, &presented(None, Some(own))), Err(Refusal::BoundToKey));
}
