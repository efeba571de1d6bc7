//! `POST /validate`: whether a request may pass, for proxies and services that ask
//! the origin itself. It follows the rules that edges follow, on what the store knows
//! this moment.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tollgate_core::Config;
use tollgate_storage::StoreError;

use crate::oauth::bearer::Refused;
use crate::oauth::bearer::{BearerRefusal, authenticate_bearer};
use crate::oauth::caller::Caller;
use crate::problem;
use crate::problem::Problem;
use crate::{App, AppState};

/// The headers in which a request's address may stand. In `X-Forwarded-For` too, as a
/// whole URL: the addresses of machines that proxies put there are passed over.
const ADDRESSES: [&str; 3] = ["x-original-uri", "x-forwarded-uri", "x-forwarded-for"];
const METHODS: [&str; 2] = ["x-original-method", "x-forwarded-method"];

/// Tells whether a request may pass, by the rules that edges follow.
#[utoipa::path(
    post, path = "/validate",
    params(
        (
            "X-Original-URI" = Option<String>,
            Header,
            description = "The address of the request that is asked about: a path or a URL",
        ),
        ("X-Forwarded-Uri" = Option<String>, Header, description = "The same, as other proxies name it"),
        ("X-Forwarded-For" = Option<String>, Header, description = "The same, if it is a URL"),
        ("X-Original-Method" = Option<String>, Header, description = "Its method"),
        ("X-Forwarded-Method" = Option<String>, Header, description = "The same, as other proxies name it"),
    ),
    responses(
        (status = 200, description = "It may pass"),
        (
            status = 400,
            description = "The address or the token cannot be read",
            content((problem::Body = "application/problem+json"), (Refused = "application/json")),
        ),
        (status = 401, description = "It has no good token", body = Refused),
        (status = 403, description = "The token lacks the scope", body = Refused),
        (
            status = 503,
            description = "Trouble of the server's own",
            content((problem::Body = "application/problem+json"), (Refused = "application/json")),
        ),
    ),
    security(("bearer" = []), ("bearer" = [], "dpop" = []), ()),
)]
pub(crate) async fn post(State(app): State<AppState>, caller: Caller) -> Result<StatusCode, Response> {
    let path = address(&caller.headers).map_err(|problem| Problem::bad_request(problem).into_response())?;
    let method = one(&caller.headers, &METHODS).map_err(|problem| Problem::bad_request(problem).into_response())?;
    let config = rules(&app).await.map_err(|error| Problem::from(error).into_response())?;
    let Some(config) = config else {
        tracing::error!("the rules cannot be read");
        return Err(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    };
    if method.is_none() && config.has_method_routes() {
        return Err(Problem::bad_request("the method is missing: set X-Original-Method").into_response());
    }
    let route = config.route(method.unwrap_or("GET"), path.as_deref().unwrap_or("/"));
    let route = route.map_err(|ambiguous| Problem::bad_request(&ambiguous.to_string()).into_response())?;
    if route.is_public() {
        return Ok(StatusCode::OK);
    }
    let token = authenticate_bearer(&app, &caller, "POST", "/validate").await.map_err(IntoResponse::into_response)?;
    if !token.audience.has(app.default_audience.as_str()) {
        return Err(BearerRefusal::Invalid.into_response());
    }
    match route.scope().iter().all(|value| token.scope.has(value)) {
        true => Ok(StatusCode::OK),
        false => Err(BearerRefusal::Scope(route.scope().join(" ")).into_response()),
    }
}

/// The rules as they are now, whichever process changed them last.
async fn rules(app: &App) -> Result<Option<Arc<Config>>, StoreError> {
    let now = app.cache.versions().await?;
    app.cache.edge_config(&app.default_audience, &app.keys.current().public_jwks(), now).await
}

/// The path of the request that is asked about, as rules have it.
fn address(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let Some(address) = one(headers, &ADDRESSES)? else {
        return Ok(None);
    };
    let path = match address.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |start| &rest[start..]),
        None => address,
    };
    let path = path.split('?').next().unwrap_or_default();
    if !path.starts_with('/') {
        return Err("the address must be a URL or a path");
    }
    // What servers read in different ways is refused, as edges do: a rule for one reading
    // would be no rule for the other.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&byte);
    let ambiguous = path.contains("//") || path.split('/').any(|segment| matches!(segment, "." | ".."));
    if ambiguous || !path.bytes().all(plain) {
        return Err("the path can be read in more than one way");
    }
    Ok(Some(path.to_owned()))
}

/// The one value of the one header of these that is there.
fn one<'a>(headers: &'a HeaderMap, names: &[&str]) -> Result<Option<&'a str>, &'static str> {
    let is_meant = |name: &str, value: &str| name != "x-forwarded-for" || value.contains("://");
    let values = names.iter().flat_map(|name| headers.get_all(*name).iter().map(move |value| (*name, value.to_str())));
    let mut values =
        values.filter(|(name, value)| value.as_ref().is_ok_and(|value| is_meant(name, value)) || value.is_err());
    let mut values = values.by_ref().map(|(_, value)| value);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value)),
        (Some(Err(_)), None) => Err("a header of the proxy is not text"),
        (Some(_), Some(_)) => Err("the address or the method is given more than once"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, value: &str) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header"));
        address(&headers)
    }

    #[test]
    fn an_address_is_a_path_or_a_url() {
        assert_eq!(read("x-original-uri", "/a/b?c=d"), Ok(Some("/a/b".to_owned())));
        assert_eq!(read("x-forwarded-uri", "/"), Ok(Some("/".to_owned())));
        assert_eq!(read("x-forwarded-for", "https://api.example/a"), Ok(Some("/a".to_owned())));
        assert_eq!(read("x-forwarded-for", "https://api.example"), Ok(Some("/".to_owned())));
        assert_eq!(read("x-forwarded-for", "10.0.0.1, 10.0.0.2"), Ok(None));
        for value in ["a", "/a//b", "/a/../b", "/%61", "/a;b", "/a\\b", "/a#b", "/a%3Fb", "/a%23b", "10.0.0.1"] {
            assert!(read("x-original-uri", value).is_err(), "{value}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-original-uri", "/a".parse().expect("a header"));
        headers.insert("x-forwarded-uri", "/b".parse().expect("a header"));
        assert!(address(&headers).is_err(), "two addresses");
    }
}
