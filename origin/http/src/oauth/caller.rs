//! The sender of a request, as far as the connection and the headers tell.

use std::convert::Infallible;
use std::mem;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use tollgate_model::Sender;

use super::certificate::Certificate;
use super::error::OAuthError;
use crate::extract::proxies::Proxies;

/// Headers of a request, and the address and certificate of its connection, all of which may be
/// those of a proxy.
pub(crate) struct Caller {
    pub(crate) headers: HeaderMap,
    pub(crate) peer: Option<IpAddr>,
    /// Client certificate of the TLS connection.
    connection_certificate: Option<Certificate>,
}

impl Caller {
    fn new(headers: HeaderMap, extensions: &Extensions) -> Caller {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        Caller { headers, peer, connection_certificate: extensions.get::<Certificate>().cloned() }
    }

    /// Takes the headers out of a request of which only the body is read afterwards.
    pub(super) fn take(request: &mut Request) -> Caller {
        Caller::new(mem::take(request.headers_mut()), request.extensions())
    }

    /// Client address. `X-Forwarded-For` counts only from trusted proxies.
    pub(crate) fn address(&self, proxies: &Proxies) -> Option<IpAddr> {
        proxies.client_address(&self.headers, self.peer?)
    }

    /// Client certificate: of the connection, or forwarded by a trusted proxy.
    pub(super) fn certificate(&self, proxies: &Proxies) -> Result<Option<Certificate>, OAuthError> {
        if !self.peer.is_some_and(|peer| proxies.is_trusted(peer)) {
            return Ok(self.connection_certificate.clone());
        }
        let Some(header) = &proxies.certificate_header else {
            return Ok(None);
        };
        let mut values = self.headers.get_all(header).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) if value.is_empty() => Ok(None),
            (Some(value), None) => {
                let certificate = Certificate::of_header(value);
                certificate.map(Some).ok_or(OAuthError::InvalidRequest("the certificate cannot be read"))
            }
            (Some(_), Some(_)) => Err(OAuthError::InvalidRequest("there are two certificates")),
        }
    }

    /// Origin of the request as shown to people, with the name that the device gives itself.
    pub(crate) fn sender(&self, proxies: &Proxies, device: Option<&str>) -> Sender {
        let agent = self.headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        Sender::new(self.address(proxies), agent.as_deref(), device)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Infallible> {
        Ok(Caller::new(parts.headers.clone(), &parts.extensions))
    }
}
