//! What a component may send out: HTTP to the hosts it is allowed, by the runner's own client with its kept connections.

use super::host::Shared;
use http::uri::Scheme;
use http::{HeaderName, Uri, header};
use http_body_util::BodyExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, timeout};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks,
};

/// Limits where the component sets none.
const FIRST_BYTE: Duration = Duration::from_secs(60);
const BETWEEN_BYTES: Duration = Duration::from_secs(60);

/// Scheme, host and port of each place a component may call, as `allowed_outbound_hosts` has them in Spin.
pub(crate) struct Allowed(Vec<(Scheme, String, u16)>);

impl Allowed {
    /// The hosts of these URLs.
    pub(crate) fn hosts_of<'a>(urls: impl IntoIterator<Item = &'a str>) -> Allowed {
        Allowed(urls.into_iter().filter_map(|url| place(&url.parse().ok()?)).collect())
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
            let answer = timeout(options.first_byte_timeout.unwrap_or(FIRST_BYTE), shared.client.request(request));
            let answer = answer.await.map_err(|_| Error::ConnectionReadTimeout)?.map_err(|error| failure(&error))?;
            let patience = options.between_bytes_timeout.unwrap_or(BETWEEN_BYTES);
            let answer = answer
                .map(|body| Patient { body, patience, sleep: Box::pin(tokio::time::sleep(patience)) }.boxed_unsync());
            Ok((answer, Box::new(async { Ok(()) }) as Box<dyn Future<Output = _> + Send>))
        })
    }
}

/// A failed call in the words of `wasi:http`.
fn failure(error: &hyper_util::client::legacy::Error) -> Error {
    if error.is_connect() { Error::ConnectionRefused } else { Error::InternalError(Some(crate::forward::chain(error))) }
}

/// A body that may not pause for longer than its patience.
struct Patient {
    body: hyper::body::Incoming,
    patience: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl http_body::Body for Patient {
    type Data = bytes::Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            let until = Instant::now() + self.patience;
            self.sleep.as_mut().reset(until);
            return polled.map_err(Error::from);
        }
        self.sleep.as_mut().poll(context).map(|()| Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hosts_of_the_settings_are_called() {
        let allowed = Allowed::hosts_of(["https://auth.example", "http://127.0.0.1:5000/base"]);
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
            assert_eq!(url.parse().is_ok_and(|uri| allowed.permits(&uri)), permitted, "{url}");
        }
    }
}
