//! Finds the bearer token of a request, and builds the error responses of RFC 6750.

use tollgate_core::Refusal;

use crate::message::{Request, Response};

/// The bearer token of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BearerToken<'a> {
    /// No credentials, or credentials of another scheme.
    Missing,
    /// One token in one `Authorization` header.
    Token(&'a [u8]),
    /// More than one token, or one sent in a way that is not accepted; says which.
    Invalid(&'static str),
}

/// Finds the token. A client must use one method only (RFC 6750 section 2). The query is not
/// accepted, because queries end up in logs and browser histories (RFC 9700 section 4.3.2).
pub(crate) fn bearer_token<'a>(request: &Request<'a>) -> BearerToken<'a> {
    if request.query().split(['&', ';']).any(is_access_token_parameter) {
        return BearerToken::Invalid(
            "an access token in the query is not accepted; send it in the Authorization header",
        );
    }
    let mut headers = request.header("authorization");
    let (Some(credentials), None) = (headers.next(), headers.next()) else {
        let any = request.header("authorization").next().is_some();
        return if any { BearerToken::Invalid("more than one credential") } else { BearerToken::Missing };
    };
    let Some((scheme, rest)) = split_scheme(credentials) else {
        return BearerToken::Missing;
    };
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        // A platform that joins repeated headers by commas must not hide a second token behind
        // another scheme.
        let has_hidden_token = rest.split(|&byte| byte == b',').any(|part| names_bearer(part.trim_ascii()));
        return if has_hidden_token { BearerToken::Invalid("more than one credential") } else { BearerToken::Missing };
    }
    let token = rest.trim_ascii();
    if token.is_empty() {
        return BearerToken::Invalid("the Bearer scheme has no token");
    }
    if token.iter().any(|byte| matches!(byte, b' ' | b'\t' | b',')) {
        return BearerToken::Invalid("more than one credential");
    }
    BearerToken::Token(token)
}

fn is_access_token_parameter(parameter: &str) -> bool {
    let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
    percent_decoded_eq(name, "access_token")
}

/// Compares after percent-decoding, so that an encoded parameter name is found too.
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

/// 401 without an error code: the client sent no token (RFC 6750 section 3.1).
pub(crate) fn missing_token() -> Response {
    Response::new(401).with("cache-control", "no-store").with("www-authenticate", "Bearer")
}

/// 400: the request itself is malformed.
pub(crate) fn invalid_request(description: &str) -> Response {
    refuse(400, "invalid_request", description, None)
}

/// The response to a refused token. A bad signature is never explained.
pub(crate) fn refused_token(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::InsufficientScope { required } => {
            refuse(403, "insufficient_scope", &refusal.to_string(), Some(required))
        }
        Refusal::NotCovered | Refusal::Stale => unavailable(&refusal.to_string()),
        _ => refuse(401, "invalid_token", &refusal.to_string(), None),
    }
}

/// 503: the edge cannot decide now, whatever the request is.
pub(crate) fn unavailable(description: &str) -> Response {
    Response::error(503, "temporarily_unavailable", description).with("retry-after", "1")
}

fn refuse(status: u16, code: &str, description: &str, scope: Option<&str>) -> Response {
    // Descriptions and scopes are ASCII without quotes and backslashes (RFC 6750 section 3), so
    // they need no escapes.
    let mut challenge = format!("Bearer error=\"{code}\", error_description=\"{description}\"");
    if let Some(scope) = scope {
        challenge.push_str(&format!(", scope=\"{scope}\""));
    }
    Response::error(status, code, description).with("www-authenticate", challenge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Connection;

    fn token_in(target: &str, values: &[&'static str]) -> BearerToken<'static> {
        let headers: Vec<(&'static str, &'static [u8])> =
            values.iter().map(|value| ("Authorization", value.as_bytes())).collect();
        let headers: &'static [(&'static str, &'static [u8])] = headers.leak();
        bearer_token(&Request {
            method: "GET",
            target: String::from(target).leak(),
            headers,
            connection: Connection::default(),
        })
    }

    #[test]
    fn one_token_in_the_authorization_header_is_found() {
        assert_eq!(token_in("/", &[]), BearerToken::Missing);
        assert_eq!(token_in("/", &["Basic YTpi"]), BearerToken::Missing);
        assert_eq!(token_in("/", &["Bearer abc"]), BearerToken::Token(b"abc"));
        assert_eq!(token_in("/", &["bEARER   abc "]), BearerToken::Token(b"abc"));
        assert_eq!(token_in("/?q=access_token", &["Bearer abc"]), BearerToken::Token(b"abc"));
    }

    #[test]
    fn other_ways_to_send_a_token_are_invalid_requests() {
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
            assert!(matches!(token_in(target, &values), BearerToken::Invalid(_)), "{target} {values:?}");
        }
    }
}
