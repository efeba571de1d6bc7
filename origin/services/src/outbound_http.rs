//! Outbound HTTP requests to URLs that clients registered: `jwks_uri`, `request_uris`,
//! `sector_identifier_uri` and `backchannel_logout_uri`. Responses are bounded; redirects are not
//! followed.
//!
//! A client that registered itself could name a server that only this origin can reach (server-side
//! request forgery). Its URLs are therefore requested only at public addresses of the Internet,
//! which are checked after the name was resolved. URLs that an operator registered are not
//! restricted, because back-channel logout within a private network is common. The two kinds of
//! URLs have separate connections and limits, so that slow servers of unknown clients do not delay
//! the others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use tokio::sync::Semaphore;
use tollgate_model::error_chain::with_causes;
use tollgate_model::{OutboundUrl, Registrant};
use tollgate_system::current_request::{Part, measure};
use url::{Host, Url};

use crate::public_address::is_public;
use crate::telemetry::traced;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_RESPONSE_BYTES: usize = 64 * 1024;
/// Concurrent requests for each of the two kinds of URLs. Unauthenticated requests cause them.
const MAX_FETCHES: usize = 64;

/// Sends requests. Clones share the connections.
#[derive(Clone)]
pub struct OutboundClient {
    for_operator_urls: Channel,
    for_client_urls: Channel,
}

#[derive(Clone)]
struct Channel {
    http: reqwest::Client,
    fetches: Arc<Semaphore>,
}

impl Channel {
    fn new(http: reqwest::ClientBuilder) -> Result<Channel, reqwest::Error> {
        let http = http.timeout(REQUEST_TIMEOUT).redirect(Policy::none()).build()?;
        Ok(Channel { http, fetches: Arc::new(Semaphore::new(MAX_FETCHES)) })
    }
}

/// Why a request failed, as one line for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OutboundError(String);

impl From<&str> for OutboundError {
    fn from(problem: &str) -> OutboundError {
        OutboundError(problem.to_owned())
    }
}

impl From<reqwest::Error> for OutboundError {
    fn from(error: reqwest::Error) -> OutboundError {
        OutboundError(with_causes(&error))
    }
}

impl OutboundClient {
    /// Connections for URLs of self-registered clients go to the public Internet only, and use no
    /// proxy, which could connect to other hosts.
    ///
    /// # Errors
    /// When TLS cannot be used.
    pub fn new() -> Result<OutboundClient, reqwest::Error> {
        let public_only = reqwest::Client::builder().no_proxy().dns_resolver(PublicNames);
        Ok(OutboundClient {
            for_operator_urls: Channel::new(reqwest::Client::builder())?,
            for_client_urls: Channel::new(public_only)?,
        })
    }

    /// The body behind a URL, which `registrant` registered.
    pub async fn get(&self, url: &OutboundUrl, registrant: Registrant) -> Result<Vec<u8>, OutboundError> {
        let _measured = measure(Part::Outbound, "GET");
        let channel = self.channel(url, registrant)?;
        let busy = |_| OutboundError::from("too many URLs are being fetched; try again");
        let _fetching = channel.fetches.try_acquire().map_err(busy)?;
        let mut response = traced(channel.http.get(url.as_str())).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
                return Err(OutboundError::from("the response is larger than 64 KiB"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Posts a form to a URL that `registrant` registered. Returns the status and does not read the
    /// body.
    pub(crate) async fn post(
        &self,
        url: &OutboundUrl,
        registrant: Registrant,
        form: &[(&str, &str)],
    ) -> Result<StatusCode, OutboundError> {
        let channel = self.channel(url, registrant)?;
        Ok(traced(channel.http.post(url.as_str())).form(form).send().await?.status())
    }

    /// The connections for a URL. IP addresses are not resolved, so they are checked here.
    fn channel(&self, url: &OutboundUrl, registrant: Registrant) -> Result<&Channel, OutboundError> {
        if registrant == Registrant::Operator {
            return Ok(&self.for_operator_urls);
        }
        let host = Url::parse(url.as_str()).ok().and_then(|url| url.host().map(|host| host.to_owned()));
        let may_be_public = match host {
            Some(Host::Ipv4(address)) => is_public(address.into()),
            Some(Host::Ipv6(address)) => is_public(address.into()),
            Some(Host::Domain(_)) => true,
            None => false,
        };
        match may_be_public {
            true => Ok(&self.for_client_urls),
            false => Err(OutboundError::from(NOT_PUBLIC)),
        }
    }
}

const NOT_PUBLIC: &str = "the host has no address on the public Internet, and the client registered itself";

/// Resolves names to their public addresses. The connection goes to the checked address, so an
/// attacker gains nothing by changing the name's address afterwards (DNS rebinding).
struct PublicNames;

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = addresses.filter(|address| is_public(address.ip())).collect();
            match public.is_empty() {
                true => Err(OutboundError::from(NOT_PUBLIC).into()),
                false => Ok(Box::new(public.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn self_registered_url_cannot_reach_the_private_network() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let outbound = OutboundClient::new().expect("TLS");
        let get = |registrant, host: &str| {
            let url: OutboundUrl = format!("http://{host}:{port}/jwks").parse().expect("a loopback address");
            let outbound = outbound.clone();
            async move { outbound.get(&url, registrant).await }
        };
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            let error = get(Registrant::Client, host).await.expect_err("not public").to_string();
            assert!(error.contains("public Internet"), "{error}");
        }
        assert!(listener_is_untouched(&listener), "no connection");
        let request = tokio::spawn(get(Registrant::Operator, "127.0.0.1"));
        listener.accept().await.expect("an operator's URL is requested");
        request.abort();
    }

    fn listener_is_untouched(listener: &tokio::net::TcpListener) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        listener.poll_accept(&mut context).is_pending()
    }
}
