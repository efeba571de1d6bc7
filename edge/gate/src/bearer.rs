//! The token in a request, and the answers of RFC 6750 to a token that may not pass.

use tollgate_core::Refusal;

use crate::message::{Request, Response};

/// What a request brings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presented<'a> {
    /// No token, or credentials of another scheme.
    Nothing,
    /// One token, sent in the one accepted way.
    Token(&'a [u8]),
    /// More than one, or one in a way that is not accepted.
    Wrong(&'static str),
}

/// Finds the token. RFC 6750 section 2 lets a client use one method only; RFC 9700 section 4.3.2 takes the query away from
/// the methods, for it ends up in logs and histories.
pub(crate) fn presented<'a>(request: &Request<'a>) -> Presented<'a> {
    if request.query().split(['&', ';']).any(is_access_token_parameter) {
        return Presented::Wrong("an access token in the query is not accepted; send it in the Authorization header");
    }
    let mut headers = request.header("authorization");
    let (Some(credentials), None) = (headers.next(), headers.next()) else {
        let any = request.header("authorization").next().is_some();
        return if any { Presented::Wrong("there is more than one credential") } else { Presented::Nothing };
    };
    let Some((scheme, rest)) = split_scheme(credentials) else {
        return Presented::Nothing;
    };
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        // Platforms that join repeated headers by a comma must not smuggle a token in behind another scheme.
        let hidden = rest.split(|&byte| byte == b',').any(|part| names_bearer(part.trim_ascii()));
        return if hidden { Presented::Wrong("there is more than one credential") } else { Presented::Nothing };
    }
    let token = rest.trim_ascii();
    if token.is_empty() {
        return Presented::Wrong("the Bearer scheme stands without a token");
    }
    if token.iter().any(|byte| matches!(byte, b' ' | b'\t' | b',')) {
        return Presented::Wrong("there is more than one credential");
    }
    Presented::Token(token)
}

fn is_access_token_parameter(parameter: &str) -> bool {
    let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
    percent_decoded_eq(name, "access_token")
}

/// Whether `text`, percent-decoded, is `wanted`; a parameter must not hide behind an encoding.
fn percent_decoded_eq(text: &str, wanted: &str) -> bool {
    crate::path::percent_decode(text).is_some_and(|decoded| decoded == wanted.as_bytes())
}

fn split_scheme(credentials: &[u8]) -> Option<(&[u8], &[u8])> {
    let credentials = credentials.trim_ascii();
    if credentials.is_empty() {
        return None;
    }
    let end = credentials.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(credentials.len());
    Some(credentials.split_at(end))
}

fn names_bearer(credentials: &[u8]) -> bool {
    split_scheme(credentials).is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer"))
}

/// 401 without an error: the client sent no token, so nothing is wrong with one (RFC 6750 section 3.1).
pub(crate) fn challenge() -> Response {
    Response { status: 401, headers: vec![("cache-control", "no-store".into())], body: Vec::new() }
        .with("www-authenticate", "Bearer")
}

/// 400: the request itself is at fault.
pub(crate) fn invalid_request(description: &str) -> Response {
    refuse(400, "invalid_request", description, None)
}

/// The answer to a refused token: one error code each, and for signatures never the reason.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::InsufficientScope { required } => {
            refuse(403, "insufficient_scope", &refusal.to_string(), Some(required))
        }
        Refusal::NotCovered | Refusal::Stale => unavailable(&refusal.to_string()),
        _ => refuse(401, "invalid_token", &refusal.to_string(), None),
    }
}

/// 503: nothing is wrong with the request; the edge cannot tell now.
pub(crate) fn unavailable(description: &str) -> Response {
    Response::error(503, "temporarily_unavailable", description).with("retry-after", "1")
}

fn refuse(status: u16, code: &str, description: &str, scope: Option<&str>) -> Response {
    // Descriptions and scopes are ASCII without quotes and backslashes (RFC 6750 section 3), so nothing needs an escape.
    let mut challenge = format!("Bearer error=\"{code}\", error_description=\"{description}\"");
    if let Some(scope) = scope {
        challenge.push_str(&format!(", scope=\"{scope}\""));
    }
    Response::error(status, code, description).with("www-authenticate", challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(target: &str, values: &[&'static str]) -> Presented<'static> {
        let headers: Vec<(&'static str, &'static [u8])> =
            values.iter().map(|value| ("Authorization", value.as_bytes())).collect();
        let headers: &'static [(&'static str, &'static [u8])] = headers.leak();
        presented(&Request { method: "GET", target: String::from(target).leak(), headers })
    }

    #[test]
    fn one_token_in_one_way_is_found() {
        assert_eq!(with("/", &[]), Presented::Nothing);
        assert_eq!(with("/", &["Basic YTpi"]), Presented::Nothing);
        assert_eq!(with("/", &["Bearer abc"]), Presented::Token(b"abc"));
        assert_eq!(with("/", &["bEARER   abc "]), Presented::Token(b"abc"));
        assert_eq!(with("/?q=access_token", &["Bearer abc"]), Presented::Token(b"abc"));
    }

    #[test]
    fn any_other_way_is_an_invalid_request() {
        for (target, values) in [
            ("/?access_token=abc", vec![]),
            ("/?a=1&access_token=abc", vec!["Bearer abc"]),
            ("/?access%5Ftoken=abc", vec![]),
            ("/", vec!["Bearer a", "Bearer b"]),
            ("/", vec!["Basic YTpi", "Bearer b"]),
            ("/", vec!["Bearer a, Bearer b"]),
            ("/", vec!["Basic YTpi, Bearer b"]),
            ("/", vec!["Bearer"]),
            ("/", vec!["Bearer "]),
            ("/", vec!["Bearer a b"]),
        ] {
            assert!(matches!(with(target, &values), Presented::Wrong(_)), "{target} {values:?}");
        }
    }
}
