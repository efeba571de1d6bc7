//! A person's request to a page: the browser that it comes from, and what its form or its address says.

use askama::Template;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::{Method, StatusCode};
use axum::response::Response;

use super::browser::Browser;
use super::page::{Frame, WebError, page};
use crate::domain::{Login, Sender, User};
use crate::http::AppState;
use crate::http::oauth::authorization::see_other;
use crate::http::oauth::caller::Caller;
use crate::http::oauth::parameters::{FormOnly, Parameters};

/// A person's request.
pub(in crate::http) struct Visit {
    pub(in crate::http) app: AppState,
    pub(in crate::http) browser: Browser,
    pub(in crate::http) caller: Caller,
    /// The parameters of the form, or of the address where there is none.
    pub(in crate::http) said: Parameters,
}

/// A form that this origin gave to this very browser, as its token shows. No other may change anything.
pub(in crate::http) struct Posted(pub(in crate::http) Visit);

impl FromRequest<AppState> for Visit {
    type Rejection = WebError;

    async fn from_request(request: Request, app: &AppState) -> Result<Visit, WebError> {
        let (mut parts, body) = request.into_parts();
        let Ok(caller) = Caller::from_request_parts(&mut parts, app).await;
        let browser = Browser::of(app, &parts.headers).await?;
        let said = match parts.method {
            Method::POST => {
                let form = FormOnly::from_request(Request::from_parts(parts, body), app).await;
                form.map_err(|_| WebError::bad("The form is not well-formed. Please try again."))?.1
            }
            _ => Parameters::from_form(parts.uri.query().unwrap_or_default())
                .map_err(|_| WebError::bad("The address is not well-formed."))?,
        };
        Ok(Visit { app: app.clone(), browser, caller, said })
    }
}

impl FromRequest<AppState> for Posted {
    type Rejection = WebError;

    async fn from_request(request: Request, app: &AppState) -> Result<Posted, WebError> {
        let visit = Visit::from_request(request, app).await?;
        visit.browser.check(app, &visit.said)?;
        Ok(Posted(visit))
    }
}

impl Visit {
    /// Who is signed in, with the session.
    pub(in crate::http) async fn user(&self) -> Result<Option<(Login, User)>, WebError> {
        self.browser.user(&self.app).await
    }

    /// A parameter; empty for one that is not there.
    pub(in crate::http) fn text(&self, name: &str) -> &str {
        self.said.get(name).unwrap_or_default()
    }

    /// What was decided, if anything was: whether to allow what is asked for.
    pub(in crate::http) fn decision(&self) -> Result<Option<bool>, WebError> {
        match self.said.get("decision") {
            None => Ok(None),
            Some("allow") => Ok(Some(true)),
            Some("deny") => Ok(Some(false)),
            Some(_) => Err(WebError::undecided()),
        }
    }

    /// What the layout of a page needs.
    pub(in crate::http) fn frame(&self) -> Frame {
        Frame::of(&self.app, &self.browser)
    }

    /// A page, with the browser's cookie if it has yet to be given it.
    pub(in crate::http) fn page(&self, template: &impl Template) -> Response {
        self.page_with(StatusCode::OK, template, None)
    }

    /// As [`Visit::page`]. `form_goes_to`: where its form may lead beside this origin, in the end.
    pub(in crate::http) fn page_with(
        &self,
        status: StatusCode,
        template: &impl Template,
        form_goes_to: Option<&str>,
    ) -> Response {
        self.browser.remember(&self.app, page(status, template, form_goes_to))
    }

    /// On to another page of this origin.
    pub(in crate::http) fn go(&self, path: &str) -> Response {
        self.browser.remember(&self.app, see_other(&format!("{}{path}", self.app.issuer)))
    }

    /// Where the request comes from, for people.
    pub(in crate::http) fn sender(&self) -> Sender {
        self.caller.sender(&self.app.grants.trusted_proxies, None)
    }
}
