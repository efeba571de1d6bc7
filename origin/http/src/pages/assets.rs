//! `/assets`: the stylesheet, the icon, and the operator's logo.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::brand::Appearance;
use super::error::WebError;

const ICON: &str = include_str!("../../templates/tollgate.svg");
/// An SVG may embed scripts. This policy stops them, also if the logo is opened by itself.
const LOGO_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// The style of all pages.
#[utoipa::path(
    get, path = "/assets/tollgate.css",
    responses((status = 200, description = "The style", body = String, content_type = "text/css; charset=utf-8")),
)]
pub(crate) async fn style(State(appearance): State<Arc<Appearance>>) -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "public, max-age=3600")];
    (headers, appearance.stylesheet.clone())
}

/// The icon of all pages.
#[utoipa::path(
    get, path = "/assets/tollgate.svg",
    responses((status = 200, description = "The icon", body = String, content_type = "image/svg+xml")),
)]
pub(crate) async fn icon() -> impl IntoResponse {
    ([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, "public, max-age=86400")], ICON)
}

/// The logo that the operator has set.
#[utoipa::path(
    get, path = "/assets/logo",
    responses(
        (status = 200, description = "The logo", body = String, content_type = "image/svg+xml"),
        (status = 404, description = "No logo is set", body = String, content_type = "text/html; charset=utf-8"),
    ),
)]
pub(crate) async fn logo(State(appearance): State<Arc<Appearance>>) -> Result<Response, WebError> {
    let logo = appearance.brand.logo.as_ref().ok_or_else(|| WebError::not_found("error-no-such-page"))?;
    let mut response = logo.bytes.clone().into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(logo.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(LOGO_POLICY));
    Ok(response)
}
