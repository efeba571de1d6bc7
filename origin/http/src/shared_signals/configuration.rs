//! `GET /.well-known/ssf-configuration`: metadata of this transmitter of security events (SSF
//! §7.1). Streams are registered with the CLI, so there are no endpoints to change them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use serde_json::json;
use tollgate_services::shared_signals::{POLL, PUSH};

use crate::issuer::Issuer;

/// Metadata of the transmitter of security events (SSF §7.1).
#[utoipa::path(
    get, path = "/.well-known/ssf-configuration",
    responses((status = 200, description = "Transmitter configuration", body = Object)),
)]
pub(crate) async fn get(State(issuer): State<Arc<Issuer>>) -> impl IntoResponse {
    let url = |path: &str| format!("{}{path}", issuer.url);
    let configuration = json!({
        "spec_version": "1_0",
        "issuer": issuer.url,
        "jwks_uri": url("/.well-known/jwks.json"),
        "delivery_methods_supported": [PUSH, POLL],
        "configuration_endpoint": url("/ssf/streams"),
        "status_endpoint": url("/ssf/status"),
        // A receiver that does not support these members of a complex subject must ignore the
        // event: without them, the subject would cover more than was revoked.
        "critical_subject_members": ["application", "session", "signing_key", "tenant"],
        "authorization_schemes": [{ "spec_urn": "urn:ietf:rfc:6749" }],
        "default_subjects": "ALL",
    });
    ([(CACHE_CONTROL, "public, max-age=300")], Json(configuration))
}
