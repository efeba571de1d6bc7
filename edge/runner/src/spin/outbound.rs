//! Outbound requests of a component: HTTP to its allowed hosts, by the runner's client with its
//! connection pool.

use super::shared::Shared;
use crate::response::BodyError;
use crate::timed_body::TimedBody;
use http::{HeaderName, header};
use http_body_util::BodyExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks,
};

/// Limit if the component sets none, as in Spin.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// Outbound requests of one instance.
pub(crate) struct Outbound(Arc<Shared>);

impl Outbound {
    pub(crate) fn new(shared: Arc<Shared>) -> Outbound {
        Outbound(shared)
    }
}

/// A response and a future that drives its connection. The client here drives its connections
/// itself, so the future does nothing.
type SendResult = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Outbound {
    /// Unlike wasmtime's default, Spin passes the `host` header to the component.
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name: &HeaderName| *name != header::HOST && DEFAULT_FORBIDDEN_HEADERS.contains(name))
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _result: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = SendResult> + Send> {
        let shared = Arc::clone(&self.0);
        Box::new(async move {
            if !shared.allowed_hosts.contains(request.uri()) {
                tracing::warn!(host = request.uri().host(), "outbound request refused: host is not allowed");
                return Err(Error::HttpRequestDenied);
            }
            let options = options.unwrap_or_default();
            let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            let response =
                timeout(options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT), shared.client.request(request));
            let response =
                response.await.map_err(|_| Error::ConnectionReadTimeout)?.map_err(|error| send_error(&error))?;
            let read_timeout = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
            let timed = |body| TimedBody::with_read_timeout(body, read_timeout).map_err(body_error).boxed_unsync();
            Ok((response.map(timed), Box::new(async { Ok(()) }) as Box<dyn Future<Output = _> + Send>))
        })
    }
}

/// Converts the error of a request. Spin returns no more detail either.
fn send_error(error: &hyper_util::client::legacy::Error) -> Error {
    tracing::debug!(error = crate::error_chain::error_chain(error), "outbound request failed");
    if error.is_connect() { Error::ConnectionRefused } else { Error::HttpProtocolError }
}

/// Converts the error of a body.
pub(super) fn body_error(error: BodyError) -> Error {
    match error.downcast::<hyper::Error>() {
        Ok(error) => Error::Hyper(*error),
        Err(_) => Error::ConnectionReadTimeout,
    }
}
