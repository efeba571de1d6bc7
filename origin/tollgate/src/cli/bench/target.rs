//! The origin that is measured, and its endpoints.

use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::failure::Failure;

/// After this time a request counts as failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Who sends the requests.
pub(super) struct Credentials {
    pub(super) client: String,
    pub(super) secret: Zeroizing<String>,
    /// Empty for all that the client may have.
    pub(super) scope: String,
    /// Name and password, for scenarios with a user.
    pub(super) user: Option<(String, Zeroizing<String>)>,
}

pub(super) struct Target {
    url: String,
    pub(super) http: reqwest::Client,
    pub(super) credentials: Credentials,
}

/// Token response (RFC 6749 section 5.1).
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) access_token: String,
    pub(super) refresh_token: Option<String>,
}

/// Device authorization response (RFC 8628 section 3.2).
#[derive(Deserialize)]
pub(super) struct DeviceAuthorization {
    pub(super) device_code: String,
    pub(super) user_code: String,
}

/// Introspection response (RFC 7662 section 2.2).
#[derive(Deserialize)]
struct Introspection {
    active: bool,
}

impl Target {
    /// `connections`: how many are kept open. HTTP/1.1, because HTTP/2 would send the requests of
    /// all workers over one connection.
    pub(super) fn new(url: &str, credentials: Credentials, connections: usize) -> anyhow::Result<Target> {
        let agent = concat!("tollgate-bench/", env!("CARGO_PKG_VERSION"));
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).user_agent(agent).http1_only();
        let http = http.redirect(reqwest::redirect::Policy::none()).pool_max_idle_per_host(connections);
        let http = http.tcp_nodelay(true).build().context("cannot create an HTTP client")?;
        Ok(Target { url: url.to_owned(), http, credentials })
    }

    /// URL of a path.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(super) async fn client_credentials(&self) -> Result<Tokens, Failure> {
        self.post("/oauth/token", &[("grant_type", "client_credentials"), ("scope", self.credentials.scope.as_str())])
            .await
    }

    pub(super) async fn refresh(&self, token: &str) -> Result<Tokens, Failure> {
        self.post("/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    pub(super) async fn introspect(&self, token: &str) -> Result<(), Failure> {
        let answer: Introspection = self.post("/oauth/introspect", &[("token", token)]).await?;
        if answer.active { Ok(()) } else { Err(Failure::Lacks("an active token")) }
    }

    pub(super) async fn authorize_device(&self) -> Result<DeviceAuthorization, Failure> {
        self.post("/oauth/device/code", &[("scope", self.credentials.scope.as_str())]).await
    }

    pub(super) async fn redeem_device_code(&self, code: &str) -> Result<Tokens, Failure> {
        self.post("/oauth/token", &[("grant_type", DEVICE_GRANT), ("device_code", code)]).await
    }

    /// Posts a form as the client. Empty values are left out.
    async fn post<T: DeserializeOwned>(&self, path: &str, form: &[(&str, &str)]) -> Result<T, Failure> {
        let form: Vec<_> = form.iter().filter(|(_, value)| !value.is_empty()).collect();
        let request = self.http.post(self.at(path)).form(&form);
        let Credentials { client, secret, .. } = &self.credentials;
        let response = request.basic_auth(client, Some(secret.as_str())).send().await?;
        let (status, body) = (response.status().as_u16(), response.bytes().await?);
        match status {
            200 => serde_json::from_slice(&body).map_err(|_| Failure::Lacks("the expected members")),
            status => Err(Failure::of_status(status, &body)),
        }
    }
}
