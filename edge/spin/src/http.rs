//! Conversions between the gate's types and those of WASI.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use http_body_util::BodyExt as _;
use spin_sdk::http::{Request, Uri};
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::types::{self, ErrorCode, Fields, Method, RequestOptions, Response, Scheme, Trailers};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};
use std::net::{IpAddr, SocketAddr};

/// Why a body could not be read.
pub(crate) enum BodyError {
    TooLarge,
    Broken(ErrorCode),
    TooSlow,
}

/// A body that the host streams from one message to another.
pub(crate) struct Body {
    pub(crate) contents: StreamReader<u8>,
    pub(crate) trailers: FutureReader<Result<Option<Trailers>, ErrorCode>>,
    /// Receives the result of the transfer.
    pub(crate) done: FutureWriter<Result<(), ErrorCode>>,
}

/// Path and query as the client sent them.
pub(crate) fn target<B>(request: &Request<B>) -> &str {
    request.uri().path_and_query().map_or("/", |target| target.as_str())
}

/// Reads a body with limits on its size and time.
pub(crate) async fn read_body<B>(mut body: B, max_bytes: usize, timeout_ns: u64) -> Result<Vec<u8>, BodyError>
where
    B: http_body::Body<Data = bytes::Bytes, Error = ErrorCode> + Unpin,
{
    let read = async {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else {
                continue;
            };
            if bytes.len().saturating_add(data.len()) > max_bytes {
                return Err(BodyError::TooLarge);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    };
    let (mut read, mut timer) = (pin!(read), pin!(monotonic_clock::wait_for(timeout_ns)));
    poll_fn(|context| match read.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => timer.as_mut().poll(context).map(|()| Err(BodyError::TooSlow)),
    })
    .await
}

/// Limits on connecting, on the first byte of the response, and on each pause in it. A host may not
/// support all of them.
pub(crate) fn timeouts(connect_ns: u64, first_byte_ns: u64, read_ns: u64) -> RequestOptions {
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(Some(connect_ns));
    let _ = options.set_first_byte_timeout(Some(first_byte_ns));
    let _ = options.set_between_bytes_timeout(Some(read_ns));
    options
}

/// Builds an outbound request to an absolute URL.
pub(crate) fn request(
    method: &Method,
    url: &str,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Body>,
    options: Option<RequestOptions>,
) -> Result<types::Request, ErrorCode> {
    let url: Uri = url.parse().map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    let headers = Fields::from_list(&headers).map_err(internal)?;
    let (contents, trailers, done) = match body {
        Some(body) => (Some(body.contents), body.trailers, Some(body.done)),
        None => (None, wit_future::new(|| Ok(None)).1, None),
    };
    let (request, sent) = types::Request::new(headers, contents, trailers, options);
    let scheme = if url.scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http };
    request.set_method(method).map_err(|()| ErrorCode::HttpRequestMethodInvalid)?;
    request.set_scheme(Some(&scheme)).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    request
        .set_authority(url.authority().map(|authority| authority.as_str()))
        .map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    request
        .set_path_with_query(url.path_and_query().map(|target| target.as_str()))
        .map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    if let Some(done) = done {
        spawn(async move {
            // Fails if the inbound body is no longer being read.
            let _ = done.write(sent.await).await;
        });
    }
    Ok(request)
}

/// Converts a response of the gate.
pub(crate) fn from_gate(gate_response: tollgate_gate::Response) -> Result<Response, ErrorCode> {
    let mut headers: Vec<(String, Vec<u8>)> =
        gate_response.headers.into_iter().map(|(name, value)| (name.into_owned(), value.into_bytes())).collect();
    headers.push(("content-length".to_owned(), gate_response.body.len().to_string().into_bytes()));
    let headers = Fields::from_list(&headers).map_err(internal)?;
    let (mut writer, contents) = wit_stream::new();
    let (response, _) = Response::new(headers, Some(contents), wit_future::new(|| Ok(None)).1);
    response.set_status_code(gate_response.status).map_err(|()| internal("the gate's status is invalid"))?;
    spawn(async move {
        // Bytes that remain are dropped: the client has disconnected.
        let _ = writer.write_all(gate_response.body).await;
    });
    Ok(response)
}

/// An error of the component itself, in the form of the gate's errors.
pub(crate) fn json_error(status: u16, code: &str, description: &str) -> Result<Response, ErrorCode> {
    from_gate(tollgate_gate::Response::error(status, code, description))
}

/// The values of a header.
pub(crate) fn values<'a, B>(request: &'a Request<B>, name: &str) -> impl Iterator<Item = &'a [u8]> {
    request.headers().get_all(name).into_iter().map(|value| value.as_bytes())
}

/// The address of the peer. Spin appends its header after those of the client, so the last one is
/// Spin's.
pub(crate) fn client_address<B>(request: &Request<B>) -> Option<IpAddr> {
    let address = core::str::from_utf8(values(request, "spin-client-addr").last()?).ok()?;
    let address = address.parse().map(|address: SocketAddr| address.ip()).or_else(|_| address.parse()).ok()?;
    Some(address.to_canonical())
}

/// Whether the request came over https, by Spin's header.
pub(crate) fn is_https<B>(request: &Request<B>) -> bool {
    values(request, "spin-full-url").last().is_some_and(|url| url.starts_with(b"https:"))
}

/// An internal error of the component or the host.
pub(crate) fn internal(error: impl std::fmt::Display) -> ErrorCode {
    ErrorCode::InternalError(Some(error.to_string()))
}
