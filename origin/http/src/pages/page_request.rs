//! A browser's request to a page: its session, its language, and the parameters of its form or
//! address.

use std::sync::Arc;

use askama::Template;
use axum::extract::{FromRef, FromRequest, FromRequestParts as _, Request};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tollgate_messages::Messages;
use tollgate_model::{BrowserSession, Sender, User};

use super::browser::Browser;
use super::error::{WebError, accept_language};
use super::page::{Flow, Layout, page};
use super::query::{UI_LOCALES, query_pair};
use super::state::PageState;
use crate::oauth::authorization_response::see_other;
use crate::oauth::caller::Caller;
use crate::oauth::parameters::{FormOnly, Parameters};

/// A browser's request to a page.
pub(crate) struct PageRequest {
    pub(crate) state: Arc<PageState>,
    pub(crate) browser: Browser,
    pub(crate) caller: Caller,
    /// The parameters of the form, or of the address if there is no form.
    pub(crate) params: Parameters,
    /// The texts in the reader's language: of the parameter `ui_locales`, else of
    /// `Accept-Language`.
    pub(crate) messages: Messages,
}

/// A form whose CSRF token belongs to this browser's session. Only such a form may change anything.
pub(crate) struct CsrfCheckedForm(pub(crate) PageRequest);

impl<S: Send + Sync> FromRequest<S> for PageRequest
where
    Arc<PageState>: FromRef<S>,
{
    type Rejection = WebError;

    async fn from_request(request: Request, state: &S) -> Result<PageRequest, WebError> {
        let state = Arc::<PageState>::from_ref(state);
        let (mut parts, body) = request.into_parts();
        let Ok(caller) = Caller::from_request_parts(&mut parts, &()).await;
        let browser = Browser::from_headers(&state.sessions, &parts.headers).await?;
        let params = match parts.method {
            Method::POST => {
                let form = FormOnly::from_request(Request::from_parts(parts, body), &()).await;
                let form = form.ok().and_then(|FormOnly(_, form)| form.storable().ok());
                form.ok_or_else(|| WebError::bad_request("error-form-malformed"))?
            }
            _ => Parameters::from_form(parts.uri.query().unwrap_or_default())
                .and_then(Parameters::storable)
                .map_err(|_| WebError::bad_request("error-address-malformed"))?,
        };
        let ui_locales = params.get(UI_LOCALES).unwrap_or_default();
        let messages = state.appearance.catalogue.messages(ui_locales, accept_language(&caller.headers));
        Ok(PageRequest { state, browser, caller, params, messages })
    }
}

/// Why a form is rejected.
pub(crate) enum FormRejection {
    /// Its CSRF token does not belong to this browser's session: the browser is sent to a fresh
    /// form.
    Stale(Box<Response>),
    /// It cannot be read, or the session cannot be looked up.
    Failed(WebError),
}

impl From<WebError> for FormRejection {
    fn from(error: WebError) -> FormRejection {
        FormRejection::Failed(error)
    }
}

impl IntoResponse for FormRejection {
    fn into_response(self) -> Response {
        match self {
            FormRejection::Stale(response) => *response,
            FormRejection::Failed(error) => error.into_response(),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for CsrfCheckedForm
where
    Arc<PageState>: FromRef<S>,
{
    type Rejection = FormRejection;

    async fn from_request(request: Request, state: &S) -> Result<CsrfCheckedForm, FormRejection> {
        let path = request.uri().path().to_owned();
        let form = PageRequest::from_request(request, state).await?;
        match form.has_csrf_token() {
            true => Ok(CsrfCheckedForm(form)),
            false => Err(FormRejection::Stale(Box::new(form.redirect_to_fresh_form(&path)))),
        }
    }
}

/// Parameters that a form has from the address of its page.
const CARRIED_PARAMETERS: [&str; 7] =
    ["request", "user_code", "next", "client_id", "post_logout_redirect_uri", "state", UI_LOCALES];
/// The parameter with which a page says that its form was out of date.
const STALE: &str = "stale";

impl PageRequest {
    /// The signed-in user with the session.
    pub(crate) async fn user(&self) -> Result<Option<(BrowserSession, User)>, WebError> {
        self.browser.user(&self.state.store).await
    }

    /// A parameter; empty if it is missing.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.get(name).unwrap_or_default()
    }

    /// Whether the user allowed what is asked for; none if the form has no decision.
    pub(crate) fn decision(&self) -> Result<Option<bool>, WebError> {
        match self.params.get("decision") {
            None => Ok(None),
            Some("allow") => Ok(Some(true)),
            Some("deny") => Ok(Some(false)),
            Some(_) => Err(WebError::undecided()),
        }
    }

    /// Whether the form carries the CSRF token of this browser's session.
    pub(crate) fn has_csrf_token(&self) -> bool {
        self.browser.has_csrf_token(&self.state.keys, &self.params)
    }

    /// Redirects a stale form to a fresh one: the user signed in or out in another window
    /// meanwhile, or another site made the form up. Nothing was done, and only the parameters that
    /// belong to the page's address are used. Sets no cookie: a form of another site comes without
    /// the browser's own cookie, which a new one would replace.
    pub(crate) fn redirect_to_fresh_form(&self, path: &str) -> Response {
        let carried = CARRIED_PARAMETERS.into_iter().filter_map(|name| Some((name, self.params.get(name)?)));
        let query =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(carried.chain([(STALE, "1")])).finish();
        see_other(&format!("{}{path}?{query}", self.state.issuer.url))
    }

    /// The layout of a page for this browser, with nobody signed in yet.
    pub(crate) fn layout(&self) -> Layout {
        Layout {
            csrf: self.browser.csrf_token(&self.state.keys),
            ui_locales: self.param(UI_LOCALES).to_owned(),
            is_stale_form: self.params.get(STALE).is_some(),
            ..Layout::new(&self.state.issuer, &self.state.appearance, self.messages.clone())
        }
    }

    /// Renders one of this origin's own pages.
    pub(crate) fn page(&self, template: &impl Template) -> Response {
        self.page_with(StatusCode::OK, template, Flow::Own)
    }

    /// Renders a page with a status and for a flow; sets the session cookie if it is new.
    pub(crate) fn page_with(&self, status: StatusCode, template: &impl Template, flow: Flow) -> Response {
        self.browser.set_new_cookie(&self.state.issuer, page(status, template, self.messages.language(), flow))
    }

    /// Redirects to another page of this origin, in the same language.
    pub(crate) fn redirect(&self, path: &str) -> Response {
        let ui_locales = self.param(UI_LOCALES);
        let (join, query) = match (ui_locales, path.contains('?')) {
            ("", _) => ("", String::new()),
            (_, true) => ("&", query_pair(UI_LOCALES, ui_locales)),
            (_, false) => ("?", query_pair(UI_LOCALES, ui_locales)),
        };
        self.browser
            .set_new_cookie(&self.state.issuer, see_other(&format!("{}{path}{join}{query}", self.state.issuer.url)))
    }

    /// The program and address that the request comes from, to be shown to the user.
    pub(crate) fn sender(&self) -> Sender {
        self.caller.sender(&self.state.proxies, None)
    }
}
