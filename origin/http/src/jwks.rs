//! `GET /.well-known/jwks.json`: the public signing keys (RFC 7517 §5). Shared secrets are never
//! among them.

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use serde::Serialize;
use tollgate_keys::Jwk;

use super::AppState;

/// Seconds that a copy may be used, at most.
const MAX_AGE: u64 = 300;

#[derive(Serialize, utoipa::ToSchema)]
struct Jwks {
    #[schema(value_type = Vec<Object>)]
    keys: Vec<Jwk>,
}

/// The public keys that tokens are signed with (RFC 7517 §5).
#[utoipa::path(get, path = "/.well-known/jwks.json", responses((status = 200, description = "Keys", body = Jwks)))]
pub(super) async fn get(State(app): State<AppState>) -> impl IntoResponse {
    // No copy outlives the time that a new key is known before it signs.
    let cached = format!("public, max-age={}", MAX_AGE.min(app.admin.key_policy.ahead));
    ([(CACHE_CONTROL, cached)], Json(Jwks { keys: app.keys.current().public_jwks() }))
}
