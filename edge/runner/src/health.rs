//! `tollgate-edge health`: asks a running edge whether its replica is fresh enough for decisions.
//! For health checks of containers, whose images contain no other HTTP client.

use crate::settings::{parse_address, parse_listen};
use crate::{SettingError, Sources, StartError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the edge on this machine, and returns the URL that answered with 200. Without a listener
/// for operators (`TOLLGATE_EDGE_ADMIN_LISTEN`), that of clients is asked.
///
/// # Errors
/// If the setting is invalid, or the edge does not answer with 200.
pub async fn check_health(sources: &Sources) -> Result<String, StartError> {
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = url(sources)?;
    let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).no_proxy();
    // The certificate names the edge's host, not this address, and only this machine answers.
    let client = client.tls_danger_accept_invalid_certs(true);
    let client = client.build().map_err(|error| StartError::Failed(error.to_string()))?;
    match client.get(&url).send().await {
        Ok(response) if response.status() == 200 => Ok(url),
        Ok(response) => Err(StartError::Failed(format!("{url} responded with {}", response.status()))),
        Err(error) => Err(StartError::Failed(format!("{url} does not answer: {error}"))),
    }
}

fn url(sources: &Sources) -> Result<String, SettingError> {
    let (name, listen, path) = match sources.get("TOLLGATE_EDGE_ADMIN_LISTEN") {
        Some(listen) => ("TOLLGATE_EDGE_ADMIN_LISTEN", parse_address("TOLLGATE_EDGE_ADMIN_LISTEN", &listen)?, "/ready"),
        None => ("TOLLGATE_EDGE_LISTEN", parse_listen(sources.get("TOLLGATE_EDGE_LISTEN"))?, "/_tollgate/health"),
    };
    if listen.port() == 0 {
        return Err(SettingError::new(name, "has port 0: its port is not known"));
    }
    let is_https = path != "/ready" && sources.get("TOLLGATE_EDGE_TLS_CERTIFICATE").is_some();
    Ok(format!("{}://{}{path}", if is_https { "https" } else { "http" }, reachable(listen)))
}

/// The address at which a server that listens on `listen` can be reached from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(address, listen.port())
}
