//! `GET /.well-known/jwks.json`: public signing keys (RFC 7517 §5). Never: shared secrets.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use serde::Serialize;
use tollgate_keys::Jwk;
use tollgate_services::signing_keys::SigningKeys;

/// Maximum cache lifetime.
const MAX_AGE_SECONDS: u64 = 300;

/// The public half of the signing keys.
pub(super) struct PublicKeys {
    keys: SigningKeys,
    /// Seconds from the publication of a key until it signs.
    ahead: u64,
}

impl PublicKeys {
    pub(super) fn new(keys: SigningKeys, ahead: u64) -> PublicKeys {
        PublicKeys { keys, ahead }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
struct Jwks {
    #[schema(value_type = Vec<Object>)]
    keys: Vec<Jwk>,
}

/// Public signing keys (RFC 7517 §5).
#[utoipa::path(get, path = "/.well-known/jwks.json", responses((status = 200, description = "JWK set", body = Jwks)))]
pub(super) async fn get(State(published): State<Arc<PublicKeys>>) -> impl IntoResponse {
    // Caches expire before a newly published key begins to sign.
    let cached = format!("public, max-age={}", MAX_AGE_SECONDS.min(published.ahead));
    ([(CACHE_CONTROL, cached)], Json(Jwks { keys: published.keys.current().published_jwks() }))
}
