//! Users of somebody else: an HTTP API of the operator's that knows who has which
//! name and password.
//!
//! `POST` to the configured URL, `{"username": …, "password": …}`. It answers 200 and
//! `{"external_id": …, "claims": {…}}` for credentials that are right, 401 or 403 for
//! those that are not. Whatever else comes, or nothing in time, is trouble, and never
//! a sign-in.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tollgate_config::ExternalUsersSettings;
use tollgate_model::error_chain::with_causes;
use tollgate_model::{MAX_IDENTIFIER_BYTES, UserClaims, UserName, text};
use zeroize::Zeroizing;

use crate::telemetry::traced;

/// Bytes of an answer at most.
const MAX_BYTES: usize = 32 * 1024;
/// Requests that are under way at once, at most: whoever signs in causes them.
/// Further ones wait for as long as an answer may take.
const MAX_REQUESTS: usize = 64;

/// The API.
pub struct ExternalUserDirectory {
    http: reqwest::Client,
    settings: ExternalUsersSettings,
    requests: Semaphore,
}

/// A user as the API knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalUser {
    /// Their identifier there, which never changes.
    pub id: String,
    /// What clients may be told of them.
    pub claims: UserClaims,
}

/// The API did not say whether the credentials are right.
#[derive(Debug, thiserror::Error)]
pub enum ExternalUsersError {
    #[error("it cannot be reached: {0}")]
    Away(String),
    #[error("it answers with the status {0}")]
    Status(u16),
    #[error("its answer {0}")]
    Answer(&'static str),
}

#[derive(Deserialize)]
struct Answer {
    external_id: String,
    #[serde(default)]
    claims: Map<String, Value>,
}

impl ExternalUserDirectory {
    /// The API of these settings.
    ///
    /// # Errors
    /// When TLS cannot be used.
    pub fn new(settings: ExternalUsersSettings) -> Result<ExternalUserDirectory, reqwest::Error> {
        // A redirect would take the password elsewhere.
        let none = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().timeout(settings.timeout).redirect(none).build()?;
        Ok(ExternalUserDirectory { http, settings, requests: Semaphore::new(MAX_REQUESTS) })
    }

    /// The user who has this name and this password; none if they are wrong.
    ///
    /// # Errors
    /// When the API does not say, or not in time.
    pub async fn check(&self, name: &UserName, password: &str) -> Result<Option<ExternalUser>, ExternalUsersError> {
        let turn = timeout(self.settings.timeout, self.requests.acquire()).await;
        let _asking = turn.map_err(|_| ExternalUsersError::Away("too many requests are under way".to_owned()))?;
        let body = Zeroizing::new(json!({ "username": name, "password": password }).to_string());
        let mut request = self.http.post(self.settings.url.as_str());
        if let Some(secret) = &self.settings.secret {
            request = request.bearer_auth(secret.as_str());
        }
        let sent = traced(request).header("content-type", "application/json").body(body.to_string()).send().await;
        let mut answer = sent.map_err(away)?;
        match answer.status().as_u16() {
            200 => {}
            401 | 403 => return Ok(None),
            status => return Err(ExternalUsersError::Status(status)),
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(away)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return Err(ExternalUsersError::Answer("is too long"));
            }
        }
        read(&body).map(Some)
    }
}

fn away(error: reqwest::Error) -> ExternalUsersError {
    ExternalUsersError::Away(with_causes(&error.without_url()))
}

/// Claims that clients can never be told are left out, not refused: the API may say
/// more than is asked.
fn read(body: &[u8]) -> Result<ExternalUser, ExternalUsersError> {
    let Answer { external_id: id, claims } =
        text::json(body).map_err(|_| ExternalUsersError::Answer("is not the JSON that is expected"))?;
    if id.is_empty() || id.len() > MAX_IDENTIFIER_BYTES || id.chars().any(char::is_control) {
        return Err(ExternalUsersError::Answer(
            "has an external_id that is not 1 to 255 bytes without control characters",
        ));
    }
    let known: Map<String, Value> =
        claims.into_iter().filter(|(name, _)| UserClaims::names().any(|known| known == name)).collect();
    let claims = UserClaims::parse(&Value::Object(known).to_string());
    Ok(ExternalUser { id, claims: claims.map_err(|_| ExternalUsersError::Answer("has claims that are too large"))? })
}

/// How long the API has, unless something else is set.

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_what_clients_may_be_told() {
        let user =
            read(br#"{"external_id":"42","claims":{"email":"a@example.org","role":"x"},"more":1}"#).expect("good");
        assert_eq!((user.id.as_str(), user.claims.get("email")), ("42", Some(&json!("a@example.org"))));
        assert_eq!(user.claims.get("role"), None);
        assert_eq!(read(br#"{"external_id":"42"}"#).expect("good").claims, UserClaims::default());
        let long = format!(r#"{{"external_id":"{}"}}"#, "x".repeat(256));
        let large = format!(r#"{{"external_id":"1","claims":{{"name":"{}"}}}}"#, "x".repeat(9000));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"external_id":42}"#,
            r#"{"external_id":""}"#,
            r#"{"external_id":"a\n"}"#,
            &long,
            &large,
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
