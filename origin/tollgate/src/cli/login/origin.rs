//! What the command line asks an origin over the network.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tollgate_model::error_chain::with_causes;
use tollgate_model::{IssuerUrl, OutboundUrl, Sender};

const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of an answer at most.
const MAX_BYTES: usize = 256 * 1024;
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// An origin, by what it says of itself (RFC 8414).
pub(super) struct Origin {
    pub(super) issuer: String,
    http: reqwest::Client,
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    issuer: String,
    device_authorization_endpoint: String,
    token_endpoint: String,
    revocation_endpoint: String,
}

/// The codes of a device (RFC 8628 §3.2).
#[derive(Deserialize)]
pub(super) struct Asked {
    pub(super) device_code: String,
    pub(super) user_code: String,
    pub(super) verification_uri: String,
    pub(super) verification_uri_complete: Option<String>,
    pub(super) expires_in: u64,
    #[serde(default = "five")]
    pub(super) interval: u64,
}

fn five() -> u64 {
    5
}

/// Tokens (RFC 6749 §5.1).
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) access_token: String,
    pub(super) refresh_token: Option<String>,
    pub(super) expires_in: Option<u64>,
    pub(super) scope: Option<String>,
}

/// RFC 6749 §5.2
#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

/// What a poll is told.
pub(super) enum Polled {
    /// The user agreed.
    Tokens(Tokens),
    /// The user has not decided; by how many seconds the interval grows.
    Later(u64),
    /// The origin could not be reached, or could not answer: it is worth another try.
    Away(String),
}

impl Origin {
    /// Asks the origin at this URL what it offers.
    pub(super) async fn discover(url: &str) -> anyhow::Result<Origin> {
        let wrong = || format!("{url} is not the URL of an origin");
        // Tokens travel over TLS, or not beyond this machine.
        url.parse::<OutboundUrl>().with_context(wrong)?;
        let issuer = url.parse::<IssuerUrl>().with_context(wrong)?.to_string();
        let agent = concat!("tollgate/", env!("CARGO_PKG_VERSION"));
        let none = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().timeout(PATIENCE).redirect(none).user_agent(agent).build()?;
        let answer = http.get(format!("{issuer}/.well-known/openid-configuration")).send().await;
        let answer = answer.map_err(|error| anyhow::anyhow!("{issuer} does not answer: {}", with_causes(&error)))?;
        if !answer.status().is_success() {
            bail!("{issuer} answers {}: is it the URL of an origin?", answer.status());
        }
        let endpoints: Endpoints = read(answer).await.with_context(|| format!("{issuer} is not an origin"))?;
        if endpoints.issuer != issuer {
            bail!("{issuer} calls itself {}: log in there", endpoints.issuer);
        }
        // What it says of itself must not lead the tokens elsewhere, nor over an open line.
        let (device, token, revoke) =
            (&endpoints.device_authorization_endpoint, &endpoints.token_endpoint, &endpoints.revocation_endpoint);
        if ![device, token, revoke].iter().all(|endpoint| endpoint.starts_with(&format!("{issuer}/"))) {
            bail!("{issuer} names endpoints elsewhere");
        }
        Ok(Origin { issuer, http, endpoints })
    }

    /// Asks for a device's codes.
    pub(super) async fn ask(&self, client_id: &str, scope: &str) -> anyhow::Result<Asked> {
        let device = device_name();
        let mut form = vec![("client_id", client_id), ("scope", scope), ("device_name", &device)];
        form.retain(|(_, value)| !value.is_empty());
        match self.post(&self.endpoints.device_authorization_endpoint, &form).await? {
            Ok(asked) => Ok(asked),
            Err(refusal) if refusal.error == "invalid_client" => bail!(
                "there is no public client {client_id} at {}. Its operator registers one by\n  tollgate client create --id \
                 {client_id} --name \"Tollgate CLI\" --public --grant device_code --grant refresh_token --scope \"…\"",
                self.issuer
            ),
            Err(refusal) => Err(refusal.told()),
        }
    }

    /// Asks whether the user agreed (RFC 8628 §3.4).
    pub(super) async fn poll(&self, client_id: &str, device_code: &str) -> anyhow::Result<Polled> {
        let form = [("grant_type", DEVICE_GRANT), ("client_id", client_id), ("device_code", device_code)];
        match self.post(&self.endpoints.token_endpoint, &form).await {
            Err(error) => Ok(Polled::Away(with_causes(error.as_ref()))),
            Ok(Ok(tokens)) => Ok(Polled::Tokens(tokens)),
            Ok(Err(refusal)) => match refusal.error.as_str() {
                "authorization_pending" => Ok(Polled::Later(0)),
                "slow_down" => Ok(Polled::Later(5)),
                "access_denied" => bail!("the request was denied in the browser"),
                "expired_token" => bail!("the code expired before anybody typed it"),
                _ => Err(refusal.told()),
            },
        }
    }

    /// Takes new tokens for a refresh token (RFC 6749 §6).
    pub(super) async fn refresh(&self, client_id: &str, refresh_token: &str) -> anyhow::Result<Tokens> {
        let form = [("grant_type", "refresh_token"), ("client_id", client_id), ("refresh_token", refresh_token)];
        self.post(&self.endpoints.token_endpoint, &form).await?.map_err(Refusal::told)
    }

    /// Gives a token back (RFC 7009).
    pub(super) async fn revoke(&self, client_id: &str, token: &str) -> anyhow::Result<()> {
        let form = [("client_id", client_id), ("token", token)];
        let answer = self.http.post(&self.endpoints.revocation_endpoint).form(&form).send().await;
        let answer = answer.map_err(|error| anyhow::anyhow!("{}", with_causes(&error.without_url())))?;
        match answer.status().is_success() {
            true => Ok(()),
            false => bail!("{} answers {}", self.issuer, answer.status()),
        }
    }

    async fn post<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        form: &[(&str, &str)],
    ) -> anyhow::Result<Result<T, Refusal>> {
        let answer = self.http.post(endpoint).form(form).send().await;
        let answer =
            answer.map_err(|error| anyhow::anyhow!("{} does not answer: {}", self.issuer, with_causes(&error)))?;
        let status = answer.status();
        if status.is_success() {
            return read(answer).await.map(Ok);
        }
        if status.is_client_error()
            && status != reqwest::StatusCode::TOO_MANY_REQUESTS
            && let Ok(refusal) = read(answer).await
        {
            return Ok(Err(refusal));
        }
        bail!("{} answers {status}", self.issuer)
    }
}

impl Refusal {
    fn told(self) -> anyhow::Error {
        match self.error_description {
            Some(description) => anyhow::anyhow!("the origin refuses: {description} ({})", self.error),
            None => anyhow::anyhow!("the origin refuses: {}", self.error),
        }
    }
}

/// Reads an answer that is not too long to be one.
async fn read<T: DeserializeOwned>(mut answer: reqwest::Response) -> anyhow::Result<T> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| anyhow::anyhow!("{}", with_causes(&error)))? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            bail!("the answer is too long");
        }
    }
    // Its text is not told: there may be tokens in it.
    serde_json::from_slice(&body).map_err(|_| anyhow::anyhow!("the answer cannot be understood"))
}

/// What this machine calls itself, so that its user knows it among their sessions.
fn device_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
    Sender::new(None, None, host.as_deref()).device.unwrap_or_default()
}
