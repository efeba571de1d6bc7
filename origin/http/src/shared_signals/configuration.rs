//! `GET /.well-known/ssf-configuration`: what this transmitter of security events can
//! do (SSF section 7.1), and nothing it cannot: streams are registered at the command
//! line.

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use serde_json::json;
use tollgate_services::shared_signals::{POLL, PUSH};

use crate::AppState;

/// What this transmitter of security events can do (SSF §7.1).
#[utoipa::path(
    get, path = "/.well-known/ssf-configuration",
    responses((status = 200, description = "Its configuration", body = Object)),
)]
pub(crate) async fn get(State(app): State<AppState>) -> impl IntoResponse {
    let at = |path: &str| format!("{}{path}", app.issuer);
    let configuration = json!({
        "spec_version": "1_0",
        "issuer": app.issuer,
        "jwks_uri": at("/.well-known/jwks.json"),
        "delivery_methods_supported": [PUSH, POLL],
        "configuration_endpoint": at("/ssf/streams"),
        "status_endpoint": at("/ssf/status"),
        // A receiver that does not know these members of a complex subject must ignore the event:
        // without them the subject means more than was revoked.
        "critical_subject_members": ["application", "session", "signing_key", "tenant"],
        "authorization_schemes": [{ "spec_urn": "urn:ietf:rfc:6749" }],
        "default_subjects": "ALL",
    });
    ([(CACHE_CONTROL, "public, max-age=300")], Json(configuration))
}
