//! Demonstrating Proof of Possession: bound tokens, their use, and codes bound to a key.

use serde_json::Value;
use tollgate_tests::rfc_requirements::{
    Jws, RequestSpec, Requirement, challenged, get, ok, proof, refused, row, status, thumbprint,
};

use super::steps::{authorize, credentials, introspect, metadata, push, redeem, refresh, userinfo};

const TOKEN: &str = "/oauth/token";
const USERINFO: &str = "/oauth/userinfo";

pub(super) fn rows() -> Vec<Requirement> {
    [metadata_and_registration(), tokens(), resource(), resource_refusals(), codes(), pushed_codes()]
        .into_iter()
        .flatten()
        .collect()
}

fn at_token(key: &'static str) -> Jws {
    proof(key, "POST", TOKEN)
}

/// A public client's bound tokens: the second answer.
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
            "introspection tells cnf.jkt",
            [credentials().proof(at_token("a key")), introspect("{1.access_token}")],
            ok().is("active", true).is("cnf.jkt", thumbprint("a key")),
        ),
        row(
            "6.2",
            "introspection tells token_type DPoP",
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

fn codes() -> Vec<Requirement> {
    let bound = || authorize().as_client("spa").set("dpop_jkt", &thumbprint("a key"));
    let redeem_spa = || redeem("{1?code}").as_client("spa");
    let pushed = |request_uri: &str| {
        get("/oauth/authorize")
            .sent_by(tollgate_tests::rfc_requirements::Sender::ConsentingUser)
            .set("client_id", "spa")
            .set("request_uri", request_uri)
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
        get("/oauth/authorize")
            .sent_by(tollgate_tests::rfc_requirements::Sender::ConsentingUser)
            .set("client_id", "spa")
            .set("request_uri", request_uri)
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
