//! Whether the host of the public URL has an address.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::{Deployment, Finding};

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let issuer = &deployment.issuer;
    let mut findings = Vec::new();
    if deployment.settings.public_url.is_none() {
        findings.push(Finding::warning(
            "TOLLGATE_PUBLIC_URL is not set",
            "The issuer is the address listened on, which other machines may not reach. It can never change later.",
            "Set it to the URL by which clients reach the origin, before the first start.",
        ));
    }
    let Some((host, port)) = host_and_port(issuer) else {
        findings.push(Finding::skipped(format!("{issuer} has no host")));
        return findings;
    };
    if host.parse::<IpAddr>().is_ok() {
        findings.push(Finding::skipped(format!("{issuer} has an address instead of a name")));
        return findings;
    }
    let missing = |problem: &str| {
        Finding::fault(
            format!("{host} has no address: {problem}"),
            "Clients and edges cannot find the origin.",
            "Create the DNS record of this name, or correct TOLLGATE_PUBLIC_URL.",
        )
    };
    findings.push(match timeout(LOOKUP_TIMEOUT, lookup_host((host.as_str(), port))).await {
        Ok(Ok(found)) => {
            let mut addresses: Vec<String> = found.map(|address| address.ip().to_string()).collect();
            addresses.dedup();
            Finding::ok(format!("{host} has the address {}", addresses.join(", ")))
        }
        Ok(Err(error)) => missing(&error.to_string()),
        Err(_) => missing("the name server does not answer"),
    });
    findings
}

/// Host and port of a URL, the host without brackets.
pub(super) fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    Some((host, url.port_or_known_default()?))
}
