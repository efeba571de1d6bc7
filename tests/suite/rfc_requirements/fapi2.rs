//! FAPI 2.0 Security Profile, for the client `bank`, which has that profile.

use serde_json::json;
use tollgate_tests::rfc_requirements::{Requirement, assertion, error, redirected, refused, row, status};

use super::requests::{authorize, discovery, push};

pub(super) fn rows() -> Vec<Requirement> {
    let pushed = || push().as_client("bank");
    let with_audience = |audience| {
        let assertion = assertion("bank").claim("aud", audience);
        let request = pushed().anonymous().signed("client_assertion", assertion);
        [request.set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")]
    };
    vec![
        row("5.3.2.1", "a client authenticates by private_key_jwt", [pushed()], status(&[201]).has("request_uri")),
        row(
            "5.3.2.1",
            "the issuer as a string MUST be the only audience of a client assertion: no endpoint",
            with_audience(json!("{issuer}/oauth/par")),
            error(&[401], "invalid_client"),
        ),
        row(
            "5.3.2.2",
            "authorization requests that were not pushed MUST be rejected",
            [authorize().as_client("bank")],
            redirected("https://bank.example/cb?").is("?error", "invalid_request").lacks("?code"),
        ),
        row(
            "5.3.2.2",
            "PKCE with S256 is REQUIRED",
            [pushed().without("code_challenge").without("code_challenge_method").set("nonce", "n")],
            refused("invalid_request"),
        ),
        row(
            "5.3.2.2",
            "a pushed request needs redirect_uri that is registered",
            [pushed().set("redirect_uri", "https://evil.example/cb")],
            refused("invalid_request"),
        ),
        row(
            "5.3.2.2",
            "the iss parameter is in the authorization response (RFC 9207)",
            [discovery()],
            status(&[200]).is("authorization_response_iss_parameter_supported", true),
        ),
    ]
}
