//! The joints between the gate's types and the runtime's.

use futures::StreamExt;
use worker::{
    Error, Response, ResponseBody, Result,
    js_sys::{self, futures::JsFuture},
    wasm_bindgen::{JsCast, JsValue},
    web_sys,
};

/// Why a body was not taken.
pub(crate) enum BodyError {
    /// More bytes than allowed.
    TooLarge,
    /// The sender went away, or the time was up.
    Broken(String),
}

/// Path and query of the request. The runtime has parsed and written the URL anew, and forwards it in that form.
pub(crate) fn target(request: &web_sys::Request) -> String {
    let url = request.url();
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let path = url[after_scheme..].find('/').map_or("/", |at| &url[after_scheme + at..]);
    path.split('#').next().unwrap_or("/").to_owned()
}

/// The headers as name and value; what is not of that form cannot come from the runtime and is passed over. The runtime reads
/// and writes values as UTF-8 (bytes that are not turn into U+FFFD), so a value's UTF-8 is its bytes.
pub(crate) fn headers(headers: &web_sys::Headers) -> Vec<(String, String)> {
    let entries = headers.entries().into_iter().flatten();
    entries
        .filter_map(|entry| {
            let pair = js_sys::Array::from(&entry);
            Some((pair.get(0).as_string()?, pair.get(1).as_string()?))
        })
        .collect()
}

/// Reads a body of at most `limit` bytes; none at all is an empty one.
pub(crate) async fn bounded(
    body: Option<web_sys::ReadableStream>,
    limit: usize,
) -> std::result::Result<Vec<u8>, BodyError> {
    let Some(stream) = body else { return Ok(Vec::new()) };
    let broken = |error: Error| BodyError::Broken(error.to_string());
    let mut chunks =
        Response::from_body(ResponseBody::Stream(stream)).and_then(|mut body| body.stream()).map_err(broken)?;
    let mut taken = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(broken)?;
        if taken.len().saturating_add(chunk.len()) > limit {
            return Err(BodyError::TooLarge);
        }
        taken.extend_from_slice(&chunk);
    }
    Ok(taken)
}

/// The runtime's `fetch`; the error is a line for a person.
pub(crate) async fn fetch(url: &str, init: &web_sys::RequestInit) -> std::result::Result<web_sys::Response, String> {
    let scope: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    let response = JsFuture::from(scope.fetch_with_str_and_init(url, init)).await.map_err(|error| in_words(&error))?;
    response.dyn_into().map_err(|_| "the runtime's fetch gave no response".to_owned())
}

/// A JavaScript error's message, or whatever was thrown.
fn in_words(error: &JsValue) -> String {
    let message =
        js_sys::Reflect::get(error, &JsValue::from_str("message")).ok().and_then(|message| message.as_string());
    message.unwrap_or_else(|| format!("{error:?}"))
}

/// The gate's own answer, as the runtime's.
pub(crate) fn answer(answer: &tollgate_gate::Response) -> Result<web_sys::Response> {
    let headers = web_sys::Headers::new()?;
    for (name, value) in &answer.headers {
        headers.append(name, value)?;
    }
    let init = web_sys::ResponseInit::new();
    init.set_status(answer.status);
    init.set_headers_headers(&headers);
    // 204 and 304 may not even have an empty body in the Fetch standard.
    let body = (!answer.body.is_empty()).then(|| js_sys::Uint8Array::from(answer.body.as_slice()));
    Ok(web_sys::Response::new_with_opt_js_u8_array_and_init(body.as_ref(), &init)?)
}

/// An answer of the adapter itself: what went wrong, in the words of OAuth's errors (RFC 6749 section 5.2). `description` is
/// one line of this crate's, of a settings error or of the runtime's.
pub(crate) fn json_error(status: u16, error: &str, description: &str) -> Result<web_sys::Response> {
    let description = description.replace('\\', "\\\\").replace('"', "\\\"").replace(char::is_control, " ");
    answer(&tollgate_gate::Response {
        status,
        headers: vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())],
        body: format!("{{\"error\":\"{error}\",\"error_description\":\"{description}\"}}").into_bytes(),
    })
}
