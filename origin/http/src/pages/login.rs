//! `/login`: a name and a password, in the middle of an authorization request, before a device's code, or on its own.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tollgate_model::text::legible;
use tollgate_model::{AuthorizationRequest, Client, LoginId, SecretHash, SecretKind, Step, User};
use tollgate_services::telemetry::NotedWay;
use tollgate_system::ambient;

use super::known_device;
use super::page::{Frame, Part, WebError};
use super::sign_in::signed_in;
use super::visit::{Posted, Visit};
use crate::oauth::authorize::go_on;
use crate::oauth::parameters::Parameters;
use crate::openapi::forms;
use crate::openapi::refusals::{SentOn, Shown};
use crate::{App, failed_authentication};

/// Where somebody goes who signed in and came for nothing else.
const HOME: &str = "/account/sessions";
/// The longest way back, in bytes.
const MAX_NEXT: usize = 512;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    frame: Frame,
    /// The name of the client whose request waits for the sign-in; empty for none.
    client: &'a str,
    /// The handle of that request.
    request: &'a str,
    /// The code of the device that waits.
    user_code: &'a str,
    /// The page of this origin to go back to.
    next: &'a str,
    username: &'a str,
    problem: &'a str,
    /// Whether people may make accounts.
    sign_up: bool,
    /// What the address of the page to make one must carry on.
    query: &'a str,
}

/// The page to sign in.
#[utoipa::path(
    get, path = "/login",
    params(
        ("request" = Option<String>, Query, description = "The authorization request that waits"),
        ("user_code" = Option<String>, Query, description = "The device that does"),
        ("next" = Option<String>, Query, description = "The page of this origin to go back to"),
    ),
    responses(Shown, SentOn, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn get(visit: Visit) -> Result<Response, WebError> {
    let user = visit.user().await?;
    let Some(request) = waiting(&visit.app, &visit.said).await? else {
        return match user {
            Some(_) => Ok(visit.go(&way_back(&visit.said))),
            None => show(&visit, None, "", "").await,
        };
    };
    if let Some((login, _)) = &user
        && request.hinted.is_none()
        && request.step(Some(login), false, ambient::now()) != Ok(Step::SignIn)
    {
        // They signed in meanwhile, in another window, or came back to this page.
        let client = client_of(&visit.app, &request).await?;
        return go_on(&visit.app, &client, request, &visit.browser, visit.said.get("request")).await;
    }
    let name = user.map(|(_, user)| user.name.to_string());
    let username = request.login_hint.clone().or(name).unwrap_or_default();
    show(&visit, Some(&request), &username, "").await
}

/// Signs in.
#[utoipa::path(
    post, path = "/login",
    request_body(content = forms::LoginForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        SentOn,
        WebError,
        (
            status = 403,
            description = "The name or the password is wrong",
            body = String,
            content_type = "text/html; charset=utf-8",
        ),
        (
            status = 409,
            description = "A user of the users' API has the name of another user",
            body = String,
            content_type = "text/html; charset=utf-8",
        ),
    ),
    security(("session" = []), ()),
)]
pub(crate) async fn post(Posted(mut visit): Posted) -> Result<Response, WebError> {
    let request = waiting(&visit.app, &visit.said).await?;
    let (app, username) = (visit.app.clone(), visit.text("username").to_owned());
    let attempt = known_device::begin(&app, &visit, &username).await?;
    let user = match signed_in(&app, &username, visit.text("password")).await {
        Ok(Some(user)) => user,
        Ok(None) => {
            attempt.failed();
            refused(&visit, &username).await?;
            return show(&visit, request.as_ref(), &username, "The name or the password is wrong.").await;
        }
        Err(error) if error.is_busy() => {
            attempt.undone().await;
            return Err(error);
        }
        // Whatever else went wrong, a password was looked at: it counts as the wrong one that it may have been.
        Err(error) => {
            attempt.failed();
            return Err(error);
        }
    };
    attempt.succeeded().await;
    let mut response = arrive(&mut visit, &user).await?;
    known_device::remember(&visit, &username, &mut response)?;
    Ok(response)
}

/// Counts and notes that somebody could not sign in.
pub(super) async fn refused(visit: &Visit, username: &str) -> Result<(), WebError> {
    let app = &visit.app;
    app.meters.refused("/login", "wrong_password");
    let user = app.store.user_by_typed_name(username).await?;
    let address = visit.caller.address(&app.grants.trusted_proxies);
    failed_authentication::note(app, NotedWay::SignIn, user.as_ref().map(|user| user.id.as_str()), address).await;
    Ok(())
}

/// Signs somebody in who showed who they are, and sends the browser on to what it came for.
pub(super) async fn arrive(visit: &mut Visit, user: &User) -> Result<Response, WebError> {
    let request = waiting(&visit.app, &visit.said).await?;
    let sender = visit.sender();
    let login = visit.browser.sign_in(&visit.app, user, sender).await?;
    tracing::info!(user = %user.id, login = %login.id, "signed in");
    let Some(request) = request else {
        return Ok(visit.go(&way_back(&visit.said)));
    };
    // They are signed in, whatever becomes of what they came for.
    let response = go_on_signed_in(visit, request, login.id).await.unwrap_or_else(IntoResponse::into_response);
    Ok(visit.browser.remember(&visit.app, response))
}

async fn go_on_signed_in(
    visit: &Visit,
    mut request: AuthorizationRequest,
    login: LoginId,
) -> Result<Response, WebError> {
    request.signed_in = Some(login);
    let client = client_of(&visit.app, &request).await?;
    go_on(&visit.app, &client, request, &visit.browser, visit.said.get("request")).await
}

/// The client of a request that waits.
pub(super) async fn client_of(app: &App, request: &AuthorizationRequest) -> Result<Client, WebError> {
    app.store.client(&request.client).await?.filter(Client::is_active).ok_or_else(WebError::gone)
}

/// The request that waits for the sign-in, if the form or the address names one.
pub(super) async fn waiting(app: &App, named: &Parameters) -> Result<Option<AuthorizationRequest>, WebError> {
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

async fn show(
    visit: &Visit,
    request: Option<&AuthorizationRequest>,
    username: &str,
    problem: &str,
) -> Result<Response, WebError> {
    let client = match request {
        Some(request) => visit.app.store.client(&request.client).await?,
        None => None,
    };
    let template = LoginPage {
        frame: visit.frame(),
        client: &client.map(|client| legible(&client.metadata.name)).unwrap_or_default(),
        request: visit.text("request"),
        user_code: visit.text("user_code"),
        next: visit.said.get("next").and_then(own_page).unwrap_or_default(),
        username,
        problem,
        sign_up: visit.app.people.sign_up,
        query: &along(&visit.said),
    };
    let status = if problem.is_empty() { StatusCode::OK } else { StatusCode::FORBIDDEN };
    Ok(visit.page_with(status, &template, part(&visit.said)))
}

/// What a page to sign in or sign up is part of.
pub(super) fn part(said: &Parameters) -> Part {
    if said.get("request").is_some() { Part::ApplicationFlow } else { Part::Own }
}

/// What waits for the sign-in, as the query of another page that ends in one; empty for nothing.
pub(super) fn along(said: &Parameters) -> String {
    let waits = ["request", "user_code"].map(|name| (name, said.get(name)));
    let all = waits.into_iter().chain([("next", said.get("next").and_then(own_page))]);
    let pairs = all.filter_map(|(name, value)| Some((name, value?)));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if query.is_empty() { query } else { format!("?{query}") }
}

/// Where a browser goes that came here for no client: to the device's page, to where it wanted to go, or home.
fn way_back(said: &Parameters) -> String {
    match (said.get("user_code"), said.get("next").and_then(own_page)) {
        (Some(code), _) => format!("/device?{}", encoded("user_code", code)),
        (None, Some(next)) => next.to_owned(),
        (None, None) => HOME.to_owned(),
    }
}

/// A page of this origin that a sign-in may lead back to. Whoever made the link is not known: so it is a path below one of two,
/// without anything that a browser or a proxy could read as another host or another path.
pub(super) fn own_page(next: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~?&=%+:".contains(&byte);
    let below =
        |root: &str| next.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let is_own = (below("/account") || below("/admin")) && next.len() <= MAX_NEXT && next.bytes().all(plain);
    (is_own && !next.contains("//") && !next.contains("..")).then_some(next)
}

/// The address of the page to sign in, from which the browser comes back to `next`.
pub(crate) fn and_back_to(next: &str) -> String {
    format!("/login?{}", encoded("next", next))
}

/// One parameter of an address.
pub(super) fn encoded(name: &str, value: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_back_to_our_own_pages_alone() {
        for own in ["/account", "/account/sessions", "/admin", "/admin/audit?kind=token&after=12", "/admin?a=%2F"] {
            assert_eq!(own_page(own), Some(own));
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
            assert_eq!(own_page(next), None, "{next:?}");
        }
        assert_eq!(own_page(&format!("/account/{}", "x".repeat(600))), None);
    }
}
