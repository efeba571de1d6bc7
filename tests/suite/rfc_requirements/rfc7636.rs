//! RFC 7636, PKCE. Tollgate requires it except of clients whose requests have a nonce, and accepts
//! only S256 (section 7.2 says why).

use tollgate_tests::rfc_requirements::{Requirement, ok, redirected, refused, row, status};

use super::requests::{CODE_CHALLENGE, CODE_VERIFIER, authorize, redeem};

const OTHER_VERIFIER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

pub(super) fn rows() -> Vec<Requirement> {
    [challenges(), verifiers()].into_iter().flatten().collect()
}

fn challenges() -> Vec<Requirement> {
    let refused =
        || redirected("https://app.example/cb?").is("?error", "invalid_request").is("?state", "a state").lacks("?code");
    vec![
        row(
            "4.4.1",
            "a server that requires PKCE MUST answer invalid_request to a request without a challenge",
            [authorize().without("code_challenge").without("code_challenge_method")],
            refused(),
        ),
        row(
            "4.4.1",
            "a public client without a challenge: invalid_request",
            [authorize().as_client("spa").without("code_challenge").without("code_challenge_method")],
            redirected("https://spa.example/cb?").is("?error", "invalid_request").lacks("?code"),
        ),
        row(
            "4.4.1",
            "a transformation that is not supported MUST be answered with invalid_request: plain",
            [authorize().set("code_challenge_method", "plain").set("code_challenge", CODE_VERIFIER)],
            refused(),
        ),
        row(
            "4.3",
            "a challenge without a method means plain, which is not supported",
            [authorize().without("code_challenge_method")],
            refused(),
        ),
        row(
            "4.4.1",
            "a transformation that is not supported MUST be answered with invalid_request: unknown",
            [authorize().set("code_challenge_method", "S512")],
            refused(),
        ),
        row(
            "4.3",
            "the method's name is case-sensitive",
            [authorize().set("code_challenge_method", "s256")],
            refused(),
        ),
        row(
            "4.2",
            "a challenge has at least 43 characters",
            [authorize().set("code_challenge", &CODE_CHALLENGE[..42])],
            refused(),
        ),
        row(
            "4.2",
            "a challenge has at most 128 characters",
            [authorize().set("code_challenge", &"a".repeat(129))],
            refused(),
        ),
        row(
            "4.2",
            "a challenge is of unreserved characters",
            [authorize().set("code_challenge", &CODE_CHALLENGE.replace('-', "+"))],
            refused(),
        ),
    ]
}

fn verifiers() -> Vec<Requirement> {
    let with = |verifier: &str| {
        let challenge = format!("{{sha256:={verifier}}}");
        [authorize().set("code_challenge", &challenge), redeem("{1?code}").set("code_verifier", verifier)]
    };
    let bad = || status(&[400]).one_of("error", &["invalid_grant", "invalid_request"]);
    vec![
        row(
            "B",
            "the verifier of the appendix fits its challenge",
            [authorize(), redeem("{1?code}")],
            ok().has("access_token"),
        ),
        row(
            "4.5",
            "a public client with its verifier gets a token",
            [authorize().as_client("spa"), redeem("{1?code}").as_client("spa")],
            ok().has("access_token"),
        ),
        row("4.5", "code_verifier is REQUIRED", [authorize(), redeem("{1?code}").without("code_verifier")], bad()),
        row(
            "4.6",
            "another verifier MUST be answered with invalid_grant",
            [authorize(), redeem("{1?code}").set("code_verifier", OTHER_VERIFIER)],
            refused("invalid_grant"),
        ),
        row(
            "4.6",
            "the challenge itself is not the verifier",
            [authorize(), redeem("{1?code}").set("code_verifier", CODE_CHALLENGE)],
            refused("invalid_grant"),
        ),
        row(
            "4.4",
            "a code goes with its own challenge: another authorization's verifier does not fit",
            [
                authorize().set("code_challenge", &format!("{{sha256:={OTHER_VERIFIER}}}")),
                authorize(),
                redeem("{2?code}").set("code_verifier", OTHER_VERIFIER),
            ],
            refused("invalid_grant"),
        ),
        row("4.1", "a verifier has at least 43 characters", with(&"a".repeat(42)), bad()),
        row("4.1", "a verifier may have 43 characters", with(&"a".repeat(43)), ok()),
        row("4.1", "a verifier may have 128 characters", with(&"a".repeat(128)), ok()),
        row("4.1", "a verifier has at most 128 characters", with(&"a".repeat(129)), bad()),
        row("4.1", "a verifier is of unreserved characters: all four marks", with(&"-._~".repeat(12)), ok()),
        row("4.1", "a verifier is of unreserved characters: no other", with(&"a+/!".repeat(12)), bad()),
    ]
}
