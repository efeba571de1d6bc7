//! `GET /.well-known/oauth-authorization-server` (RFC 8414): what this server can do, and nothing it cannot.

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use serde::Serialize;

use crate::http::AppState;

const CLIENT_AUTH: [&str; 2] = ["client_secret_basic", "client_secret_post"];

#[derive(Serialize)]
struct Metadata<'a> {
    issuer: &'a str,
    token_endpoint: String,
    token_endpoint_auth_methods_supported: [&'static str; 2],
    grant_types_supported: [&'static str; 1],
    /// Required by the RFC; empty, for there is no authorization endpoint.
    response_types_supported: [&'static str; 0],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    jwks_uri: String,
    /// draft-ietf-oauth-status-list, section 9.1
    #[serde(skip_serializing_if = "Option::is_none")]
    status_list_aggregation_endpoint: Option<String>,
}

pub(in crate::http) async fn get(State(app): State<AppState>) -> impl IntoResponse {
    let at = |path: &str| format!("{}{path}", app.issuer);
    let metadata = Metadata {
        issuer: &app.issuer,
        token_endpoint: at("/oauth/token"),
        token_endpoint_auth_methods_supported: CLIENT_AUTH,
        grant_types_supported: ["client_credentials"],
        response_types_supported: [],
        revocation_endpoint: at("/oauth/revoke"),
        revocation_endpoint_auth_methods_supported: CLIENT_AUTH,
        introspection_endpoint: at("/oauth/introspect"),
        introspection_endpoint_auth_methods_supported: CLIENT_AUTH,
        jwks_uri: at("/.well-known/jwks.json"),
        status_list_aggregation_endpoint: app.status_claim.then(|| at(crate::status_list::PATH)),
    };
    ([(CACHE_CONTROL, "public, max-age=300")], Json(metadata)).into_response()
}
