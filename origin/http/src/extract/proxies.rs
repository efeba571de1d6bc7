//! Trusted proxies in front of this server.

use std::net::IpAddr;

use axum::http::HeaderMap;
use tollgate_config::{GrantSettings, Network};

use super::client_address::client_address;

/// Proxies whose headers are believed.
pub(crate) struct Proxies {
    trusted: Vec<Network>,
    /// Header in which they forward client certificates.
    pub(crate) certificate_header: Option<String>,
}

impl Proxies {
    pub(crate) fn new(settings: &GrantSettings) -> Proxies {
        Proxies { trusted: settings.trusted_proxies.clone(), certificate_header: settings.certificate_header.clone() }
    }

    /// Whether the peer of a connection is a trusted proxy.
    pub(crate) fn is_trusted(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }

    /// Address of the client that sent a request; see [`client_address`].
    pub(crate) fn client_address(&self, headers: &HeaderMap, peer: IpAddr) -> Option<IpAddr> {
        client_address(headers, peer, &self.trusted)
    }
}
