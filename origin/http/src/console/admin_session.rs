//! Who may use the console: a signed-in administrator. Others are sent to sign in, and come back.

use std::sync::Arc;

use askama::Template;
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tollgate_messages::Message;
use tollgate_model::{Actor, BrowserSessionId, User};
use tollgate_services::admin::Administration;
use tollgate_storage::Store;

use super::flash::{self, Flash};
use crate::oauth::authorization_response::see_other;
use crate::pages::error::WebError;
use crate::pages::login::login_path;
use crate::pages::page::{Flow, Layout};
use crate::pages::page_request::PageRequest;
use crate::pages::state::PageState;
use crate::pages::time_format::Moment;

/// State of the console: that of pages, where an administrator signs in as every user does, and the
/// commands of administrators.
pub(crate) struct ConsoleState {
    pub(crate) pages: Arc<PageState>,
    pub(crate) commands: Arc<Administration>,
}

/// An administrator's request to a page of the console.
pub(crate) struct AdminSession {
    pub(crate) page: PageRequest,
    pub(crate) user: User,
    login: BrowserSessionId,
    commands: Arc<Administration>,
}

/// An administrator's form whose CSRF token belongs to this browser's session. Only such a form may
/// change anything.
pub(crate) struct AdminForm(pub(crate) AdminSession);

/// Why a request to the console is rejected.
pub(crate) enum AdminRejection {
    /// Nobody is signed in: redirect to this address.
    SignIn(String),
    /// The user is not an administrator, or the request cannot be read.
    Failed(WebError),
    /// The form's CSRF token does not belong to this browser's session: the browser is sent to a
    /// fresh form.
    Stale(Box<Response>),
}

impl From<WebError> for AdminRejection {
    fn from(error: WebError) -> AdminRejection {
        AdminRejection::Failed(error)
    }
}

impl IntoResponse for AdminRejection {
    fn into_response(self) -> Response {
        match self {
            AdminRejection::SignIn(location) => see_other(&location),
            AdminRejection::Failed(error) => error.into_response(),
            AdminRejection::Stale(response) => *response,
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for AdminSession
where
    Arc<ConsoleState>: FromRef<S>,
{
    type Rejection = AdminRejection;

    async fn from_request(request: Request, state: &S) -> Result<AdminSession, AdminRejection> {
        let console = Arc::<ConsoleState>::from_ref(state);
        let return_path = return_path(&request);
        let page = PageRequest::from_request(request, &console.pages).await?;
        let Some((login, user)) = page.user().await? else {
            return Err(AdminRejection::SignIn(format!("{}{}", console.pages.issuer.url, login_path(&return_path))));
        };
        if !user.is_admin {
            return Err(WebError::forbidden("error-administrators-only").into());
        }
        Ok(AdminSession { page, user, login: login.id, commands: Arc::clone(&console.commands) })
    }
}

impl<S: Send + Sync> FromRequest<S> for AdminForm
where
    Arc<ConsoleState>: FromRef<S>,
{
    type Rejection = AdminRejection;

    async fn from_request(request: Request, state: &S) -> Result<AdminForm, AdminRejection> {
        let path = request.uri().path().to_owned();
        let admin = AdminSession::from_request(request, state).await?;
        match admin.page.has_csrf_token() {
            true => Ok(AdminForm(admin)),
            false => Err(AdminRejection::Stale(Box::new(admin.page.redirect_to_fresh_form(&path)))),
        }
    }
}

/// The requested page; for a form its own page, because the form's content is lost.
fn return_path(request: &Request) -> String {
    let uri = request.uri();
    match (request.method() == Method::POST, uri.path_and_query()) {
        (false, Some(path_and_query)) => path_and_query.as_str().to_owned(),
        _ => uri.path().to_owned(),
    }
}

impl AdminSession {
    /// The commands of administrators.
    pub(crate) fn commands(&self) -> &Administration {
        &self.commands
    }

    /// The issuer's database, to list what commands change.
    pub(crate) fn store(&self) -> &Store {
        &self.commands.store
    }

    /// The current time, in Unix seconds.
    pub(crate) fn now(&self) -> u64 {
        self.commands.clock.now()
    }

    /// The administrator, as the audit log records them.
    pub(crate) fn actor(&self) -> Actor {
        Actor::user(&self.user.id)
    }

    /// A parameter of the form or address; empty if it is missing.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.page.param(name)
    }

    /// A parameter, if it is present.
    pub(crate) fn find_param(&self, name: &str) -> Option<&str> {
        self.page.params.get(name)
    }

    /// Whether a checkbox is checked.
    pub(crate) fn is_checked(&self, name: &str) -> bool {
        self.page.params.get(name).is_some()
    }

    /// A message in the administrator's language.
    pub(crate) fn text<'a>(&'a self, id: &'a str) -> Message<'a> {
        self.page.messages.text(id)
    }

    /// A time in the administrator's language.
    pub(crate) fn moment(&self, at: u64, now: u64) -> Moment {
        Moment::new(at, now, &self.page.messages)
    }

    /// The layout of a page, on an entry of the console's navigation.
    pub(crate) fn layout(&self, active_nav: &'static str) -> Layout {
        self.page.layout().for_user(&self.user, active_nav)
    }

    /// The outcome of the action before. The response must go through [`AdminSession::show`], which
    /// clears it.
    pub(crate) fn flash(&self) -> Flash {
        flash::read(&self.commands.keys, &self.login, &self.page.caller.headers)
    }

    /// Renders a page.
    pub(crate) fn show(&self, template: &impl Template) -> Response {
        self.show_with(StatusCode::OK, template)
    }

    /// As [`AdminSession::show`], with the status of a form that is shown again.
    pub(crate) fn show_with(&self, status: StatusCode, template: &impl Template) -> Response {
        let mut response = self.page.page_with(status, template, Flow::Own);
        flash::clear(&self.page.state.issuer, &self.page.caller.headers, &mut response);
        response
    }

    /// Redirects to a page of the console that shows the outcome once.
    pub(crate) fn redirect(&self, path: &str, flash: &Flash) -> Response {
        let mut response = self.page.redirect(path);
        flash::write(&self.page.state.issuer, &self.commands.keys, &self.login, flash, &mut response);
        response
    }
}
