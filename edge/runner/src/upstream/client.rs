//! The HTTP clients of upstreams: their TLS and their pools of idle connections.

use crate::response::Body;
use crate::settings::UpstreamTimeouts;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// A client of upstreams.
pub(crate) type Client = legacy::Client<HttpsConnector<HttpConnector>, Body>;

/// HTTP versions of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpVersions {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 if the upstream negotiates it by ALPN, else HTTP/1.1.
    Negotiated,
    /// HTTP/2, without TLS by prior knowledge.
    Http2,
}

/// Head of a response, and what is read of its body before the client takes it.
const MAX_HTTP1_BUFFER_BYTES: usize = 128 << 10;
/// Header list of an HTTP/2 response, as large as HTTP/1.1 allows.
const MAX_HTTP2_HEADER_BYTES: u32 = 128 << 10;
/// What is read of an HTTP/2 response before the client takes it.
const HTTP2_STREAM_WINDOW: u32 = 128 << 10;
/// So large that slow clients, whose responses fill their own windows, hold up no others.
const HTTP2_CONNECTION_WINDOW: u32 = 1 << 30;

/// Clients of all upstreams.
pub(crate) struct Clients {
    http1: Pair,
    negotiated: Pair,
    http2: Pair,
}

struct Pair {
    pooled: Client,
    unpooled: Client,
}

impl Clients {
    pub(crate) fn new(timeouts: &UpstreamTimeouts) -> Clients {
        let tls = tls_config();
        let pair = |versions| Pair {
            pooled: client(versions, usize::MAX, timeouts, tls.clone()),
            unpooled: client(versions, 0, timeouts, tls.clone()),
        };
        Clients {
            http1: pair(HttpVersions::Http1),
            negotiated: pair(HttpVersions::Negotiated),
            http2: pair(HttpVersions::Http2),
        }
    }

    /// The client that keeps idle connections.
    pub(crate) fn pooled(&self, versions: HttpVersions) -> &Client {
        &self.pair(versions).pooled
    }

    /// The client that opens a new connection for each request.
    pub(crate) fn unpooled(&self, versions: HttpVersions) -> &Client {
        &self.pair(versions).unpooled
    }

    fn pair(&self, versions: HttpVersions) -> &Pair {
        match versions {
            HttpVersions::Http1 => &self.http1,
            HttpVersions::Negotiated => &self.negotiated,
            HttpVersions::Http2 => &self.http2,
        }
    }
}

/// A client that keeps up to `max_idle` idle connections of each upstream.
fn client(versions: HttpVersions, max_idle: usize, timeouts: &UpstreamTimeouts, tls: rustls::ClientConfig) -> Client {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(timeouts.connect));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    let https = match versions {
        HttpVersions::Http1 => builder.enable_http1().wrap_connector(connector),
        HttpVersions::Negotiated => builder.enable_http1().enable_http2().wrap_connector(connector),
        HttpVersions::Http2 => builder.enable_http2().wrap_connector(connector),
    };
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(timeouts.idle)
        .pool_max_idle_per_host(max_idle)
        .http1_max_buf_size(MAX_HTTP1_BUFFER_BYTES)
        .http2_only(versions == HttpVersions::Http2)
        .http2_initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .http2_initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .http2_max_header_list_size(MAX_HTTP2_HEADER_BYTES)
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
