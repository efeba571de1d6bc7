//! Who sends a request, as far as the connection and the headers tell.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;

use super::certificate::Certificate;
use crate::domain::Sender;
use crate::http::limits::sender;
use crate::settings::Network;

/// A request's headers, and the address and the certificate that it came with: all of them may be a proxy's.
pub(in crate::http) struct Caller {
    pub(in crate::http) headers: HeaderMap,
    pub(in crate::http) peer: Option<IpAddr>,
    /// What the peer proved by TLS to have.
    pub(in crate::http) certificate: Option<Certificate>,
}

impl Caller {
    /// The address of whoever sent the request, as far as the settings let proxies be believed.
    pub(in crate::http) fn address(&self, proxies: &[Network]) -> Option<IpAddr> {
        sender(&self.headers, self.peer?, proxies)
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
        let certificate = parts.extensions.get::<Certificate>().cloned();
        Ok(Caller { headers: parts.headers.clone(), peer, certificate })
    }
}
