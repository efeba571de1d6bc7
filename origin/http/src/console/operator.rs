//! Who may use the console: a user who is signed in and an administrator. Whoever is not signed in is sent to do so, and comes back.

use askama::Template;
use axum::extract::{FromRequest, Request};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tollgate_model::{Actor, LoginId, User};

use super::told::{self, Told};
use crate::oauth::authorization::see_other;
use crate::pages::login::and_back_to;
use crate::pages::page::{Frame, Part, WebError};
use crate::pages::visit::Visit;
use crate::{App, AppState};

/// An administrator's request to a page of the console.
pub(crate) struct Operator {
    pub(crate) visit: Visit,
    pub(crate) user: User,
    login: LoginId,
}

/// An administrator's form, which this origin gave to this very browser. No other changes anything.
pub(crate) struct Order(pub(crate) Operator);

/// Why somebody is not let in.
pub(crate) enum Turned {
    /// They are to sign in first, there.
    SignIn(String),
    /// They may not, or their request cannot be read.
    Away(WebError),
    /// Their form was too old: they go to it anew.
    Stale(Box<Response>),
}

impl From<WebError> for Turned {
    fn from(error: WebError) -> Turned {
        Turned::Away(error)
    }
}

impl IntoResponse for Turned {
    fn into_response(self) -> Response {
        match self {
            Turned::SignIn(location) => see_other(&location),
            Turned::Away(error) => error.into_response(),
            Turned::Stale(response) => *response,
        }
    }
}

impl FromRequest<AppState> for Operator {
    type Rejection = Turned;

    async fn from_request(request: Request, app: &AppState) -> Result<Operator, Turned> {
        let back = way_back(&request);
        let visit = Visit::from_request(request, app).await?;
        let Some((login, user)) = visit.user().await? else {
            return Err(Turned::SignIn(format!("{}{}", app.issuer, and_back_to(&back))));
        };
        if !user.is_admin {
            return Err(
                WebError::forbidden("The console is for administrators. You are signed in as somebody else.").into()
            );
        }
        Ok(Operator { visit, user, login: login.id })
    }
}

impl FromRequest<AppState> for Order {
    type Rejection = Turned;

    async fn from_request(request: Request, app: &AppState) -> Result<Order, Turned> {
        let path = request.uri().path().to_owned();
        let operator = Operator::from_request(request, app).await?;
        match operator.visit.has_own_form() {
            true => Ok(Order(operator)),
            false => Err(Turned::Stale(Box::new(operator.visit.form_anew(&path)))),
        }
    }
}

/// The page that was asked for; after a form the page that it was on, for the form itself is lost.
fn way_back(request: &Request) -> String {
    let uri = request.uri();
    match (request.method() == Method::POST, uri.path_and_query()) {
        (false, Some(whole)) => whole.as_str().to_owned(),
        _ => uri.path().to_owned(),
    }
}

impl Operator {
    pub(crate) fn app(&self) -> &App {
        &self.visit.app
    }

    /// As whom they stand in the audit log.
    pub(crate) fn actor(&self) -> Actor {
        Actor::user(&self.user.id)
    }

    /// A parameter of the form or the address; empty for one that is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.visit.text(name)
    }

    /// A parameter, if it is there.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.visit.said.get(name)
    }

    /// Whether a box was ticked.
    pub(crate) fn ticked(&self, name: &str) -> bool {
        self.visit.said.get(name).is_some()
    }

    /// What the layout of a page needs; `here` is its part of the console.
    pub(crate) fn frame(&self, here: &'static str) -> Frame {
        self.visit.frame().with(&self.user, here)
    }

    /// What they were told by the act before, this once: the answer must go through [`Operator::show`].
    pub(crate) fn told(&self) -> Told {
        told::read(self.app(), &self.login, &self.visit.caller.headers)
    }

    /// A page.
    pub(crate) fn show(&self, template: &impl Template) -> Response {
        self.show_with(StatusCode::OK, template)
    }

    /// As [`Operator::show`], with the status of a form that is shown again.
    pub(crate) fn show_with(&self, status: StatusCode, template: &impl Template) -> Response {
        let mut response = self.visit.page_with(status, template, Part::Own);
        told::forget(self.app(), &self.visit.caller.headers, &mut response);
        response
    }

    /// Goes on to another page of the console, where it is told once what was done.
    pub(crate) fn done(&self, path: &str, told: &Told) -> Response {
        let mut response = self.visit.go(path);
        told::write(self.app(), &self.login, told, &mut response);
        response
    }
}
