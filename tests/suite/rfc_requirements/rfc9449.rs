//! Demonstrating Proof of Possession: the proof, and what a server checks of it (section 4.3).

use serde_json::{Value, json};
use tollgate_tests::rfc_requirements::{Jws, RequestSpec, Requirement, proof, refused, row, status};

use super::steps::credentials;

pub(super) fn rows() -> Vec<Requirement> {
    [good(), form(), binding(), nonces()].into_iter().flatten().collect()
}

fn good_proof() -> Jws {
    proof("a key", "POST", "/oauth/token")
}

fn with(proof: Jws) -> [RequestSpec; 1] {
    [credentials().proof(proof)]
}

fn bad(proof: Jws) -> ([RequestSpec; 1], tollgate_tests::rfc_requirements::Expectation) {
    (with(proof), refused("invalid_dpop_proof"))
}

fn good() -> Vec<Requirement> {
    vec![
        row("5", "with a valid proof token_type is DPoP", with(good_proof()), status(&[200]).is("token_type", "DPoP")),
        row(
            "6.1",
            "the token is bound to the key by cnf.jkt",
            with(good_proof()),
            status(&[200]).is("access_token@cnf.jkt", tollgate_tests::rfc_requirements::thumbprint("a key")),
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

fn form() -> Vec<Requirement> {
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
    let mut musts: Vec<Requirement> = rows
        .into_iter()
        .map(|(section, words, proof)| row(section, words, with(proof), refused("invalid_dpop_proof")))
        .collect();
    musts.extend([
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
            [credentials().signed_header("dpop", tollgate_tests::rfc_requirements::assertion("jwt"))],
            refused("invalid_dpop_proof"),
        ),
    ]);
    musts
}

fn binding() -> Vec<Requirement> {
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
    let mut musts: Vec<Requirement> = rows
        .into_iter()
        .map(|(section, words, proof)| {
            let (asks, expected) = bad(proof);
            row(section, words, asks, expected)
        })
        .collect();
    musts.push(row(
        "11.1",
        "a proof is for one use: the same jti again is refused",
        [
            credentials().proof(good_proof().claim("jti", "{random:row}")),
            credentials().proof(good_proof().claim("jti", "{random:row}")),
        ],
        refused("invalid_dpop_proof"),
    ));
    musts.push(row(
        "11.1",
        "another jti by the same key is no replay",
        [credentials().proof(good_proof()), credentials().proof(good_proof())],
        status(&[200]).is("token_type", "DPoP"),
    ));
    musts
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
