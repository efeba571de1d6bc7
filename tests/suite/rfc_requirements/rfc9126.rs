//! RFC 9126, Pushed Authorization Requests, and request objects in them (RFC 9101).

use reqwest::Method;
use tollgate_tests::rfc_requirements::{
    RequestSpec, Requirement, error, page, redirected, refused, request_object, row, status,
};

use super::requests::{CODE_CHALLENGE, authorize, metadata, push, redeem};

pub(super) fn rows() -> Vec<Requirement> {
    [requests(), answers(), used(), objects(), object_claims()].into_iter().flatten().collect()
}

/// The authorization request that refers to a pushed one.
fn pushed(request_uri: &str) -> RequestSpec {
    let ask = ["response_type", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"]
        .into_iter()
        .fold(authorize(), RequestSpec::without);
    ask.set("request_uri", request_uri)
}

fn requests() -> Vec<Requirement> {
    vec![
        row("2.1", "the client pushes by POST", [push().method(Method::GET)], status(&[405])),
        row(
            "2.1",
            "the client MUST authenticate as at the token endpoint",
            [push().anonymous()],
            error(&[400, 401], "invalid_client"),
        ),
        row(
            "2.1",
            "a confidential client's client_id alone is no authentication",
            [push().anonymous().set("client_id", "app")],
            error(&[401], "invalid_client"),
        ),
        row(
            "2.1",
            "wrong credentials are answered with 401",
            [push().anonymous().header("authorization", "Basic YXBwOndyb25n")],
            error(&[401], "invalid_client"),
        ),
        row(
            "2.1",
            "request_uri MUST NOT be provided",
            [push().set("request_uri", "urn:example:x")],
            refused("invalid_request"),
        ),
        row(
            "2.1",
            "the request MUST be validated as at the authorization endpoint: redirect_uri",
            [push().set("redirect_uri", "https://evil.example/cb")],
            status(&[400]).one_of("error", &["invalid_request", "invalid_redirect_uri"]),
        ),
        row("2.1", "… scope", [push().set("scope", "everything")], refused("invalid_scope")),
        row("2.1", "… response_type", [push().set("response_type", "token")], refused("unsupported_response_type")),
        row("2.1", "… the code challenge (RFC 7636)", [push().without("code_challenge")], refused("invalid_request")),
        row("2.1", "… parameters more than once", [push().append("scope", "read")], refused("invalid_request")),
        row(
            "2.1",
            "client_id in the form is the client that authenticated",
            [push().set("client_id", "other")],
            status(&[400, 401]).one_of("error", &["invalid_request", "invalid_client"]),
        ),
        row(
            "2.1",
            "a public client pushes with its client_id",
            [push().as_client("spa")],
            status(&[201]).has("request_uri"),
        ),
    ]
}

fn answers() -> Vec<Requirement> {
    vec![
        row("2.2", "success is 201 with request_uri", [push()], status(&[201]).has("request_uri")),
        row(
            "2.2",
            "the answer is application/json",
            [push()],
            status(&[201]).contains(":content-type", "application/json"),
        ),
        row(
            "2.2",
            "expires_in is a positive number of seconds",
            [push()],
            status(&[201]).text("expires_in", "between 1 and 600", |text| {
                text.parse::<u64>().is_ok_and(|seconds| (1..=600).contains(&seconds))
            }),
        ),
        row(
            "7.1",
            "request_uri MUST NOT be guessable: 128 random bits after its prefix",
            [push()],
            status(&[201]).longer("request_uri", "urn:ietf:params:oauth:request_uri:".len() + 22),
        ),
        row(
            "2.2",
            "request_uri is in the form of this specification",
            [push()],
            status(&[201]).contains("request_uri", "urn:ietf:params:oauth:request_uri:"),
        ),
        row("2.2", "the answer is not cached", [push()], status(&[201]).contains(":cache-control", "no-store")),
        row(
            "5",
            "the metadata say pushed_authorization_request_endpoint",
            [metadata()],
            status(&[200]).is("pushed_authorization_request_endpoint", "{issuer}/oauth/par"),
        ),
    ]
}

fn used() -> Vec<Requirement> {
    vec![
        row(
            "4",
            "client_id and request_uri are enough",
            [push(), pushed("{1.request_uri}")],
            redirected("https://app.example/cb?").has("?code").is("?state", "a state"),
        ),
        row(
            "4",
            "the code of a pushed request gives a token",
            [push(), pushed("{1.request_uri}"), redeem("{2?code}")],
            status(&[200]).has("access_token"),
        ),
        row(
            "2.2",
            "request_uri MUST be bound to the client that pushed",
            [push(), pushed("{1.request_uri}").set("client_id", "other")],
            page(),
        ),
        row("4", "request_uri is for one use", [push(), pushed("{1.request_uri}"), pushed("{1.request_uri}")], page()),
        row("4", "an unknown request_uri is refused", [pushed("urn:ietf:params:oauth:request_uri:none")], page()),
        row(
            "4",
            "parameters next to request_uri change nothing",
            [push().set("scope", "read"), pushed("{1.request_uri}").set("scope", "read write"), redeem("{2?code}")],
            status(&[200]).is("scope", "read"),
        ),
        row(
            "6",
            "a client that must push is refused without",
            [authorize().as_client("pushed")],
            status(&[302, 303, 400]).lacks("?code"),
        ),
        row(
            "6",
            "a client that must push is served when it does",
            [push().as_client("pushed"), pushed("{1.request_uri}").set("client_id", "pushed")],
            redirected("https://pushed.example/cb?").has("?code"),
        ),
    ]
}

/// Request objects (RFC 9126 §3, RFC 9101).
fn objects() -> Vec<Requirement> {
    let object = || {
        request_object(
            "jar",
            &[
                ("response_type", "code"),
                ("redirect_uri", "https://jar.example/cb"),
                ("scope", "openid read"),
                ("state", "a state"),
                ("code_challenge", CODE_CHALLENGE),
                ("code_challenge_method", "S256"),
            ],
        )
    };
    let by_value = |object| pushed("").without("request_uri").set("client_id", "jar").signed("request", object);
    let refused_object = || status(&[302, 303, 400]).lacks("?code");
    let push_object =
        |object| tollgate_tests::rfc_requirements::post("/oauth/par").signed("request", object).as_client("jar");
    vec![
        row("3", "a signed request object may be pushed", [push_object(object())], status(&[201]).has("request_uri")),
        row(
            "3 (RFC 9101 §6.2)",
            "its signature MUST be checked",
            [push_object(object().signed_by_other_key())],
            refused("invalid_request_object"),
        ),
        row(
            "3",
            "its client_id MUST be the authenticated client",
            [push_object(object().claim("client_id", "app"))],
            status(&[400, 401]).one_of("error", &["invalid_request", "invalid_request_object", "invalid_client"]),
        ),
        row(
            "3 (RFC 9101 §5)",
            "a signed request object is taken by value",
            [by_value(object())],
            redirected("https://jar.example/cb?").is("?state", "a state").has("?code"),
        ),
        row(
            "3 (RFC 9101 §10.1)",
            "alg none is refused where signatures are registered",
            [by_value(object().header("alg", "none").with_signature(""))],
            refused_object(),
        ),
        row(
            "3 (RFC 9101 §6.2)",
            "a forged request object is refused",
            [by_value(object().signed_by_other_key())],
            refused_object(),
        ),
        row(
            "3 (RFC 9101 §4)",
            "request and request_uri MUST NOT be inside a request object",
            [by_value(object().claim("request_uri", "urn:ietf:params:oauth:request_uri:none"))],
            refused_object(),
        ),
    ]
}

fn object_claims() -> Vec<Requirement> {
    let object = || {
        request_object(
            "jar",
            &[
                ("response_type", "code"),
                ("redirect_uri", "https://jar.example/cb"),
                ("scope", "openid read"),
                ("state", "a state"),
                ("code_challenge", CODE_CHALLENGE),
                ("code_challenge_method", "S256"),
            ],
        )
    };
    let by_value = |object| pushed("").without("request_uri").set("client_id", "jar").signed("request", object);
    let refused_object = || status(&[302, 303, 400]).lacks("?code");
    vec![
        row(
            "3 (RFC 9101 §5)",
            "client_id inside and outside MUST be the same",
            [by_value(object().claim("client_id", "app").claim("iss", "app"))],
            refused_object(),
        ),
        row(
            "3 (RFC 9101 §6.3)",
            "parameters outside a request object MUST NOT be used",
            [by_value(object().claim("scope", "read")).set("scope", "read write"), redeem("{1?code}").as_client("jar")],
            status(&[200]).is("scope", "read"),
        ),
        row(
            "3 (RFC 9101 §10.2)",
            "a request object for another server is refused",
            [by_value(object().claim("aud", "https://other.example"))],
            refused_object(),
        ),
        row(
            "3 (RFC 9101 §4)",
            "an expired request object is refused",
            [by_value(object().claim("exp", "{now-3600}"))],
            refused_object(),
        ),
    ]
}
