//! OAuth 2.0 Form Post Response Mode, and JWT Secured Authorization Response Mode (JARM).

use tollgate_tests::rfc_requirements::{Requirement, ok, redirected, row};

use super::requests::{authorize, discovery, redeem};

pub(super) fn form_post() -> Vec<Requirement> {
    let asked = || authorize().set("response_mode", "form_post");
    vec![
        row(
            "2",
            "the parameters are fields of a form that is posted to the redirect URI",
            [asked()],
            ok().contains(":content-type", "text/html")
                .contains("~", "method=\"post\" action=\"https://app.example/cb\"")
                .is("&state", "a state")
                .is("&iss", "{issuer}"),
        ),
        row("2", "the code of the form is good", [asked(), redeem("{1&code}")], ok().has("access_token")),
        row("2", "errors are posted too", [asked().set("scope", "nothing")], ok().is("&error", "invalid_scope")),
        row(
            "2",
            "the form is submitted by a script, and by a button without one",
            [asked()],
            ok().contains("~", "<script>document.forms[0].submit()</script>").contains("~", "type=\"submit\""),
        ),
        row(
            "4",
            "the response MUST NOT be cached",
            [asked()],
            ok().contains(":cache-control", "no-store").lacks(":location"),
        ),
        row("2", "the metadata offer it", [discovery()], ok().holds("response_modes_supported", "form_post")),
    ]
}

pub(super) fn jarm() -> Vec<Requirement> {
    let asked = |mode: &str| authorize().set("response_mode", mode);
    vec![
        row(
            "2.1",
            "the JWT has iss, aud and exp, and the parameters of the response",
            [asked("jwt")],
            redirected("https://app.example/cb?response=")
                .is("?response@iss", "{issuer}")
                .is("?response@aud", "app")
                .has("?response@exp")
                .is("?response@state", "a state")
                .lacks("?code"),
        ),
        row(
            "2.1",
            "an error is signed too",
            [asked("query.jwt").set("scope", "nothing")],
            redirected("https://app.example/cb?response=").is("?response@error", "invalid_scope"),
        ),
        row("2.3.3", "form_post.jwt", [asked("form_post.jwt")], ok().has("&response@code").is("&response@aud", "app")),
        row("2.3.4", "jwt with code means query.jwt", [asked("jwt")], redirected("https://app.example/cb?response=")),
        row(
            "3",
            "without a registered algorithm it is RS256",
            [asked("jwt")],
            redirected("").is("?response#alg", "RS256"),
        ),
        row(
            "4",
            "the metadata say which algorithms sign responses",
            [discovery()],
            ok().holds("authorization_signing_alg_values_supported", "ES256")
                .omits("authorization_signing_alg_values_supported", "none")
                .holds("response_modes_supported", "query.jwt"),
        ),
    ]
}
