//! A person's request to a page: the browser that it comes from, and what its form or its address says.

use askama::Template;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tollgate_model::{Login, Sender, User};

use super::browser::Browser;
use super::page::{Frame, Part, WebError, page};
use crate::AppState;
use crate::oauth::authorization::see_other;
use crate::oauth::caller::Caller;
use crate::oauth::parameters::{FormOnly, Parameters};

/// A person's request.
pub(crate) struct Visit {
    pub(crate) app: AppState,
    pub(crate) browser: Browser,
    pub(crate) caller: Caller,
    /// The parameters of the form, or of the address where there is none.
    pub(crate) said: Parameters,
}

/// A form that this origin gave to this very browser, as its token shows. No other may change anything.
pub(crate) struct Posted(pub(crate) Visit);

impl FromRequest<AppState> for Visit {
    type Rejection = WebError;

    async fn from_request(request: Request, app: &AppState) -> Result<Visit, WebError> {
        let (mut parts, body) = request.into_parts();
        let Ok(caller) = Caller::from_request_parts(&mut parts, app).await;
        let browser = Browser::of(app, &parts.headers).await?;
        let said = match parts.method {
            Method::POST => {
                let form = FormOnly::from_request(Request::from_parts(parts, body), app).await;
                let form = form.ok().and_then(|FormOnly(_, form)| form.storable().ok());
                form.ok_or_else(|| WebError::bad("The form is not well-formed. Please try again."))?
            }
            _ => Parameters::from_form(parts.uri.query().unwrap_or_default())
                .and_then(Parameters::storable)
                .map_err(|_| WebError::bad("The address is not well-formed."))?,
        };
        Ok(Visit { app: app.clone(), browser, caller, said })
    }
}

/// Why a form is not taken.
pub(crate) enum NotTaken {
    /// It was not made for this browser as it is now: the browser goes to the same form anew.
    Stale(Box<Response>),
    /// It cannot be read, or who sends it is not known.
    Wrong(WebError),
}

impl From<WebError> for NotTaken {
    fn from(error: WebError) -> NotTaken {
        NotTaken::Wrong(error)
    }
}

impl IntoResponse for NotTaken {
    fn into_response(self) -> Response {
        match self {
            NotTaken::Stale(response) => *response,
            NotTaken::Wrong(error) => error.into_response(),
        }
    }
}

impl FromRequest<AppState> for Posted {
    type Rejection = NotTaken;

    async fn from_request(request: Request, app: &AppState) -> Result<Posted, NotTaken> {
        let path = request.uri().path().to_owned();
        let visit = Visit::from_request(request, app).await?;
        match visit.has_own_form() {
            true => Ok(Posted(visit)),
            false => Err(NotTaken::Stale(Box::new(visit.form_anew(&path)))),
        }
    }
}

/// What a form carries from the address of its page.
const CARRIED: [&str; 6] = ["request", "user_code", "next", "client_id", "post_logout_redirect_uri", "state"];
/// The parameter that has a page say that its form was too old.
const STALE: &str = "stale";

impl Visit {
    /// Who is signed in, with the session.
    pub(crate) async fn user(&self) -> Result<Option<(Login, User)>, WebError> {
        self.browser.user(&self.app).await
    }

    /// A parameter; empty for one that is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.said.get(name).unwrap_or_default()
    }

    /// What was decided, if anything was: whether to allow what is asked for.
    pub(crate) fn decision(&self) -> Result<Option<bool>, WebError> {
        match self.said.get("decision") {
            None => Ok(None),
            Some("allow") => Ok(Some(true)),
            Some("deny") => Ok(Some(false)),
            Some(_) => Err(WebError::undecided()),
        }
    }

    /// Whether the form is one that this origin gave to this very browser.
    pub(crate) fn has_own_form(&self) -> bool {
        self.browser.was_given(&self.app, &self.said)
    }

    /// On to a form that was sent when it was too old, anew: somebody signed in or out in another window meanwhile, or another site made
    /// it up. Nothing was done, and nothing of the form is used but where its page was. No cookie is set: a form of another site comes
    /// without the browser's own, which a new one would replace.
    pub(crate) fn form_anew(&self, path: &str) -> Response {
        let carried = CARRIED.into_iter().filter_map(|name| Some((name, self.said.get(name)?)));
        let query =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(carried.chain([(STALE, "1")])).finish();
        see_other(&format!("{}{path}?{query}", self.app.issuer))
    }

    /// What the layout of a page needs.
    pub(crate) fn frame(&self) -> Frame {
        Frame { is_stale: self.said.get(STALE).is_some(), ..Frame::of(&self.app, &self.browser) }
    }

    /// A page, with the browser's cookie if it has yet to be given it.
    pub(crate) fn page(&self, template: &impl Template) -> Response {
        self.page_with(StatusCode::OK, template, Part::Own)
    }

    /// As [`Visit::page`], with the status of a form that is shown again, and what the page is part of.
    pub(crate) fn page_with(&self, status: StatusCode, template: &impl Template, part: Part) -> Response {
        self.browser.remember(&self.app, page(status, template, part))
    }

    /// On to another page of this origin.
    pub(crate) fn go(&self, path: &str) -> Response {
        self.browser.remember(&self.app, see_other(&format!("{}{path}", self.app.issuer)))
    }

    /// Where the request comes from, for people.
    pub(crate) fn sender(&self) -> Sender {
        self.caller.sender(&self.app.grants.trusted_proxies, None)
    }
}
