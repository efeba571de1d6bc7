//! `/account/sessions`: where a user is signed in, and which clients and devices have access. The
//! user ends sessions and revokes grants, one or all; edges refuse their tokens from then on.

use askama::Template;
use axum::response::Response;
use tollgate_model::text::displayable;
use tollgate_model::{Actor, BrowserSession, BrowserSessionId, Grant, GrantId, User, UserId};
use tollgate_services::termination::termination;
use tollgate_storage::{GrantSummary, Termination};

use super::browser;
use super::consent::{Permission, permissions};
use super::error::WebError;
use super::login::login_path;
use super::page::Layout;
use super::page_request::{CsrfCheckedForm, PageRequest};
use super::sender::sender_name;
use super::state::PageState;
use super::time_format::Moment;
use crate::openapi::forms;
use crate::openapi::responses::{HtmlPage, SeeOther};

const PATH: &str = "/account/sessions";
/// Applications and devices on a page.
const PAGE_SIZE: u64 = 50;
/// Reasons in the audit log.
pub(super) const SIGNED_OUT: &str = "the user signed out";
const REVOKED_BY_USER: &str = "the user revoked it";

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    layout: Layout,
    /// The name of the message about what has just been done; empty for none.
    done: &'static str,
    browsers: Vec<BrowserRow>,
    clients: Vec<ClientRow>,
    /// Whether this is not the first page of clients.
    is_later_page: bool,
    /// The last grant of this page, if there is another page; else empty.
    next_after: String,
    /// Whether the user has an active grant, on any page.
    has_active_grant: bool,
}

/// A browser session.
struct BrowserRow {
    id: String,
    name: String,
    address: String,
    is_current: bool,
    signed_in: Moment,
    last_seen: Moment,
    expires: Moment,
}

/// A grant to a client.
struct ClientRow {
    id: String,
    name: String,
    owner: String,
    /// The name of the device that has the grant; empty for a grant given in a browser.
    device: String,
    permissions: Vec<Permission>,
    granted: Moment,
    last_used: Moment,
    ends: Moment,
    is_active: bool,
}

/// The start of the account pages: the sessions.
#[utoipa::path(get, path = "/account", responses(SeeOther, WebError), security(("session" = []), ()))]
pub(crate) async fn account(page: PageRequest) -> Response {
    page.redirect(PATH)
}

/// The user's browser sessions and grants.
#[utoipa::path(
    get, path = "/account/sessions",
    params(("after" = Option<String>, Query, description = "Grants older than the one with this id")),
    responses(HtmlPage, SeeOther, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn get(page: PageRequest) -> Result<Response, WebError> {
    let Some((login, user)) = page.user().await? else {
        return Ok(page.redirect(&login_path(PATH)));
    };
    let done = match page.param("done") {
        "one" => "sessions-done-one",
        "others" => "sessions-done-others",
        "all" => "sessions-done-all",
        _ => "",
    };
    let now = page.state.clock.now();
    let logins = page.state.store.list_sessions(&user.id, now).await?;
    let after = page.params.get("after").map(str::parse::<GrantId>).transpose();
    let after = after.map_err(|_| WebError::bad_request("error-no-such-page"))?;
    // One more than a page shows whether there is another page.
    let mut grants = page.state.store.list_user_grants(&user.id, after.as_ref(), PAGE_SIZE + 1, now).await?;
    let has_more = grants.len() as u64 > PAGE_SIZE;
    grants.truncate(usize::try_from(PAGE_SIZE).unwrap_or(usize::MAX));
    let next_after = grants.last().filter(|_| has_more).map(|last| last.grant.id.to_string()).unwrap_or_default();
    let mut clients = Vec::with_capacity(grants.len());
    for grant in grants {
        clients.push(client_row(&page, grant, now).await?);
    }
    Ok(page.page(&SessionsPage {
        layout: page.layout().for_user(&user, "sessions"),
        done,
        browsers: logins.iter().map(|one| browser_row(&page, one, one.id == login.id, now)).collect(),
        has_active_grant: page.state.store.has_active_grants(&user.id, now).await?,
        is_later_page: after.is_some(),
        next_after,
        clients,
    }))
}

/// Ends a browser session or grant, or all of a kind.
#[utoipa::path(
    post, path = "/account/sessions",
    request_body(content = forms::EndForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn post(CsrfCheckedForm(page): CsrfCheckedForm) -> Result<Response, WebError> {
    let Some((login, user)) = page.user().await? else {
        return Ok(page.redirect(&login_path(PATH)));
    };
    let (state, what) = (&page.state, page.param("end"));
    let done = match what {
        "others" => {
            end_others(state, &user, &login.id).await?;
            "others"
        }
        "all" => {
            state.store.withdraw_consent(&user.id, None, &ending(state, &user.id, REVOKED_BY_USER)).await?;
            tracing::info!(user = %user.id, "the user revoked all grants");
            "all"
        }
        one => {
            end_one(state, &user, one).await?;
            "one"
        }
    };
    let mut answer = page.redirect(&format!("{PATH}?done={done}"));
    if what == login.id.as_str() {
        answer = page.redirect("/login");
        browser::clear_cookie(&state.issuer, &mut answer);
    }
    Ok(answer)
}

/// Ends one of the user's browser sessions or grants. Does nothing if it belongs to another user or
/// has ended.
async fn end_one(state: &PageState, user: &User, id: &str) -> Result<(), WebError> {
    if let Ok(id) = id.parse::<BrowserSessionId>() {
        let logins = state.store.list_sessions(&user.id, state.clock.now()).await?;
        if logins.iter().any(|login| login.id == id) {
            end_session(state, &user.id, &id).await?;
        }
        return Ok(());
    }
    let id: GrantId = id.parse().map_err(|_| WebError::bad_request("error-no-such-session"))?;
    let grant = state.store.find_grant(&id).await?.filter(|grant| grant.user == user.id);
    if let Some(Grant { client, .. }) = grant {
        state.store.withdraw_consent(&user.id, Some((&id, &client)), &ending(state, &user.id, REVOKED_BY_USER)).await?;
        tracing::info!(user = %user.id, grant = %id, "the user revoked a grant");
    }
    Ok(())
}

/// Signs a user out of all browsers but one.
async fn end_others(state: &PageState, user: &User, kept: &BrowserSessionId) -> Result<(), WebError> {
    let ended = state.store.end_user_sessions(&user.id, Some(kept), &ending(state, &user.id, SIGNED_OUT)).await?;
    tracing::info!(user = %user.id, ended, "signed out in other browsers");
    Ok(())
}

/// Ends a browser session and its grants, except those with `offline_access`. Back-channel logouts
/// are sent in the background: the user does not wait for them. False if the session had ended.
pub(super) async fn end_session(state: &PageState, user: &UserId, login: &BrowserSessionId) -> Result<bool, WebError> {
    let ended = state.store.end_session(login, &ending(state, user, SIGNED_OUT)).await?;
    tracing::info!(%login, ended, "signed out");
    Ok(ended)
}

/// How what the user ends now is recorded.
fn ending(state: &PageState, user: &UserId, reason: &'static str) -> Termination {
    termination(&Actor::user(user), reason, state.clock.now())
}

fn browser_row(page: &PageRequest, login: &BrowserSession, is_current: bool, now: u64) -> BrowserRow {
    let moment = |at: u64| Moment::new(at, now, &page.messages);
    BrowserRow {
        id: login.id.to_string(),
        name: sender_name(&login.sender, &page.messages),
        address: login.sender.address.map(|address| address.to_string()).unwrap_or_default(),
        is_current,
        signed_in: moment(login.auth_time),
        last_seen: moment(if is_current { now } else { login.seen_at }),
        expires: moment(login.expires_at),
    }
}

async fn client_row(page: &PageRequest, given: GrantSummary, now: u64) -> Result<ClientRow, WebError> {
    let GrantSummary { grant, used_at } = given;
    let client = page.state.store.find_client(&grant.client).await?;
    let metadata = client.map(|client| client.metadata).unwrap_or_default();
    let moment = |at: u64| Moment::new(at, now, &page.messages);
    let device = grant.terms.device.as_ref().map(|device| sender_name(device, &page.messages));
    Ok(ClientRow {
        name: if metadata.name.is_empty() { grant.client.to_string() } else { displayable(&metadata.name) },
        owner: displayable(&metadata.owner.unwrap_or_default()),
        device: device.unwrap_or_default(),
        permissions: permissions(page, &grant.terms.access).await?,
        granted: moment(grant.created_at),
        last_used: moment(used_at),
        ends: moment(grant.ended_at.unwrap_or(grant.ends_at)),
        is_active: grant.is_active(now),
        id: grant.id.to_string(),
    })
}
