//! `/device` (RFC 8628 §3.3): a signed-in user types the code that a device shows, sees who asks for what, and decides.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_model::text::legible;
use tollgate_model::{Actor, Client, DeviceCode, DeviceStatus, Login, SecretHash, User, UserCode};
use tollgate_system::ambient;

use super::consent::{Wish, wishes};
use super::login::encoded;
use super::page::{Frame, Message, Part, WebError};
use super::tries::Try;
use super::visit::{Posted, Visit};
use super::when::{When, when};
use crate::App;
use crate::oauth::authorize::grant_of;
use crate::openapi::forms;
use crate::openapi::refusals::{SentOn, Shown};

/// What is said of a code that leads nowhere.
const OVER: &str = "There is no device with that code, or it waits no longer.";

#[derive(Template)]
#[template(path = "device.html")]
struct CodePage<'a> {
    frame: Frame,
    user_code: &'a str,
    problem: &'a str,
}

#[derive(Template)]
#[template(path = "device_confirm.html")]
struct ConfirmPage<'a> {
    frame: Frame,
    client: &'a str,
    /// Who answers for the client; empty where nobody is named.
    owner: &'a str,
    user_code: &'a str,
    /// What the device calls itself, or what its program does.
    device: &'a str,
    /// Where it asks from; empty where that is not known.
    address: &'a str,
    asked: When,
    wishes: &'a [Wish],
}

/// The page to connect a device (RFC 8628 §3.3).
#[utoipa::path(
    get, path = "/device",
    params(("user_code" = Option<String>, Query, description = "The code that the device shows")),
    responses(
        Shown,
        SentOn,
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
pub(crate) async fn get(visit: Visit) -> Result<Response, WebError> {
    let typed = visit.said.get("user_code").filter(|code| *code != "-");
    let Some((_, user)) = visit.user().await? else {
        return Ok(visit.go(&format!("/login?{}", encoded("user_code", typed.unwrap_or("-")))));
    };
    match typed {
        None => Ok(show(&visit, &user, "", "")),
        Some(typed) => confirm(&visit, &user, typed).await,
    }
}

/// Connects a device, or refuses it.
#[utoipa::path(
    post, path = "/device",
    request_body(content = forms::UserCodeForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        Shown,
        SentOn,
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
pub(crate) async fn post(Posted(visit): Posted) -> Result<Response, WebError> {
    let typed = visit.text("user_code");
    let Some((login, user)) = visit.user().await? else {
        return Ok(visit.go(&format!("/login?{}", encoded("user_code", typed))));
    };
    match visit.decision()? {
        None => confirm(&visit, &user, typed).await,
        Some(allowed) => decide(&visit, &login, &user, typed, allowed).await,
    }
}

/// Shows who asks for what, with the code to compare (RFC 8628 §5.4): whoever was sent here by a link must notice that the device
/// is not theirs.
async fn confirm(visit: &Visit, user: &User, typed: &str) -> Result<Response, WebError> {
    let Some(Found::Waiting { code, client, user_code }) = find(&visit.app, user, typed, None).await? else {
        return Ok(show(visit, user, typed, OVER));
    };
    let template = ConfirmPage {
        frame: visit.frame().with(user, "device"),
        client: &legible(&client.metadata.name),
        owner: &legible(client.metadata.owner.as_deref().unwrap_or_default()),
        user_code: &user_code.to_string(),
        device: &code.sender.name(),
        address: &code.sender.address.map(|address| address.to_string()).unwrap_or_default(),
        asked: when(code.asked_at, ambient::now()),
        wishes: &wishes(&visit.app, &code.access).await?,
    };
    Ok(visit.page(&template))
}

async fn decide(visit: &Visit, login: &Login, user: &User, typed: &str, allowed: bool) -> Result<Response, WebError> {
    let app = &visit.app;
    let (code, client) = match find(app, user, typed, Some(allowed)).await? {
        Some(Found::Waiting { code, client, .. }) => (code, client),
        // The form was sent twice, or the page loaded again.
        Some(Found::Decided) => return Ok(decided(visit, user, allowed)),
        None => return Ok(show(visit, user, typed, OVER)),
    };
    let is_first = match allowed {
        true => {
            let mut grant = grant_of(app, &client, user, login, code.access.clone())?;
            // It is the device's from now on, and outlives the browser's session.
            grant.login = None;
            grant.terms.device = Some(code.sender.clone());
            app.store.allow_device(&code.hash, &grant).await?
        }
        false => app.store.by(&Actor::user(&user.id)).deny_device(&code.hash, ambient::now()).await?,
    };
    if !is_first && find(app, user, typed, Some(allowed)).await?.is_none_or(|found| !matches!(found, Found::Decided)) {
        return Ok(show(visit, user, typed, OVER));
    }
    Ok(decided(visit, user, allowed))
}

/// Says what was decided.
fn decided(visit: &Visit, user: &User, allowed: bool) -> Response {
    let (title, message) = match allowed {
        true => ("The device is connected", "You can close this page and go on there."),
        false => ("The device was refused", "It gets nothing. You can close this page."),
    };
    let frame = visit.frame().with(user, "device");
    let next = Some(("/device", "Authorize another device"));
    visit.page(&Message { frame, title, message, went_well: allowed, next })
}

/// What is found under a code.
#[expect(clippy::large_enum_variant, reason = "it lives as long as one request, and is most often the large one")]
enum Found {
    /// A device that waits.
    Waiting { code: DeviceCode, client: Client, user_code: UserCode },
    /// One of which the same was decided before: by this user, if it was allowed.
    Decided,
}

impl Found {
    /// Whether a device is one of which was decided before what is decided now.
    fn is_decided(code: &DeviceCode, user: &User, allowed: bool) -> bool {
        match &code.status {
            DeviceStatus::Pending => false,
            DeviceStatus::Denied => !allowed,
            DeviceStatus::Allowed(grant) | DeviceStatus::Redeemed(grant) => allowed && grant.user == user.id,
        }
    }
}

/// The device under a code. `decision`: what is decided of it now, if anything. A wrong code counts against the user who typed it.
async fn find(app: &App, user: &User, typed: &str, decision: Option<bool>) -> Result<Option<Found>, WebError> {
    let attempt = Try::begin(app, format!("user code by {}", user.id)).await?;
    if let Ok(user_code) = typed.parse::<UserCode>() {
        let hash = SecretHash::keyed(&app.keys.current().derived("tollgate user codes v1"), user_code.letters());
        let code = app.store.device_code_of_user(&hash).await?.filter(|code| ambient::now() < code.expires_at);
        if let (Some(code), Some(allowed)) = (&code, decision)
            && Found::is_decided(code, user, allowed)
        {
            attempt.give_back().await?;
            return Ok(Some(Found::Decided));
        }
        if let Some(code) = code.filter(|code| code.status == DeviceStatus::Pending)
            && let Some(client) = app.store.client(&code.client).await?.filter(Client::is_active)
        {
            attempt.give_back().await?;
            return Ok(Some(Found::Waiting { code, client, user_code }));
        }
    }
    attempt.failed();
    Ok(None)
}

fn show(visit: &Visit, user: &User, user_code: &str, problem: &str) -> Response {
    let status = if problem.is_empty() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    visit.page_with(status, &CodePage { frame: visit.frame().with(user, "device"), user_code, problem }, Part::Own)
}
