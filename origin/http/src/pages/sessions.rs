//! `/account/sessions`: where a user is signed in, and what they gave to which clients and devices. Each can be ended, and all at
//! once; what is ended is refused at the edges as anything that is revoked.

use askama::Template;
use axum::response::Response;
use tollgate_model::text::legible;
use tollgate_model::{Actor, Grant, GrantId, Login, LoginId, User, UserId};
use tollgate_storage::Given;
use tollgate_system::ambient;

use super::browser;
use super::consent::{Wish, wishes};
use super::login::and_back_to;
use super::page::{Frame, WebError};
use super::visit::{Posted, Visit};
use super::when::{When, when};
use crate::openapi::forms;
use crate::openapi::refusals::{SentOn, Shown};
use crate::{App, ending};

const PATH: &str = "/account/sessions";
/// Applications and devices on a page.
const PAGE: u64 = 50;
/// Why things end that a user ends.
pub(super) const SIGNED_OUT: &str = "the user signed out";
const TAKEN_BACK: &str = "the user took it back";

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    frame: Frame,
    /// What was done a moment ago; empty for nothing.
    done: &'static str,
    browsers: Vec<BrowserRow>,
    clients: Vec<ClientRow>,
    /// Whether this is not the first page of them.
    is_later_page: bool,
    /// The last of this page, if there is another.
    next_after: String,
    /// Whether any of what was given to them is good still, on whichever page.
    has_good: bool,
}

/// A browser in which the user is signed in.
struct BrowserRow {
    id: String,
    name: String,
    address: String,
    is_this: bool,
    since: When,
    seen: When,
    until: When,
}

/// What the user gave a client.
struct ClientRow {
    id: String,
    client: String,
    owner: String,
    /// The device that it was given to, in words; empty where it was given in a browser.
    device: String,
    wishes: Vec<Wish>,
    since: When,
    used: When,
    until: When,
    is_good: bool,
}

/// The user's account: for now its sessions.
#[utoipa::path(get, path = "/account", responses(SentOn, WebError), security(("session" = []), ()))]
pub(crate) async fn account(visit: Visit) -> Response {
    visit.go(PATH)
}

/// Where the user is signed in, and what they gave to clients.
#[utoipa::path(
    get, path = "/account/sessions",
    params(("after" = Option<String>, Query, description = "What was given before the grant with this id")),
    responses(Shown, SentOn, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn get(visit: Visit) -> Result<Response, WebError> {
    let Some((login, user)) = visit.user().await? else {
        return Ok(visit.go(&and_back_to(PATH)));
    };
    let done = match visit.text("done") {
        "one" => "It is ended. What it had is refused from now on.",
        "others" => "All other browsers are signed out.",
        "all" => "No application and no device has access any more.",
        _ => "",
    };
    let now = ambient::now();
    let logins = visit.app.store.logins_of(&user.id, now).await?;
    let after = visit.said.get("after").map(str::parse::<GrantId>).transpose();
    let after = after.map_err(|_| WebError::bad("There is no such page."))?;
    // One more than a page tells whether there is another.
    let mut given = visit.app.store.given_by(&user.id, after.as_ref(), PAGE + 1, now).await?;
    let has_more = given.len() as u64 > PAGE;
    given.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
    let next_after = given.last().filter(|_| has_more).map(|last| last.grant.id.to_string()).unwrap_or_default();
    let mut clients = Vec::with_capacity(given.len());
    for given in given {
        clients.push(client_row(&visit.app, given, now).await?);
    }
    Ok(visit.page(&SessionsPage {
        frame: visit.frame().with(&user, "sessions"),
        done,
        browsers: logins.iter().map(|one| browser_row(one, one.id == login.id, now)).collect(),
        has_good: visit.app.store.has_given(&user.id, now).await?,
        is_later_page: after.is_some(),
        next_after,
        clients,
    }))
}

/// Ends one session or all of a kind.
#[utoipa::path(
    post, path = "/account/sessions",
    request_body(content = forms::EndForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn post(Posted(visit): Posted) -> Result<Response, WebError> {
    let Some((login, user)) = visit.user().await? else {
        return Ok(visit.go(&and_back_to(PATH)));
    };
    let (app, what) = (&visit.app, visit.text("end"));
    let done = match what {
        "others" => {
            end_others(app, &user, &login.id).await?;
            "others"
        }
        "all" => {
            app.store.take_back(&user.id, None, &ending(&Actor::user(&user.id), TAKEN_BACK)).await?;
            tracing::info!(user = %user.id, "took all grants back");
            "all"
        }
        one => {
            end_one(app, &user, one).await?;
            "one"
        }
    };
    let mut answer = visit.go(&format!("{PATH}?done={done}"));
    if what == login.id.as_str() {
        answer = visit.go("/login");
        browser::forget(app, &mut answer);
    }
    Ok(answer)
}

/// Ends one browser's session or one client's grant. Others' and those that are ended already are left as they are.
async fn end_one(app: &App, user: &User, id: &str) -> Result<(), WebError> {
    if let Ok(id) = id.parse::<LoginId>() {
        let logins = app.store.logins_of(&user.id, ambient::now()).await?;
        if logins.iter().any(|login| login.id == id) {
            end_session(app, &user.id, &id).await?;
        }
        return Ok(());
    }
    let id: GrantId = id.parse().map_err(|_| WebError::bad("There is no such session."))?;
    let grant = app.store.grant(&id).await?.filter(|grant| grant.user == user.id);
    if let Some(Grant { client, .. }) = grant {
        app.store.take_back(&user.id, Some((&id, &client)), &ending(&Actor::user(&user.id), TAKEN_BACK)).await?;
        tracing::info!(user = %user.id, grant = %id, "took a grant back");
    }
    Ok(())
}

/// Signs a user out of every browser but one.
async fn end_others(app: &App, user: &User, kept: &LoginId) -> Result<(), WebError> {
    let ended = app.store.end_sessions_of(&user.id, Some(kept), &ending(&Actor::user(&user.id), SIGNED_OUT)).await?;
    tracing::info!(user = %user.id, ended, "signed out elsewhere");
    Ok(())
}

/// Ends a browser's session and what was given in it, but for what was to last offline. The clients that want to hear of it are told in
/// the background: the user does not wait for them.
/// False when it was over.
pub(super) async fn end_session(app: &App, user: &UserId, login: &LoginId) -> Result<bool, WebError> {
    let ended = app.store.end_session(login, &ending(&Actor::user(user), SIGNED_OUT)).await?;
    tracing::info!(%login, ended, "signed out");
    Ok(ended)
}

fn browser_row(login: &Login, is_this: bool, now: u64) -> BrowserRow {
    BrowserRow {
        id: login.id.to_string(),
        name: login.sender.name(),
        address: login.sender.address.map(|address| address.to_string()).unwrap_or_default(),
        is_this,
        since: when(login.auth_time, now),
        seen: when(if is_this { now } else { login.seen_at }, now),
        until: when(login.expires_at, now),
    }
}

async fn client_row(app: &App, given: Given, now: u64) -> Result<ClientRow, WebError> {
    let Given { grant, used_at } = given;
    let client = app.store.client(&grant.client).await?;
    let metadata = client.map(|client| client.metadata).unwrap_or_default();
    Ok(ClientRow {
        client: if metadata.name.is_empty() { grant.client.to_string() } else { legible(&metadata.name) },
        owner: legible(&metadata.owner.unwrap_or_default()),
        device: grant.terms.device.as_ref().map(|device| device.name()).unwrap_or_default(),
        wishes: wishes(app, &grant.terms.access).await?,
        since: when(grant.created_at, now),
        used: when(used_at, now),
        until: when(grant.ended_at.unwrap_or(grant.ends_at), now),
        is_good: grant.is_good(now),
        id: grant.id.to_string(),
    })
}
