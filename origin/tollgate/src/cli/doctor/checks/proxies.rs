//! Whether the origin sees the address of its clients, or that of a proxy.
//!
//! The check authenticates as a client that does not exist, with a forged `X-Forwarded-For`. The
//! origin records the address in its audit log, where the check reads it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::sleep;
use tollgate_model::encoding::base64url;
use tollgate_model::{AuditAction, AuditEntry, AuditFilter, AuditKind};
use tollgate_storage::{Store, StoreError};
use tollgate_system::rng;

use super::dns::host_and_port;
use super::{Deployment, Finding};
use crate::cli::doctor::http;

/// The forged address of the client: no machine has it (RFC 5737).
const FORGED: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77));
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The origin records the entry before it responds; another origin's database may be a standby.
const MAX_POLLS: usize = 20;

pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let mut findings = Vec::from_iter(missing_setting(deployment));
    let Some(store) = &deployment.store else {
        findings.push(Finding::skipped("the database, where the origin records addresses, cannot be read: see above"));
        return findings;
    };
    let seen = match recorded_address(deployment, store).await {
        Ok(Some(seen)) => seen,
        Ok(None) => {
            findings.push(Finding::skipped(
                "the address that the origin sees is not known: it does not answer, uses another database, or records \
                 other failures now",
            ));
            return findings;
        }
        Err(error) => {
            findings.push(Finding::skipped(format!("the audit log cannot be read: {error}")));
            return findings;
        }
    };
    findings.push(judge(deployment, seen, own_address(&deployment.url).await));
    findings
}

/// A proxy that terminates TLS must be there, and is not named.
fn missing_setting(deployment: &Deployment) -> Option<Finding> {
    let settings = &deployment.settings;
    let has_proxy = deployment.issuer.starts_with("https://") && settings.tls.is_none();
    (has_proxy && settings.grants.trusted_proxies.is_empty()).then(|| {
        Finding::warning(
            "the public URL is https, the origin serves http, and TOLLGATE_TRUSTED_PROXIES is not set",
            "All clients have the address of the proxy: they share one rate limit, and the audit log names the proxy.",
            "Name the addresses of the proxy in TOLLGATE_TRUSTED_PROXIES.",
        )
    })
}

fn judge(deployment: &Deployment, seen: IpAddr, own: Option<IpAddr>) -> Finding {
    let proxies = &deployment.settings.grants.trusted_proxies;
    let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    match (seen, own) {
        (FORGED, Some(own)) if is_proxy(own) => Finding::skipped(format!(
            "this machine ({own}) is a trusted proxy itself: run `tollgate doctor --url …` on another one to check the proxy"
        )),
        (FORGED, _) => Finding::fault(
            "the origin believes the X-Forwarded-For that a client sends",
            "Clients choose the address by which they are limited and audited.",
            "Let the proxy append the client's address to X-Forwarded-For, or replace the header.",
        ),
        (seen, _) if is_proxy(seen) => Finding::fault(
            format!("the origin sees the address of the proxy {seen} instead of the client's"),
            "All clients share one rate limit, and the audit log names the proxy.",
            "Let the proxy send X-Forwarded-For. A load balancer that cannot does not belong in TOLLGATE_TRUSTED_PROXIES.",
        ),
        (seen, Some(own)) if own == seen => Finding::ok(format!("the origin sees the client's own address, {seen}")),
        (seen, own) => {
            let own = own.map_or_else(|| "an unknown address".to_owned(), |own| own.to_string());
            Finding::warning(
                format!("the origin sees the address {seen}, and this machine connects from {own}"),
                "Either the network translates addresses, or a proxy in front of the origin is not trusted.",
                &format!("If {seen} is a proxy of yours, name it in TOLLGATE_TRUSTED_PROXIES."),
            )
        }
    }
}

/// The address in the audit entry of a failed authentication that this function causes. None if
/// there is not exactly one new entry.
async fn recorded_address(deployment: &Deployment, store: &Store) -> Result<Option<IpAddr>, StoreError> {
    let newest = AuditFilter { newest_first: true, limit: Some(1), ..AuditFilter::default() };
    let before = store.list_audit_entries(&newest).await?.first().map_or(0, |entry| entry.number);
    let Ok(random) = rng::random::<12>() else { return Ok(None) };
    let client = format!("tollgate-doctor-{}", base64url(&random));
    let form = [("grant_type", "client_credentials")];
    let request = deployment.http.post(format!("{}/oauth/token", deployment.url));
    let request = request.basic_auth(client, Some("none")).header("x-forwarded-for", FORGED.to_string()).form(&form);
    if http::send(request, &deployment.clock).await.is_err() {
        return Ok(None);
    }
    let failures = AuditFilter {
        kind: Some(AuditKind::CLIENT),
        action: Some(AuditAction::RefuseClient),
        target: Some("unknown".to_owned()),
        after: Some(before),
        ..AuditFilter::default()
    };
    for _ in 0..MAX_POLLS {
        match store.list_audit_entries(&failures).await?.as_slice() {
            [] => sleep(POLL_INTERVAL).await,
            [entry] => return Ok(address(entry)),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// The address in `from ADDRESS` or `from ADDRESS; more text`.
fn address(entry: &AuditEntry) -> Option<IpAddr> {
    entry.reason.as_ref()?.strip_prefix("from ")?.split([' ', ';']).next()?.parse().ok()
}

/// The address from which this machine connects to a URL. Nothing is sent.
async fn own_address(url: &str) -> Option<IpAddr> {
    let (host, port) = host_and_port(url)?;
    let any = if host.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect((host.as_str(), port)).await.ok()?;
    Some(socket.local_addr().ok()?.ip().to_canonical())
}
