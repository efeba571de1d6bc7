//! Routes and their layers: rate limits, timeouts, body limits, headers, logs.

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

use super::edge_api::{deltas, introspect as edge_introspect, snapshot, validate};
use super::oauth::{authorize, device, introspect, par, register, revoke, token};
use super::oidc::{metadata, userinfo};
use super::openapi::responses;
use super::operations::observe::observe;
use super::operations::{health, metrics};
use super::problem::Problem;
use super::shared_signals::{configuration, poll, streams};
use super::state::{IssuerServices, RouterState};
use super::{admin_api as admin, cors, home, jwks, limits, method_not_allowed, openapi, pages, status_list};

/// A token has at most 16 KiB, percent-encoded three times as much, and other parameters follow.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Longer than the database timeout, so that a handler usually fails first with its own error.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// The router of an issuer.
pub fn router(services: IssuerServices) -> Router {
    let state = RouterState::new(services);
    openapi::set_routes(|| interface().into_openapi());
    let (router, _) = interface().split_for_parts();
    router
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(method_not_allowed::refuse)
        // One combined layer, because each layer copies and allocates. The first is the outermost.
        .layer(
            ServiceBuilder::new()
                .layer(from_fn_with_state(state.observer(), observe))
                .layer(CatchPanicLayer::new())
                .layer(set_header(HeaderName::from_static("x-content-type-options"), "nosniff"))
                .layer(from_fn_with_state(state.public_pages(), pages::error::render_errors))
                .layer(from_fn_with_state(state.allowed_origins(), cors::allow))
                .layer(from_fn_with_state(state.limits(), limits::limit))
                .layer(DefaultBodyLimit::max(MAX_BODY_BYTES)),
        )
        .with_state(state)
}

/// All routes with their OpenAPI descriptions. Annotations of the handlers have path and method.
fn interface() -> OpenApiRouter<RouterState> {
    let public = OpenApiRouter::with_openapi(responses::ErrorSchemas::openapi())
        .routes(routes!(home::get))
        .routes(routes!(jwks::get))
        .routes(routes!(metadata::get))
        .routes(routes!(metadata::openid))
        .routes(routes!(openapi::get))
        .routes(routes!(metrics::get))
        .routes(routes!(health::deep))
        .routes(routes!(health::live))
        .routes(routes!(health::ready));
    let edge_questions = OpenApiRouter::new().routes(routes!(edge_introspect::get));
    let snapshots = OpenApiRouter::new().routes(routes!(snapshot::get));
    let status_lists = OpenApiRouter::new()
        .routes(routes!(status_list::all))
        .routes(routes!(status_list::get))
        .layer(CompressionLayer::new())
        .layer(map_response(snapshot::set_compressed_etag));
    let signals = OpenApiRouter::new()
        .routes(routes!(configuration::get))
        .routes(routes!(streams::get))
        .routes(routes!(streams::status));
    let admin = admin_api().layer(set_header(CACHE_CONTROL, "no-store"));
    // Long polls have their own timeout.
    let signal_polls = OpenApiRouter::new().routes(routes!(poll::post));
    let edge_polls = OpenApiRouter::new().routes(routes!(deltas::get));

    public
        .merge(pages())
        .merge(console())
        .merge(snapshots)
        .merge(edge_questions)
        .merge(status_lists)
        .merge(signals)
        .merge(admin)
        .layer(request_timeout())
        .merge(oauth())
        .merge(edge_polls)
        .merge(signal_polls)
}

/// Layer that answers 503 after [`REQUEST_TIMEOUT`].
fn request_timeout() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT)
}

/// Layer that sets a response header and overrides that of the handler.
fn set_header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

/// OAuth and OpenID Connect endpoints.
fn oauth() -> OpenApiRouter<RouterState> {
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
                // RFC 6749 §5.1 requires both headers for tokens; errors have them too.
                .layer(set_header(CACHE_CONTROL, "no-store"))
                .layer(set_header(PRAGMA, "no-cache"))
                .layer(request_timeout()),
        )
}

/// Pages of users.
fn pages() -> OpenApiRouter<RouterState> {
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

/// Console of administrators.
fn console() -> OpenApiRouter<RouterState> {
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
        .routes(routes!(users::edit, users::update))
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
fn admin_api() -> OpenApiRouter<RouterState> {
    use admin::{audit, clients, edges, keys, overview, resources, revocations, routes as rules, users};
    OpenApiRouter::new()
        .routes(routes!(revocations::list, revocations::create))
        .routes(routes!(revocations::show, revocations::reinstate))
        .routes(routes!(clients::list, clients::create))
        .routes(routes!(clients::show, clients::update, clients::patch, clients::disable))
        .routes(routes!(clients::enable))
        .routes(routes!(clients::rotate_secret, clients::set_secret))
        .routes(routes!(clients::refusals))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::show, users::patch, users::disable))
        .routes(routes!(users::set_password))
        .routes(routes!(users::enable))
        .routes(routes!(users::set_admin))
        .routes(routes!(resources::list, resources::put, resources::patch, resources::delete))
        .routes(routes!(resources::set_scope, resources::delete_scope))
        .routes(routes!(rules::list, rules::create, rules::delete))
        .routes(routes!(keys::list, keys::rotate))
        .routes(routes!(keys::revoke))
        .routes(routes!(edges::list))
        .routes(routes!(overview::get))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::{interface, openapi};

    fn document() -> Value {
        let text = openapi::document(interface().into_openapi()).to_json().expect("serialized");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Visits all values of the document.
    fn visit<'a>(value: &'a Value, visitor: &mut impl FnMut(&'a Value)) {
        visitor(value);
        match value {
            Value::Object(members) => members.values().for_each(|member| visit(member, visitor)),
            Value::Array(values) => values.iter().for_each(|value| visit(value, visitor)),
            _ => {}
        }
    }

    /// The router takes routes from annotations only, so all routes are in the document.
    #[test]
    fn every_route_is_described() {
        let source = include_str!("router.rs").split("#[cfg(test)]").next().unwrap_or_default();
        assert!(!source.contains(".route("), "a route without a description");
        assert!(!source.contains("_service("), "a service without a description");
        let described = document()["paths"].as_object().expect("paths").len();
        assert!(described >= 40, "{described} paths");
        assert!(source.matches("routes!(").count() >= described, "each path once");
    }

    #[test]
    fn operations_have_names_answers_and_schemes_that_exist() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        let mut names = HashSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let at = format!("{method} {path}");
                assert!(names.insert(operation["operationId"].as_str().expect("a name").to_owned()), "{at}");
                assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{at}");
                assert!(operation["responses"].as_object().is_some_and(|answers| !answers.is_empty()), "{at}");
                for scheme in operation["security"].as_array().into_iter().flatten() {
                    for name in scheme.as_object().expect("schemes").keys() {
                        assert!(document["components"]["securitySchemes"].get(name).is_some(), "{at}: {name}");
                    }
                }
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let in_path = parameters.filter(|parameter| parameter["in"] == "path").count();
                assert_eq!(in_path, path.matches('{').count(), "{at}");
            }
        }
    }

    #[test]
    fn references_have_targets() {
        let document = document();
        let mut references = Vec::new();
        visit(&document, &mut |value| references.extend(value.get("$ref").and_then(Value::as_str)));
        assert!(!references.is_empty());
        for reference in references {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
