//! `POST /validate`: decides whether a request may pass, for proxies and services that ask the
//! origin instead of an edge. It applies the rules of the edges to the current data.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tollgate_core::TokenFacts;

use super::edge_rules::EdgeRules;
use crate::oauth::bearer::{BearerAuthenticator, BearerRefusal, Refused};
use crate::oauth::caller::Caller;
use crate::problem;
use crate::problem::Problem;

/// Headers with the URL of the proxied request. A whole URL in `X-Forwarded-For` counts too; IP
/// addresses there are ignored.
const URL_HEADERS: [&str; 3] = ["x-original-uri", "x-forwarded-uri", "x-forwarded-for"];
const METHOD_HEADERS: [&str; 2] = ["x-original-method", "x-forwarded-method"];

/// Decides by the rules of the edges whether a request may pass.
#[utoipa::path(
    post, path = "/validate",
    params(
        (
            "X-Original-URI" = Option<String>,
            Header,
            description = "Path or URL of the proxied request",
        ),
        ("X-Forwarded-Uri" = Option<String>, Header, description = "The same, from other proxies"),
        ("X-Forwarded-For" = Option<String>, Header, description = "The same, if it is a whole URL"),
        ("X-Original-Host" = Option<String>, Header, description = "Host of the proxied request, along with `X-Original-URI`"),
        ("X-Forwarded-Host" = Option<String>, Header, description = "The same, from other proxies"),
        ("X-Original-Method" = Option<String>, Header, description = "Method of the proxied request"),
        ("X-Forwarded-Method" = Option<String>, Header, description = "The same, from other proxies"),
    ),
    responses(
        (status = 200, description = "The request may pass"),
        (
            status = 400,
            description = "The address or the token is malformed",
            content((problem::Body = "application/problem+json"), (Refused = "application/json")),
        ),
        (status = 401, description = "No valid access token", body = Refused),
        (status = 403, description = "The token lacks the scope, or the rule is for other tokens", body = Refused),
        (
            status = 503,
            description = "The server failed; try again",
            content((problem::Body = "application/problem+json"), (Refused = "application/json")),
        ),
    ),
    security(("bearer" = []), ("bearer" = [], "dpop" = []), ()),
)]
pub(crate) async fn post(
    State(rules): State<Arc<EdgeRules>>,
    State(bearers): State<Arc<BearerAuthenticator>>,
    caller: Caller,
) -> Result<StatusCode, Response> {
    let (host, path) =
        requested_target(&caller.headers).map_err(|problem| Problem::bad_request(problem).into_response())?;
    let method = single_value(&caller.headers, &METHOD_HEADERS)
        .map_err(|problem| Problem::bad_request(problem).into_response())?;
    let config = rules.current().await.map_err(|error| Problem::from(error).into_response())?;
    let Some(config) = config else {
        tracing::error!("the rules of the edges cannot be read");
        return Err(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    };
    if method.is_none() && config.has_method_routes() {
        return Err(Problem::bad_request("the method is missing: set X-Original-Method").into_response());
    }
    let route = config.route(host.as_deref(), method.unwrap_or("GET"), path.as_deref().unwrap_or("/"));
    let route = route.map_err(|ambiguous| Problem::bad_request(&ambiguous.to_string()).into_response())?;
    if route.is_public() {
        return Ok(StatusCode::OK);
    }
    let token = bearers.authenticate(&caller, "POST", "/validate").await.map_err(IntoResponse::into_response)?;
    if !token.audience.has(route.audience().unwrap_or(rules.audience().as_str())) {
        return Err(BearerRefusal::Invalid.into_response());
    }
    if route.requires_binding() && token.details.cnf.is_none() {
        return Err(BearerRefusal::Unproven.into_response());
    }
    if !route.scope().iter().all(|value| token.scope.has(value)) {
        let (required, granted) = (route.scope().join(" "), token.scope.to_string());
        return Err(BearerRefusal::Scope { required, granted }.into_response());
    }
    let Some(token_rules) = route.token_rules() else { return Ok(StatusCode::OK) };
    let claims = bearers.claims_json(&caller, &token).ok_or_else(|| BearerRefusal::Invalid.into_response())?;
    let facts = TokenFacts { scope: token.scope.as_str(), client_id: token.client.as_str(), claims: &claims };
    let checked = token_rules.check(&facts, 0, bearers.clock.now());
    checked.map(|()| StatusCode::OK).map_err(|refusal| BearerRefusal::Rule(refusal).into_response())
}

/// Host and path of the proxied request. The host is that of the URL or, with a path, the one that
/// the proxy sends along.
fn requested_target(headers: &HeaderMap) -> Result<(Option<String>, Option<String>), &'static str> {
    let Some(address) = single_value(headers, &URL_HEADERS)? else {
        return Ok((None, None));
    };
    let (host, path) = match address.split_once("://") {
        Some((_, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (host, if path.is_empty() { "/" } else { path })
        }
        None => {
            let name = if headers.contains_key("x-original-uri") { "x-original-host" } else { "x-forwarded-host" };
            (single_value(headers, &[name])?.unwrap_or_default(), address)
        }
    };
    let path = path.split('?').next().unwrap_or_default();
    if !path.starts_with('/') {
        return Err("the address must be a URL or a path");
    }
    // As at the edges, a path that servers may interpret in different ways is refused: otherwise
    // the rule of one interpretation could be evaded by another.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&byte);
    let is_ambiguous = path.contains("//") || path.split('/').any(|segment| matches!(segment, "." | ".."));
    if is_ambiguous || !path.bytes().all(is_plain) {
        return Err("the path can be read in more than one way");
    }
    Ok((Some(host.to_owned()), Some(path.to_owned())))
}

/// The value of these headers, of which at most one may occur, once.
fn single_value<'a>(headers: &'a HeaderMap, names: &[&str]) -> Result<Option<&'a str>, &'static str> {
    let is_considered = |name: &str, value: &str| name != "x-forwarded-for" || value.contains("://");
    let values = names.iter().flat_map(|name| headers.get_all(*name).iter().map(move |value| (*name, value.to_str())));
    let mut values =
        values.filter(|(name, value)| value.as_ref().is_ok_and(|value| is_considered(name, value)) || value.is_err());
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
        requested_target(&headers).map(|(_, path)| path)
    }

    #[test]
    fn host_is_that_of_the_url_or_of_the_same_proxy() {
        for (sent, host) in [
            (&[("x-original-uri", "https://api.example:8443/a")][..], "api.example:8443"),
            (&[("x-original-uri", "/a"), ("x-original-host", "api.example"), ("x-forwarded-host", "b")], "api.example"),
            (
                &[("x-forwarded-uri", "/a"), ("x-forwarded-host", "api.example"), ("x-original-host", "b")],
                "api.example",
            ),
            (&[("x-original-uri", "/a"), ("x-forwarded-host", "b")], ""),
        ] {
            let mut headers = HeaderMap::new();
            sent.iter().for_each(|(name, value)| {
                headers.append(*name, value.parse().expect("a header"));
            });
            let expected = (Some(host.to_owned()), Some("/a".to_owned()));
            assert_eq!(requested_target(&headers), Ok(expected), "{sent:?}");
        }
    }

    #[test]
    fn address_is_a_path_or_a_url() {
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
        assert!(requested_target(&headers).is_err(), "two addresses");
    }
}
