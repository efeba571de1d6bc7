//! Error pages. A handler returns a [`WebError`]; [`render_errors`] makes its page, in the reader's
//! language.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_LANGUAGE, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tollgate_messages::Messages;
use tollgate_model::authorization::RequestParameters;
use tollgate_services::admin::AdminError;
use tollgate_services::password_hashing::PasswordHashingError;
use tollgate_services::rate_limit::LimitExceeded;
use tollgate_services::signing_keys::SigningError;
use tollgate_storage::{StoreError, WriteError};
use tollgate_system::current_request;

use super::brand::Appearance;
use super::page::{Flow, Layout, MessagePage, ReturnLink, page};
use crate::issuer::Issuer;
use crate::oauth::error::OAuthError;
use crate::problem::Problem;
use crate::ratelimit_headers::{POLICY, STATE, insert_refusal_headers};
use crate::refused_request::RefusedRequest;

/// An error that a person sees as a page.
#[derive(Debug, Clone)]
pub(crate) struct WebError {
    status: StatusCode,
    /// Names of messages in the catalogue.
    title: &'static str,
    message: &'static str,
    /// The value `$count` of the message.
    count: Option<u64>,
    /// A technical description in English, for developers and administrators; often empty.
    detail: String,
    /// The limit that was exceeded.
    refusal: Option<LimitExceeded>,
    /// What is known of the application whose request is refused.
    application: Option<Box<RefusedApplication>>,
}

/// The refused request of an application.
#[derive(Debug, Clone)]
struct RefusedApplication {
    /// For the log.
    request: RefusedRequest,
    /// By which the user may take the error to the application.
    return_link: Option<ReturnLink>,
}

impl WebError {
    fn new(status: StatusCode, title: &'static str, message: &'static str) -> WebError {
        WebError { status, title, message, count: None, detail: String::new(), refusal: None, application: None }
    }

    /// The request is malformed.
    pub(crate) fn bad_request(message: &'static str) -> WebError {
        WebError::new(StatusCode::BAD_REQUEST, "error-title", message)
    }

    /// An application sent the browser here with a request that cannot be used. `detail` tells its
    /// developers what is wrong.
    pub(crate) fn bad_application_request(detail: &str) -> WebError {
        let request = RefusedRequest::new("invalid_request", detail.to_owned());
        let application = Some(Box::new(RefusedApplication { request, return_link: None }));
        WebError { detail: detail.to_owned(), application, ..WebError::bad_request("error-application") }
    }

    /// Adds a link to the application, at its authorization response.
    pub(crate) fn with_return_link(mut self, response: Option<&str>) -> WebError {
        if let Some(application) = &mut self.application {
            application.return_link = response.map(ReturnLink::new);
        }
        self
    }

    /// Adds the values that the application sent, for the log.
    pub(crate) fn with_request(self, parameters: &impl RequestParameters) -> WebError {
        let application = self.application.map(|application| {
            let request = application.request.with_request(parameters);
            Box::new(RefusedApplication { request, return_link: application.return_link })
        });
        WebError { application, ..self }
    }

    /// The authorization request that a page belongs to has expired or was answered.
    pub(crate) fn request_expired() -> WebError {
        WebError::bad_request("error-request-expired")
    }

    /// A form was sent without its decision.
    pub(crate) fn undecided() -> WebError {
        WebError::bad_request("error-undecided")
    }

    pub(crate) fn forbidden(message: &'static str) -> WebError {
        WebError::new(StatusCode::FORBIDDEN, "error-forbidden-title", message)
    }

    pub(crate) fn not_found(message: &'static str) -> WebError {
        WebError::new(StatusCode::NOT_FOUND, "error-not-found-title", message)
    }

    pub(crate) fn conflict(message: &'static str) -> WebError {
        WebError::new(StatusCode::CONFLICT, "error-title", message)
    }

    /// A service that is needed does not answer.
    pub(crate) fn unavailable(message: &'static str) -> WebError {
        WebError::new(StatusCode::SERVICE_UNAVAILABLE, "error-unavailable-title", message)
    }

    pub(crate) fn too_many_attempts() -> WebError {
        let (title, message) = ("error-too-many-attempts-title", "error-too-many-attempts");
        WebError::new(StatusCode::TOO_MANY_REQUESTS, title, message)
    }

    fn busy() -> WebError {
        WebError::new(StatusCode::SERVICE_UNAVAILABLE, "error-title", "error-busy")
    }

    /// Whether the password hashing queue was full, so that no password was checked.
    pub(crate) fn is_busy(&self) -> bool {
        self.message == "error-busy"
    }

    /// A failure of this server: its cause goes to the log only.
    fn internal(error: &dyn std::fmt::Display) -> WebError {
        tracing::error!(%error, "handling a page request failed");
        WebError::new(StatusCode::SERVICE_UNAVAILABLE, "error-title", "error-internal")
    }
}

impl From<LimitExceeded> for WebError {
    fn from(refusal: LimitExceeded) -> WebError {
        let (message, count) = match refusal.seconds() {
            seconds @ 0..=90 => ("error-too-many-attempts-seconds", u64::from(seconds)),
            seconds => ("error-too-many-attempts-minutes", u64::from(seconds.div_ceil(60))),
        };
        let error = WebError::new(StatusCode::TOO_MANY_REQUESTS, "error-too-many-attempts-title", message);
        WebError { count: Some(count), refusal: Some(refusal), ..error }
    }
}

/// A refused administration command, on a page of its own.
impl From<AdminError> for WebError {
    fn from(error: AdminError) -> WebError {
        Problem::from(error).into()
    }
}

impl From<Problem> for WebError {
    fn from(problem: Problem) -> WebError {
        let status = problem.status();
        let title = if status == StatusCode::NOT_FOUND { "error-not-found-title" } else { "error-title" };
        WebError { detail: sentence(problem.detail()), ..WebError::new(status, title, "") }
    }
}

/// An error description as a sentence.
pub(crate) fn sentence(detail: &str) -> String {
    let mut letters = detail.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if detail.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

impl From<StoreError> for WebError {
    fn from(error: StoreError) -> WebError {
        if matches!(error, StoreError::UserDisabled) {
            return WebError::request_expired();
        }
        WebError::internal(&error)
    }
}

impl From<WriteError> for WebError {
    fn from(error: WriteError) -> WebError {
        WebError::internal(&error)
    }
}

/// A token of an authorization response could not be issued.
impl From<OAuthError> for WebError {
    fn from(error: OAuthError) -> WebError {
        WebError::internal(&error)
    }
}

impl From<SigningError> for WebError {
    fn from(error: SigningError) -> WebError {
        WebError::internal(&error)
    }
}

impl From<PasswordHashingError> for WebError {
    fn from(error: PasswordHashingError) -> WebError {
        match error {
            // Not logged: a line for each request would add to the load.
            PasswordHashingError::Busy => WebError::busy(),
            error => WebError::internal(&error),
        }
    }
}

impl From<getrandom::Error> for WebError {
    fn from(error: getrandom::Error) -> WebError {
        WebError::internal(&error)
    }
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            let seconds = if self.status == StatusCode::SERVICE_UNAVAILABLE { "1" } else { "600" };
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if let Some(refusal) = &self.refusal {
            insert_refusal_headers(refusal, &mut response);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// State of the pages that need no session: errors, and what this server is.
pub(crate) struct PublicPages {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) appearance: Arc<Appearance>,
}

/// Replaces the empty response of a [`WebError`] by its page. All other responses pass unchanged.
pub(crate) async fn render_errors(State(pages): State<Arc<PublicPages>>, request: Request, next: Next) -> Response {
    let (uri, accept_language) = (request.uri().clone(), request.headers().get(ACCEPT_LANGUAGE).cloned());
    let mut response = next.run(request).await;
    let Some(error) = response.extensions_mut().remove::<WebError>() else {
        return response;
    };
    let accept_language = accept_language.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let messages = pages.appearance.catalogue.messages(&ui_locales(&uri), accept_language);
    let refused = error.application.as_ref().map(|application| application.request.clone());
    let mut rendered = error.render(&pages, messages);
    if let Some(refused) = refused {
        rendered.extensions_mut().insert(refused);
    }
    for name in [RETRY_AFTER, POLICY, STATE, SET_COOKIE] {
        for value in response.headers().get_all(&name) {
            rendered.headers_mut().append(name.clone(), value.clone());
        }
    }
    rendered
}

impl WebError {
    fn render(self, pages: &PublicPages, messages: Messages) -> Response {
        let message = match (self.message, self.count) {
            ("", _) => String::new(),
            (id, Some(count)) => messages.text(id).with("count", count).to_string(),
            (id, None) => messages.text(id).to_string(),
        };
        let (title, language) = (messages.text(self.title).to_string(), messages.language().to_owned());
        let link = Some(("/account/sessions", "error-go-to-account"));
        let mut layout = Layout::new(&pages.issuer, &pages.appearance, messages);
        layout.request_id = current_request::id().unwrap_or_default();
        let return_link = self.application.and_then(|application| application.return_link);
        let template =
            MessagePage { layout, title, message, detail: self.detail, is_success: false, link, return_link };
        page(self.status, &template, &language, Flow::Own)
    }
}

fn ui_locales(uri: &Uri) -> String {
    let mut pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.find(|(name, _)| name == "ui_locales").map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// The `Accept-Language` field of a request; empty without one.
pub(crate) fn accept_language(headers: &HeaderMap) -> &str {
    headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
