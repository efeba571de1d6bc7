//! Certificate-bound access tokens, RFC 8705 section 3: how the origin issues them, and how an
//! edge, as the resource server, checks them.

use tollgate_tests::rfc_requirements::{Expectation, RequestSpec, Requirement, challenged, get, ok, row, status};

use super::requests::{credentials, introspect, metadata};

const HEADER: &str = "client-cert";

pub(super) fn rows() -> Vec<Requirement> {
    [issued_tokens(), tokens_at_an_edge()].into_iter().flatten().collect()
}

/// A token request over a connection with this certificate.
fn bound_to(certificate: &str) -> RequestSpec {
    credentials().as_client("robot").header(HEADER, &format!("{{certificate:{certificate}}}"))
}

fn issued_tokens() -> Vec<Requirement> {
    vec![
        row(
            "3.1",
            "the token has the SHA-256 thumbprint of the certificate in cnf.x5t#S256",
            [bound_to("robot")],
            ok().contains("access_token@cnf", "{thumbprint:robot}").contains("access_token@cnf", "x5t#S256"),
        ),
        row(
            "3.2",
            "introspection returns it, too",
            [bound_to("robot"), introspect("{1.access_token}")],
            ok().is("active", true).contains("cnf", "{thumbprint:robot}"),
        ),
        row(
            "3.3",
            "the metadata say that the server binds tokens to certificates",
            [metadata()],
            ok().is("tls_client_certificate_bound_access_tokens", true),
        ),
        row(
            "3.4",
            "a client registered with tls_client_certificate_bound_access_tokens gets none without a certificate",
            [credentials().as_client("robot")],
            status(&[400, 401]).has("error"),
        ),
    ]
}

fn tokens_at_an_edge() -> Vec<Requirement> {
    let ask = || get("{edge}/reports").bearer("{1.access_token}");
    let with = |certificate: &str| ask().header(HEADER, &format!("{{certificate:{certificate}}}"));
    let refused = || -> Expectation { challenged("invalid_token").is("error", "invalid_token") };
    vec![
        row(
            "3",
            "with the certificate of the token the request is served",
            [bound_to("robot"), with("robot")],
            ok().contains("~", "GET /reports"),
        ),
        row(
            "3",
            "another certificate MUST be refused with 401 and invalid_token",
            [bound_to("robot"), with("thief")],
            refused(),
        ),
        row("3", "no certificate MUST be refused with 401 and invalid_token", [bound_to("robot"), ask()], refused()),
        row(
            "3",
            "two certificates are none",
            [bound_to("robot"), with("robot").header(HEADER, "{certificate:thief}")],
            refused(),
        ),
        row(
            "3",
            "a token that is not bound is served with and without a certificate",
            [credentials(), with("thief")],
            ok().contains("~", "GET /reports"),
        ),
    ]
}
