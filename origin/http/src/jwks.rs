//! `GET /.well-known/jwks.json`: public signing keys (RFC 7517 §5). Never: shared secrets.

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use serde::Serialize;
use tollgate_keys::Jwk;

use super::AppState;

/// Maximum cache lifetime.
const MAX_AGE_SECONDS: u64 = 300;

#[derive(Serialize, utoipa::ToSchema)]
struct Jwks {
    #[schema(value_type = Vec<Object>)]
    keys: Vec<Jwk>,
}

/// Public signing keys (RFC 7517 §5).
#[utoipa::path(get, path = "/.well-known/jwks.json", responses((status = 200, description = "JWK set", body = Jwks)))]
pub(super) async fn get(State(app): State<AppState>) -> impl IntoResponse {
    // Caches expire before a newly published key begins to sign.
    let cached = format!("public, max-age={}", MAX_AGE_SECONDS.min(app.admin.key_policy.ahead));
    ([(CACHE_CONTROL, cached)], Json(Jwks { keys: app.keys.current().public_jwks() }))
}
