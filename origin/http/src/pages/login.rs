//! `/login`: signs a user in, for an authorization request, for a device's code, or to use the
//! account pages.

use std::sync::Arc;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tollgate_model::text::displayable;
use tollgate_model::{AuthorizationRequest, AuthorizationStep, BrowserSessionId, Client, SecretHash, SecretKind, User};
use tollgate_services::telemetry::CredentialKind;
use tollgate_storage::Store;

use super::error::WebError;
use super::known_device;
use super::page::{Flow, Layout};
use super::page_request::{CsrfCheckedForm, PageRequest};
use super::publisher::Publisher;
use super::query::{UI_LOCALES, query_pair};
use super::sign_in::authenticate;
use super::state::PageState;
use crate::oauth::authorize::next_page;
use crate::oauth::parameters::Parameters;
use crate::openapi::forms;
use crate::openapi::responses::{HtmlPage, SeeOther};

/// Where a sign-in leads that nothing waits for.
const HOME_PATH: &str = "/account/sessions";
const MAX_RETURN_PATH_BYTES: usize = 512;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    layout: Layout,
    /// The name of the client whose request is pending; empty for none.
    client: &'a str,
    /// The client, if it registered a logo or pages for users.
    publisher: Option<Publisher>,
    /// The handle of the pending authorization request; empty for none.
    request: &'a str,
    /// The code of the pending device; empty for none, `-` if it is still to be typed.
    user_code: &'a str,
    /// The page of this origin to return to; empty for none.
    next: &'a str,
    username: &'a str,
    /// The name of an error message; empty for none.
    problem: &'a str,
    /// Whether people may create accounts.
    has_registration: bool,
    /// The query of the registration page's address.
    query: &'a str,
}

/// The page to sign in.
#[utoipa::path(
    get, path = "/login",
    params(
        ("request" = Option<String>, Query, description = "The pending authorization request"),
        ("user_code" = Option<String>, Query, description = "The pending device"),
        ("next" = Option<String>, Query, description = "The page of this origin to return to"),
    ),
    responses(HtmlPage, SeeOther, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn get(page: PageRequest) -> Result<Response, WebError> {
    let user = page.user().await?;
    let Some(request) = find_pending_request(&page.state, &page.params).await? else {
        return match user {
            Some(_) => Ok(page.redirect(&return_path(&page.params))),
            None => show(&page, None, "", "").await,
        };
    };
    if let Some((login, _)) = &user
        && request.hinted_subject.is_none()
        && request.next_step(Some(login), false, page.state.clock.now()) != Ok(AuthorizationStep::SignIn)
    {
        // The user signed in meanwhile in another window, or came back to this page.
        let client = get_client(&page.state.store, &request).await?;
        return next_page(&page.state.authorization, &client, request, &page.browser, page.params.get("request")).await;
    }
    let name = user.map(|(_, user)| user.name.to_string());
    let username = request.login_hint.clone().or(name).unwrap_or_default();
    show(&page, Some(&request), &username, "").await
}

/// Signs in.
#[utoipa::path(
    post, path = "/login",
    request_body(content = forms::LoginForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        HtmlPage,
        SeeOther,
        WebError,
        (
            status = 403,
            description = "Wrong username or password",
            body = String,
            content_type = "text/html; charset=utf-8",
        ),
        (
            status = 409,
            description = "A user of the external directory has the username of another user",
            body = String,
            content_type = "text/html; charset=utf-8",
        ),
    ),
    security(("session" = []), ()),
)]
pub(crate) async fn post(CsrfCheckedForm(mut page): CsrfCheckedForm) -> Result<Response, WebError> {
    let request = find_pending_request(&page.state, &page.params).await?;
    let (state, username) = (Arc::clone(&page.state), page.param("username").to_owned());
    let attempt = known_device::begin_attempt(&state, &page, &username).await?;
    let user = match authenticate(&state, &username, page.param("password")).await {
        Ok(Some(user)) => user,
        Ok(None) => {
            attempt.failed();
            record_failed_sign_in(&page, &username).await?;
            return show(&page, request.as_ref(), &username, "login-failed").await;
        }
        Err(error) if error.is_busy() => {
            attempt.cancel().await;
            return Err(error);
        }
        // A password may have been checked before the failure: it counts as wrong.
        Err(error) => {
            attempt.failed();
            return Err(error);
        }
    };
    attempt.succeeded().await;
    let mut response = complete_sign_in(&mut page, &user).await?;
    known_device::remember(&page, &username, &mut response)?;
    Ok(response)
}

/// Records a failed sign-in in metrics and audit log.
pub(super) async fn record_failed_sign_in(page: &PageRequest, username: &str) -> Result<(), WebError> {
    let state = &page.state;
    state.metrics.refused("/login", "wrong_password");
    let user = state.store.find_user_by_typed_name(username).await?;
    let address = page.caller.address(&state.proxies);
    let name = user.as_ref().map(|user| user.id.as_str());
    state.failures.record(CredentialKind::SignIn, name, address).await;
    Ok(())
}

/// Begins a session for an authenticated user, and redirects to what the sign-in was for.
pub(super) async fn complete_sign_in(page: &mut PageRequest, user: &User) -> Result<Response, WebError> {
    let request = find_pending_request(&page.state, &page.params).await?;
    let sender = page.sender();
    let login = page.browser.sign_in(&page.state.sessions, user, sender).await?;
    tracing::info!(user = %user.id, login = %login.id, "signed in");
    let Some(request) = request else {
        return Ok(page.redirect(&return_path(&page.params)));
    };
    // The session stays, even if the authorization request fails.
    let response = continue_request(page, request, login.id).await.unwrap_or_else(IntoResponse::into_response);
    Ok(page.browser.set_new_cookie(&page.state.issuer, response))
}

async fn continue_request(
    page: &PageRequest,
    mut request: AuthorizationRequest,
    login: BrowserSessionId,
) -> Result<Response, WebError> {
    request.signed_in = Some(login);
    let client = get_client(&page.state.store, &request).await?;
    next_page(&page.state.authorization, &client, request, &page.browser, page.params.get("request")).await
}

/// The client of a pending request, if it is active.
pub(super) async fn get_client(store: &Store, request: &AuthorizationRequest) -> Result<Client, WebError> {
    store.find_client(&request.client).await?.filter(Client::is_active).ok_or_else(WebError::request_expired)
}

/// The pending authorization request that the parameters name, if they name one.
pub(super) async fn find_pending_request(
    state: &PageState,
    params: &Parameters,
) -> Result<Option<AuthorizationRequest>, WebError> {
    let Some(handle) = params.get("request") else {
        return Ok(None);
    };
    get_pending_request(state, handle).await.map(Some)
}

/// The pending authorization request with this handle.
pub(super) async fn get_pending_request(state: &PageState, handle: &str) -> Result<AuthorizationRequest, WebError> {
    if !SecretKind::Request.is_well_formed(handle) {
        return Err(WebError::request_expired());
    }
    state
        .store
        .find_authorization_request(&SecretHash::of(handle), state.clock.now())
        .await?
        .ok_or_else(WebError::request_expired)
}

async fn show(
    page: &PageRequest,
    request: Option<&AuthorizationRequest>,
    username: &str,
    problem: &str,
) -> Result<Response, WebError> {
    let client = match request {
        Some(request) => page.state.store.find_client(&request.client).await?,
        None => None,
    };
    let template = LoginPage {
        layout: page.layout(),
        client: &client.as_ref().map(|client| displayable(&client.metadata.name)).unwrap_or_default(),
        publisher: client.as_ref().and_then(Publisher::described),
        request: page.param("request"),
        user_code: page.param("user_code"),
        next: page.params.get("next").and_then(safe_return_path).unwrap_or_default(),
        username,
        problem,
        has_registration: page.state.accounts.sign_up,
        query: &carried_query(&page.params),
    };
    let status = if problem.is_empty() { StatusCode::OK } else { StatusCode::FORBIDDEN };
    Ok(page.page_with(status, &template, flow(&page.params)))
}

/// The flow of a sign-in or registration page.
pub(super) fn flow(params: &Parameters) -> Flow {
    if params.get("request").is_some() { Flow::Application } else { Flow::Own }
}

/// The query that carries what is pending, and the language, from the sign-in page to the
/// registration page and back; empty for nothing.
pub(super) fn carried_query(params: &Parameters) -> String {
    let plain = ["request", "user_code", UI_LOCALES].map(|name| (name, params.get(name)));
    let all = plain.into_iter().chain([("next", params.get("next").and_then(safe_return_path))]);
    let pairs = all.filter_map(|(name, value)| Some((name, value?)));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if query.is_empty() { query } else { format!("?{query}") }
}

/// Where a sign-in without an authorization request leads: to the device page, to `next`, or home.
fn return_path(params: &Parameters) -> String {
    match (params.get("user_code"), params.get("next").and_then(safe_return_path)) {
        (Some(code), _) => format!("/device?{}", query_pair("user_code", code)),
        (None, Some(next)) => next.to_owned(),
        (None, None) => HOME_PATH.to_owned(),
    }
}

/// Checks the parameter `next` (open redirects). Anybody can make a link, so only paths below
/// `/account` and `/admin` are accepted, without anything that a browser or proxy could read as
/// another host or path.
pub(super) fn safe_return_path(next: &str) -> Option<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~?&=%+:".contains(&byte);
    let below =
        |root: &str| next.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let is_safe =
        (below("/account") || below("/admin")) && next.len() <= MAX_RETURN_PATH_BYTES && next.bytes().all(is_plain);
    (is_safe && !next.contains("//") && !next.contains("..")).then_some(next)
}

/// The path of the sign-in page that returns to `next`.
pub(crate) fn login_path(next: &str) -> String {
    format!("/login?{}", query_pair("next", next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_next_rejects_open_redirects() {
        for own in ["/account", "/account/sessions", "/admin", "/admin/audit?kind=token&after=12", "/admin?a=%2F"] {
            assert_eq!(safe_return_path(own), Some(own));
        }
        let hostile = [
            "https://evil.example/account",
            "//evil.example",
            "/\\evil.example",
            "/account//evil.example",
            "/account\\@evil.example",
            "/account@evil.example",
            "/accounts.evil",
            "/account/../oauth/logout",
            "/account/\u{9}/evil",
            "/account/\r\nLocation: x",
            "account",
            "javascript:alert(1)",
            "/oauth/logout",
            "",
        ];
        for next in hostile {
            assert_eq!(safe_return_path(next), None, "{next:?}");
        }
        assert_eq!(safe_return_path(&format!("/account/{}", "x".repeat(600))), None);
    }
}
