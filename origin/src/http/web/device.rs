//! `/device` (RFC 8628 §3.3): a signed-in user types the code that a device shows, sees who asks for what, and decides.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::browser::Browser;
use super::consent::{user, wishes};
use super::login::encoded;
use super::page::{Form, Message, WebError, form, page, query};
use crate::ambient;
use crate::domain::{Client, DeviceCode, DeviceStatus, Login, SecretHash, User, UserCode};
use crate::http::oauth::authorization::see_other;
use crate::http::oauth::authorize::grant_of;
use crate::http::openapi::forms;
use crate::http::{App, AppState};

/// Wrong codes that a user may type in [`WINDOW`] seconds. There are 20^8 codes, and each is good for ten minutes: of a thousand
/// that wait, a guesser meets one in 2.5 million windows.
const MAX_WRONG: u64 = 10;
const WINDOW: u64 = 600;

#[derive(Template)]
#[template(path = "device.html")]
struct CodePage<'a> {
    csrf: &'a str,
    problem: &'a str,
}

#[derive(Template)]
#[template(path = "device_confirm.html")]
struct ConfirmPage<'a> {
    csrf: &'a str,
    client: &'a str,
    username: &'a str,
    user_code: &'a str,
    wishes: &'a [String],
}

/// The page to connect a device (RFC 8628 §3.3).
#[utoipa::path(
    get, path = "/device",
    params(("user_code" = Option<String>, Query, description = "The code that the device shows")),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html; charset=utf-8"),
        (status = 303, description = "On to the next page, or back to the client"),
        WebError,
        (
            status = 404,
            description = "No device has this code",
            body = String,
            content_type = "text/html; charset=utf-8",
        ),
        (status = 429, description = "Too many wrong codes", body = String, content_type = "text/html; charset=utf-8"),
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
    let Some((_, user)) = user(&app, &browser).await? else {
        let code = query.get("user_code").unwrap_or_default();
        return Ok(see_other(&format!(
            "{}/login?{}",
            app.issuer,
            encoded("user_code", if code.is_empty() { "-" } else { code })
        )));
    };
    match query.get("user_code") {
        None | Some("-") => Ok(show(&app, &browser, "")),
        Some(typed) => confirm(&app, &browser, &user, typed).await,
    }
}

/// Connects a device, or refuses it.
#[utoipa::path(
    post, path = "/device",
    request_body(content = forms::UserCodeForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html; charset=utf-8"),
        (status = 303, description = "On to the next page, or back to the client"),
        WebError,
        (
            status = 404,
            description = "No device has this code",
            body = String,
            content_type = "text/html; charset=utf-8",
        ),
        (status = 429, description = "Too many wrong codes", body = String, content_type = "text/html; charset=utf-8"),
    ),
    security(("session" = []), ()),
)]
pub(in crate::http) async fn post(
    State(app): State<AppState>,
    headers: HeaderMap,
    posted: Form,
) -> Result<Response, WebError> {
    let form = form(posted)?;
    let browser = Browser::of(&app, &headers).await?;
    browser.check(&app, &form)?;
    let typed = form.get("user_code").unwrap_or_default();
    let Some((login, user)) = user(&app, &browser).await? else {
        return Ok(see_other(&format!("{}/login?{}", app.issuer, encoded("user_code", typed))));
    };
    match form.get("decision") {
        None => confirm(&app, &browser, &user, typed).await,
        Some("allow") => decide(&app, &browser, &login, &user, typed, true).await,
        Some("deny") => decide(&app, &browser, &login, &user, typed, false).await,
        Some(_) => Err(WebError::bad("Please choose one of the two.")),
    }
}

/// Shows who asks for what, with the code to compare (RFC 8628 §5.4): whoever was sent here by a link must notice that the device
/// is not theirs.
async fn confirm(app: &App, browser: &Browser, user: &User, typed: &str) -> Result<Response, WebError> {
    let Some((code, client, user_code)) = find(app, user, typed).await? else {
        return Ok(show(app, browser, "There is no device with that code, or it waits no longer."));
    };
    let template = ConfirmPage {
        csrf: &browser.csrf(app),
        client: &client.metadata.name,
        username: user.name.as_str(),
        user_code: &user_code.to_string(),
        wishes: &wishes(app, &code.access).await?,
    };
    Ok(browser.remember(app, page(StatusCode::OK, &template, None)))
}

async fn decide(
    app: &App,
    browser: &Browser,
    login: &Login,
    user: &User,
    typed: &str,
    allowed: bool,
) -> Result<Response, WebError> {
    let over = "There is no device with that code, or it waits no longer.";
    let Some((code, client, _)) = find(app, user, typed).await? else {
        return Ok(show(app, browser, over));
    };
    let decided = match allowed {
        true => {
            let mut grant = grant_of(app, &client, user, login, code.access.clone())?;
            // It is the device's from now on, and outlives the browser's session.
            grant.login = None;
            app.store.allow_device(&code.hash, &grant).await?
        }
        false => app.store.deny_device(&code.hash, ambient::now()).await?,
    };
    if !decided {
        return Ok(show(app, browser, over));
    }
    let (title, message) = match allowed {
        true => ("The device is connected", "You can close this page and go on there."),
        false => ("The device was refused", "It gets nothing. You can close this page."),
    };
    Ok(page(StatusCode::OK, &Message { title, message }, None))
}

/// The device that waits under a code. A wrong code counts against the user who typed it.
async fn find(app: &App, user: &User, typed: &str) -> Result<Option<(DeviceCode, Client, UserCode)>, WebError> {
    let name = format!("user code by {}", user.id);
    let now = ambient::now();
    if app.store.attempts(&name, WINDOW, now).await? >= MAX_WRONG {
        return Err(WebError::too_often());
    }
    if let Ok(user_code) = typed.parse::<UserCode>() {
        let hash = SecretHash::keyed(&app.keys.current().derived("tollgate user codes v1"), user_code.letters());
        let code = app.store.device_code_of_user(&hash).await?;
        let waits = |code: &DeviceCode| code.status == DeviceStatus::Pending && now < code.expires_at;
        if let Some(code) = code.filter(waits)
            && let Some(client) = app.store.client(&code.client).await?.filter(Client::is_active)
        {
            return Ok(Some((code, client, user_code)));
        }
    }
    app.store.attempt(&name, WINDOW, now).await?;
    Ok(None)
}

fn show(app: &App, browser: &Browser, problem: &str) -> Response {
    let status = if problem.is_empty() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    browser.remember(app, page(status, &CodePage { csrf: &browser.csrf(app), problem }, None))
}
