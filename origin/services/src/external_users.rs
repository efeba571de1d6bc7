//! External user directory: an HTTP API of the operator that verifies user names and passwords.
//!
//! The origin sends `{"username": …, "password": …}` by `POST` to the configured URL. The directory
//! responds with 200 and `{"external_id": …, "claims": {…}}` if the credentials are valid, and with
//! 401 or 403 if they are not. Any other response and a timeout are errors, and never a sign-in.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tollgate_config::ExternalUsersSettings;
use tollgate_model::error_chain::with_causes;
use tollgate_model::{MAX_IDENTIFIER_BYTES, UserClaims, UserName, text};
use tollgate_system::current_request::{Part, measure};
use zeroize::Zeroizing;

use crate::telemetry::traced;

const MAX_RESPONSE_BYTES: usize = 32 * 1024;
/// Concurrent requests, which anyone can cause by signing in. Further ones wait up to the timeout
/// of a response.
const MAX_REQUESTS: usize = 64;

/// Client of the external user directory.
pub struct ExternalUserDirectory {
    http: reqwest::Client,
    settings: ExternalUsersSettings,
    requests: Semaphore,
}

/// A user of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalUser {
    /// Permanent identifier in the directory.
    pub id: String,
    /// Claims for clients.
    pub claims: UserClaims,
}

/// Why the directory could not verify the credentials.
#[derive(Debug, thiserror::Error)]
pub enum ExternalUsersError {
    #[error("the directory cannot be reached: {0}")]
    Unreachable(String),
    #[error("the directory responded with status {0}")]
    Status(u16),
    #[error("the directory's response {0}")]
    Response(&'static str),
}

#[derive(Deserialize)]
struct Response {
    external_id: String,
    #[serde(default)]
    claims: Map<String, Value>,
}

impl ExternalUserDirectory {
    /// # Errors
    /// When TLS cannot be used.
    pub fn new(settings: ExternalUsersSettings) -> Result<ExternalUserDirectory, reqwest::Error> {
        // A redirect would send the password to another URL.
        let none = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().timeout(settings.timeout).redirect(none).build()?;
        Ok(ExternalUserDirectory { http, settings, requests: Semaphore::new(MAX_REQUESTS) })
    }

    /// The user with this name and password. None if the credentials are not valid.
    ///
    /// # Errors
    /// When the directory cannot be reached, is too slow, or sends an unexpected response.
    pub async fn authenticate(
        &self,
        name: &UserName,
        password: &str,
    ) -> Result<Option<ExternalUser>, ExternalUsersError> {
        let _measured = measure(Part::Outbound, "user directory");
        let permit = timeout(self.settings.timeout, self.requests.acquire()).await;
        let _permit = permit.map_err(|_| ExternalUsersError::Unreachable("too many concurrent requests".to_owned()))?;
        let body = Zeroizing::new(json!({ "username": name, "password": password }).to_string());
        let mut request = self.http.post(self.settings.url.as_str());
        if let Some(secret) = &self.settings.secret {
            request = request.bearer_auth(secret.as_str());
        }
        let sent = traced(request).header("content-type", "application/json").body(body.to_string()).send().await;
        let mut response = sent.map_err(unreachable)?;
        match response.status().as_u16() {
            200 => {}
            401 | 403 => return Ok(None),
            status => return Err(ExternalUsersError::Status(status)),
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_RESPONSE_BYTES {
                return Err(ExternalUsersError::Response("is too long"));
            }
        }
        parse(&body).map(Some)
    }
}

fn unreachable(error: reqwest::Error) -> ExternalUsersError {
    ExternalUsersError::Unreachable(with_causes(&error.without_url()))
}

/// Parses a response. Claims that are not standard claims for clients are dropped, because the
/// directory may send more than is needed.
fn parse(body: &[u8]) -> Result<ExternalUser, ExternalUsersError> {
    let Response { external_id: id, claims } =
        text::json(body).map_err(|_| ExternalUsersError::Response("is not the expected JSON"))?;
    if id.is_empty() || id.len() > MAX_IDENTIFIER_BYTES || id.chars().any(char::is_control) {
        return Err(ExternalUsersError::Response(
            "has an external_id that is not 1 to 255 bytes without control characters",
        ));
    }
    let known: Map<String, Value> =
        claims.into_iter().filter(|(name, value)| UserClaims::is_standard(name, value)).collect();
    let claims = UserClaims::parse(&Value::Object(known).to_string());
    Ok(ExternalUser { id, claims: claims.map_err(|_| ExternalUsersError::Response("has claims that are too large"))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_is_parsed_with_standard_claims_only() {
        let user =
            parse(br#"{"external_id":"42","claims":{"email":"a@example.org","role":"x"},"more":1}"#).expect("valid");
        assert_eq!((user.id.as_str(), user.claims.get("email")), ("42", Some(&json!("a@example.org"))));
        assert_eq!(user.claims.get("role"), None);
        let groups = |json: &str| {
            let answer = format!(r#"{{"external_id":"42","claims":{{"groups":{json}}}}}"#);
            parse(answer.as_bytes()).expect("valid").claims.get("groups").cloned()
        };
        assert_eq!((groups(r#"["staff"]"#), groups(r#""staff""#)), (Some(json!(["staff"])), None));
        assert_eq!(parse(br#"{"external_id":"42"}"#).expect("valid").claims, UserClaims::default());
        let long = format!(r#"{{"external_id":"{}"}}"#, "x".repeat(256));
        let large = format!(r#"{{"external_id":"1","claims":{{"name":"{}"}}}}"#, "x".repeat(9000));
        for invalid in [
            "",
            "[]",
            "{}",
            r#"{"external_id":42}"#,
            r#"{"external_id":""}"#,
            r#"{"external_id":"a\n"}"#,
            &long,
            &large,
        ] {
            assert!(parse(invalid.as_bytes()).is_err(), "{invalid}");
        }
    }
}
