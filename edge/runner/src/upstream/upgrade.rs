//! Upgrades of HTTP/1.1 connections (RFC 9110 section 7.8), such as to WebSocket.

use super::forward::remove_hop_by_hop_headers;
use super::send::Sent;
use crate::error_chain::error_chain;
use crate::response::{Body, full};
use crate::streams::{Exchange, Protocol, Tunnel, TunnelHold};
use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::{StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use std::time::Duration;

/// An upgrade that a client asks for.
pub(super) struct Upgrade {
    protocol: HeaderValue,
    client: OnUpgrade,
}

/// What the upstream answers to an offer.
pub(super) enum Switch {
    /// It switches, and the response lets the client do so too.
    Switched(http::Response<Body>),
    /// It answers by HTTP.
    Declined(Sent, Exchange),
    /// It switches to a protocol that was not offered.
    Invalid,
}

impl Upgrade {
    /// The first protocol that the client offers and that is allowed; none if there is no such
    /// offer, which a server may ignore.
    pub(super) fn take(request: &mut http::Request<Body>, allowed: &[String]) -> Option<Upgrade> {
        let protocol = offered(request.version(), request.headers(), allowed)?;
        Some(Upgrade { protocol, client: hyper::upgrade::on(request) })
    }

    /// Sets the headers that offer the protocol to the upstream.
    pub(super) fn offer_to_upstream(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.protocol.clone());
    }

    /// Takes the upstream's response. If the upstream switches, a task passes the bytes of the
    /// client and of the upstream until the stream ends.
    pub(super) fn switch(self, sent: Sent, exchange: Exchange, idle_timeout: Duration) -> Switch {
        if sent.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Switch::Declined(sent, exchange);
        }
        let Sent { mut response, lease } = sent;
        let is_offered = |protocol: &HeaderValue| protocol.as_bytes().eq_ignore_ascii_case(self.protocol.as_bytes());
        if !response.headers().get(UPGRADE).is_some_and(is_offered) {
            return Switch::Invalid;
        }
        let upstream = hyper::upgrade::on(&mut response);
        remove_hop_by_hop_headers(response.headers_mut());
        self.offer_to_upstream(response.headers_mut());
        let hold = TunnelHold::default();
        response.extensions_mut().insert(hold.clone());
        let protocol = match self.protocol.as_bytes().eq_ignore_ascii_case(b"websocket") {
            true => Protocol::WebSocket,
            false => Protocol::Other,
        };
        let (client, tunnel) = (self.client, Tunnel { protocol, exchange, idle_timeout });
        tokio::spawn(async move {
            match tokio::try_join!(client, upstream) {
                Ok((client, upstream)) => tunnel.run(client, upstream).await,
                Err(error) => tracing::debug!(error = error_chain(&error), "the connection was not upgraded"),
            }
            hold.release();
            drop(lease);
        });
        Switch::Switched(response.map(|_| full("")))
    }
}

/// The first protocol that the headers offer and that is allowed. Only HTTP/1.1 has upgrades.
fn offered(version: Version, headers: &HeaderMap, allowed: &[String]) -> Option<HeaderValue> {
    let values =
        |name| headers.get_all(name).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let is_connection_option = values(CONNECTION).any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    if version != Version::HTTP_11 || !is_connection_option {
        return None;
    }
    let is_allowed = |offer: &&[u8]| allowed.iter().any(|name| offer.eq_ignore_ascii_case(name.as_bytes()));
    let offer = values(UPGRADE).map(<[u8]>::trim_ascii).find(is_allowed)?;
    HeaderValue::from_bytes(offer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered_by(connection: &'static str, upgrade: &'static str) -> Option<HeaderValue> {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static(connection));
        headers.insert(UPGRADE, HeaderValue::from_static(upgrade));
        offered(Version::HTTP_11, &headers, &["websocket".to_owned()])
    }

    #[test]
    fn only_allowed_protocols_are_offered_to_the_upstream() {
        for (connection, upgrade) in [("Upgrade", "websocket"), ("keep-alive, Upgrade", "h2c, WebSocket")] {
            assert!(offered_by(connection, upgrade).is_some(), "{connection}: {upgrade}");
        }
        for (connection, upgrade) in
            [("close", "websocket"), ("Upgrade", "h2c"), ("Upgrade", "TLS/1.2"), ("Upgrade", "websocket/13")]
        {
            assert_eq!(offered_by(connection, upgrade), None, "{connection}: {upgrade}");
        }
    }

    #[test]
    fn http2_request_has_no_upgrade() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        assert_eq!(offered(Version::HTTP_2, &headers, &["websocket".to_owned()]), None);
    }
}
