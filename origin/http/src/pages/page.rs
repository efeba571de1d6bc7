//! What all pages have in common: the layout, the policy they stand under, and the page that says what went wrong.

use askama::Template;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tollgate_model::User;
use tollgate_services::password_hashing::ForgeError;
use tollgate_services::rate_limit::Refusal;
use tollgate_storage::{StoreError, WriteError};

use super::browser::Browser;
use crate::problem::Problem;
use crate::{App, AppState, limits};

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

const STYLE: &str = concat!(include_str!("../../templates/tollgate.css"), include_str!("../../templates/admin.css"));
const ICON: &str = include_str!("../../templates/tollgate.svg");

/// The style of all pages.
#[utoipa::path(
    get, path = "/assets/tollgate.css",
    responses((status = 200, description = "The style", body = String, content_type = "text/css; charset=utf-8")),
)]
pub(crate) async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "public, max-age=3600")], STYLE)
}

/// The icon of all pages.
#[utoipa::path(
    get, path = "/assets/tollgate.svg",
    responses((status = 200, description = "The icon", body = String, content_type = "image/svg+xml")),
)]
pub(crate) async fn icon() -> impl IntoResponse {
    ([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, "public, max-age=86400")], ICON)
}

/// What the layout of a page needs.
pub(crate) struct Frame {
    /// What stands before the paths of this issuer, as browsers know them; often nothing.
    pub(crate) root: String,
    /// What a form must carry.
    pub(crate) csrf: String,
    /// Who is signed in; empty for nobody.
    pub(crate) username: String,
    /// Whether they may use the console.
    pub(crate) is_admin: bool,
    /// Which of the pages in the navigation this is.
    pub(crate) here: &'static str,
    /// Whether a form was sent that was too old, and this is the same anew.
    pub(crate) is_stale: bool,
}

impl Frame {
    /// The frame of a page for this browser, with nobody signed in yet.
    pub(crate) fn of(app: &App, browser: &Browser) -> Frame {
        Frame { csrf: browser.csrf(app), ..Frame::plain(app) }
    }

    /// The frame with who is signed in.
    pub(crate) fn with(self, user: &User, here: &'static str) -> Frame {
        Frame { username: user.name.to_string(), is_admin: user.is_admin, here, ..self }
    }

    fn plain(app: &App) -> Frame {
        Frame {
            root: app.at(""),
            csrf: String::new(),
            username: String::new(),
            is_admin: false,
            here: "",
            is_stale: false,
        }
    }
}

/// A page with a message and nothing to do but perhaps to go on somewhere.
#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct Message<'a> {
    pub(crate) frame: Frame,
    pub(crate) title: &'a str,
    pub(crate) message: &'a str,
    /// Whether it tells of something that was to be done.
    pub(crate) went_well: bool,
    /// A path of this issuer and the words of the link to it.
    pub(crate) next: Option<(&'a str, &'a str)>,
}

/// What a page is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// This origin's own pages: their forms lead to its other pages.
    Own,
    /// The way of an application's user, which ends at the application: a redirect URI, or whatever that redirects to.
    ApplicationFlow,
}

impl Part {
    /// What a policy of this part has beyond that of all pages. Chromium holds every redirect after a form against `form-action`: where an
    /// application's own address leads on is not known here, and an address such as `http://[::1]:8080` or that of an app cannot be
    /// said there at all. So forms that lead to an application have no such rule; docs/accounts.md says what stands in for it.
    fn form_action(self) -> &'static str {
        match self {
            Part::Own => "; form-action 'self'",
            Part::ApplicationFlow => "",
        }
    }

    /// Applications open this flow in windows of their own and hear from there when it ended, which a policy would cut off.
    fn opener_policy(self) -> &'static str {
        match self {
            Part::Own => "same-origin",
            Part::ApplicationFlow => "unsafe-none",
        }
    }
}

/// What no page needs. `default-src 'none'` says nothing of what is no resource.
const PERMISSIONS: &str = "accelerometer=(), autoplay=(), bluetooth=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), \
     hid=(), magnetometer=(), microphone=(), midi=(), payment=(), publickey-credentials-create=(), publickey-credentials-get=(), \
     screen-wake-lock=(), serial=(), usb=()";

/// A page.
pub(crate) fn page(status: StatusCode, template: &impl Template, part: Part) -> Response {
    let Ok(html) = template.render() else {
        tracing::error!("a page could not be rendered");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'{}",
        part.form_action()
    );
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static(part.opener_policy()));
    headers.insert(PERMISSIONS_POLICY, HeaderValue::from_static(PERMISSIONS));
    let strictest = HeaderValue::from_static("default-src 'none'");
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::try_from(policy).unwrap_or(strictest));
    response
}

/// Why a person is shown an error, and not what they came for.
#[derive(Debug, Clone)]
pub(crate) struct WebError {
    status: StatusCode,
    title: &'static str,
    message: String,
    /// The limit that was not passed, if that is why.
    refusal: Option<Refusal>,
}

const TITLE: &str = "That did not work";
const OFTEN: &str = "Too many tries";
const BUSY: &str = "Too many people are signing in at this moment. Please try again in a second.";

impl WebError {
    /// Something is wrong with what the browser sent.
    pub(crate) fn bad(message: &str) -> WebError {
        WebError { status: StatusCode::BAD_REQUEST, title: TITLE, message: message.to_owned(), refusal: None }
    }

    /// What the browser came back to is over.
    pub(crate) fn gone() -> WebError {
        WebError::bad("This sign-in is over. Please go back to the application and try again.")
    }

    /// A choice was to be made, and was not.
    pub(crate) fn undecided() -> WebError {
        WebError::bad("Please choose one of the two.")
    }

    /// They may not see that.
    pub(crate) fn forbidden(message: &str) -> WebError {
        WebError { status: StatusCode::FORBIDDEN, title: "Not for you", message: message.to_owned(), refusal: None }
    }

    /// There is no such page here.
    pub(crate) fn not_here(message: &str) -> WebError {
        WebError { status: StatusCode::NOT_FOUND, title: "Not here", message: message.to_owned(), refusal: None }
    }

    /// It contradicts what is there.
    pub(crate) fn conflict(message: &str) -> WebError {
        WebError { status: StatusCode::CONFLICT, title: TITLE, message: message.to_owned(), refusal: None }
    }

    /// Somebody who is needed does not answer.
    pub(crate) fn away(message: &str) -> WebError {
        WebError {
            status: StatusCode::SERVICE_UNAVAILABLE,
            title: "Not now",
            message: message.to_owned(),
            refusal: None,
        }
    }

    /// Too often.
    pub(crate) fn too_often() -> WebError {
        let message = "That was tried too often. Please wait a few minutes.".to_owned();
        WebError { status: StatusCode::TOO_MANY_REQUESTS, title: OFTEN, message, refusal: None }
    }

    /// Whether nothing was looked at, for there was too much to do.
    pub(crate) fn is_busy(&self) -> bool {
        self.message == BUSY
    }

    fn ours(error: &dyn std::fmt::Display) -> WebError {
        tracing::error!(%error, "a page could not be made");
        let message = "Something went wrong here. Please try again in a moment.".to_owned();
        WebError { status: StatusCode::SERVICE_UNAVAILABLE, title: TITLE, message, refusal: None }
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
        WebError { status: limits::TOO_MANY, title: OFTEN, message, refusal: Some(refusal) }
    }
}

/// What an act of an administrator was refused for, on a page of its own.
impl From<Problem> for WebError {
    fn from(problem: Problem) -> WebError {
        let (status, message) = (problem.status(), sentence(problem.detail()));
        let title = if status == StatusCode::NOT_FOUND { "Not there" } else { TITLE };
        WebError { status, title, message, refusal: None }
    }
}

/// An API's words as a sentence.
pub fn sentence(detail: &str) -> String {
    let mut letters = detail.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if detail.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

impl From<StoreError> for WebError {
    fn from(error: StoreError) -> WebError {
        if matches!(error, StoreError::UserDisabled) {
            return WebError::gone();
        }
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
                title: TITLE,
                message: BUSY.to_owned(),
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
        let mut response = self.status.into_response();
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            let seconds = if self.status == StatusCode::SERVICE_UNAVAILABLE { "1" } else { "600" };
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if let Some(refusal) = &self.refusal {
            limits::tell_refusal(refusal, &mut response);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Makes the page of a [`WebError`], for which it must be known where this issuer's style is; leaves all other answers as they are.
pub(crate) async fn show_error(State(app): State<AppState>, mut response: Response) -> Response {
    let Some(error) = response.extensions_mut().remove::<WebError>() else {
        return response;
    };
    let (frame, next) = (Frame::plain(&app), Some(("/account/sessions", "To your account")));
    let template = Message { frame, title: error.title, message: &error.message, went_well: false, next };
    let mut shown = page(error.status, &template, Part::Own);
    for name in [RETRY_AFTER, limits::POLICY, limits::STATE, SET_COOKIE] {
        for value in response.headers().get_all(&name) {
            shown.headers_mut().append(name.clone(), value.clone());
        }
    }
    shown
}
