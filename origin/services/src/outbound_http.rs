//! Requests of this origin to URLs that clients registered: their keys, their sectors' redirect
//! URIs, and that they hear of logouts. Answers are bounded, redirects are not followed.
//!
//! The URL of a client that registered itself may be a stranger's, and could name a machine that
//! only this origin reaches: such a one is asked only at a public address on the Internet, looked
//! at after the name was resolved. What an operator registered is never judged: back-channel logout
//! inside one's own network is usual. Strangers' URLs have connections and a limit of their own, so
//! that their slow servers delay nobody else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use tokio::sync::Semaphore;
use tollgate_model::error_chain::with_causes;
use tollgate_model::{OutboundUrl, Registrant};
use url::{Host, Url};

use crate::telemetry::traced;

const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer at most.
const MAX_BYTES: usize = 64 * 1024;
/// Answers that are waited for at once, at most, of operators' and of strangers' URLs: requests
/// cause them before anybody is authenticated.
const MAX_FETCHES: usize = 64;

/// Sends them. Clones share their connections.
#[derive(Clone)]
pub struct OutboundClient {
    of_operators: Channel,
    of_clients: Channel,
}

#[derive(Clone)]
struct Channel {
    http: reqwest::Client,
    fetches: Arc<Semaphore>,
}

impl Channel {
    fn new(http: reqwest::ClientBuilder) -> Result<Channel, reqwest::Error> {
        let http = http.timeout(PATIENCE).redirect(Policy::none()).build()?;
        Ok(Channel { http, fetches: Arc::new(Semaphore::new(MAX_FETCHES)) })
    }
}

/// An address was not asked, or gave no good answer: one line, for the log.
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
    /// Connections to all; those for strangers' URLs to the public Internet alone, past no proxy
    /// that could connect elsewhere.
    ///
    /// # Errors
    /// When TLS cannot be used.
    pub fn new() -> Result<OutboundClient, reqwest::Error> {
        let guarded = reqwest::Client::builder().no_proxy().dns_resolver(PublicNames);
        Ok(OutboundClient {
            of_operators: Channel::new(reqwest::Client::builder())?,
            of_clients: Channel::new(guarded)?,
        })
    }

    /// The body behind a URL, which `registrant` registered.
    pub async fn get(&self, url: &OutboundUrl, registrant: Registrant) -> Result<Vec<u8>, OutboundError> {
        let channel = self.channel(url, registrant)?;
        let busy = |_| OutboundError::from("too many URLs are being fetched; try again");
        let _fetching = channel.fetches.try_acquire().map_err(busy)?;
        let mut answer = traced(channel.http.get(url.as_str())).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(OutboundError::from("the answer is larger than 64 KiB"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Posts a form to a URL, which `registrant` registered; gives the answer's status, and reads
    /// no more of it.
    pub(crate) async fn post(
        &self,
        url: &OutboundUrl,
        registrant: Registrant,
        form: &[(&str, &str)],
    ) -> Result<StatusCode, OutboundError> {
        let channel = self.channel(url, registrant)?;
        Ok(traced(channel.http.post(url.as_str())).form(form).send().await?.status())
    }

    /// The connections for a URL. An address that is written as such is not resolved, so it is
    /// looked at here.
    fn channel(&self, url: &OutboundUrl, registrant: Registrant) -> Result<&Channel, OutboundError> {
        if registrant == Registrant::Operator {
            return Ok(&self.of_operators);
        }
        let host = Url::parse(url.as_str()).ok().and_then(|url| url.host().map(|host| host.to_owned()));
        let may_be_public = match host {
            Some(Host::Ipv4(address)) => is_public(address.into()),
            Some(Host::Ipv6(address)) => is_public(address.into()),
            Some(Host::Domain(_)) => true,
            None => false,
        };
        match may_be_public {
            true => Ok(&self.of_clients),
            false => Err(OutboundError::from(NOT_PUBLIC)),
        }
    }
}

/// Why a URL is not asked.
const NOT_PUBLIC: &str = "the host has no address on the public Internet, and the client registered itself";

/// Resolves names to the public ones of their addresses. The connection goes to what was looked at,
/// so a name that means something else a moment later helps nobody.
struct PublicNames;

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            match public.is_empty() {
                true => Err(OutboundError::from(NOT_PUBLIC).into()),
                false => Ok(Box::new(public.into_iter()) as Addrs),
            }
        })
    }
}

/// Whether an address is one of the public Internet: in none of the ranges that IANA's
/// special-purpose registries (RFC 6890) keep for networks of one's own, this machine,
/// documentation, measuring or multicast.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127 | 224..=255, ..]
            | [169, 254, ..]
            | [192, 168, ..]
            | [100, 64..=127, ..]
            | [172, 16..=31, ..]
            | [198, 18 | 19, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            // Azure's virtual machines have their host there, with their credentials.
            | [168, 63, 129, 16]
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // What a translator makes of an IPv4 address (RFC 6052, RFC 3056) leads there.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, ..] => false,
        // Global unicast, and nothing else.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_ones_own_network_is_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "168.63.129.16",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001::1",
        ] {
            assert!(!is_public(text.parse().expect("an address")), "{text}");
        }
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.0.1",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert!(is_public(text.parse().expect("an address")), "{text}");
        }
    }

    #[tokio::test]
    async fn a_stranger_cannot_send_this_origin_to_its_neighbours() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let outbound = OutboundClient::new().expect("TLS");
        let asked = |registrant, host: &str| {
            let url: OutboundUrl = format!("http://{host}:{port}/jwks").parse().expect("a loopback address");
            let outbound = outbound.clone();
            async move { outbound.get(&url, registrant).await }
        };
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            let refused = asked(Registrant::Client, host).await.expect_err("not public").to_string();
            assert!(refused.contains("public Internet"), "{refused}");
        }
        assert!(listener_is_untouched(&listener), "nothing came");
        let answer = tokio::spawn(asked(Registrant::Operator, "127.0.0.1"));
        listener.accept().await.expect("what an operator registered is asked");
        answer.abort();
    }

    fn listener_is_untouched(listener: &tokio::net::TcpListener) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        listener.poll_accept(&mut context).is_pending()
    }
}
