//! Tokens that are bound to a key: DPoP proofs and client certificates as requests bring them.

use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};

use super::*;

const URL: &str = "https://api.example/reports/7";

fn client_key() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

fn jwk() -> Value {
    json!({ "crv": "Ed25519", "kty": "OKP", "x": URL_SAFE_NO_PAD.encode(client_key().verifying_key().as_bytes()) })
}

fn digest(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

/// A token that is bound to the client's key.
fn bound_token() -> String {
    let jwk = jwk();
    let [crv, kty, x] = ["crv", "kty", "x"].map(|name| format!("\"{name}\":{}", jwk[name]));
    let mut claims = claims("bound");
    claims["cnf"] = json!({ "jkt": digest(format!("{{{crv},{kty},{x}}}")) });
    hs256_of(&claims)
}

/// A token that is bound to this certificate.
fn certified_token(certificate: &[u8]) -> String {
    let mut claims = claims("certified");
    claims["cnf"] = json!({ "x5t#S256": digest(certificate) });
    hs256_of(&claims)
}

fn proof(url: &str, id: &str, token: &str, nonce: Option<&str>) -> String {
    let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk() });
    let claims =
        json!({ "jti": id, "htm": "GET", "htu": url, "iat": NOW / 1000, "ath": digest(token), "nonce": nonce });
    let claims = if nonce.is_none() { claims.to_string().replace(",\"nonce\":null", "") } else { claims.to_string() };
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(client_key().sign(signed.as_bytes()).to_bytes()))
}

fn https() -> Connection {
    Connection { is_https: true, ..Connection::default() }
}

/// A name, settings, the connection, headers, and the expected outcome.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Connection, &'a [(&'a str, &'a str)], &'a str);

/// The decision on a GET of `/reports/7` with these headers.
fn decide(gate: &Gate, headers: &[(&str, &str)], connection: Connection, has_waited: bool) -> Decision {
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    gate.decide(&Request { method: "GET", target: "/reports/7", headers: &headers, connection }, NOW, has_waited)
}

/// `passes`, or status, code and challenge's scheme of the refusal.
fn outcome(decision: Decision) -> String {
    match decision {
        Decision::Forward(_) => "passes".to_owned(),
        Decision::Answer(answer) => {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let challenge = answer.headers.iter().find(|(name, _)| *name == "www-authenticate");
            let scheme = challenge.map_or("", |(_, value)| value.split(' ').next().unwrap_or_default());
            let code = body["error"].as_str().unwrap_or("no code");
            format!("{} {code} {scheme}", answer.status)
        }
        other => format!("{other:?}"),
    }
}

fn with_proof(gate: &Gate, token: &str, proof: &str) -> String {
    let credentials = format!("DPoP {token}");
    let headers = [("host", "api.example"), ("authorization", credentials.as_str()), ("dpop", proof)];
    outcome(decide(gate, &headers, https(), true))
}

#[test]
fn a_proof_lets_its_token_pass_once() {
    let gate = synced(&Origin::with(0));
    let token = bound_token();
    let first = proof(URL, "one", &token, None);
    assert_eq!(with_proof(&gate, &token, &first), "passes");
    assert_eq!(with_proof(&gate, &token, &first), "401 invalid_dpop_proof DPoP", "a replay");
    assert_eq!(with_proof(&gate, &token, &proof(URL, "two", &token, None)), "passes");
    let other_url = proof("https://api.example/reports/8", "three", &token, None);
    assert_eq!(with_proof(&gate, &token, &other_url), "401 invalid_dpop_proof DPoP");
    let unbound = hs256("unbound");
    assert_eq!(with_proof(&gate, &unbound, &proof(URL, "four", &unbound, None)), "401 invalid_token DPoP");
}

#[test]
fn a_bound_token_is_refused_in_every_other_form() {
    let gate = synced(&Origin::with(0));
    let token = bound_token();
    let (bearer, dpop) = (format!("Bearer {token}"), format!("DPoP {token}"));
    let (one, two) = (proof(URL, "one", &token, None), proof(URL, "two", &token, None));
    for (headers, expected) in [
        (vec![("authorization", bearer.as_str())], "401 invalid_token DPoP"),
        (vec![("authorization", bearer.as_str()), ("dpop", one.as_str())], "401 invalid_token DPoP"),
        (vec![("authorization", dpop.as_str())], "401 invalid_dpop_proof DPoP"),
        (
            vec![("authorization", dpop.as_str()), ("dpop", one.as_str()), ("dpop", two.as_str())],
            "401 invalid_dpop_proof DPoP",
        ),
        (vec![("authorization", dpop.as_str()), ("authorization", dpop.as_str())], "400 invalid_request Bearer"),
        (vec![("authorization", dpop.as_str()), ("authorization", bearer.as_str())], "400 invalid_request Bearer"),
        (vec![], "401 no code Bearer"),
    ] {
        let headers = [vec![("host", "api.example")], headers].concat();
        assert_eq!(outcome(decide(&gate, &headers, https(), true)), expected, "{headers:?}");
    }
    assert_eq!(with_proof(&gate, &token, &one), "passes", "a refused request does not use up its proof");
}

#[test]
fn a_wait_does_not_use_up_the_proof() {
    let origin = Origin::with(0);
    let mut gate = gate();
    assert_eq!(gate.accept(200, &origin.snapshot(), &asked(NOW)), Ok(true));
    assert_eq!(gate.accept(200, &origin.deltas(0), &asked(NOW - 5000)), Ok(false));
    let token = bound_token();
    let (credentials, proof) = (format!("DPoP {token}"), proof(URL, "one", &token, None));
    let headers = [("host", "api.example"), ("authorization", credentials.as_str()), ("dpop", proof.as_str())];
    assert_eq!(decide(&gate, &headers, https(), false), Decision::Wait);
    assert_eq!(gate.accept(200, &origin.deltas(0), &asked(NOW)), Ok(false));
    assert_eq!(outcome(decide(&gate, &headers, https(), true)), "passes");
}

#[test]
fn the_url_is_the_one_that_the_client_sees() {
    let token = bound_token();
    let proxied = Connection { is_from_trusted_proxy: true, ..Connection::default() };
    let public = [("TOLLGATE_EDGE_PUBLIC_URL", "https://api.example")];
    let forwarded = [("x-forwarded-proto", "https"), ("x-forwarded-host", "api.example")];
    let spoofed = [("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example, api.example")];
    let cases: [Case<'_>; 10] = [
        ("the connection's", &[], https(), &[("host", "API.example:443")], "passes"),
        ("http", &[], Connection::default(), &[("host", "api.example")], "401 invalid_dpop_proof DPoP"),
        ("another host", &[], https(), &[("host", "evil.example")], "401 invalid_dpop_proof DPoP"),
        ("two hosts", &[], https(), &[("host", "api.example"), ("host", "a")], "401 invalid_dpop_proof DPoP"),
        ("no host", &[], https(), &[], "401 invalid_dpop_proof DPoP"),
        ("the proxy's", &[], proxied, &forwarded, "passes"),
        ("a list of the proxy", &[], proxied, &spoofed, "401 invalid_dpop_proof DPoP"),
        ("that of a stranger", &[], Connection::default(), &forwarded, "401 invalid_dpop_proof DPoP"),
        ("the setting's", &public, Connection::default(), &[("host", "10.0.0.7")], "passes"),
        ("the setting's, whatever a proxy says", &public, proxied, &spoofed, "passes"),
    ];
    for (what, settings, connection, more, expected) in cases {
        let gate = synced_with(&Origin::with(0), settings);
        let (credentials, proof) = (format!("DPoP {token}"), proof(URL, "one", &token, None));
        let headers = [more, &[("authorization", credentials.as_str()), ("dpop", proof.as_str())]].concat();
        assert_eq!(outcome(decide(&gate, &headers, connection, true)), expected, "{what}");
    }
}

#[test]
fn a_required_nonce_comes_with_the_challenge() {
    let key = URL_SAFE_NO_PAD.encode([3; 32]);
    let settings = [("TOLLGATE_EDGE_DPOP_NONCE", "true"), ("TOLLGATE_EDGE_DPOP_NONCE_KEY", key.as_str())];
    let gate = synced_with(&Origin::with(0), &settings);
    let token = bound_token();
    let credentials = format!("DPoP {token}");
    let without = proof(URL, "one", &token, None);
    let headers = [("host", "api.example"), ("authorization", credentials.as_str()), ("dpop", without.as_str())];
    let Decision::Answer(challenge) = decide(&gate, &headers, https(), true) else { panic!("a challenge") };
    let nonce = challenge.headers.iter().find(|(name, _)| *name == "dpop-nonce").map(|(_, value)| value.clone());
    assert_eq!(outcome(Decision::Answer(challenge)), "401 use_dpop_nonce DPoP");
    let nonce = nonce.expect("a nonce");
    assert_eq!(with_proof(&gate, &token, &proof(URL, "one", &token, Some(&nonce))), "passes", "the same jti is unused");
    assert_eq!(with_proof(&gate, &token, &proof(URL, "two", &token, Some("mine"))), "401 use_dpop_nonce DPoP");
}

#[test]
fn a_certificate_comes_from_the_connection_or_from_a_trusted_proxy() {
    // What a proxy forwards must look like a certificate: a sequence.
    let certificate: [u8; 5] = [0x30, 3, 2, 1, 7];
    let thumbprint: [u8; 32] = Sha256::digest(certificate).into();
    let header = format!(":{}:", base64::engine::general_purpose::STANDARD.encode(certificate));
    let credentials = format!("Bearer {}", certified_token(&certificate));
    let setting = [("TOLLGATE_EDGE_CLIENT_CERTIFICATE_HEADER", "Client-Cert")];
    let own = Connection { client_certificate: Some(thumbprint), ..https() };
    let other = Connection { client_certificate: Some([1; 32]), ..https() };
    let of_proxy = Connection { is_from_trusted_proxy: true, ..other };
    let forwarded = [("client-cert", header.as_str())];
    let refused = "401 invalid_token Bearer";
    let cases: [Case<'_>; 11] = [
        ("of the connection", &[], own, &[], "passes"),
        ("none", &[], https(), &[], refused),
        ("another one", &[], other, &[], refused),
        ("in a header that is not set", &[], of_proxy, &forwarded, refused),
        ("forwarded by a trusted proxy", &setting, of_proxy, &forwarded, "passes"),
        ("sent by a stranger", &setting, https(), &forwarded, refused),
        ("a stranger's own beside the header", &setting, own, &[("client-cert", ":AAAA:")], "passes"),
        (
            "the trusted proxy's own, without a header",
            &[],
            Connection { is_from_trusted_proxy: true, ..own },
            &[],
            refused,
        ),
        ("the trusted proxy's own", &setting, Connection { is_from_trusted_proxy: true, ..own }, &[], refused),
        ("two", &setting, of_proxy, &[forwarded[0], forwarded[0]], refused),
        ("garbage", &setting, of_proxy, &[("client-cert", "none")], refused),
    ];
    for (what, settings, connection, more, expected) in cases {
        let gate = synced_with(&Origin::with(0), settings);
        let headers = [more, &[("authorization", credentials.as_str())]].concat();
        assert_eq!(outcome(decide(&gate, &headers, connection, true)), expected, "{what}");
    }
}

#[test]
fn the_upstream_gets_a_certificate_header_from_trusted_proxies_only() {
    let setting = [("TOLLGATE_EDGE_CLIENT_CERTIFICATE_HEADER", "X-Robot")];
    let gate = synced_with(&Origin::with(0), &setting);
    let credentials = format!("Bearer {}", hs256("plain"));
    let headers = [("authorization", credentials.as_str()), ("x-robot", "forged")];
    for (is_from_trusted_proxy, is_removed) in [(false, true), (true, false)] {
        let connection = Connection { is_from_trusted_proxy, ..https() };
        let Decision::Forward(forward) = decide(&gate, &headers, connection, true) else { panic!("the token is good") };
        assert_eq!(forward.removed_headers.iter().any(|name| name == "x-robot"), is_removed);
    }
}

#[test]
fn a_route_can_require_bound_tokens() {
    let mut origin = Origin::with(0);
    origin.config = config(&json!([{ "path": "/*", "binding": "required" }]));
    let gate = synced(&origin);
    let plain = format!("Bearer {}", hs256("plain"));
    let challenge = decide(&gate, &[("authorization", plain.as_str())], https(), true);
    assert_eq!(outcome(challenge), "401 invalid_token DPoP");
    assert_eq!(outcome(decide(&gate, &[], https(), true)), "401 no code DPoP");
    let token = bound_token();
    assert_eq!(with_proof(&gate, &token, &proof(URL, "one", &token, None)), "passes");
    let credentials = format!("Bearer {}", certified_token(b"certificate"));
    let connection = Connection { client_certificate: Some(Sha256::digest(b"certificate").into()), ..https() };
    assert_eq!(outcome(decide(&gate, &[("authorization", credentials.as_str())], connection, true)), "passes");
}
