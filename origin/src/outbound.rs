//! What this origin asks of addresses that clients registered: their keys, their sectors' redirect URIs, and that they hear of
//! logouts. Answers are bounded, redirects are not followed.
//!
//! Where anybody may register, such an address is a stranger's, and could name a machine that only this origin reaches: then
//! nothing is asked but what has a public address on the Internet, looked at after the name was resolved. It never judges what an
//! operator registered by hand where registration is closed: back-channel logout inside one's own network is usual.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use url::{Host, Url};

use crate::causes::with_causes;
use crate::domain::CallUrl;
use crate::watch::traced;

const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer at most.
const MAX_BYTES: usize = 64 * 1024;

/// Asks them. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Outbound {
    http: reqwest::Client,
    public_only: bool,
}

/// An address was not asked, or gave no good answer: one line, for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct OutboundError(String);

impl From<reqwest::Error> for OutboundError {
    fn from(error: reqwest::Error) -> OutboundError {
        OutboundError(with_causes(&error))
    }
}

impl Outbound {
    /// With `public_only` nothing is asked that is not on the public Internet.
    ///
    /// # Errors
    /// When TLS cannot be used.
    pub(crate) fn new(public_only: bool) -> Result<Outbound, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(PATIENCE).redirect(Policy::none());
        let http = if public_only { http.no_proxy().dns_resolver(PublicNames) } else { http };
        Ok(Outbound { http: http.build()?, public_only })
    }

    /// The body behind an address.
    pub(crate) async fn get(&self, url: &CallUrl) -> Result<Vec<u8>, OutboundError> {
        self.check(url)?;
        let mut answer = traced(self.http.get(url.as_str())).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(OutboundError("the answer is larger than 64 KiB".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Posts a form; gives the answer's status, and reads no more of it.
    pub(crate) async fn post(&self, url: &CallUrl, form: &[(&str, &str)]) -> Result<StatusCode, OutboundError> {
        self.check(url)?;
        Ok(traced(self.http.post(url.as_str())).form(form).send().await?.status())
    }

    /// An address that is written as such is not resolved, so it is looked at here.
    fn check(&self, url: &CallUrl) -> Result<(), OutboundError> {
        let host = Url::parse(url.as_str()).ok().and_then(|url| url.host().map(|host| host.to_owned()));
        let is_public = match host {
            Some(Host::Ipv4(address)) => is_public(address.into()),
            Some(Host::Ipv6(address)) => is_public(address.into()),
            Some(Host::Domain(_)) => true,
            None => false,
        };
        if is_public || !self.public_only {
            return Ok(());
        }
        Err(OutboundError("it is not on the public Internet, and anybody may register clients here".to_owned()))
    }
}

/// Resolves names to the public ones of their addresses. The connection goes to what was looked at, so a name that means something
/// else a moment later helps nobody.
struct PublicNames;

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            match public.is_empty() {
                true => Err(OutboundError("the name has no address on the public Internet".to_owned()).into()),
                false => Ok(Box::new(public.into_iter()) as Addrs),
            }
        })
    }
}

/// Whether an address is one of the public Internet: in none of the ranges that IANA's special-purpose registries (RFC 6890) keep
/// for networks of one's own, this machine, documentation, measuring or multicast.
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
        let asked = |outbound: Outbound, host: &str| {
            let url: CallUrl = format!("http://{host}:{port}/jwks").parse().expect("a loopback address");
            async move { outbound.get(&url).await }
        };
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            let refused = asked(Outbound::new(true).expect("TLS"), host).await.expect_err("not public").to_string();
            assert!(refused.contains("public Internet"), "{refused}");
        }
        assert!(listener_is_untouched(&listener), "nothing came");
        let answer = tokio::spawn(asked(Outbound::new(false).expect("TLS"), "127.0.0.1"));
        listener.accept().await.expect("where registration is closed, it is asked");
        answer.abort();
    }

    fn listener_is_untouched(listener: &tokio::net::TcpListener) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        listener.poll_accept(&mut context).is_pending()
    }
}
