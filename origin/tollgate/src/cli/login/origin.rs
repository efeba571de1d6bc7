//! Client of an origin: metadata, device authorization, token and revocation endpoints.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tollgate_model::error_chain::with_causes;
use tollgate_model::{IssuerUrl, OutboundUrl, Sender};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_RESPONSE_BYTES: usize = 256 * 1024;
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// An origin with the endpoints of its metadata (RFC 8414).
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

/// Device authorization response (RFC 8628 §3.2).
#[derive(Deserialize)]
pub(super) struct DeviceAuthorization {
    pub(super) device_code: String,
    pub(super) user_code: String,
    pub(super) verification_uri: String,
    pub(super) verification_uri_complete: Option<String>,
    pub(super) expires_in: u64,
    #[serde(default = "default_interval")]
    pub(super) interval: u64,
}

/// RFC 8628 §3.2.
fn default_interval() -> u64 {
    5
}

/// Token response (RFC 6749 §5.1).
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) access_token: String,
    pub(super) refresh_token: Option<String>,
    pub(super) expires_in: Option<u64>,
    pub(super) scope: Option<String>,
}

/// Error response (RFC 6749 §5.2).
#[derive(Deserialize)]
struct ErrorResponse {
    error: String,
    error_description: Option<String>,
}

/// Result of a poll of the token endpoint.
pub(super) enum PollResult {
    /// The user approved.
    Tokens(Tokens),
    /// The user has not decided. Seconds to add to the poll interval.
    Pending(u64),
    /// The origin is unreachable or failed: retry.
    Unavailable(String),
}

impl Origin {
    /// Fetches the metadata of the origin at this URL.
    pub(super) async fn discover(url: &str) -> anyhow::Result<Origin> {
        let invalid_url = || format!("{url} is not the URL of an origin");
        // Tokens are sent over TLS or within this machine.
        url.parse::<OutboundUrl>().with_context(invalid_url)?;
        let issuer = url.parse::<IssuerUrl>().with_context(invalid_url)?.to_string();
        let agent = concat!("tollgate/", env!("CARGO_PKG_VERSION"));
        let no_redirects = reqwest::redirect::Policy::none();
        let http =
            reqwest::Client::builder().timeout(REQUEST_TIMEOUT).redirect(no_redirects).user_agent(agent).build()?;
        let response = http.get(format!("{issuer}/.well-known/openid-configuration")).send().await;
        let response =
            response.map_err(|error| anyhow::anyhow!("{issuer} does not answer: {}", with_causes(&error)))?;
        if !response.status().is_success() {
            bail!("{issuer} responded with {}: check that it is the URL of an origin", response.status());
        }
        let endpoints: Endpoints =
            read(response).await.with_context(|| format!("{issuer} did not respond with the metadata of an origin"))?;
        if endpoints.issuer != issuer {
            bail!("the issuer at {issuer} is {}: log in there", endpoints.issuer);
        }
        // The metadata must not send tokens to another host or over a connection without TLS.
        let (device, token, revoke) =
            (&endpoints.device_authorization_endpoint, &endpoints.token_endpoint, &endpoints.revocation_endpoint);
        if ![device, token, revoke].iter().all(|endpoint| endpoint.starts_with(&format!("{issuer}/"))) {
            bail!("the metadata of {issuer} has endpoints of another issuer");
        }
        Ok(Origin { issuer, http, endpoints })
    }

    /// Requests device and user codes (RFC 8628 §3.1).
    pub(super) async fn authorize_device(&self, client_id: &str, scope: &str) -> anyhow::Result<DeviceAuthorization> {
        let device = device_name();
        let mut form = vec![("client_id", client_id), ("scope", scope), ("device_name", &device)];
        form.retain(|(_, value)| !value.is_empty());
        match self.post(&self.endpoints.device_authorization_endpoint, &form).await? {
            Ok(authorization) => Ok(authorization),
            Err(response) if response.error == "invalid_client" => bail!(
                "public client {client_id} does not exist at {}. An administrator registers it with\n  tollgate client create --id \
                 {client_id} --name \"Tollgate CLI\" --public --grant device_code --grant refresh_token --scope \"…\"",
                self.issuer
            ),
            Err(response) => Err(response.into_error()),
        }
    }

    /// Polls for the tokens (RFC 8628 §3.4).
    pub(super) async fn poll(&self, client_id: &str, device_code: &str) -> anyhow::Result<PollResult> {
        let form = [("grant_type", DEVICE_GRANT), ("client_id", client_id), ("device_code", device_code)];
        match self.post(&self.endpoints.token_endpoint, &form).await {
            Err(error) => Ok(PollResult::Unavailable(with_causes(error.as_ref()))),
            Ok(Ok(tokens)) => Ok(PollResult::Tokens(tokens)),
            Ok(Err(response)) => match response.error.as_str() {
                "authorization_pending" => Ok(PollResult::Pending(0)),
                "slow_down" => Ok(PollResult::Pending(5)),
                "access_denied" => bail!("the request was denied in the browser"),
                "expired_token" => bail!("the code expired before it was entered"),
                _ => Err(response.into_error()),
            },
        }
    }

    /// Refreshes the tokens (RFC 6749 §6).
    pub(super) async fn refresh(&self, client_id: &str, refresh_token: &str) -> anyhow::Result<Tokens> {
        let form = [("grant_type", "refresh_token"), ("client_id", client_id), ("refresh_token", refresh_token)];
        self.post(&self.endpoints.token_endpoint, &form).await?.map_err(ErrorResponse::into_error)
    }

    /// Revokes a token (RFC 7009).
    pub(super) async fn revoke(&self, client_id: &str, token: &str) -> anyhow::Result<()> {
        let form = [("client_id", client_id), ("token", token)];
        let response = self.http.post(&self.endpoints.revocation_endpoint).form(&form).send().await;
        let response = response.map_err(|error| anyhow::anyhow!("{}", with_causes(&error.without_url())))?;
        match response.status().is_success() {
            true => Ok(()),
            false => bail!("{} responded with {}", self.issuer, response.status()),
        }
    }

    async fn post<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        form: &[(&str, &str)],
    ) -> anyhow::Result<Result<T, ErrorResponse>> {
        let response = self.http.post(endpoint).form(form).send().await;
        let response =
            response.map_err(|error| anyhow::anyhow!("{} does not answer: {}", self.issuer, with_causes(&error)))?;
        let status = response.status();
        if status.is_success() {
            return read(response).await.map(Ok);
        }
        if status.is_client_error()
            && status != reqwest::StatusCode::TOO_MANY_REQUESTS
            && let Ok(error) = read(response).await
        {
            return Ok(Err(error));
        }
        bail!("{} responded with {status}", self.issuer)
    }
}

impl ErrorResponse {
    fn into_error(self) -> anyhow::Error {
        match self.error_description {
            Some(description) => anyhow::anyhow!("the origin rejected the request: {description} ({})", self.error),
            None => anyhow::anyhow!("the origin rejected the request: {}", self.error),
        }
    }
}

/// Reads a JSON response of limited size.
async fn read<T: DeserializeOwned>(mut response: reqwest::Response) -> anyhow::Result<T> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| anyhow::anyhow!("{}", with_causes(&error)))? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_RESPONSE_BYTES {
            bail!("the response is longer than {MAX_RESPONSE_BYTES} bytes");
        }
    }
    // The error does not quote the response, which may contain tokens.
    serde_json::from_slice(&body).map_err(|_| anyhow::anyhow!("the response is not the expected JSON"))
}

/// The host name, by which users recognize this machine among their sessions.
fn device_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
    Sender::new(None, None, host.as_deref()).device.unwrap_or_default()
}
