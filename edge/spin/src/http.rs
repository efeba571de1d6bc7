//! The joints between the gate's types and WASI's.

use http_body_util::BodyExt as _;
use spin_sdk::http::{Request, Uri};
use spin_sdk::wasip3::http::types::{self, ErrorCode, Fields, Method, RequestOptions, Response, Scheme, Trailers};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};

/// Why a body was not taken.
pub(crate) enum BodyError {
    /// More bytes than allowed.
    TooLarge,
    /// The sender went away.
    Broken(ErrorCode),
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

/// Reads a body of at most `limit` bytes.
pub(crate) async fn bounded<B>(mut body: B, limit: usize) -> Result<Vec<u8>, BodyError>
where
    B: http_body::Body<Data = bytes::Bytes, Error = ErrorCode> + Unpin,
{
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

/// Headers that say where a request came from; [`forwarded`] writes them anew.
pub(crate) fn is_forwarded(name: &str) -> bool {
    matches!(name, "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto")
}

/// What was said so far of where the request came from, and this hop's own knowledge last: only that is to be trusted.
pub(crate) fn forwarded(request: &Request) -> Vec<(String, Vec<u8>)> {
    let of = |name: &str| request.headers().get(name).map(|value| value.as_bytes().to_vec());
    let client = of("spin-client-addr").map(without_port);
    let proto = if of("spin-full-url").is_some_and(|url| url.starts_with(b"https:")) {
        b"https".to_vec()
    } else {
        b"http".to_vec()
    };
    let host = of("host").or_else(|| request.uri().authority().map(|authority| authority.as_str().as_bytes().to_vec()));
    let own = [("x-forwarded-for", client), ("x-forwarded-proto", Some(proto)), ("x-forwarded-host", host)];
    own.into_iter()
        .filter_map(|(name, value)| {
            let mut said: Vec<Vec<u8>> =
                request.headers().get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect();
            said.extend(value);
            (!said.is_empty()).then(|| (name.to_owned(), said.join(&b", "[..])))
        })
        .collect()
}

/// The address without its port, as `X-Forwarded-For` has it.
fn without_port(address: Vec<u8>) -> Vec<u8> {
    let parsed = core::str::from_utf8(&address).ok().and_then(|text| text.parse::<std::net::SocketAddr>().ok());
    parsed.map_or(address, |parsed| parsed.ip().to_string().into_bytes())
}

/// An error that is this component's or the host's own.
pub(crate) fn internal(error: impl std::fmt::Display) -> ErrorCode {
    ErrorCode::InternalError(Some(error.to_string()))
}
