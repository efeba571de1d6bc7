//! `/login`: a name and a password, in the middle of an authorization request, before a device's code, or on its own.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use zeroize::Zeroizing;

use super::browser::Browser;
use super::page::{Form, Message, WebError, form, page, query};
use crate::ambient;
use crate::domain::{AuthorizationRequest, SecretHash, SecretKind, User, UserName};
use crate::http::oauth::authorization::see_other;
use crate::http::oauth::authorize::go_on;
use crate::http::oauth::parameters::Parameters;
use crate::http::openapi::forms;
use crate::http::{App, AppState};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    csrf: &'a str,
    /// The handle of the request that waits for the sign-in.
    request: &'a str,
    /// The code of the device that does.
    user_code: &'a str,
    username: &'a str,
    problem: &'a str,
}

/// The page to sign in.
#[utoipa::path(
    get, path = "/login",
    params(
        ("request" = Option<String>, Query, description = "The authorization request that waits"),
        ("user_code" = Option<String>, Query, description = "The device that does"),
    ),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html; charset=utf-8"),
        WebError,
    ),
    security(("session" = []), ()),
)]
pub(in crate::http) async fn get(
    State(app): State<AppState>,
    headers: HeaderMap,
    RawQuery(text): RawQuery,
) -> Result<Response, WebError> {
    let query = query(text.as_deref())?;
    let browser = Browser::of(&app, &headers).await?;
    let request = waiting(&app, &query).await?;
    let hint = request.as_ref().and_then(|request| request.login_hint.clone()).unwrap_or_default();
    Ok(show(&app, &browser, &query, request.as_ref(), &hint, ""))
}

/// Signs in.
#[utoipa::path(
    post, path = "/login",
    request_body(content = forms::LoginForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html; charset=utf-8"),
        (status = 303, description = "On to the next page, or back to the client"),
        WebError,
        (
            status = 403,
            description = "The name or the password is wrong",
            body = String,
            content_type = "text/html; charset=utf-8",
        ),
    ),
    security(("session" = []), ()),
)]
pub(in crate::http) async fn post(
    State(app): State<AppState>,
    headers: HeaderMap,
    posted: Form,
) -> Result<Response, WebError> {
    let form = form(posted)?;
    let mut browser = Browser::of(&app, &headers).await?;
    browser.check(&app, &form)?;
    let request = waiting(&app, &form).await?;
    let (username, password) = (form.get("username").unwrap_or_default(), form.get("password").unwrap_or_default());
    let Some(user) = signed_in(&app, username, password).await? else {
        let problem = "The name or the password is wrong.";
        return Ok(show(&app, &browser, &form, request.as_ref(), username, problem));
    };
    let login = browser.sign_in(&app, &user.id).await?;
    tracing::info!(user = %user.id, login = %login.id, "signed in");
    let Some(mut request) = request else {
        let next = match form.get("user_code") {
            Some(code) => see_other(&format!("{}/device?{}", app.issuer, encoded("user_code", code))),
            None => page(StatusCode::OK, &Message { title: "Signed in", message: "You are signed in." }, None),
        };
        return Ok(browser.remember(&app, next));
    };
    request.signed_in = Some(login.id);
    take(&app, &form).await?;
    let client = app.store.client(&request.client).await?.ok_or_else(WebError::gone)?;
    let response = go_on(&app, &client, request, &browser).await?;
    Ok(browser.remember(&app, response))
}

/// The user who has this name and this password. Whether there is no such user, or the password is wrong, or they may not sign in:
/// nobody learns which, not even by the time it takes.
async fn signed_in(app: &App, username: &str, password: &str) -> Result<Option<User>, WebError> {
    let user = match username.parse::<UserName>() {
        Ok(name) => app.store.user_by_name(&name).await?,
        Err(_) => None,
    };
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    let password: Zeroizing<String> = Zeroizing::new(password.chars().take(256).collect());
    let fits = app.forge.verify(password.clone(), hash).await?;
    let user = user.filter(|user| fits && user.is_active());
    if let Some(user) = &user {
        rehash(app, user, password).await;
    }
    Ok(user)
}

/// Hashes a password anew if a hash costs more today. What goes wrong can wait for the next time.
async fn rehash(app: &App, user: &User, password: Zeroizing<String>) {
    let Some(old) = user.password_hash.as_deref().filter(|old| app.forge.has_outgrown(old)) else {
        return;
    };
    let Ok(new) = app.forge.hash(password).await else {
        return;
    };
    if let Err(error) = app.store.rehash_password(&user.id, old, &new).await {
        tracing::warn!(%error, user = %user.id, "a password could not be hashed anew");
    }
}

/// The request that waits for the sign-in, if the form or the address names one.
async fn waiting(app: &App, named: &Parameters) -> Result<Option<AuthorizationRequest>, WebError> {
    let Some(handle) = named.get("request") else {
        return Ok(None);
    };
    find(app, handle).await.map(Some)
}

/// The request of a handle that a page carries.
pub(super) async fn find(app: &App, handle: &str) -> Result<AuthorizationRequest, WebError> {
    if !SecretKind::Request.made(handle) {
        return Err(WebError::gone());
    }
    app.store.request(&SecretHash::of(handle), ambient::now()).await?.ok_or_else(WebError::gone)
}

/// Takes the request away: what comes next has a handle of its own.
async fn take(app: &App, form: &Parameters) -> Result<(), WebError> {
    let handle = form.get("request").unwrap_or_default();
    let taken = app.store.take_request(&SecretHash::of(handle), false, ambient::now()).await?;
    taken.map(drop).ok_or_else(WebError::gone)
}

fn show(
    app: &App,
    browser: &Browser,
    named: &Parameters,
    request: Option<&AuthorizationRequest>,
    username: &str,
    problem: &str,
) -> Response {
    let template = LoginPage {
        csrf: &browser.csrf(app),
        request: named.get("request").unwrap_or_default(),
        user_code: named.get("user_code").unwrap_or_default(),
        username,
        problem,
    };
    let status = if problem.is_empty() { StatusCode::OK } else { StatusCode::FORBIDDEN };
    browser.remember(app, page(status, &template, request.map(|request| request.redirect_uri.as_str())))
}

/// One parameter of an address.
pub(super) fn encoded(name: &str, value: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
}
