//! Conversions between the gate's types and those of the runtime.

use futures::StreamExt;
use worker::{
    Error, Response, ResponseBody, Result,
    js_sys::{self, futures::JsFuture},
    wasm_bindgen::{JsCast, JsValue},
    web_sys,
};

/// Most memory that is taken for a declared length: half of what an isolate has.
const MAX_RESERVED_BYTES: usize = 64 << 20;

/// Why a body could not be read.
pub(crate) enum BodyError {
    TooLarge,
    /// The sender disconnected, or a timeout expired.
    Broken(String),
}

/// Path and query of the request. The runtime has normalized the URL, and forwards it in this form.
pub(crate) fn target(request: &web_sys::Request) -> String {
    let url = request.url();
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let path = url[after_scheme..].find('/').map_or("/", |at| &url[after_scheme + at..]);
    path.split('#').next().unwrap_or("/").to_owned()
}

/// The headers as pairs of name and value. The runtime reads and writes values as UTF-8 (invalid
/// bytes become U+FFFD), so a value's bytes are its UTF-8.
pub(crate) fn headers(headers: &web_sys::Headers) -> Vec<(String, String)> {
    let entries = headers.entries().into_iter().flatten();
    entries
        .filter_map(|entry| {
            let pair = js_sys::Array::from(&entry);
            Some((pair.get(0).as_string()?, pair.get(1).as_string()?))
        })
        .collect()
}

/// Reads a body with a limit on its size. A missing body is empty.
pub(crate) async fn read_body(
    body: Option<web_sys::ReadableStream>,
    max_bytes: usize,
) -> std::result::Result<Vec<u8>, BodyError> {
    read(body, 0, max_bytes).await
}

/// Reads the body of a response with a limit on its size. Memory for its declared length is taken
/// once, because an isolate keeps the memory that it once had.
pub(crate) async fn read_response(
    response: &web_sys::Response,
    max_bytes: usize,
) -> std::result::Result<Vec<u8>, BodyError> {
    let declared = response.headers().get("content-length").ok().flatten();
    let declared = declared.and_then(|length| length.parse().ok()).unwrap_or(0);
    read(response.body(), declared.min(max_bytes).min(MAX_RESERVED_BYTES), max_bytes).await
}

async fn read(
    body: Option<web_sys::ReadableStream>,
    reserved_bytes: usize,
    max_bytes: usize,
) -> std::result::Result<Vec<u8>, BodyError> {
    let Some(stream) = body else { return Ok(Vec::new()) };
    let broken = |error: Error| BodyError::Broken(error.to_string());
    let mut chunks =
        Response::from_body(ResponseBody::Stream(stream)).and_then(|mut body| body.stream()).map_err(broken)?;
    let mut bytes = Vec::with_capacity(reserved_bytes);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(broken)?;
        if bytes.len().saturating_add(chunk.len()) > max_bytes {
            return Err(BodyError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Calls the runtime's `fetch`. The error is one line for the log.
pub(crate) async fn fetch(url: &str, init: &web_sys::RequestInit) -> std::result::Result<web_sys::Response, String> {
    let scope: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    let response =
        JsFuture::from(scope.fetch_with_str_and_init(url, init)).await.map_err(|error| error_text(&error))?;
    response.dyn_into().map_err(|_| "the runtime's fetch returned no response".to_owned())
}

/// The message of a JavaScript error, or the thrown value.
fn error_text(error: &JsValue) -> String {
    let message =
        js_sys::Reflect::get(error, &JsValue::from_str("message")).ok().and_then(|message| message.as_string());
    message.unwrap_or_else(|| format!("{error:?}"))
}

/// The response with this body and these headers.
pub(crate) fn with_body(
    response: &web_sys::Response,
    body: Option<&web_sys::ReadableStream>,
    headers: &web_sys::Headers,
) -> Result<web_sys::Response> {
    let init = web_sys::ResponseInit::new();
    init.set_status(response.status());
    init.set_status_text(&response.status_text());
    init.set_headers_headers(headers);
    Ok(web_sys::Response::new_with_opt_readable_stream_and_init(body, &init)?)
}

/// Converts a response of the gate.
pub(crate) fn from_gate(gate_response: &tollgate_gate::Response) -> Result<web_sys::Response> {
    let headers = web_sys::Headers::new()?;
    for (name, value) in &gate_response.headers {
        headers.append(name, value)?;
    }
    let init = web_sys::ResponseInit::new();
    init.set_status(gate_response.status);
    init.set_headers_headers(&headers);
    // In the Fetch standard, 204 and 304 may not have a body, not even an empty one.
    let body = (!gate_response.body.is_empty()).then(|| js_sys::Uint8Array::from(gate_response.body.as_slice()));
    Ok(web_sys::Response::new_with_opt_js_u8_array_and_init(body.as_ref(), &init)?)
}

/// The response with further headers. The runtime streams the body without the Worker.
pub(crate) fn with_added_headers<'a>(
    response: &web_sys::Response,
    added: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<web_sys::Response> {
    let headers = web_sys::Headers::new_with_headers(&response.headers())?;
    for (name, value) in added {
        headers.append(name, value)?;
    }
    with_body(response, response.body().as_ref(), &headers)
}

/// An error of the Worker itself, in the form of the gate's errors.
pub(crate) fn json_error(status: u16, code: &str, description: &str) -> Result<web_sys::Response> {
    from_gate(&tollgate_gate::Response::error(status, code, description))
}
