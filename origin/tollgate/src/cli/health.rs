//! `tollgate health`: asks a running origin whether it can serve requests. For health checks of
//! containers, whose images contain no other HTTP client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;
use tollgate_config::{Settings, Sources};
use tollgate_model::error_chain::with_causes;

use super::CommonFlags;
use super::output::Output;

/// Longer than the origin takes to check its parts.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Ask the origin on this machine whether it can serve requests; exit code 1 if not
///
/// The address is that of TOLLGATE_LISTEN. With TLS, the certificate is not verified: it names the
/// public host, not this machine.
#[derive(Debug, clap::Args)]
pub(super) struct HealthFlags {
    /// Only check that the process answers
    #[arg(long)]
    live: bool,
}

#[derive(Serialize)]
struct HealthView {
    status: &'static str,
    url: String,
}

impl HealthFlags {
    pub(super) fn run(self, common: &CommonFlags, output: &Output) -> anyhow::Result<()> {
        let sources = Sources::read(common.settings.settings(), common.config.as_deref())?;
        let url = self.url(&Settings::from_sources(&sources)?)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(check(&url))?;
        output.print(&HealthView { status: "ok", url }, |view| format!("{}: {}", view.url, view.status))
    }

    fn url(&self, settings: &Settings) -> anyhow::Result<String> {
        ensure!(settings.listen.port() != 0, "TOLLGATE_LISTEN has port 0: its port is not known");
        let path = if self.live { "/health/live" } else { "/health/ready" };
        Ok(format!("{}{path}", settings.url(reachable(settings.listen))))
    }
}

/// The address at which a server that listens on `listen` can be reached from this machine.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let loopback = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(loopback, listen.port())
}

async fn check(url: &str) -> anyhow::Result<()> {
    // Fails if a provider is already installed, which is then used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // Sends no secret, and only learns what anyone may know who reaches this machine.
        .tls_danger_accept_invalid_certs(true)
        .build()
        .context("cannot create an HTTP client")?;
    match http.get(url).send().await {
        Ok(response) if response.status() == reqwest::StatusCode::OK => Ok(()),
        Ok(response) => bail!("{url} responded with {}", response.status()),
        Err(error) => bail!("{url} does not answer: {}", with_causes(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcard_addresses_are_reached_by_loopback() {
        let url = |listen: &str, live: bool| {
            let settings = Settings::from_pairs([("TOLLGATE_LISTEN", listen)]).expect("valid settings");
            HealthFlags { live }.url(&settings).map_err(|error| error.to_string())
        };
        assert_eq!(url("0.0.0.0:8080", false), Ok("http://127.0.0.1:8080/health/ready".to_owned()));
        assert_eq!(url("[::]:8080", true), Ok("http://[::1]:8080/health/live".to_owned()));
        assert_eq!(url("10.0.0.7:80", true), Ok("http://10.0.0.7:80/health/live".to_owned()));
        assert!(url("127.0.0.1:0", true).is_err());
    }
}
