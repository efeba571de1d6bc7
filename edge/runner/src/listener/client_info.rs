//! What the listener knows of a client.

use std::net::SocketAddr;

/// The client of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientInfo {
    /// Its address, or that of a proxy.
    pub(crate) address: SocketAddr,
    /// Scheme of its requests.
    pub(crate) scheme: &'static str,
    /// SHA-256 of its certificate, whose key it has (RFC 8705 section 3.1).
    pub(crate) certificate: Option<[u8; 32]>,
}
