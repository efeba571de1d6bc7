//! `/device` (RFC 8628 §3.3): a signed-in user enters the code that a device shows, sees which
//! client asks for what, and decides.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_model::text::displayable;
use tollgate_model::{Actor, BrowserSession, Client, DeviceCode, DeviceStatus, SecretHash, User, UserCode};

use super::attempt_limiter::CountedAttempt;
use super::consent::{Permission, permissions};
use super::error::WebError;
use super::page::{Flow, Layout, MessagePage};
use super::page_request::{CsrfCheckedForm, PageRequest};
use super::publisher::Publisher;
use super::query::query_pair;
use super::sender::sender_name;
use super::state::PageState;
use super::time_format::Moment;
use crate::oauth::authorize::grant_of;
use crate::openapi::forms;
use crate::openapi::responses::{HtmlPage, SeeOther};

/// The error for a code that is unknown, expired or already decided.
const INVALID_CODE: &str = "device-code-invalid";

#[derive(Template)]
#[template(path = "device.html")]
struct CodePage<'a> {
    layout: Layout,
    user_code: &'a str,
    /// The name of an error message; empty for none.
    problem: &'a str,
}

#[derive(Template)]
#[template(path = "device_confirm.html")]
struct ConfirmPage<'a> {
    layout: Layout,
    client: &'a str,
    publisher: Publisher,
    user_code: &'a str,
    /// The name that the device or its program gives itself.
    device: &'a str,
    /// The IP address of its request; empty if unknown.
    address: &'a str,
    requested: Moment,
    permissions: &'a [Permission],
}

/// The page to enter a device's code (RFC 8628 §3.3).
#[utoipa::path(
    get, path = "/device",
    params(("user_code" = Option<String>, Query, description = "The code that the device shows")),
    responses(
        HtmlPage,
        SeeOther,
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
pub(crate) async fn get(page: PageRequest) -> Result<Response, WebError> {
    let typed = page.params.get("user_code").filter(|code| *code != "-");
    let Some((_, user)) = page.user().await? else {
        return Ok(page.redirect(&format!("/login?{}", query_pair("user_code", typed.unwrap_or("-")))));
    };
    match typed {
        None => Ok(show(&page, &user, "", "")),
        Some(typed) => confirm(&page, &user, typed).await,
    }
}

/// Allows or denies a device.
#[utoipa::path(
    post, path = "/device",
    request_body(content = forms::UserCodeForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        HtmlPage,
        SeeOther,
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
pub(crate) async fn post(CsrfCheckedForm(page): CsrfCheckedForm) -> Result<Response, WebError> {
    let typed = page.param("user_code");
    let Some((login, user)) = page.user().await? else {
        return Ok(page.redirect(&format!("/login?{}", query_pair("user_code", typed))));
    };
    match page.decision()? {
        None => confirm(&page, &user, typed).await,
        Some(allowed) => decide(&page, &login, &user, typed, allowed).await,
    }
}

/// Shows which client asks for what, with the code to compare (RFC 8628 §5.4): a user who was sent
/// a link by an attacker must notice that the device is not theirs.
async fn confirm(page: &PageRequest, user: &User, typed: &str) -> Result<Response, WebError> {
    let Some(Found::Pending { code, client, user_code }) = find(&page.state, user, typed, None).await? else {
        return Ok(show(page, user, typed, INVALID_CODE));
    };
    let template = ConfirmPage {
        layout: page.layout().for_user(user, "device"),
        client: &displayable(&client.metadata.name),
        publisher: Publisher::new(&client),
        user_code: &user_code.to_string(),
        device: &sender_name(&code.sender, &page.messages),
        address: &code.sender.address.map(|address| address.to_string()).unwrap_or_default(),
        requested: Moment::new(code.requested_at, page.state.clock.now(), &page.messages),
        permissions: &permissions(page, &code.access).await?,
    };
    Ok(page.page(&template))
}

async fn decide(
    page: &PageRequest,
    login: &BrowserSession,
    user: &User,
    typed: &str,
    allowed: bool,
) -> Result<Response, WebError> {
    let state = &page.state;
    let (code, client) = match find(state, user, typed, Some(allowed)).await? {
        Some(Found::Pending { code, client, .. }) => (code, client),
        // The form was sent twice, or the page reloaded.
        Some(Found::Decided) => return Ok(show_decision(page, user, allowed)),
        None => return Ok(show(page, user, typed, INVALID_CODE)),
    };
    let is_first = match allowed {
        true => {
            let mut grant = grant_of(&state.authorization, &client, user, login, code.access.clone())?;
            // The grant belongs to the device and outlives the browser's session.
            grant.browser_session = None;
            grant.terms.device = Some(code.sender.clone());
            state.store.approve_device_code(&code.hash, &grant).await?
        }
        false => {
            state.store.with_actor(&Actor::user(&user.id)).deny_device_code(&code.hash, page.state.clock.now()).await?
        }
    };
    if !is_first && find(state, user, typed, Some(allowed)).await?.is_none_or(|found| !matches!(found, Found::Decided))
    {
        return Ok(show(page, user, typed, INVALID_CODE));
    }
    Ok(show_decision(page, user, allowed))
}

fn show_decision(page: &PageRequest, user: &User, allowed: bool) -> Response {
    let (title, message) = match allowed {
        true => ("device-connected-title", "device-connected"),
        false => ("device-denied-title", "device-denied"),
    };
    let [title, message] = [title, message].map(|id| page.messages.text(id).to_string());
    page.page(&MessagePage {
        layout: page.layout().for_user(user, "device"),
        title,
        message,
        detail: String::new(),
        is_success: allowed,
        link: Some(("/device", "device-connect-another")),
        return_link: None,
    })
}

/// The device authorization of a user code.
#[expect(clippy::large_enum_variant, reason = "short-lived, and usually the large variant")]
enum Found {
    Pending {
        code: DeviceCode,
        client: Client,
        user_code: UserCode,
    },
    /// The same decision was made before; if it was to allow, by this user.
    Decided,
}

impl Found {
    /// Whether a decision repeats the earlier one.
    fn is_decided(code: &DeviceCode, user: &User, allowed: bool) -> bool {
        match &code.status {
            DeviceStatus::Pending => false,
            DeviceStatus::Denied => !allowed,
            DeviceStatus::Approved(grant) | DeviceStatus::Redeemed(grant) => allowed && grant.user == user.id,
        }
    }
}

/// Finds the device authorization of a typed code. `decision`: the user's, if the form has one. A
/// wrong code counts against the user who typed it.
async fn find(state: &PageState, user: &User, typed: &str, decision: Option<bool>) -> Result<Option<Found>, WebError> {
    let attempt = CountedAttempt::begin(&state.store, format!("user code by {}", user.id), state.clock.now()).await?;
    if let Ok(user_code) = typed.parse::<UserCode>() {
        let hash = SecretHash::keyed(&state.keys.current().derive_key("tollgate user codes v1"), user_code.letters());
        let code =
            state.store.find_device_code_by_user_code(&hash).await?.filter(|code| state.clock.now() < code.expires_at);
        if let (Some(code), Some(allowed)) = (&code, decision)
            && Found::is_decided(code, user, allowed)
        {
            attempt.give_back().await?;
            return Ok(Some(Found::Decided));
        }
        if let Some(code) = code.filter(|code| code.status == DeviceStatus::Pending)
            && let Some(client) = state.store.find_client(&code.client).await?.filter(Client::is_active)
        {
            attempt.give_back().await?;
            return Ok(Some(Found::Pending { code, client, user_code }));
        }
    }
    attempt.failed();
    Ok(None)
}

fn show(page: &PageRequest, user: &User, user_code: &str, problem: &str) -> Response {
    let status = if problem.is_empty() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let layout = page.layout().for_user(user, "device");
    page.page_with(status, &CodePage { layout, user_code, problem }, Flow::Own)
}
