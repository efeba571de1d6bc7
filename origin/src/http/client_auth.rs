//! Client authentication (RFC 6749 §2.3.1): `client_secret_basic` or `client_secret_post`, exactly one of them.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::oauth_error::OAuthError;
use super::parameters::{Parameters, decode};
use crate::domain::{Client, ClientId, ClientStatus, SecretHash};
use crate::store::Store;

/// What a client presented, not believed yet.
struct Presented {
    unverified_id: String,
    secret: Zeroizing<String>,
}

/// The client that the request proves to come from.
pub(super) async fn authenticate(store: &Store, headers: &HeaderMap, form: &Parameters) -> Result<Client, OAuthError> {
    let presented = presented(headers, form)?;
    let id: ClientId = presented.unverified_id.parse().map_err(|_| OAuthError::InvalidClient)?;
    let client = store.client(&id).await?;
    // An unknown client costs the same as a wrong secret: its secret is hashed and compared all the same.
    let presented = SecretHash::of(&presented.secret);
    let nobody = SecretHash::from_bytes([0; 32]);
    let expected = client.as_ref().map_or(&nobody, |client| &client.secret);
    if !presented.matches(expected) {
        return Err(OAuthError::InvalidClient);
    }
    match client {
        Some(client) if client.status == ClientStatus::Active => Ok(client),
        _ => Err(OAuthError::InvalidClient),
    }
}

fn presented(headers: &HeaderMap, form: &Parameters) -> Result<Presented, OAuthError> {
    let (form_id, form_secret) = (form.get("client_id"), form.get("client_secret"));
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    match (authorizations.next(), authorizations.next(), form_secret) {
        (_, Some(_), _) => Err(OAuthError::InvalidRequest("there are two Authorization headers")),
        (Some(_), _, Some(_)) => Err(OAuthError::InvalidRequest("the client authenticates in two ways: use one")),
        (Some(value), None, None) => {
            let presented = basic(value.as_bytes()).ok_or(OAuthError::InvalidClient)?;
            if form_id.is_some_and(|id| id != presented.unverified_id) {
                return Err(OAuthError::InvalidRequest("client_id is not the client that authenticates"));
            }
            Ok(presented)
        }
        (None, None, Some(secret)) => {
            let id = form_id.ok_or(OAuthError::InvalidRequest("client_id is missing"))?;
            Ok(Presented { unverified_id: id.to_owned(), secret: Zeroizing::new(secret.to_owned()) })
        }
        (None, None, None) => Err(OAuthError::InvalidClient),
    }
}

/// `Basic` credentials; id and secret are each form-encoded inside (RFC 6749 §2.3.1), which plain HTTP Basic has not.
fn basic(header: &[u8]) -> Option<Presented> {
    let (scheme, encoded) = header.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim_ascii()).ok()?);
    let (id, secret) = str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Presented { unverified_id: decode(id).ok()?, secret: Zeroizing::new(decode(secret).ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_form_decoded() {
        let header = format!("basic {}", STANDARD.encode("my%2Did:s%3Acret+1"));
        let presented = basic(header.as_bytes()).expect("well-formed");
        assert_eq!((presented.unverified_id.as_str(), presented.secret.as_str()), ("my-id", "s:cret 1"));
        for header in ["", "Basic", "Basic !!", "Bearer YTpi", "Basic YQ==", "Basic JTp4"] {
            assert!(basic(header.as_bytes()).is_none(), "{header:?} passed");
        }
    }

    #[test]
    fn exactly_one_way_is_used() {
        let mut headers = HeaderMap::new();
        let both =
            Parameters::from_form("client_id=a&client_secret=b").map_err(|error| error.to_string()).expect("a form");
        assert!(presented(&headers, &both).is_ok());
        assert!(matches!(presented(&headers, &Parameters::default()), Err(OAuthError::InvalidClient)));
        headers.insert(AUTHORIZATION, "Basic YTpi".parse().expect("a header"));
        assert!(presented(&headers, &Parameters::default()).is_ok());
        assert!(matches!(presented(&headers, &both), Err(OAuthError::InvalidRequest(_))));
        headers.append(AUTHORIZATION, "Basic YTpi".parse().expect("a header"));
        assert!(matches!(presented(&headers, &Parameters::default()), Err(OAuthError::InvalidRequest(_))));
    }
}
