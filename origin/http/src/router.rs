//! Which path leads where, and what holds for all of them: limits, time-outs,
//! headers, the log.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::{CACHE_CONTROL, PRAGMA};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{from_fn_with_state, map_response};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::edge_api::{deltas, snapshot, validate};
use super::oauth::{authorize, device, introspect, metadata, par, register, revoke, token, userinfo};
use super::openapi::refusals;
use super::operations::observe::observe;
use super::operations::{health, metrics};
use super::problem::Problem;
use super::shared_signals::{configuration, poll, streams};
use super::{AppState, admin_api as admin, cors, jwks, limits, openapi, pages, status_list};

/// A token is at most 16 KiB; with the form around it, percent-encoded, three times
/// as much and a little.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Above the database's patience, so that a handler answers by itself and this only
/// catches what hangs.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// The whole interface.
pub fn router(app: AppState) -> Router {
    let (router, _) = interface().split_for_parts();
    router
        .fallback(async || Problem::not_found())
        // One layer, because each costs a request copies and memory. The first is the outermost.
        .layer(
            ServiceBuilder::new()
                .layer(from_fn_with_state(AppState::clone(&app), observe))
                .layer(CatchPanicLayer::new())
                .layer(always(HeaderName::from_static("x-content-type-options"), "nosniff"))
                .layer(from_fn_with_state(AppState::clone(&app), pages::error::render_errors))
                .layer(from_fn_with_state(AppState::clone(&app), cors::allow))
                .layer(from_fn_with_state(AppState::clone(&app), limits::limit))
                .layer(DefaultBodyLimit::max(MAX_BODY_BYTES)),
        )
        .with_state(app)
}

/// Every route with its description. Which path and method a handler is for, its
/// annotation says.
pub(super) fn interface() -> OpenApiRouter<AppState> {
    let public = OpenApiRouter::with_openapi(refusals::Schemas::openapi())
        .routes(routes!(jwks::get))
        .routes(routes!(metadata::get))
        .routes(routes!(metadata::openid))
        .routes(routes!(openapi::get))
        .routes(routes!(metrics::get))
        .routes(routes!(health::deep))
        .routes(routes!(health::live))
        .routes(routes!(health::ready));
    let snapshots = OpenApiRouter::new()
        .routes(routes!(snapshot::get))
        .layer(CompressionLayer::new())
        .layer(map_response(snapshot::tag_encoded));
    let status_lists = OpenApiRouter::new()
        .routes(routes!(status_list::all))
        .routes(routes!(status_list::get))
        .layer(CompressionLayer::new())
        .layer(map_response(snapshot::tag_encoded));
    let signals = OpenApiRouter::new()
        .routes(routes!(configuration::get))
        .routes(routes!(streams::get))
        .routes(routes!(streams::status));
    let admin = admin_api().layer(always(CACHE_CONTROL, "no-store"));
    // A long poll bounds its own time.
    let signal_polls = OpenApiRouter::new().routes(routes!(poll::post));
    let edge_polls = OpenApiRouter::new().routes(routes!(deltas::get));

    public
        .merge(pages())
        .merge(console())
        .merge(snapshots)
        .merge(status_lists)
        .merge(signals)
        .merge(admin)
        .layer(bounded())
        .merge(oauth())
        .merge(edge_polls)
        .merge(signal_polls)
}

/// An end to how long an answer may take.
fn bounded() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT)
}

/// A header that every answer has, whatever its handler says.
fn always(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

/// The endpoints of clients.
fn oauth() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(token::post_form))
        .routes(routes!(token::post_form_or_json))
        .routes(routes!(revoke::post_form))
        .routes(routes!(revoke::post_form_or_json))
        .routes(routes!(introspect::post))
        .routes(routes!(par::post))
        .routes(routes!(device::post))
        .routes(routes!(register::post))
        .routes(routes!(register::show, register::update, register::remove))
        .routes(routes!(userinfo::any))
        .routes(routes!(userinfo::tokeninfo))
        .routes(routes!(authorize::get, authorize::post))
        .routes(routes!(validate::post))
        .layer(
            ServiceBuilder::new()
                // RFC 6749 §5.1 asks for both headers; errors get them too.
                .layer(always(CACHE_CONTROL, "no-store"))
                .layer(always(PRAGMA, "no-cache"))
                .layer(bounded()),
        )
}

/// What people see.
fn pages() -> OpenApiRouter<AppState> {
    use pages::{assets, consent, device, login, logout, password, register, sessions};
    OpenApiRouter::new()
        .routes(routes!(login::get, login::post))
        .routes(routes!(consent::get, consent::post))
        .routes(routes!(device::get, device::post))
        .routes(routes!(logout::own, logout::confirmed))
        .routes(routes!(logout::get, logout::post))
        .routes(routes!(sessions::account))
        .routes(routes!(sessions::get, sessions::post))
        .routes(routes!(password::get, password::post))
        .routes(routes!(register::get, register::post))
        .routes(routes!(assets::style))
        .routes(routes!(assets::icon))
        .routes(routes!(assets::logo))
}

/// The operators' pages.
fn console() -> OpenApiRouter<AppState> {
    use crate::console::{audit, clients, edges, keys, overview, resources, revocations, routes as rules, users};
    OpenApiRouter::new()
        .routes(routes!(overview::show))
        .routes(routes!(clients::list))
        .routes(routes!(clients::new, clients::create))
        .routes(routes!(clients::show))
        .routes(routes!(clients::edit, clients::update))
        .routes(routes!(clients::ask_secret, clients::rotate_secret))
        .routes(routes!(clients::ask_disable, clients::disable))
        .routes(routes!(clients::ask_enable, clients::enable))
        .routes(routes!(users::list))
        .routes(routes!(users::new, users::create))
        .routes(routes!(users::show))
        .routes(routes!(users::ask_password, users::password))
        .routes(routes!(users::ask_disable, users::disable))
        .routes(routes!(users::ask_enable, users::enable))
        .routes(routes!(users::ask_admin, users::set_admin))
        .routes(routes!(keys::list))
        .routes(routes!(keys::ask_rotate, keys::rotate))
        .routes(routes!(keys::ask_revoke, keys::revoke))
        .routes(routes!(revocations::list))
        .routes(routes!(revocations::new, revocations::create))
        .routes(routes!(revocations::ask_reinstate, revocations::reinstate))
        .routes(routes!(resources::list))
        .routes(routes!(resources::new, resources::create))
        .routes(routes!(resources::edit, resources::update))
        .routes(routes!(resources::ask_remove, resources::remove))
        .routes(routes!(rules::list))
        .routes(routes!(rules::new, rules::create))
        .routes(routes!(rules::ask_remove, rules::remove))
        .routes(routes!(edges::list))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
}

/// The admin API.
fn admin_api() -> OpenApiRouter<AppState> {
    use admin::{audit, clients, edges, keys, overview, resources, revocations, routes as rules, users};
    OpenApiRouter::new()
        .routes(routes!(revocations::list, revocations::create))
        .routes(routes!(revocations::show, revocations::reinstate))
        .routes(routes!(clients::list, clients::create))
        .routes(routes!(clients::show, clients::update, clients::disable))
        .routes(routes!(clients::enable))
        .routes(routes!(clients::rotate_secret, clients::choose_secret))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::show, users::disable))
        .routes(routes!(users::password))
        .routes(routes!(users::enable))
        .routes(routes!(users::set_admin))
        .routes(routes!(resources::list, resources::put, resources::delete))
        .routes(routes!(resources::set_scope, resources::remove_scope))
        .routes(routes!(rules::list, rules::create, rules::delete))
        .routes(routes!(keys::list, keys::rotate))
        .routes(routes!(keys::revoke))
        .routes(routes!(edges::list))
        .routes(routes!(overview::get))
        .routes(routes!(audit::audit))
        .routes(routes!(audit::export))
}
