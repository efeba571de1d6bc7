//! What all pages have in common: the layout, the policy they stand under, and the page that says what went wrong.

use askama::Template;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::forge::ForgeError;
use crate::guard::Refusal;
use crate::http::limits;
use crate::store::{StoreError, WriteError};

const STYLE: &str = include_str!("../../../templates/tollgate.css");

/// The style of all pages.
#[utoipa::path(
    get, path = "/assets/tollgate.css",
    responses((status = 200, description = "The style", body = String, content_type = "text/css; charset=utf-8")),
)]
pub(in crate::http) async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "public, max-age=3600")], STYLE)
}

/// The style, for pages below `/oauth`.
#[utoipa::path(
    get, path = "/oauth/assets/tollgate.css",
    responses((status = 200, description = "The style", body = String, content_type = "text/css; charset=utf-8")),
)]
pub(in crate::http) async fn style_below() -> impl IntoResponse {
    style().await
}

/// A page with a message and nothing to do.
#[derive(Template)]
#[template(path = "message.html")]
pub(in crate::http) struct Message<'a> {
    pub(in crate::http) title: &'a str,
    pub(in crate::http) message: &'a str,
}

/// A page. `form_goes_to`: where its form may lead beside this origin, in the end; browsers hold redirects against the policy too.
pub(super) fn page(status: StatusCode, template: &impl Template, form_goes_to: Option<&str>) -> Response {
    let Ok(html) = template.render() else {
        tracing::error!("a page could not be rendered");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let elsewhere = form_goes_to.and_then(source).map(|source| format!(" {source}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'{elsewhere}"
    );
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let strictest = HeaderValue::from_static("default-src 'none'");
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::try_from(policy).unwrap_or(strictest));
    response
}

/// A redirect URI as a source of a policy: its origin, or the scheme of an app.
fn source(uri: &str) -> Option<String> {
    let url = url::Url::parse(uri).ok()?;
    match url.scheme() {
        "https" | "http" => Some(url.origin().ascii_serialization()),
        scheme => Some(format!("{scheme}:")),
    }
}

/// Why a person is shown an error, and not what they came for.
#[derive(Debug)]
pub(in crate::http) struct WebError {
    status: StatusCode,
    message: String,
    /// The limit that was not passed, if that is why.
    refusal: Option<Refusal>,
}

impl WebError {
    /// Something is wrong with what the browser sent.
    pub(in crate::http) fn bad(message: &str) -> WebError {
        WebError { status: StatusCode::BAD_REQUEST, message: message.to_owned(), refusal: None }
    }

    /// What the browser came back to is over.
    pub(in crate::http) fn gone() -> WebError {
        WebError::bad("This sign-in is over. Please go back to the application and try again.")
    }

    /// Too often.
    pub(in crate::http) fn too_often() -> WebError {
        let message = "That was tried too often. Please wait a few minutes.".to_owned();
        WebError { status: StatusCode::TOO_MANY_REQUESTS, message, refusal: None }
    }

    fn ours(error: &dyn std::fmt::Display) -> WebError {
        tracing::error!(%error, "a page could not be made");
        let message = "Something went wrong here. Please try again in a moment.".to_owned();
        WebError { status: StatusCode::SERVICE_UNAVAILABLE, message, refusal: None }
    }
}

impl From<Refusal> for WebError {
    fn from(refusal: Refusal) -> WebError {
        let wait = match refusal.seconds() {
            1 => "a second".to_owned(),
            seconds @ 2..=90 => format!("{seconds} seconds"),
            seconds => format!("{} minutes", seconds.div_ceil(60)),
        };
        let message = format!("That was tried too often. Please wait {wait}, then try again.");
        WebError { status: limits::TOO_MANY, message, refusal: Some(refusal) }
    }
}

impl From<StoreError> for WebError {
    fn from(error: StoreError) -> WebError {
        WebError::ours(&error)
    }
}

impl From<WriteError> for WebError {
    fn from(error: WriteError) -> WebError {
        WebError::ours(&error)
    }
}

impl From<ForgeError> for WebError {
    fn from(error: ForgeError) -> WebError {
        match error {
            // A line for each would be too much when there is too much to do.
            ForgeError::Busy => WebError {
                status: StatusCode::SERVICE_UNAVAILABLE,
                message: "Too many people are signing in at this moment. Please try again in a second.".to_owned(),
                refusal: None,
            },
            error => WebError::ours(&error),
        }
    }
}

impl From<getrandom::Error> for WebError {
    fn from(error: getrandom::Error) -> WebError {
        WebError::ours(&error)
    }
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        let template = Message { title: "That did not work", message: &self.message };
        let mut response = page(self.status, &template, None);
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            let seconds = if self.status == StatusCode::SERVICE_UNAVAILABLE { "1" } else { "600" };
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if let Some(refusal) = &self.refusal {
            limits::tell_refusal(refusal, response.headers_mut());
        }
        response
    }
}

/// The form of a page, or the error page.
pub(super) type Form = Result<crate::http::oauth::parameters::FormOnly, crate::http::oauth::error::OAuthError>;

/// The parameters of a form.
pub(super) fn form(form: Form) -> Result<crate::http::oauth::parameters::Parameters, WebError> {
    form.map(|form| form.0).map_err(|_| WebError::bad("The form is not well-formed. Please try again."))
}

/// The parameters of a page's address.
pub(super) fn query(query: Option<&str>) -> Result<crate::http::oauth::parameters::Parameters, WebError> {
    let parameters = crate::http::oauth::parameters::Parameters::from_form(query.unwrap_or_default());
    parameters.map_err(|_| WebError::bad("The address is not well-formed."))
}
