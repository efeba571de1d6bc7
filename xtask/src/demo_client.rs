//! An OAuth client that gets a token, calls the protected API through an edge and revokes the
//! token; and health checks.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::Agent;

use crate::process::{Process, poll_delay};

/// Path of the API that the client calls.
pub(crate) const PATH: &str = "/reports/7";
/// Scope that the path requires.
pub(crate) const SCOPE: &str = "reports:read";

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A client registered at `origin`.
pub(crate) struct DemoClient {
    agent: Agent,
    pub(crate) origin: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
}

impl DemoClient {
    pub(crate) fn new(origin: &str, client_id: &str, client_secret: &str) -> Self {
        let [origin, client_id, client_secret] = [origin, client_id, client_secret].map(str::to_owned);
        Self { agent: agent(), origin, client_id, client_secret }
    }

    /// Gets an access token by the client credentials grant.
    pub(crate) fn token(&self) -> Result<String> {
        let (status, body) = self.post("/oauth/token", &[("grant_type", "client_credentials"), ("scope", SCOPE)])?;
        let token =
            serde_json::from_str::<Value>(&body).ok().and_then(|json| Some(json["access_token"].as_str()?.to_owned()));
        token.filter(|_| status == 200).with_context(|| format!("no token: the origin answered {status}: {body}"))
    }

    /// Revokes the token; returns when the origin has acknowledged it.
    pub(crate) fn revoke(&self, token: &str) -> Result<()> {
        match self.post("/oauth/revoke", &[("token", token)])? {
            (200, _) => Ok(()),
            (status, body) => bail!("not revoked: the origin answered {status}: {body}"),
        }
    }

    /// Calls the API through an edge and returns the status.
    pub(crate) fn call(&self, edge: &str, token: &str) -> Result<u16> {
        let request = self.agent.get(format!("{edge}{PATH}")).header("Authorization", format!("Bearer {token}"));
        Ok(request.call().with_context(|| format!("no response from the edge at {edge}"))?.status().as_u16())
    }

    /// Calls until the status is `expected` and returns the time that took; fails after `timeout`.
    pub(crate) fn call_until(&self, edge: &str, token: &str, expected: u16, timeout: Duration) -> Result<Duration> {
        let start = Instant::now();
        loop {
            let status = self.call(edge, token)?;
            let elapsed = start.elapsed();
            if status == expected {
                return Ok(elapsed);
            }
            if elapsed > timeout {
                bail!("status {status} after {} ms, expected {expected}", timeout.as_millis());
            }
            poll_delay()?;
        }
    }

    fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<(u16, String)> {
        let own = [("client_id", self.client_id.as_str()), ("client_secret", self.client_secret.as_str())];
        let form = own.into_iter().chain(form.iter().copied());
        let mut response =
            self.agent.post(format!("{}{path}", self.origin)).send_form(form).context("no response from the origin")?;
        Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
    }
}

/// Waits until `url` answers 200; fails when the process ends or after `timeout`.
pub(crate) fn wait_healthy(process: &mut Process, url: &str, timeout: Duration) -> Result<()> {
    let (agent, start) = (agent(), Instant::now());
    loop {
        process.check_alive()?;
        let last = match agent.get(url).call() {
            Ok(response) if response.status() == 200 => return Ok(()),
            Ok(mut response) => {
                format!("{} {}", response.status(), response.body_mut().read_to_string().unwrap_or_default())
            }
            Err(error) => error.to_string(),
        };
        if start.elapsed() > timeout {
            bail!("{} is not up after {} s ({url}: {last})\n{}", process.name, timeout.as_secs(), process.log_tail());
        }
        poll_delay()?;
    }
}

fn agent() -> Agent {
    let config =
        Agent::config_builder().http_status_as_error(false).max_redirects(0).timeout_global(Some(REQUEST_TIMEOUT));
    config.build().into()
}
