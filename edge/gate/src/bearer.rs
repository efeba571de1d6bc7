//! Finds the access token of a request, and builds the error responses of RFC 6750 and RFC 9449.

use tollgate_core::{PROOF_ALGORITHMS, ProofError, Refusal};

use crate::message::{Request, Response};

/// The access token of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AccessToken<'a> {
    /// No credentials, or credentials of another scheme.
    Missing,
    /// One token in one `Authorization` header, and the header's scheme.
    Token(&'a [u8], Scheme),
    /// More than one token, or one sent in a way that is not accepted; says which.
    Invalid(&'static str),
}

/// An authentication scheme for access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// RFC 6750 section 2.1.
    Bearer,
    /// RFC 9449 section 7.1.
    Dpop,
}

impl Scheme {
    fn from_name(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"bearer") {
            return Some(Self::Bearer);
        }
        name.eq_ignore_ascii_case(b"dpop").then_some(Self::Dpop)
    }

    /// A challenge with these parameters, each quoted.
    fn challenge(self, parameters: &str) -> String {
        match (self, parameters) {
            (Self::Bearer, "") => "Bearer".to_owned(),
            (Self::Bearer, parameters) => format!("Bearer {parameters}"),
            (Self::Dpop, "") => format!("DPoP algs=\"{PROOF_ALGORITHMS}\""),
            (Self::Dpop, parameters) => format!("DPoP algs=\"{PROOF_ALGORITHMS}\", {parameters}"),
        }
    }
}

/// Finds the token. A client must use one method only (RFC 6750 section 2). The query is not
/// accepted, because queries end up in logs and browser histories (RFC 9700 section 4.3.2).
pub(crate) fn access_token<'a>(request: &Request<'a>) -> AccessToken<'a> {
    if request.query().split(['&', ';']).any(is_access_token_parameter) {
        return AccessToken::Invalid(
            "an access token in the query is not accepted; send it in the Authorization header",
        );
    }
    let mut headers = request.header("authorization");
    let (Some(credentials), None) = (headers.next(), headers.next()) else {
        let any = request.header("authorization").next().is_some();
        return if any { AccessToken::Invalid("more than one credential") } else { AccessToken::Missing };
    };
    let Some((scheme, rest)) = split_scheme(credentials) else {
        return AccessToken::Missing;
    };
    let Some(scheme) = Scheme::from_name(scheme) else {
        // A platform that joins repeated headers by commas must not hide a second token behind
        // another scheme.
        let has_hidden_token = rest.split(|&byte| byte == b',').any(|part| names_scheme(part.trim_ascii()));
        return if has_hidden_token { AccessToken::Invalid("more than one credential") } else { AccessToken::Missing };
    };
    let token = rest.trim_ascii();
    if token.is_empty() {
        return AccessToken::Invalid(match scheme {
            Scheme::Bearer => "the Bearer scheme has no token",
            Scheme::Dpop => "the DPoP scheme has no token",
        });
    }
    if token.iter().any(|byte| matches!(byte, b' ' | b'\t' | b',')) {
        return AccessToken::Invalid("more than one credential");
    }
    AccessToken::Token(token, scheme)
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

/// Whether the credentials begin with a scheme for access tokens.
fn names_scheme(credentials: &[u8]) -> bool {
    split_scheme(credentials).is_some_and(|(scheme, _)| Scheme::from_name(scheme).is_some())
}

/// 401 without an error code: the client sent no token (RFC 6750 section 3.1). The scheme is the
/// one that the route needs.
pub(crate) fn missing_token(scheme: Scheme) -> Response {
    Response::new(401).with("cache-control", "no-store").with("www-authenticate", scheme.challenge(""))
}

/// 400: the request itself is malformed.
pub(crate) fn invalid_request(description: &str) -> Response {
    refuse(400, Scheme::Bearer, "invalid_request", description, None)
}

/// The response to a token that was refused in credentials of this scheme. A bad signature is never
/// explained.
pub(crate) fn refused_token(refusal: &Refusal, scheme: Scheme) -> Response {
    let description = refusal.to_string();
    match refusal {
        Refusal::InsufficientScope { required } => {
            refuse(403, scheme, "insufficient_scope", &description, Some(required))
        }
        // The token is good and lacks the privilege, which no scope gives.
        Refusal::WrongClient | Refusal::WrongClaim { .. } => {
            refuse(403, scheme, "insufficient_scope", &description, None)
        }
        Refusal::InsufficientAuthentication { acr_values, max_age } => {
            insufficient_authentication(scheme, &description, acr_values, *max_age)
        }
        Refusal::NotCovered | Refusal::Stale => unavailable(&description),
        // The challenge names the scheme with which the token could pass (RFC 9449 section 7.2).
        Refusal::BoundToKey | Refusal::NotBound => refuse(401, Scheme::Dpop, "invalid_token", &description, None),
        Refusal::InvalidProof(ProofError::NonceRequired) => {
            refuse(401, Scheme::Dpop, "use_dpop_nonce", &description, None)
        }
        Refusal::InvalidProof(_) => refuse(401, Scheme::Dpop, "invalid_dpop_proof", &description, None),
        _ => refuse(401, scheme, "invalid_token", &description, None),
    }
}

/// 401: the user must authenticate again (RFC 9470 section 3).
fn insufficient_authentication(scheme: Scheme, description: &str, acr_values: &str, max_age: Option<u64>) -> Response {
    let code = "insufficient_user_authentication";
    let mut parameters = format!("error=\"{code}\", error_description=\"{description}\"");
    if !acr_values.is_empty() {
        parameters.push_str(&format!(", acr_values=\"{acr_values}\""));
    }
    if let Some(seconds) = max_age {
        parameters.push_str(&format!(", max_age=\"{seconds}\""));
    }
    Response::error(401, code, description).with("www-authenticate", scheme.challenge(&parameters))
}

/// 503: the edge cannot decide now, whatever the request is.
pub(crate) fn unavailable(description: &str) -> Response {
    Response::error(503, "temporarily_unavailable", description).with("retry-after", "1")
}

fn refuse(status: u16, scheme: Scheme, code: &str, description: &str, scope: Option<&str>) -> Response {
    // Descriptions and scopes are ASCII without quotes and backslashes (RFC 6750 section 3), so
    // they need no escapes.
    let mut parameters = format!("error=\"{code}\", error_description=\"{description}\"");
    if let Some(scope) = scope {
        parameters.push_str(&format!(", scope=\"{scope}\""));
    }
    Response::error(status, code, description).with("www-authenticate", scheme.challenge(&parameters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Connection;

    fn token_in(target: &str, values: &[&'static str]) -> AccessToken<'static> {
        let headers: Vec<(&'static str, &'static [u8])> =
            values.iter().map(|value| ("Authorization", value.as_bytes())).collect();
        let headers: &'static [(&'static str, &'static [u8])] = headers.leak();
        access_token(&Request {
            method: "GET",
            target: String::from(target).leak(),
            headers,
            connection: Connection::default(),
        })
    }

    #[test]
    fn one_token_in_the_authorization_header_is_found() {
        assert_eq!(token_in("/", &[]), AccessToken::Missing);
        assert_eq!(token_in("/", &["Basic YTpi"]), AccessToken::Missing);
        assert_eq!(token_in("/", &["Bearer abc"]), AccessToken::Token(b"abc", Scheme::Bearer));
        assert_eq!(token_in("/", &["bEARER   abc "]), AccessToken::Token(b"abc", Scheme::Bearer));
        assert_eq!(token_in("/", &["dpop abc"]), AccessToken::Token(b"abc", Scheme::Dpop));
        assert_eq!(token_in("/?q=access_token", &["Bearer abc"]), AccessToken::Token(b"abc", Scheme::Bearer));
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
            ("/", vec!["DPoP a, Bearer b"]),
            ("/", vec!["Basic YTpi, DPoP b"]),
            ("/", vec!["DPoP a", "DPoP a"]),
            ("/", vec!["DPoP"]),
            ("/", vec!["Bearer"]),
            ("/", vec!["Bearer "]),
            ("/", vec!["Bearer a b"]),
        ] {
            assert!(matches!(token_in(target, &values), AccessToken::Invalid(_)), "{target} {values:?}");
        }
    }
}
