//! Proofs that an attacker or a broken client could send: each is refused, for the right reason.

use super::*;

/// The reason that is expected, and the proof.
type HostileProof = (&'static str, ProofError, String);

/// The proof with claims set; null removes one.
fn changed_claims(keys: &Keys, token: &str, changes: &Value) -> String {
    let changes = changes.as_object().expect("an object");
    changes.iter().fold(proof(keys, "EdDSA", token), |proof, (name, value)| proof.claim(name, value.clone())).sign()
}

fn wrong_headers(keys: &Keys, token: &str) -> Vec<HostileProof> {
    let good = || proof(keys, "EdDSA", token);
    let private = {
        let mut jwk = client_jwk("EdDSA");
        jwk["d"] = json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        jwk
    };
    let short_point = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" });
    // The neutral element: any signature of zeros would be valid for it.
    let weak = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" });
    let x25519 = json!({ "kty": "OKP", "crv": "X25519", "x": keys::ED25519_X });
    let symmetric = json!({ "kty": "oct", "k": keys::HS256_K });
    let for_encryption = {
        let mut jwk = client_jwk("EdDSA");
        jwk["use"] = json!("enc");
        jwk
    };
    let unsigned = good().header("alg", "none").signing_input();
    vec![
        ("typ of an access token", ProofError::WrongType, good().header("typ", "at+jwt").sign()),
        ("typ JWT", ProofError::WrongType, good().header("typ", "JWT").sign()),
        ("typ in capitals", ProofError::WrongType, good().header("typ", "DPOP+JWT").sign()),
        ("no typ", ProofError::WrongType, good().header("typ", ()).sign()),
        ("alg none", ProofError::UnknownAlgorithm, format!("{unsigned}.{}", encode("x"))),
        ("alg in another case", ProofError::UnknownAlgorithm, good().header("alg", "eddsa").sign()),
        ("a symmetric alg", ProofError::UnknownAlgorithm, good().header("alg", "HS256").sign()),
        ("an unknown alg", ProofError::UnknownAlgorithm, good().header("alg", "ES512").sign()),
        ("no alg", ProofError::UnknownAlgorithm, good().header("alg", ()).sign()),
        ("the alg of another key", ProofError::BadKey, good().header("alg", "ES256").sign()),
        ("no jwk", ProofError::BadKey, good().header("jwk", ()).sign()),
        ("a private jwk", ProofError::BadKey, good().header("jwk", private).sign()),
        ("a symmetric jwk", ProofError::BadKey, good().header("jwk", symmetric).sign()),
        ("a short point", ProofError::BadKey, good().header("jwk", short_point).sign()),
        ("a weak point", ProofError::BadKey, good().header("jwk", weak).sign()),
        ("a key for key agreement", ProofError::BadKey, good().header("jwk", x25519).sign()),
        ("a key for encryption", ProofError::BadKey, good().header("jwk", for_encryption).sign()),
        ("a jwk that is text", ProofError::Malformed, good().header("jwk", "key").sign()),
        (
            "a jwk twice",
            ProofError::Malformed,
            good().rewrite_header(|text| text.replacen('{', "{\"jwk\":{},", 1)).sign(),
        ),
        ("a critical member", ProofError::Malformed, good().header("crit", json!(["x"])).sign()),
        ("an unencoded payload", ProofError::Malformed, good().header("b64", false).sign()),
        ("a compressed payload", ProofError::Malformed, good().header("zip", "DEF").sign()),
        ("another public key", ProofError::OtherKey, proof(keys, "ES256", token).sign()),
        ("the same key in another text", ProofError::BadKey, {
            let mut jwk = client_jwk("EdDSA");
            jwk["x"] = json!(format!("{}=", keys::ED25519_X));
            good().header("jwk", jwk).sign()
        }),
    ]
}

fn wrong_claims(keys: &Keys, token: &str) -> Vec<HostileProof> {
    let changed = |changes: Value| changed_claims(keys, token, &changes);
    let missing = |name: &'static str| (name, ProofError::MissingClaim { name }, changed(json!({ name: null })));
    let method = |htm: Value| changed(json!({ "htm": htm }));
    let url = |htu: &str| changed(json!({ "htu": htu }));
    let time = |iat: Value| changed(json!({ "iat": iat }));
    vec![
        missing("jti"),
        missing("htm"),
        missing("htu"),
        missing("iat"),
        missing("ath"),
        ("an empty jti", ProofError::MissingClaim { name: "jti" }, changed(json!({ "jti": "" }))),
        ("a long jti", ProofError::MissingClaim { name: "jti" }, changed(json!({ "jti": "x".repeat(257) }))),
        ("a jti that is a number", ProofError::Malformed, changed(json!({ "jti": 1 }))),
        ("another method", ProofError::OtherMethod, method(json!("POST"))),
        ("the method in another case", ProofError::OtherMethod, method(json!("get"))),
        ("a list of methods", ProofError::Malformed, method(json!(["GET"]))),
        ("another path", ProofError::OtherUrl, url("https://api.example/reports/8")),
        ("a longer path", ProofError::OtherUrl, url("https://api.example/reports/7/")),
        ("another host", ProofError::OtherUrl, url("https://evil.example/reports/7")),
        ("a host that begins alike", ProofError::OtherUrl, url("https://api.example.evil/reports/7")),
        ("the host as user", ProofError::OtherUrl, url("https://api.example@evil/reports/7")),
        ("another scheme", ProofError::OtherUrl, url("http://api.example/reports/7")),
        ("another port", ProofError::OtherUrl, url("https://api.example:8443/reports/7")),
        ("only a path", ProofError::OtherUrl, url("/reports/7")),
        ("the path in the query", ProofError::OtherUrl, url("https://api.example/?/reports/7")),
        ("no URL", ProofError::OtherUrl, url("")),
        ("too old", ProofError::OutOfTime, time(json!(NOW - 61 - LEEWAY))),
        ("from the future", ProofError::OutOfTime, time(json!(NOW + 1 + LEEWAY))),
        ("the largest time", ProofError::OutOfTime, time(json!(u64::MAX))),
        ("a negative time", ProofError::Malformed, time(json!(-1))),
        ("a time as text", ProofError::Malformed, time(json!("1800000000"))),
        ("a time with an exponent", ProofError::Malformed, time(json!(1.8e300))),
        ("the hash of another token", ProofError::OtherToken, changed(json!({ "ath": encode(digest("x")) }))),
        ("a shortened hash", ProofError::OtherToken, changed(json!({ "ath": encode(&digest(token)[..16]) }))),
        ("a padded hash", ProofError::OtherToken, changed(json!({ "ath": format!("{}=", encode(digest(token))) }))),
        ("the token itself", ProofError::OtherToken, changed(json!({ "ath": token }))),
    ]
}

fn wrong_forms(keys: &Keys, token: &str) -> Vec<HostileProof> {
    let good = proof(keys, "EdDSA", token).sign();
    let (input, signature) = good.rsplit_once('.').expect("three parts");
    let (header, claims) = input.split_once('.').expect("two parts");
    let other = changed_claims(keys, token, &json!({ "jti": "two" }));
    let (_, other_signature) = other.rsplit_once('.').expect("three parts");
    let twice = proof(keys, "EdDSA", token).rewrite(|text| text.replacen('{', "{\"htm\":\"POST\",", 1)).sign();
    let long = changed_claims(keys, token, &json!({ "x": "x".repeat(8 * 1024) }));
    let deep = "[".repeat(40) + &"]".repeat(40);
    let deep = proof(keys, "EdDSA", token).rewrite(|text| text.replacen('{', &format!("{{\"x\":{deep},"), 1)).sign();
    vec![
        ("nothing", ProofError::Malformed, String::new()),
        ("no JWT", ProofError::Malformed, "proof".to_owned()),
        ("two parts", ProofError::Malformed, input.to_owned()),
        ("an empty signature", ProofError::Malformed, format!("{input}.")),
        ("four parts", ProofError::Malformed, format!("{good}.x")),
        ("two proofs in one header", ProofError::Malformed, format!("{good}, {good}")),
        ("padding", ProofError::BadSignature, format!("{good}==")),
        ("the signature of another proof", ProofError::BadSignature, format!("{input}.{other_signature}")),
        ("a signature of zeros", ProofError::BadSignature, format!("{input}.{}", encode([0; 64]))),
        ("a short signature", ProofError::BadSignature, format!("{input}.{}", encode([0; 32]))),
        ("a header that is no base64url", ProofError::Malformed, format!("+{header}.{claims}.{signature}")),
        ("a header that is no JSON", ProofError::Malformed, format!("{}.{claims}.{signature}", encode("{"))),
        ("a claim twice", ProofError::Malformed, twice),
        ("claims nested too deep", ProofError::Malformed, deep),
        ("too long", ProofError::Malformed, long),
        ("the access token", ProofError::WrongType, token.to_owned()),
    ]
}

#[test]
fn hostile_proofs_are_refused_for_the_right_reason() {
    let keys = Keys::new();
    let token = token_of(&keys, "EdDSA");
    assert!(
        with_proof(&token, &changed_claims(&keys, &token, &json!({}))).is_ok(),
        "the proof that is changed is good"
    );
    let table = [wrong_headers(&keys, &token), wrong_claims(&keys, &token), wrong_forms(&keys, &token)].concat();
    for (what, expected, proof) in &table {
        assert_eq!(with_proof(&token, proof), Err(Refusal::InvalidProof(expected.clone())), "{what}");
    }
    assert!(table.len() >= 70, "the table has shrunk: {} proofs", table.len());
}

#[test]
fn weak_and_malformed_keys_of_other_types_are_refused() {
    let keys = Keys::new();
    for (what, alg, change) in [
        ("a point that is not on the curve", "ES256", json!({ "y": keys::P256_X })),
        ("a missing coordinate", "ES256", json!({ "y": null })),
        ("another curve", "ES256", json!({ "crv": "P-384" })),
        ("a small modulus", "RS256", json!({ "n": encode([0xff; 128]) })),
        ("an exponent of 1", "RS256", json!({ "e": "AQ" })),
        ("a prime", "RS256", json!({ "p": "AQ" })),
    ] {
        let mut jwk = client_jwk(alg);
        for (name, value) in change.as_object().expect("an object") {
            jwk[name] = value.clone();
        }
        let token = token(&keys, json!({ "jkt": thumbprint(&jwk) }));
        let proof = proof(&keys, alg, &token).header("jwk", jwk).sign();
        let expected = if what == "a missing coordinate" { ProofError::Malformed } else { ProofError::BadKey };
        assert_eq!(with_proof(&token, &proof), Err(expected.into()), "{what}");
    }
}
