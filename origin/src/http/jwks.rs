//! `GET /.well-known/jwks.json`: the public signing keys (RFC 7517 §5). Shared secrets are never among them.

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use serde::Serialize;

use super::AppState;
use crate::keys::Jwk;

#[derive(Serialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

pub(super) async fn get(State(app): State<AppState>) -> impl IntoResponse {
    // Short: a new key should be known everywhere before it signs.
    ([(CACHE_CONTROL, "public, max-age=300")], Json(Jwks { keys: app.keys.public_jwks() }))
}
