//! What a component may send out: HTTP to the hosts it is allowed, by the runner's own client with its kept connections.

use super::host::Shared;
use crate::answer::BodyError;
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

/// Limit where the component sets none, as in Spin.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Scheme, host and port of each place a component may call, as `allowed_outbound_hosts` has them in Spin.
pub(crate) struct Allowed(Vec<(Scheme, String, u16)>);

impl Allowed {
    /// Reads the entries as Spin does: one that cannot be used voids them all. The error is the entry.
    pub(crate) fn hosts<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Allowed, &'a str> {
        let read = |entry: &'a str| {
            let uri: Option<Uri> = entry.parse().ok().filter(|uri: &Uri| uri.path() == "/" && uri.query().is_none());
            uri.as_ref().and_then(place).ok_or(entry)
        };
        entries.into_iter().map(read).collect::<Result<_, _>>().map(Allowed)
    }

    fn permits(&self, uri: &Uri) -> bool {
        place(uri).is_some_and(|place| self.0.contains(&place))
    }
}

/// Where a URI leads. User names in it are no part of it.
fn place(uri: &Uri) -> Option<(Scheme, String, u16)> {
    let scheme = uri.scheme()?.clone();
    let port = uri
        .port_u16()
        .or_else(|| (scheme == Scheme::HTTPS).then_some(443))
        .or_else(|| (scheme == Scheme::HTTP).then_some(80))?;
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

/// One instance's way out.
pub(crate) struct Outbound(Arc<Shared>);

impl Outbound {
    pub(crate) fn new(shared: Arc<Shared>) -> Outbound {
        Outbound(shared)
    }
}

/// How wasmtime takes an answer: with a future that drives its connection, which the client here does by itself.
type Sent = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Outbound {
    /// Spin shows a component the `host` header.
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name: &HeaderName| *name != header::HOST && DEFAULT_FORBIDDEN_HEADERS.contains(name))
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _result: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let shared = Arc::clone(&self.0);
        Box::new(async move {
            if !shared.allowed.permits(request.uri()) {
                tracing::warn!(host = request.uri().host(), "the component may not call this host");
                return Err(Error::HttpRequestDenied);
            }
            let options = options.unwrap_or_default();
            let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            let answer = timeout(options.first_byte_timeout.unwrap_or(TIMEOUT), shared.client.request(request));
            let answer = answer.await.map_err(|_| Error::ConnectionReadTimeout)?.map_err(|error| failure(&error))?;
            let pause = options.between_bytes_timeout.unwrap_or(TIMEOUT);
            let answer = answer.map(|body| TimedBody::with_pause(body, pause).map_err(failed_body).boxed_unsync());
            Ok((answer, Box::new(async { Ok(()) }) as Box<dyn Future<Output = _> + Send>))
        })
    }
}

/// A failed call in the words of `wasi:http`, as little telling as Spin's.
fn failure(error: &hyper_util::client::legacy::Error) -> Error {
    tracing::debug!(error = crate::forward::chain(error), "a call of the component failed");
    if error.is_connect() { Error::ConnectionRefused } else { Error::HttpProtocolError }
}

/// A failed body in the words of `wasi:http`.
pub(super) fn failed_body(error: BodyError) -> Error {
    match error.downcast::<hyper::Error>() {
        Ok(error) => Error::Hyper(*error),
        Err(_) => Error::ConnectionReadTimeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hosts_of_the_settings_are_called() {
        let allowed = Allowed::hosts(["https://auth.example", "http://127.0.0.1:5000/"]);
        for (url, permitted) in [
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
                url.parse().is_ok_and(|uri| allowed.as_ref().is_ok_and(|allowed| allowed.permits(&uri))),
                permitted,
                "{url}"
            );
        }
    }

    #[test]
    fn an_entry_with_a_path_voids_all() {
        let entries = ["https://auth.example", "http://127.0.0.1:5000/base"];
        assert_eq!(Allowed::hosts(entries).err(), Some(entries[1]));
    }
}
