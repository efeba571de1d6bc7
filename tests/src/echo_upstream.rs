//! The upstream of the conformance table: answers with the request as it received it.

use std::collections::BTreeMap;

use anyhow::Result;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Response header by which a client knows that the upstream answered.
pub const ECHO: &str = "x-echo";
/// Request header with a header that the response must have: `name: value`. It may be repeated.
pub const ANSWER_WITH: &str = "x-answer-with";

/// HTTP server, stopped when dropped.
pub struct EchoUpstream {
    /// Base URL.
    pub url: String,
    task: JoinHandle<()>,
}

impl EchoUpstream {
    /// Starts the server.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let app = Router::new().fallback(echo);
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await; // serves until it is stopped
        });
        Ok(Self { url, task })
    }
}

impl Drop for EchoUpstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn echo(method: Method, uri: Uri, headers: HeaderMap, _body: String) -> Response {
    let received = json!({ "method": method.as_str(), "target": uri.to_string(), "headers": joined(text(&headers)) });
    let mut response = Json(received).into_response();
    response.headers_mut().insert(ECHO, HeaderValue::from_static("1"));
    for (name, value) in answer_headers(headers.get_all(ANSWER_WITH).iter().map(HeaderValue::as_bytes)) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// The headers that these values of [`ANSWER_WITH`] name.
pub fn answer_headers<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, String)> {
    let lines = values.into_iter().map(|value| String::from_utf8_lossy(value).into_owned());
    lines.filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

/// The headers as text, in their order.
pub fn text(headers: &HeaderMap) -> impl Iterator<Item = (String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
}

/// Headers by name; repeated ones joined by a comma and a space.
pub fn joined(headers: impl IntoIterator<Item = (impl Into<String>, String)>) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        joined.entry(name.into()).and_modify(|all| *all = format!("{all}, {value}")).or_insert(value);
    }
    joined
}
