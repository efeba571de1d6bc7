//! `GET /`: says what this server is. People get a page, programs the addresses of its metadata.

use std::sync::Arc;

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::header::{ACCEPT, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::extract::header_list;
use crate::pages::error::{PublicPages, accept_language};
use crate::pages::page::{Flow, Layout, page};

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    layout: Layout,
    issuer: String,
}

/// Where a program finds out about this server.
#[derive(Serialize, utoipa::ToSchema)]
struct Home {
    issuer: String,
    openid_configuration: String,
    oauth_authorization_server: String,
    openapi: String,
}

/// What this server is: a page, or JSON without `text/html` in `Accept`.
#[utoipa::path(
    get, path = "/",
    responses((
        status = 200,
        description = "A page, or the addresses of the metadata",
        content((Home = "application/json"), (String = "text/html; charset=utf-8")),
    )),
)]
pub(crate) async fn get(State(pages): State<Arc<PublicPages>>, headers: HeaderMap) -> Response {
    let mut response = if wants_html(&headers) { show(&pages, &headers) } else { describe(&pages.issuer.url) };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept, accept-language"));
    response
}

fn wants_html(headers: &HeaderMap) -> bool {
    let is_html = |range: &str| range.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/html");
    header_list::members(headers, ACCEPT).any(is_html)
}

fn show(pages: &PublicPages, headers: &HeaderMap) -> Response {
    let messages = pages.appearance.catalogue.messages("", accept_language(headers));
    let language = messages.language().to_owned();
    let layout = Layout::new(&pages.issuer, &pages.appearance, messages);
    page(StatusCode::OK, &HomePage { layout, issuer: pages.issuer.url.clone() }, &language, Flow::Own)
}

fn describe(issuer: &str) -> Response {
    Json(Home {
        issuer: issuer.to_owned(),
        openid_configuration: format!("{issuer}/.well-known/openid-configuration"),
        oauth_authorization_server: format!("{issuer}/.well-known/oauth-authorization-server"),
        openapi: format!("{issuer}/openapi.json"),
    })
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_the_page_and_programs_get_json() {
        let wants = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            wants_html(&headers)
        };
        assert!(wants("text/html,application/xhtml+xml,*/*;q=0.8"));
        assert!(!wants("*/*") && !wants("application/json") && !wants_html(&HeaderMap::new()));
    }
}
