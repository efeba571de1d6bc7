//! A small API behind an edge gate. It trusts the `X-Tollgate-*` headers, because only the gate can
//! reach it, and responds with the request and the identity it received. Usage: `protected-api
//! [ADDRESS]`; the default is 127.0.0.1:5000.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use axum::{
    Json, Router,
    http::{HeaderMap, Method, Uri},
    routing::get,
};
use serde::Serialize;
use tokio::net::TcpListener;

/// The request as the API received it.
#[derive(Serialize)]
struct ReceivedRequest {
    method: String,
    path: String,
    /// The verified identity: all `x-tollgate-…` headers, in lower case.
    identity: BTreeMap<String, String>,
    body_bytes: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    let listener = TcpListener::bind(&address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!("protected API on http://{}", listener.local_addr()?);
    let api = Router::new().route("/health", get(async || "up")).fallback(echo);
    axum::serve(listener, api).await?;
    Ok(())
}

async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: String) -> Json<ReceivedRequest> {
    let identity = headers
        .iter()
        .filter(|(name, _)| name.as_str().replace('_', "-").starts_with("x-tollgate-"))
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    Json(ReceivedRequest { method: method.to_string(), path: uri.to_string(), identity, body_bytes: body.len() })
}
