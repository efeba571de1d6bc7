//! Sends a request to one of an upstream's addresses, and to another one if that fails.

use super::client::{Client, Clients, HttpVersions};
use super::health_checks;
use super::outgoing::Outgoing;
use super::target::{Lease, Target};
use super::target_pool::{Chosen, TargetPool, Tried};
use crate::error_chain::cause;
use crate::response::BodyError;
use crate::settings::{UpstreamSettings, UpstreamTimeouts, UpstreamUrl};
use http::StatusCode;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use std::collections::BTreeMap;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

/// Addresses that get a request one after the other.
const MAX_ATTEMPTS: usize = 3;

/// The upstreams of one version of the settings.
pub(super) struct UpstreamSet {
    default: TargetPool,
    named: BTreeMap<String, TargetPool>,
    clients: Clients,
    settings: UpstreamSettings,
    _health_checks: Vec<AbortOnDropHandle<()>>,
}

/// A response that has begun.
pub(super) struct Sent {
    pub(super) response: http::Response<Incoming>,
    /// Held until the response has ended.
    pub(super) lease: Option<Lease>,
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum SendError {
    /// The request's target is no path.
    InvalidTarget,
    /// The upstream cannot be reached.
    Failed(legacy::Error),
    /// The client's body failed.
    Body(BodyError),
    /// The upstream did not answer in time.
    TimedOut,
}

impl UpstreamSet {
    /// Starts the health checks, within a tokio runtime.
    pub(super) fn new(settings: &UpstreamSettings) -> UpstreamSet {
        let clients = Clients::new(&settings.timeouts);
        let default = TargetPool::new(&settings.default, settings.ejection);
        let pool =
            |(name, urls): (&String, &Vec<UpstreamUrl>)| (name.clone(), TargetPool::new(urls, settings.ejection));
        let named: BTreeMap<String, TargetPool> = settings.named.iter().map(pool).collect();
        let mut health_checks = Vec::new();
        if let Some(checks) = &settings.health_checks {
            let targets = named.values().chain([&default]).flat_map(TargetPool::targets);
            health_checks.extend(targets.map(|target| health_checks::start(target, &clients, checks)));
        }
        UpstreamSet { default, named, clients, settings: settings.clone(), _health_checks: health_checks }
    }

    pub(super) fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    pub(super) fn timeouts(&self) -> &UpstreamTimeouts {
        &self.settings.timeouts
    }

    /// The upstream of this name, or of routes that name none.
    pub(super) fn pool(&self, name: Option<&str>) -> Option<&TargetPool> {
        name.map_or(Some(&self.default), |name| self.named.get(name))
    }

    /// Sends the request. Sends it to another address, within the budget for retries, if no
    /// connection could be opened, or if the request is idempotent and nothing of its body was sent
    /// when the connection broke or the upstream answered 502 or 503.
    pub(super) async fn send(
        &self,
        pool: &TargetPool,
        outgoing: &mut Outgoing,
        timeout: Duration,
    ) -> Result<Sent, SendError> {
        pool.retries.deposit();
        let (mut tried, mut attempts) = (Tried::default(), 1);
        let Some(mut chosen) = pool.choose(&mut tried) else { return Err(SendError::TimedOut) };
        loop {
            let has_others = attempts < MAX_ATTEMPTS && pool.targets().len() > attempts;
            let result = self.send_to(&chosen.target, outgoing, timeout, has_others).await;
            // One address has no record: there is no other to prefer.
            if chosen.lease.is_some()
                && let Some(has_succeeded) = has_succeeded(&result)
            {
                chosen.target.record(has_succeeded);
            }
            let next = match has_others && may_be_sent_again(outgoing, &result) {
                true => pool.choose(&mut tried).filter(|_| pool.retries.withdraw()),
                false => None,
            };
            let Chosen { lease, .. } = chosen;
            match next {
                Some(next) => (chosen, attempts) = (next, attempts + 1),
                None => return result.map(|response| Sent { response, lease }),
            }
        }
    }

    /// Sends the request to one address. If that has closed the pooled connection meanwhile, an
    /// idempotent request of whose body nothing was sent is sent again on a new connection (RFC
    /// 9110 section 9.2.2).
    async fn send_to(
        &self,
        target: &Target,
        outgoing: &mut Outgoing,
        timeout: Duration,
        has_others: bool,
    ) -> Result<http::Response<Incoming>, SendError> {
        let (url, is_idempotent) = (&target.url, outgoing.method.is_idempotent());
        // Only connections of HTTP/1.1 can be upgraded, and then are not used again.
        let client = match outgoing.is_upgrade {
            true => self.clients.unpooled(HttpVersions::Http1),
            false => self.clients.pooled(url.versions),
        };
        let result = attempt(client, url, outgoing, timeout, is_idempotent || has_others).await;
        match result {
            Err(SendError::Failed(error))
                if is_idempotent
                    && !outgoing.is_upgrade
                    && is_broken_connection(&error)
                    && outgoing.is_body_unsent() =>
            {
                attempt(self.clients.unpooled(url.versions), url, outgoing, timeout, has_others).await
            }
            result => result,
        }
    }
}

async fn attempt(
    client: &Client,
    url: &UpstreamUrl,
    outgoing: &mut Outgoing,
    timeout: Duration,
    may_be_sent_again: bool,
) -> Result<http::Response<Incoming>, SendError> {
    let request = outgoing.request(&url.url, may_be_sent_again).map_err(|_| SendError::InvalidTarget)?;
    let sent = Instant::now();
    let mut response = pin!(client.request(request));
    loop {
        let since = outgoing.waiting_since(sent);
        match timeout_at(since.unwrap_or_else(Instant::now) + timeout, response.as_mut()).await {
            Ok(result) => {
                let failed = |error| outgoing.take_body_failure().map_or(SendError::Failed(error), SendError::Body);
                return result.map_err(failed);
            }
            Err(_) if since.is_some() && since == outgoing.waiting_since(sent) => return Err(SendError::TimedOut),
            Err(_) => {}
        }
    }
}

/// Whether the request may be sent to another address after this result.
fn may_be_sent_again(outgoing: &Outgoing, result: &Result<http::Response<Incoming>, SendError>) -> bool {
    let is_safe = match result {
        Err(SendError::Failed(error)) if error.is_connect() => true,
        Err(SendError::Failed(error)) => outgoing.method.is_idempotent() && is_broken_connection(error),
        Ok(response) => outgoing.method.is_idempotent() && is_retriable(response.status()),
        Err(SendError::InvalidTarget | SendError::Body(_) | SendError::TimedOut) => false,
    };
    is_safe && outgoing.is_body_unsent()
}

/// Whether another address may answer better.
fn is_retriable(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE)
}

/// Whether the address has answered the request; none if it failed by the client, whose body may
/// break off.
fn has_succeeded(result: &Result<http::Response<Incoming>, SendError>) -> Option<bool> {
    match result {
        Ok(response) => Some(!is_retriable(response.status()) && response.status() != StatusCode::GATEWAY_TIMEOUT),
        Err(SendError::Failed(error)) => {
            let is_by_client = cause::<hyper::Error>(error).is_some_and(hyper::Error::is_user);
            (!is_by_client).then_some(false)
        }
        Err(SendError::TimedOut) => Some(false),
        Err(SendError::InvalidTarget | SendError::Body(_)) => None,
    }
}

/// Whether the connection ended before a response.
fn is_broken_connection(error: &legacy::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let is_broken_http =
        |error: &hyper::Error| error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    let is_broken_io =
        |error: &io::Error| matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof);
    !error.is_connect()
        && (cause::<hyper::Error>(error).is_some_and(is_broken_http)
            || cause::<io::Error>(error).is_some_and(is_broken_io))
}
