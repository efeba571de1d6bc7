//! A confidential client that gets tokens by the client credentials grant, uses them at edges and
//! revokes them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::Response;
use serde_json::Value;

use crate::origin::TestOrigin;

/// Longest wait for an edge to answer with the expected status, on a busy machine. No test depends
/// on its length.
const STATUS_TIMEOUT: Duration = Duration::from_secs(30);

/// A confidential client, registered by the CLI.
pub struct ServiceClient {
    /// HTTP client that follows no redirects.
    pub http: reqwest::Client,
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: String,
    origin: String,
}

impl ServiceClient {
    /// Registers a client with the CLI. `options`: further options of `tollgate client create`.
    pub fn register(origin: &TestOrigin, name: &str, options: &[&str]) -> Result<Self> {
        let created = origin.cli(&[&["client", "create", "--json", "--name", name], options].concat())?;
        Self::from_cli_output(&origin.server.url(), &created)
    }

    /// Reads the output of `tollgate client create --json`. `origin`: base URL of the origin.
    pub fn from_cli_output(origin: &str, created: &str) -> Result<Self> {
        let created: Value = serde_json::from_str(created)?;
        let text = |member: &str| {
            created[member].as_str().map(str::to_owned).with_context(|| format!("no {member} in {created}"))
        };
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { http, id: text("client_id")?, secret: text("client_secret")?, origin: origin.to_owned() })
    }

    /// Gets a token by the client credentials grant.
    pub async fn token(&self, scope: &str) -> Result<String> {
        let answer = self.post("/oauth/token", &[("grant_type", "client_credentials"), ("scope", scope)]).await?;
        let status = answer.status();
        let body: Value = answer.json().await?;
        ensure!(status == 200, "the token endpoint answered {status}: {body}");
        Ok(body["access_token"].as_str().context("an access token")?.to_owned())
    }

    /// Posts a form to the origin, authenticated by HTTP Basic.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<Response> {
        let request = self.http.post(format!("{}{path}", self.origin)).basic_auth(&self.id, Some(&self.secret));
        Ok(request.form(form).send().await?)
    }

    /// Revokes a token (RFC 7009).
    pub async fn revoke(&self, token: &str) -> Result<()> {
        let answer = self.post("/oauth/revoke", &[("token", token)]).await?;
        ensure!(answer.status() == 200, "the revocation endpoint answered {}", answer.status());
        Ok(())
    }

    /// Introspects a token (RFC 7662).
    pub async fn introspect(&self, token: &str) -> Result<Value> {
        Ok(self.post("/oauth/introspect", &[("token", token)]).await?.json().await?)
    }

    /// Status of a GET with this bearer token.
    pub async fn status(&self, url: &str, token: &str) -> Result<u16> {
        Ok(self.http.get(url).bearer_auth(token).send().await?.status().as_u16())
    }

    /// Repeats the request until it is answered with `wanted`, and returns how long that took.
    pub async fn wait_for_status(&self, url: &str, token: &str, wanted: u16) -> Result<Duration> {
        let started = Instant::now();
        loop {
            let status = self.status(url, token).await?;
            if status == wanted {
                return Ok(started.elapsed());
            }
            ensure!(started.elapsed() < STATUS_TIMEOUT, "{url} still answers {status} and not {wanted}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
