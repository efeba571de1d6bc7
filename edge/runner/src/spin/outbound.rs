//! Outbound requests of a component: HTTP to its allowed hosts, by the runner's client with its
//! connection pool.

use super::host::Shared;
use crate::response::BodyError;
use crate::timed_body::TimedBody;
use http::uri::Scheme;
use http::{HeaderName, Uri, header};
use http_body_util::BodyExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks,
};

/// Limit if the component sets none, as in Spin.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// The origins (scheme, host and port) that a component may call, Spin's `allowed_outbound_hosts`.
pub(crate) struct AllowedHosts(Vec<(Scheme, String, u16)>);

impl AllowedHosts {
    /// Parses the entries as Spin does: one invalid entry makes all invalid. The error is that
    /// entry.
    pub(crate) fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<AllowedHosts, &'a str> {
        let parse = |entry: &'a str| {
            let uri: Option<Uri> = entry.parse().ok().filter(|uri: &Uri| uri.path() == "/" && uri.query().is_none());
            uri.as_ref().and_then(origin_of).ok_or(entry)
        };
        entries.into_iter().map(parse).collect::<Result<_, _>>().map(AllowedHosts)
    }

    fn contains(&self, uri: &Uri) -> bool {
        origin_of(uri).is_some_and(|origin| self.0.contains(&origin))
    }
}

/// Scheme, host and port of a URI, without user names.
fn origin_of(uri: &Uri) -> Option<(Scheme, String, u16)> {
    let scheme = uri.scheme()?.clone();
    let port = uri
        .port_u16()
        .or_else(|| (scheme == Scheme::HTTPS).then_some(443))
        .or_else(|| (scheme == Scheme::HTTP).then_some(80))?;
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

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
    tracing::debug!(error = crate::forward::error_chain(error), "outbound request failed");
    if error.is_connect() { Error::ConnectionRefused } else { Error::HttpProtocolError }
}

/// Converts the error of a body.
pub(super) fn body_error(error: BodyError) -> Error {
    match error.downcast::<hyper::Error>() {
        Ok(error) => Error::Hyper(*error),
        Err(_) => Error::ConnectionReadTimeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_hosts_may_be_called() {
        let allowed = AllowedHosts::parse(["https://auth.example", "http://127.0.0.1:5000/"]);
        for (url, is_allowed) in [
            ("https://auth.example/edge/v1/snapshot", true),
            ("https://AUTH.example:443/", true),
            ("http://auth.example/", false),
            ("https://auth.example:8443/", false),
            ("https://auth.example.evil.example/", false),
            ("https://auth.example@evil.example/", false),
            ("http://127.0.0.1:5000/other", true),
            ("http://127.0.0.1:5001/", false),
            ("/relative", false),
        ] {
            assert_eq!(
                url.parse().is_ok_and(|uri| allowed.as_ref().is_ok_and(|allowed| allowed.contains(&uri))),
                is_allowed,
                "{url}"
            );
        }
    }

    #[test]
    fn entry_with_a_path_makes_all_invalid() {
        let entries = ["https://auth.example", "http://127.0.0.1:5000/base"];
        assert_eq!(AllowedHosts::parse(entries).err(), Some(entries[1]));
    }
}
