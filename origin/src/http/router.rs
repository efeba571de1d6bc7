//! Which path leads where, and what holds for all of them: limits, time-outs, headers, the log.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::header::{CACHE_CONTROL, PRAGMA};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use tracing::Span;

use super::oauth::{authorize, device, introspect, metadata, par, register, revoke, token, userinfo};
use super::problem::Problem;
use super::{
    AppState, admin, admin_keys, edge_deltas, edge_snapshot, health, jwks, metrics, ssf_configuration, ssf_poll,
    ssf_streams, status_list, validate, web,
};

/// A token is at most 16 KiB; with the form around it, percent-encoded, three times as much and a little.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Above the database's patience, so that a handler answers by itself and this only catches what hangs.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// The whole interface.
pub fn router(app: AppState) -> Router {
    let public = Router::new()
        .route("/.well-known/jwks.json", get(jwks::get))
        .route("/.well-known/oauth-authorization-server", get(metadata::get))
        .route("/.well-known/openid-configuration", get(metadata::get))
        .route("/metrics", get(metrics::get))
        .route("/health", get(health::deep))
        .route("/health/live", get(health::live));
    let snapshot = Router::new()
        .route("/edge/v1/snapshot", get(edge_snapshot::get))
        .layer(CompressionLayer::new())
        .layer(map_response(edge_snapshot::tag_encoded));
    let status_lists = Router::new()
        .route("/oauth/status", get(status_list::all))
        .route("/oauth/status/{list}", get(status_list::get))
        .layer(CompressionLayer::new())
        .layer(map_response(edge_snapshot::tag_encoded));
    let signals = Router::new()
        .route("/.well-known/ssf-configuration", get(ssf_configuration::get))
        .route("/ssf/streams", get(ssf_streams::get))
        .route("/ssf/status", get(ssf_streams::status));
    let admin = admin_api().layer(always(CACHE_CONTROL, "no-store"));
    // A long poll bounds its own time.
    let polls = Router::new().route("/ssf/poll/{stream}", post(ssf_poll::post));
    let deltas = Router::new().route("/edge/v1/deltas", get(edge_deltas::get));

    Router::new()
        .merge(oauth())
        .merge(public)
        .merge(pages())
        .merge(snapshot)
        .merge(status_lists)
        .merge(signals)
        .merge(admin)
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT))
        .merge(deltas)
        .merge(polls)
        .fallback(async || Problem::not_found())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(always(HeaderName::from_static("x-content-type-options"), "nosniff"))
        .layer(CatchPanicLayer::new())
        .layer(TraceLayer::new_for_http().make_span_with(span).on_request(()).on_response(log_answer).on_failure(()))
        .with_state(app)
}

/// A header that every answer has, whatever its handler says.
fn always(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

/// The endpoints of clients.
fn oauth() -> Router<AppState> {
    Router::new()
        .route("/oauth/token", post(token::post_form))
        .route("/token", post(token::post_form_or_json))
        .route("/oauth/revoke", post(revoke::post_form))
        .route("/revoke", post(revoke::post_form_or_json))
        .route("/oauth/introspect", post(introspect::post))
        .route("/oauth/par", post(par::post))
        .route("/oauth/device/code", post(device::post))
        .route("/oauth/register", post(register::post))
        .route("/oauth/register/{client}", get(register::show).put(register::update).delete(register::remove))
        .route("/oauth/userinfo", get(userinfo::any).post(userinfo::any))
        .route("/oauth/tokeninfo", get(userinfo::tokeninfo).post(userinfo::tokeninfo))
        .route("/oauth/authorize", get(authorize::get).post(authorize::post))
        .route("/validate", post(validate::post))
        // RFC 6749 §5.1 asks for both; errors get them too.
        .layer(always(CACHE_CONTROL, "no-store"))
        .layer(always(PRAGMA, "no-cache"))
}

/// What people see.
fn pages() -> Router<AppState> {
    Router::new()
        .route("/login", get(web::login::get).post(web::login::post))
        .route("/consent", get(web::consent::get).post(web::consent::post))
        .route("/device", get(web::device::get).post(web::device::post))
        .route("/logout", get(web::logout::get).post(web::logout::confirmed))
        .route("/oauth/logout", get(web::logout::get).post(web::logout::post))
        .route("/assets/tollgate.css", get(web::page::style))
        // Pages below /oauth find it beside them, too: where this origin is one of several, only relative addresses hold.
        .route("/oauth/assets/tollgate.css", get(web::page::style))
}

/// The admin API.
fn admin_api() -> Router<AppState> {
    use admin::{audit, clients, resources, revocations, routes, users};
    Router::new()
        .route("/admin/api/revocations", get(revocations::list).post(revocations::create))
        .route("/admin/api/revocations/{number}", get(revocations::show).delete(revocations::reinstate))
        .route("/admin/api/clients", get(clients::list).post(clients::create))
        .route("/admin/api/clients/{id}", get(clients::show).put(clients::update).delete(clients::disable))
        .route("/admin/api/clients/{id}/secret", post(clients::rotate_secret))
        .route("/admin/api/users", get(users::list).post(users::create))
        .route("/admin/api/users/{id}", get(users::show).delete(users::disable))
        .route("/admin/api/users/{id}/password", put(users::password))
        .route("/admin/api/resources", get(resources::list).put(resources::put).delete(resources::delete))
        .route("/admin/api/routes", get(routes::list).post(routes::create).delete(routes::delete))
        .route("/admin/api/keys", get(admin_keys::list).post(admin_keys::rotate))
        .route("/admin/api/keys/{kid}", delete(admin_keys::revoke))
        .route("/admin/api/audit", get(audit::audit))
}

/// The log names the route, never the path or the query as sent, and no headers: any of them may carry a secret.
fn span(request: &Request) -> Span {
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str);
    tracing::info_span!("request", method = %request.method(), route)
}

fn log_answer(response: &Response, took: Duration, _: &Span) {
    let (status, took_ms) = (response.status().as_u16(), took.as_secs_f64() * 1000.0);
    if response.status().is_server_error() {
        tracing::warn!(status, took_ms, "answered");
    } else {
        tracing::debug!(status, took_ms, "answered");
    }
}
