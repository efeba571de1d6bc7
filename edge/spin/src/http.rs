//! The joints between the gate's types and WASI's.

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

/// Why a body was not taken.
pub(crate) enum BodyError {
    /// More bytes than allowed.
    TooLarge,
    /// The sender went away.
    Broken(ErrorCode),
    /// The sender took too long.
    Late,
}

/// A body on its way from one host stream to another.
pub(crate) struct Body {
    pub(crate) contents: StreamReader<u8>,
    pub(crate) trailers: FutureReader<Result<Option<Trailers>, ErrorCode>>,
    /// Takes what became of it.
    pub(crate) done: FutureWriter<Result<(), ErrorCode>>,
}

/// Path and query as the client sent them.
pub(crate) fn target(request: &Request) -> &str {
    request.uri().path_and_query().map_or("/", |target| target.as_str())
}

/// Reads a body of at most `limit` bytes, in at most `timeout` nanoseconds.
pub(crate) async fn bounded<B>(mut body: B, limit: usize, timeout: u64) -> Result<Vec<u8>, BodyError>
where
    B: http_body::Body<Data = bytes::Bytes, Error = ErrorCode> + Unpin,
{
    let read = async {
        let mut taken = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else {
                continue;
            };
            if taken.len().saturating_add(data.len()) > limit {
                return Err(BodyError::TooLarge);
            }
            taken.extend_from_slice(&data);
        }
        Ok(taken)
    };
    let (mut read, mut late) = (pin!(read), pin!(monotonic_clock::wait_for(timeout)));
    poll_fn(|context| match read.as_mut().poll(context) {
        Poll::Ready(read) => Poll::Ready(read),
        Poll::Pending => late.as_mut().poll(context).map(|()| Err(BodyError::Late)),
    })
    .await
}

/// Limits on connecting, on the first byte of an answer and on every pause in it, in nanoseconds. A host may lack one.
pub(crate) fn timeouts(connect: u64, first_byte: u64, pause: u64) -> RequestOptions {
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(Some(connect));
    let _ = options.set_first_byte_timeout(Some(first_byte));
    let _ = options.set_between_bytes_timeout(Some(pause));
    options
}

/// An outbound request to an absolute URL.
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
            // The inbound side may be gone by now; then nobody wants to know.
            let _ = done.write(sent.await).await;
        });
    }
    Ok(request)
}

/// The gate's own answer, as WASI's.
pub(crate) fn answer(answer: tollgate_gate::Response) -> Result<Response, ErrorCode> {
    let mut headers: Vec<(String, Vec<u8>)> =
        answer.headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
    headers.push(("content-length".to_owned(), answer.body.len().to_string().into_bytes()));
    let headers = Fields::from_list(&headers).map_err(internal)?;
    let (mut writer, contents) = wit_stream::new();
    let (response, _) = Response::new(headers, Some(contents), wit_future::new(|| Ok(None)).1);
    response.set_status_code(answer.status).map_err(|()| internal("the gate's status is no status"))?;
    spawn(async move {
        // What is left over belongs to a client that went away.
        let _ = writer.write_all(answer.body).await;
    });
    Ok(response)
}

/// An answer of the adapter itself, in the form that the gate's errors have.
pub(crate) fn json_error(status: u16, code: &str, description: &str) -> Result<Response, ErrorCode> {
    answer(tollgate_gate::Response::error(status, code, description))
}

/// The values of a header.
pub(crate) fn values<'a>(request: &'a Request, name: &str) -> impl Iterator<Item = &'a [u8]> {
    request.headers().get_all(name).into_iter().map(|value| value.as_bytes())
}

/// The address of the peer. Spin puts what it says behind what a client made up, so the last value is Spin's.
pub(crate) fn client_address(request: &Request) -> Option<IpAddr> {
    let address = core::str::from_utf8(values(request, "spin-client-addr").last()?).ok()?;
    let address = address.parse().map(|address: SocketAddr| address.ip()).or_else(|_| address.parse()).ok()?;
    Some(address.to_canonical())
}

/// Whether the client came by https, as Spin says.
pub(crate) fn came_by_https(request: &Request) -> bool {
    values(request, "spin-full-url").last().is_some_and(|url| url.starts_with(b"https:"))
}

/// An error that is this component's or the host's own.
pub(crate) fn internal(error: impl std::fmt::Display) -> ErrorCode {
    ErrorCode::InternalError(Some(error.to_string()))
}
