//! Who sends a request, as far as the connection and the headers tell.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;

use crate::domain::Sender;
use crate::settings::Network;

/// A request's headers and the address it came from: both may be a proxy's.
pub(in crate::http) struct Caller {
    pub(in crate::http) headers: HeaderMap,
    pub(in crate::http) peer: Option<IpAddr>,
}

impl Caller {
    /// The address of whoever sent the request, as far as it is known: that of the connection, or what a trusted proxy says of it in
    /// `X-Forwarded-For`. Each proxy adds at the end whom it heard from, so the last one that is no trusted proxy is the sender; what
    /// stands before it, anybody may have written.
    pub(in crate::http) fn address(&self, proxies: &[Network]) -> Option<IpAddr> {
        let is_proxy = |address: &IpAddr| proxies.iter().any(|network| network.has(*address));
        let peer = self.peer?;
        if !is_proxy(&peer) {
            return Some(peer.to_canonical());
        }
        let lines = self.headers.get_all("x-forwarded-for").iter().rev().filter_map(|line| line.to_str().ok());
        let mut hops = lines.flat_map(|line| line.rsplit(',')).map(|hop| hop.trim().parse::<IpAddr>());
        match hops.find(|hop| !hop.as_ref().is_ok_and(is_proxy)) {
            Some(Ok(sender)) => Some(sender.to_canonical()),
            Some(Err(_)) => None,
            None => Some(peer.to_canonical()),
        }
    }

    /// Where the request comes from, for people; with what the device calls itself, if it says so.
    pub(in crate::http) fn sender(&self, proxies: &[Network], device: Option<&str>) -> Sender {
        let agent = self.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        Sender::new(self.address(proxies), agent, device)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        Ok(Caller { headers: parts.headers.clone(), peer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_believed_of_trusted_proxies_alone() {
        let of = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", line.parse().expect("a header"));
            }
            let caller = Caller { headers, peer: peer.parse().ok() };
            let proxies = ["10.0.0.0/8".parse().expect("a network")];
            caller.address(&proxies).map(|address| address.to_string())
        };
        let text = |address: &str| Some(address.to_owned());
        assert_eq!(of("192.0.2.1", &["198.51.100.1"]), text("192.0.2.1"), "anybody can send the header");
        assert_eq!(
            of("10.0.0.1", &["203.0.113.9, 198.51.100.1"]),
            text("198.51.100.1"),
            "what stands before is hearsay"
        );
        assert_eq!(of("10.0.0.1", &["203.0.113.9", "198.51.100.1, 10.0.0.2"]), text("198.51.100.1"));
        assert_eq!(of("10.0.0.1", &[]), text("10.0.0.1"));
        assert_eq!(of("10.0.0.1", &["198.51.100.1, nonsense"]), None);
        assert_eq!(of("::ffff:192.0.2.1", &[]), text("192.0.2.1"));
    }
}
