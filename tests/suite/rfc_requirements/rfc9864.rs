//! Fully-specified algorithms, RFC 9864: `Ed25519` as the second name of the polymorphic `EdDSA`.

use tollgate_tests::rfc_requirements::{
    RequestSpec, Requirement, assertion, get, ok, post, proof, refused, request_object, row, status,
};

use super::requests::{CODE_CHALLENGE, credentials, metadata};

const FULLY_SPECIFIED: &str = "Ed25519";
/// Registered together with `Ed25519`, for a curve that is not supported.
const OTHER_CURVE: &str = "Ed448";

pub(super) fn rows() -> Vec<Requirement> {
    [discovery(), signed_by_clients(), signed_by_the_origin()].into_iter().flatten().collect()
}

fn discovery() -> Vec<Requirement> {
    let listed = |words, list| {
        let expected = ok().holds(list, FULLY_SPECIFIED).holds(list, "EdDSA").omits(list, OTHER_CURVE);
        row("4.2", words, [metadata()], expected)
    };
    vec![
        listed("client assertions: both names are in the metadata", "token_endpoint_auth_signing_alg_values_supported"),
        listed("… at the revocation endpoint", "revocation_endpoint_auth_signing_alg_values_supported"),
        listed("… at the introspection endpoint", "introspection_endpoint_auth_signing_alg_values_supported"),
        listed("DPoP proofs: both names are in the metadata", "dpop_signing_alg_values_supported"),
        listed("request objects: both names are in the metadata", "request_object_signing_alg_values_supported"),
    ]
}

fn authenticated_by(alg: &str) -> [RequestSpec; 1] {
    [credentials()
        .anonymous()
        .set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        .signed("client_assertion", assertion("jwt").header("alg", alg))]
}

fn proven_by(alg: &str) -> [RequestSpec; 1] {
    [credentials().proof(proof("a key", "POST", "/oauth/token").header("alg", alg))]
}

/// The client `jar` has registered `request_object_signing_alg=EdDSA`: the same algorithm.
fn requested_by(alg: &str) -> [RequestSpec; 1] {
    let parameters = [
        ("response_type", "code"),
        ("redirect_uri", "https://jar.example/cb"),
        ("scope", "openid read"),
        ("code_challenge", CODE_CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    [post("/oauth/par").signed("request", request_object("jar", &parameters).header("alg", alg)).as_client("jar")]
}

fn signed_by_clients() -> Vec<Requirement> {
    vec![
        row("2.2", "a client assertion may have alg Ed25519", authenticated_by(FULLY_SPECIFIED), ok()),
        row(
            "2.2",
            "a client assertion of another curve is refused",
            authenticated_by(OTHER_CURVE),
            status(&[400, 401]).is("error", "invalid_client"),
        ),
        row("2.2", "a DPoP proof may have alg Ed25519", proven_by(FULLY_SPECIFIED), ok().is("token_type", "DPoP")),
        row("2.2", "a DPoP proof of another curve is refused", proven_by(OTHER_CURVE), refused("invalid_dpop_proof")),
        row("2.2", "a request object may have alg Ed25519", requested_by(FULLY_SPECIFIED), status(&[201])),
        row(
            "2.2",
            "a request object of another curve is refused",
            requested_by(OTHER_CURVE),
            refused("invalid_request_object"),
        ),
    ]
}

fn signed_by_the_origin() -> Vec<Requirement> {
    vec![row(
        "4.1.2",
        "the name EdDSA is deprecated, not withdrawn: keys keep it for verifiers that know no other",
        [get("/.well-known/jwks.json")],
        ok().contains("keys", "\"alg\":\"EdDSA\"").omits("keys", "\"alg\":\"Ed25519\""),
    )]
}
