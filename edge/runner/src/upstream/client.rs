//! The HTTP client of upstreams: its TLS and its pool of idle connections.

use crate::response::Body;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::time::Duration;

/// The client of upstreams, with a pool of idle connections.
pub(crate) type Client = legacy::Client<HttpsConnector<HttpConnector>, Body>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_CONNECTION_LIFETIME: Duration = Duration::from_secs(30);

pub(crate) fn client() -> Client {
    client_with_pool(usize::MAX)
}

pub(super) fn client_with_pool(max_idle_per_host: usize) -> Client {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls_config())
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION_LIFETIME)
        .pool_max_idle_per_host(max_idle_per_host)
        .build(https)
}

/// TLS with the platform's trusted certificates. On a platform without any, only `http` works.
pub(crate) fn tls_config() -> rustls::ClientConfig {
    match rustls::ClientConfig::builder().try_with_platform_verifier() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "no trusted certificates found; https connections will fail");
            rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
        }
    }
}
