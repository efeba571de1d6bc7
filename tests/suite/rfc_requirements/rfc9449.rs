//! DPoP, RFC 9449: the proof and its checks (section 4.3), bound tokens and their use at the origin
//! and at an edge, and codes bound to a key.

use serde_json::{Value, json};
use tollgate_tests::rfc_requirements::{
    Expectation, Jws, RequestSpec, Requirement, Sender, assertion, challenged, get, ok, proof, refused, row, status,
    thumbprint,
};

use super::requests::{authorize, credentials, introspect, metadata, push, redeem, refresh, userinfo};

const TOKEN: &str = "/oauth/token";
const USERINFO: &str = "/oauth/userinfo";

pub(super) fn rows() -> Vec<Requirement> {
    [
        proof_at_the_token_endpoint(),
        proof_syntax(),
        proof_matches_request(),
        nonces(),
        metadata_and_registration(),
        tokens(),
        resource(),
        resource_refusals(),
        edge(),
        edge_refusals(),
        codes(),
        pushed_codes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn good_proof() -> Jws {
    proof("a key", "POST", "/oauth/token")
}

fn with(proof: Jws) -> [RequestSpec; 1] {
    [credentials().proof(proof)]
}

fn refused_proof(proof: Jws) -> ([RequestSpec; 1], Expectation) {
    (with(proof), refused("invalid_dpop_proof"))
}

fn proof_at_the_token_endpoint() -> Vec<Requirement> {
    vec![
        row("5", "with a valid proof token_type is DPoP", with(good_proof()), status(&[200]).is("token_type", "DPoP")),
        row(
            "6.1",
            "the token is bound to the key by cnf.jkt",
            with(good_proof()),
            status(&[200]).is("access_token@cnf.jkt", thumbprint("a key")),
        ),
        row(
            "5",
            "without a proof token_type is Bearer and nothing is bound",
            [credentials()],
            status(&[200]).is("token_type", "Bearer").lacks("access_token@cnf"),
        ),
        row(
            "4.3",
            "htu is compared after normalization: the scheme's and host's case",
            with(good_proof().claim("htu", "HTTP://127.0.0.1:{port}/oauth/token")),
            status(&[200]).is("token_type", "DPoP"),
        ),
        row(
            "4.3",
            "htu is compared without query and fragment",
            [credentials().query("a", "b").proof(good_proof())],
            status(&[200]).is("token_type", "DPoP"),
        ),
        row(
            "4.2",
            "unknown members of a proof are no error",
            with(good_proof().claim("unheard_of", 1)),
            status(&[200]),
        ),
        row(
            "8",
            "a proof whose clock is a little ahead is accepted",
            with(good_proof().claim("iat", "{now+3}")),
            status(&[200]).is("token_type", "DPoP"),
        ),
    ]
}

fn proof_syntax() -> Vec<Requirement> {
    let private = || {
        let mut key = json!({ "kty": "OKP", "crv": "Ed25519" });
        key["x"] = json!("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        key["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        key
    };
    let symmetric = json!({ "kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" });
    let rows: Vec<(&str, &str, Jws)> = vec![
        ("4.3", "typ MUST be dpop+jwt", good_proof().header("typ", "JWT")),
        ("4.3", "typ MUST be there", good_proof().header("typ", Value::Null)),
        ("4.3", "alg MUST NOT be none", good_proof().header("alg", "none").with_signature("")),
        ("4.3", "alg MUST be asymmetric", good_proof().header("alg", "HS256").header("jwk", symmetric)),
        ("4.3", "alg MUST be one the server supports", good_proof().header("alg", "XX999")),
        ("4.3", "jwk MUST be there", good_proof().header("jwk", Value::Null)),
        ("4.3", "jwk MUST NOT hold a private key", good_proof().header("jwk", private())),
        ("4.3", "the signature MUST verify with the key in jwk", good_proof().signed_by_other_key()),
        ("4.3", "the signature MUST be there", good_proof().with_signature("")),
        ("4.3", "jti is REQUIRED", good_proof().claim("jti", Value::Null)),
        ("4.3", "htm is REQUIRED", good_proof().claim("htm", Value::Null)),
        ("4.3", "htu is REQUIRED", good_proof().claim("htu", Value::Null)),
        ("4.3", "iat is REQUIRED", good_proof().claim("iat", Value::Null)),
    ];
    let mut requirements: Vec<Requirement> = rows
        .into_iter()
        .map(|(section, words, proof)| row(section, words, with(proof), refused("invalid_dpop_proof")))
        .collect();
    requirements.extend([
        row(
            "4.3",
            "there MUST NOT be more than one DPoP header",
            [credentials().proof(good_proof()).proof(good_proof())],
            refused("invalid_dpop_proof"),
        ),
        row(
            "4.3",
            "the DPoP header MUST be a single well-formed JWT",
            [credentials().header("dpop", "nonsense")],
            refused("invalid_dpop_proof"),
        ),
        row(
            "11.6",
            "a JWT of another kind is no proof",
            [credentials().signed_header("dpop", assertion("jwt"))],
            refused("invalid_dpop_proof"),
        ),
    ]);
    requirements
}

fn proof_matches_request() -> Vec<Requirement> {
    let rows: Vec<(&str, &str, Jws)> = vec![
        ("4.3", "htm MUST match the method", good_proof().claim("htm", "GET")),
        ("4.3", "htm is case-sensitive", good_proof().claim("htm", "post")),
        ("4.3", "htu MUST match the URI: another path", good_proof().claim("htu", "{issuer}/oauth/revoke")),
        ("4.3", "htu MUST match the URI: another host", good_proof().claim("htu", "https://other.example/oauth/token")),
        (
            "4.3",
            "htu MUST match the URI: another scheme",
            good_proof().claim("htu", "https://127.0.0.1:{port}/oauth/token"),
        ),
        ("4.3", "htu MUST match the URI: a longer path", good_proof().claim("htu", "{issuer}/oauth/token/x")),
        ("4.3", "iat MUST be recent: an hour old", good_proof().claim("iat", "{now-3600}")),
        ("4.3", "iat MUST be recent: an hour ahead", good_proof().claim("iat", "{now+3600}")),
        ("4.3", "iat is a number", good_proof().claim("iat", "now")),
    ];
    let mut requirements: Vec<Requirement> = rows
        .into_iter()
        .map(|(section, words, proof)| {
            let (requests, expected) = refused_proof(proof);
            row(section, words, requests, expected)
        })
        .collect();
    requirements.push(row(
        "11.1",
        "a proof is for one use: the same jti again is refused",
        [
            credentials().proof(good_proof().claim("jti", "{random:row}")),
            credentials().proof(good_proof().claim("jti", "{random:row}")),
        ],
        refused("invalid_dpop_proof"),
    ));
    requirements.push(row(
        "11.1",
        "another jti by the same key is no replay",
        [credentials().proof(good_proof()), credentials().proof(good_proof())],
        status(&[200]).is("token_type", "DPoP"),
    ));
    requirements
}

fn nonces() -> Vec<Requirement> {
    let without = || good_proof().claim("nonce", Value::Null);
    vec![
        row("8", "a proof without a nonce is answered with use_dpop_nonce", with(without()), refused("use_dpop_nonce")),
        row(
            "8",
            "… and with a DPoP-Nonce header",
            with(without()),
            refused("use_dpop_nonce").longer(":dpop-nonce", 16),
        ),
        row(
            "8",
            "the nonce that was given is accepted",
            [
                credentials().proof(without()).refused(),
                credentials().proof(good_proof().claim("nonce", "{1:dpop-nonce}")),
            ],
            status(&[200]).is("token_type", "DPoP"),
        ),
        row(
            "4.3",
            "the nonce MUST be one that the server gave",
            with(good_proof().claim("nonce", "my-own")),
            refused("use_dpop_nonce"),
        ),
        row(
            "8.2",
            "one DPoP-Nonce in an answer at most, and the answer not cached",
            with(without()),
            refused("use_dpop_nonce").omits(":dpop-nonce", ",").contains(":cache-control", "no-store"),
        ),
    ]
}

fn at_token(key: &'static str) -> Jws {
    proof(key, "POST", TOKEN)
}

/// A public client gets bound tokens in the second response.
fn granted() -> Vec<RequestSpec> {
    vec![authorize().as_client("spa"), redeem("{1?code}").as_client("spa").proof(at_token("a key"))]
}

fn then(more: impl IntoIterator<Item = RequestSpec>) -> Vec<RequestSpec> {
    granted().into_iter().chain(more).collect()
}

fn metadata_and_registration() -> Vec<Requirement> {
    vec![
        row(
            "5.1",
            "the metadata say which algorithms proofs may have, and none is not among them",
            [metadata()],
            ok().holds("dpop_signing_alg_values_supported", "ES256").omits("dpop_signing_alg_values_supported", "none"),
        ),
        row(
            "5.2",
            "a client registered with dpop_bound_access_tokens MUST be refused without a proof",
            [authorize().as_client("bound"), redeem("{1?code}").as_client("bound")],
            status(&[400]).one_of("error", &["invalid_request", "invalid_dpop_proof"]),
        ),
        row(
            "5.2",
            "… and served with one",
            [authorize().as_client("bound"), redeem("{1?code}").as_client("bound").proof(at_token("a key"))],
            ok().is("token_type", "DPoP"),
        ),
    ]
}

fn tokens() -> Vec<Requirement> {
    vec![
        row(
            "6.2",
            "introspection returns cnf.jkt",
            [credentials().proof(at_token("a key")), introspect("{1.access_token}")],
            ok().is("active", true).is("cnf.jkt", thumbprint("a key")),
        ),
        row(
            "6.2",
            "introspection returns token_type DPoP",
            [credentials().proof(at_token("a key")), introspect("{1.access_token}")],
            ok().is("token_type", "DPoP"),
        ),
        row(
            "5",
            "a public client's refresh token MUST be bound to the key: the same key",
            then([refresh("{2.refresh_token}").as_client("spa").proof(at_token("a key"))]),
            ok().is("token_type", "DPoP").is("access_token@cnf.jkt", thumbprint("a key")),
        ),
        row(
            "5",
            "a public client's refresh token MUST be bound to the key: another key",
            then([refresh("{2.refresh_token}").as_client("spa").proof(at_token("another key"))]),
            status(&[400]).one_of("error", &["invalid_grant", "invalid_dpop_proof"]),
        ),
        row(
            "5",
            "a public client's refresh token MUST be bound to the key: no proof",
            then([refresh("{2.refresh_token}").as_client("spa")]),
            status(&[400]).one_of("error", &["invalid_grant", "invalid_dpop_proof", "invalid_request"]),
        ),
        row(
            "5",
            "a confidential client's refresh token is bound to the client, and a new key may be used",
            [
                authorize(),
                redeem("{1?code}").proof(at_token("a key")),
                refresh("{2.refresh_token}").proof(at_token("another key")),
            ],
            ok().is("access_token@cnf.jkt", thumbprint("another key")),
        ),
    ]
}

fn resource() -> Vec<Requirement> {
    let at_userinfo = |key| proof(key, "GET", USERINFO).claim("ath", "{sha256:2.access_token}");
    let ask = |proof: Jws| get(USERINFO).header("authorization", "DPoP {2.access_token}").proof(proof);
    let refused = || status(&[401]).contains(":www-authenticate", "DPoP").contains(":www-authenticate", "error=");
    vec![
        row("7.1", "a bound token with its proof is served", then([ask(at_userinfo("a key"))]), ok().has("sub")),
        row(
            "7.1",
            "without a proof it MUST be refused",
            then([get(USERINFO).header("authorization", "DPoP {2.access_token}")]),
            refused(),
        ),
        row(
            "7.1",
            "with a proof by another key it MUST be refused",
            then([ask(at_userinfo("another key"))]),
            refused(),
        ),
        row(
            "4.3",
            "ath is REQUIRED with a token",
            then([ask(at_userinfo("a key").claim("ath", Value::Null))]),
            refused(),
        ),
        row(
            "4.3",
            "ath MUST be the hash of the token",
            then([ask(at_userinfo("a key").claim("ath", "{sha256:=another}"))]),
            refused(),
        ),
        row("4.3", "htm MUST match here too", then([ask(at_userinfo("a key").claim("htm", "POST"))]), refused()),
        row(
            "4.3",
            "htu MUST match here too",
            then([ask(at_userinfo("a key").claim("htu", "{issuer}/oauth/token"))]),
            refused(),
        ),
    ]
}

fn resource_refusals() -> Vec<Requirement> {
    let at_userinfo = |key| proof(key, "GET", USERINFO).claim("ath", "{sha256:2.access_token}");
    let ask = |proof: Jws| get(USERINFO).header("authorization", "DPoP {2.access_token}").proof(proof);
    let refused = || status(&[401]).contains(":www-authenticate", "DPoP").contains(":www-authenticate", "error=");
    vec![
        row(
            "7.2",
            "a bound token as a Bearer token MUST be refused",
            then([userinfo("{2.access_token}")]),
            status(&[401]).has(":www-authenticate"),
        ),
        row(
            "7.1",
            "an unbound token under the DPoP scheme MUST be refused",
            [
                authorize(),
                redeem("{1?code}"),
                get(USERINFO).header("authorization", "DPoP {2.access_token}").proof(at_userinfo("a key")),
            ],
            refused(),
        ),
        row(
            "7.1",
            "the challenge names the algorithms",
            then([get(USERINFO).header("authorization", "DPoP {2.access_token}")]),
            status(&[401]).contains(":www-authenticate", "algs=\""),
        ),
        row(
            "9",
            "a resource server asks for a nonce by 401, use_dpop_nonce and DPoP-Nonce",
            then([ask(at_userinfo("a key").claim("nonce", Value::Null))]),
            status(&[401]).contains(":www-authenticate", "use_dpop_nonce").has(":dpop-nonce"),
        ),
    ]
}

/// Path of a request to the edge.
const EDGE: &str = "{edge}/reports";

/// A proof for the token of the first response at the edge.
fn at_edge(key: &'static str) -> Jws {
    let proof = proof(key, "GET", "/reports").claim("htu", EDGE).claim("ath", "{sha256:1.access_token}");
    proof.claim("nonce", Value::Null)
}

fn at_edge_with(proof: Jws) -> [RequestSpec; 2] {
    let token = credentials().proof(at_token("a key"));
    [token, get(EDGE).header("authorization", "DPoP {1.access_token}").proof(proof)]
}

/// An edge is a resource server.
fn edge() -> Vec<Requirement> {
    let served = || ok().contains("~", "GET /reports");
    let symmetric = json!({ "kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" });
    let mut requirements = vec![
        row("7.1", "an edge serves a bound token with its proof", at_edge_with(at_edge("a key")), served()),
        row(
            "4.3",
            "an edge compares htu after normalization, without query and fragment",
            at_edge_with(at_edge("a key").claim("htu", "{edge}/report%73?a=b#c")),
            served(),
        ),
        row(
            "7.1",
            "an edge serves the same token again with another proof",
            at_edge_with(at_edge("a key"))
                .into_iter()
                .chain([get(EDGE).header("authorization", "dpop {1.access_token}").proof(at_edge("a key"))]),
            served(),
        ),
    ];
    let rows: Vec<(&str, &str, Jws)> = vec![
        ("4.3", "at an edge typ MUST be dpop+jwt", at_edge("a key").header("typ", "JWT")),
        ("4.3", "at an edge alg MUST NOT be none", at_edge("a key").header("alg", "none").with_signature("")),
        ("4.3", "at an edge alg MUST be asymmetric", at_edge("a key").header("alg", "HS256").header("jwk", symmetric)),
        ("4.3", "at an edge jwk MUST be there", at_edge("a key").header("jwk", Value::Null)),
        ("4.3", "at an edge the signature MUST verify with jwk", at_edge("a key").signed_by_other_key()),
        ("4.3", "at an edge jti is REQUIRED", at_edge("a key").claim("jti", Value::Null)),
        ("4.3", "at an edge iat is REQUIRED", at_edge("a key").claim("iat", Value::Null)),
        ("4.3", "at an edge iat MUST be recent", at_edge("a key").claim("iat", "{now-3600}")),
        ("4.3", "at an edge iat MUST NOT be far ahead", at_edge("a key").claim("iat", "{now+3600}")),
        ("4.3", "at an edge htm MUST match", at_edge("a key").claim("htm", "POST")),
        ("4.3", "at an edge htu MUST match: another path", at_edge("a key").claim("htu", "{edge}/report")),
        ("4.3", "at an edge htu MUST match: another host", at_edge("a key").claim("htu", "{issuer}/reports")),
        ("4.3", "at an edge ath is REQUIRED", at_edge("a key").claim("ath", Value::Null)),
        ("4.3", "at an edge ath MUST be of the token", at_edge("a key").claim("ath", "{sha256:=another}")),
        ("4.3", "at an edge the key MUST be that of the token", at_edge("another key")),
    ];
    requirements.extend(rows.into_iter().map(|(section, words, proof)| {
        row(section, words, at_edge_with(proof), challenged("invalid_dpop_proof").is("error", "invalid_dpop_proof"))
    }));
    requirements
}

fn edge_refusals() -> Vec<Requirement> {
    let token = || credentials().proof(at_token("a key"));
    let ask = || get(EDGE).header("authorization", "DPoP {1.access_token}");
    let once = || at_edge("a key").claim("jti", "{random:row}").claim("iat", "{number:1.access_token@iat}");
    vec![
        row(
            "7.1",
            "an edge MUST refuse the scheme DPoP without a proof, and names the algorithms",
            [token(), ask()],
            challenged("invalid_dpop_proof")
                .contains(":www-authenticate", "DPoP ")
                .contains(":www-authenticate", "algs="),
        ),
        row(
            "4.3",
            "an edge MUST refuse more than one DPoP header",
            [token(), ask().proof(at_edge("a key")).proof(at_edge("a key"))],
            challenged("invalid_dpop_proof"),
        ),
        row(
            "11.1",
            "an edge refuses the same proof again",
            [token(), ask().proof(once()), ask().proof(once())],
            challenged("invalid_dpop_proof"),
        ),
        row(
            "7.2",
            "an edge MUST refuse a bound token as a Bearer token, and challenges with DPoP",
            [token(), get(EDGE).bearer("{1.access_token}")],
            challenged("invalid_token").contains(":www-authenticate", "DPoP "),
        ),
        row(
            "7.2",
            "… also with a good proof",
            [token(), get(EDGE).bearer("{1.access_token}").proof(at_edge("a key"))],
            challenged("invalid_token").contains(":www-authenticate", "DPoP "),
        ),
        row(
            "7.1",
            "an edge MUST refuse an unbound token under the DPoP scheme",
            [credentials(), ask().proof(at_edge("a key"))],
            challenged("invalid_token").contains(":www-authenticate", "DPoP "),
        ),
    ]
}

fn codes() -> Vec<Requirement> {
    let bound = || authorize().as_client("spa").set("dpop_jkt", &thumbprint("a key"));
    let redeem_spa = || redeem("{1?code}").as_client("spa");
    let pushed = |request_uri: &str| {
        get("/oauth/authorize").sent_by(Sender::ConsentingUser).set("client_id", "spa").set("request_uri", request_uri)
    };
    vec![
        row(
            "10",
            "a code bound by dpop_jkt is redeemed with that key",
            [bound(), redeem_spa().proof(at_token("a key"))],
            ok().is("token_type", "DPoP"),
        ),
        row(
            "10",
            "with another key it MUST be refused",
            [bound(), redeem_spa().proof(at_token("another key"))],
            status(&[400]).one_of("error", &["invalid_grant", "invalid_dpop_proof"]),
        ),
        row(
            "10",
            "without a proof it MUST be refused",
            [bound(), redeem_spa()],
            status(&[400]).one_of("error", &["invalid_grant", "invalid_dpop_proof", "invalid_request"]),
        ),
        row(
            "10.1",
            "a proof at the pushed request binds the code as dpop_jkt would",
            [
                push().as_client("spa").proof(proof("a key", "POST", "/oauth/par")),
                pushed("{1.request_uri}"),
                redeem("{2?code}").as_client("spa").proof(at_token("another key")),
            ],
            status(&[400]).one_of("error", &["invalid_grant", "invalid_dpop_proof"]),
        ),
    ]
}

fn pushed_codes() -> Vec<Requirement> {
    let pushed = |request_uri: &str| {
        get("/oauth/authorize").sent_by(Sender::ConsentingUser).set("client_id", "spa").set("request_uri", request_uri)
    };
    vec![
        row(
            "10.1",
            "the code of that request is redeemed with that key",
            [
                push().as_client("spa").proof(proof("a key", "POST", "/oauth/par")),
                pushed("{1.request_uri}"),
                redeem("{2?code}").as_client("spa").proof(at_token("a key")),
            ],
            ok().is("token_type", "DPoP"),
        ),
        row(
            "10.1",
            "dpop_jkt and the proof of a pushed request MUST agree",
            [push().as_client("spa").set("dpop_jkt", &thumbprint("another key")).proof(proof(
                "a key",
                "POST",
                "/oauth/par",
            ))],
            refused("invalid_dpop_proof"),
        ),
        row(
            "7.1",
            "an invalid token is answered by the DPoP challenge",
            [get(USERINFO)
                .header("authorization", "DPoP nonsense")
                .proof(proof("a key", "GET", USERINFO).claim("ath", "{sha256:=nonsense}"))],
            challenged("invalid_token").contains(":www-authenticate", "DPoP"),
        ),
    ]
}
