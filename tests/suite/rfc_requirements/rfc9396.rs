//! RFC 9396, Rich Authorization Requests.

use serde_json::{Value, json};
use tollgate_tests::rfc_requirements::{RequestSpec, Requirement, ok, redirected, refused, row};

use super::requests::{authorize, introspect, push, redeem, refresh};

const PAYMENT: &str = r#"[{"type":"payment","amount":{"currency":"EUR","value":"12.50"},"to":"shop"}]"#;

pub(super) fn rows() -> Vec<Requirement> {
    let asks = |details: &str| authorize().as_client("rich").set("authorization_details", details);
    let granted = || [asks(PAYMENT), redeem("{1?code}").as_client("rich")];
    let payment: Value =
        json!([{ "type": "payment", "amount": { "currency": "EUR", "value": "12.50" }, "to": "shop" }]);
    let bad = |section, words, details: &str| {
        let expected = redirected("https://rich.example/cb?").is("?error", "invalid_authorization_details");
        row(section, words, [asks(details)], expected.is("?state", "a state").lacks("?code"))
    };
    let all = |more: Vec<RequestSpec>| granted().into_iter().chain(more);
    vec![
        bad("5", "what is no JSON array MUST be refused: invalid_authorization_details", r#"{"type":"payment"}"#),
        bad("5", "what is no JSON MUST be refused", "payment"),
        bad("5", "type is REQUIRED", r#"[{"amount":1}]"#),
        bad("5", "an unknown type MUST be refused", r#"[{"type":"telepathy"}]"#),
        bad("5", "one bad object among good ones MUST be refused", r#"[{"type":"payment"},{"type":"telepathy"}]"#),
        row(
            "5",
            "a type that the client is not registered for MUST be refused",
            [authorize().set("authorization_details", PAYMENT)],
            redirected("https://app.example/cb?").is("?error", "invalid_authorization_details"),
        ),
        row(
            "5",
            "in a pushed request likewise",
            [push().as_client("rich").set("authorization_details", "[{}]")],
            refused("invalid_authorization_details"),
        ),
        row(
            "7",
            "the token response MUST contain the granted details",
            granted(),
            ok().is("authorization_details", payment.clone()),
        ),
        row(
            "9.1",
            "a JWT access token contains them",
            granted(),
            ok().is("access_token@authorization_details", payment.clone()),
        ),
        row(
            "9.2",
            "introspection returns them",
            all(vec![introspect("{2.access_token}")]),
            ok().is("authorization_details", payment.clone()),
        ),
        row(
            "6",
            "a refreshed token contains them too",
            all(vec![refresh("{2.refresh_token}").as_client("rich")]),
            ok().is("authorization_details", payment),
        ),
        row(
            "7",
            "without the parameter there is none",
            [authorize().as_client("rich"), redeem("{1?code}").as_client("rich")],
            ok().lacks("authorization_details"),
        ),
    ]
}
