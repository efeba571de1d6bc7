//! The road a token takes, as a client walks it: get one, call the API through an edge, revoke it, be refused. And how each
//! part is asked whether it is up.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::Agent;

use crate::process::{Process, pause};

/// What the demo's client asks for, as one path of the API.
pub(crate) const PATH: &str = "/reports/7";
/// What that path needs.
pub(crate) const SCOPE: &str = "reports:read";

/// A registered client and the origin it is registered at.
pub(crate) struct Road {
    agent: Agent,
    pub(crate) origin: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
}

impl Road {
    pub(crate) fn new(origin: &str, client_id: &str, client_secret: &str) -> Self {
        let [origin, client_id, client_secret] = [origin, client_id, client_secret].map(str::to_owned);
        Self { agent: agent(), origin, client_id, client_secret }
    }

    /// A fresh access token by the client-credentials grant.
    pub(crate) fn token(&self) -> Result<String> {
        let (status, body) = self.post("/oauth/token", &[("grant_type", "client_credentials"), ("scope", SCOPE)])?;
        let token =
            serde_json::from_str::<Value>(&body).ok().and_then(|json| Some(json["access_token"].as_str()?.to_owned()));
        token.filter(|_| status == 200).with_context(|| format!("no token: the origin answered {status}: {body}"))
    }

    /// Revokes the token; when this returns, the origin has acknowledged it.
    pub(crate) fn revoke(&self, token: &str) -> Result<()> {
        match self.post("/oauth/revoke", &[("token", token)])? {
            (200, _) => Ok(()),
            (status, body) => bail!("not revoked: the origin answered {status}: {body}"),
        }
    }

    /// Calls the API through an edge; the answer's status.
    pub(crate) fn call(&self, edge: &str, token: &str) -> Result<u16> {
        let request = self.agent.get(format!("{edge}{PATH}")).header("Authorization", format!("Bearer {token}"));
        Ok(request.call().with_context(|| format!("the edge at {edge} does not answer"))?.status().as_u16())
    }

    /// Calls until the answer is `wanted`; the time that took.
    pub(crate) fn call_until(&self, edge: &str, token: &str, wanted: u16, limit: Duration) -> Result<Duration> {
        let start = Instant::now();
        loop {
            let status = self.call(edge, token)?;
            let elapsed = start.elapsed();
            if status == wanted {
                return Ok(elapsed);
            }
            if elapsed > limit {
                bail!("{wanted} wanted within {} ms, still {status}", limit.as_millis());
            }
            pause()?;
        }
    }

    fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<(u16, String)> {
        let own = [("client_id", self.client_id.as_str()), ("client_secret", self.client_secret.as_str())];
        let form = own.into_iter().chain(form.iter().copied());
        let mut answer =
            self.agent.post(format!("{}{path}", self.origin)).send_form(form).context("the origin does not answer")?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
    }
}

/// Waits until `url` answers 200; an error if the process ends or `limit` passes first.
pub(crate) fn wait_healthy(process: &mut Process, url: &str, limit: Duration) -> Result<()> {
    let (agent, start) = (agent(), Instant::now());
    loop {
        process.check_alive()?;
        let last = match agent.get(url).call() {
            Ok(answer) if answer.status() == 200 => return Ok(()),
            Ok(mut answer) => format!("{} {}", answer.status(), answer.body_mut().read_to_string().unwrap_or_default()),
            Err(error) => error.to_string(),
        };
        if start.elapsed() > limit {
            bail!("{} is not up after {} s ({url}: {last})\n{}", process.name, limit.as_secs(), process.last_words());
        }
        pause()?;
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(10)));
    config.build().into()
}
