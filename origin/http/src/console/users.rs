//! `/admin/users`: looking for users, registering them, their passwords and sessions, and who of them may be here.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use tollgate_model::encoding::base64url;
use tollgate_model::{AuthSource, Malformed, User, UserClaims};
use tollgate_system::ambient;
use zeroize::Zeroizing;

use super::confirm::Confirm;
use super::operator::{Operator, Order};
use super::refused;
use super::search::{self, Pager, ROWS};
use super::told::Told;
use crate::admin_api::acts::users as acts;
use crate::openapi::console;
use crate::openapi::refusals::{ConsolePage, FormAgain, Gone, SentOn, Shown};
use crate::pages::page::{Frame, WebError};
use crate::pages::when::{When, when};
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "admin/users.html")]
struct UsersPage<'a> {
    frame: Frame,
    told: Told,
    search: &'a str,
    users: Vec<Row>,
    pager: Pager,
}

struct Row {
    id: String,
    name: String,
    full_name: String,
    email: String,
    is_admin: bool,
    is_active: bool,
    registered: When,
}

#[derive(Template)]
#[template(path = "admin/user.html")]
struct UserPage {
    frame: Frame,
    told: Told,
    id: String,
    name: String,
    /// Whether it is the one who looks.
    is_self: bool,
    is_admin: bool,
    disabled: Option<When>,
    facts: Vec<(&'static str, String)>,
    registered: When,
    logins: Vec<LoginRow>,
    grants: Vec<GrantRow>,
    pager: Pager,
}

struct LoginRow {
    browser: String,
    address: String,
    since: When,
    seen: When,
    until: When,
}

struct GrantRow {
    id: String,
    client: String,
    device: String,
    scope: String,
    since: When,
    used: When,
    until: When,
    is_good: bool,
}

/// What stands in the form of a new user, as it was typed. The password is typed anew.
#[derive(Template)]
#[template(path = "admin/user_form.html")]
struct FormPage<'a> {
    frame: Frame,
    name: &'a str,
    full_name: &'a str,
    email: &'a str,
    external_id: &'a str,
    claims: &'a str,
    is_admin: bool,
    problem: &'a str,
}

#[derive(Template)]
#[template(path = "admin/user_password.html")]
struct PasswordPage<'a> {
    frame: Frame,
    id: &'a str,
    name: &'a str,
    problem: &'a str,
}

/// Users, the newest first.
#[utoipa::path(
    get, path = "/admin/users", params(console::SearchQuery),
    responses(Shown, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn list(operator: Operator) -> Result<Response, WebError> {
    let now = ambient::now();
    let found = acts::page(operator.app(), &search::asked(&operator)).await?;
    let (found, pager) = search::page(&operator, "/admin/users", found, |user| user.id.to_string());
    let row = |user: &User| Row {
        id: user.id.to_string(),
        name: user.name.to_string(),
        full_name: claim(user, "name"),
        email: claim(user, "email"),
        is_admin: user.is_admin,
        is_active: user.is_active(),
        registered: when(user.created_at, now),
    };
    Ok(operator.show(&UsersPage {
        frame: operator.frame("users"),
        told: operator.told(),
        search: operator.text("search"),
        users: found.iter().map(row).collect(),
        pager,
    }))
}

/// The form for a new user.
#[utoipa::path(get, path = "/admin/new/user", responses(Shown, ConsolePage), security(("session" = [])))]
pub(crate) async fn new(operator: Operator) -> Response {
    show_form(&operator, None)
}

/// Registers a user.
#[utoipa::path(
    post, path = "/admin/new/user",
    request_body(content = console::UserForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, FormAgain, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn create(Order(operator): Order) -> Result<Response, WebError> {
    let chosen = Chosen::of(&operator)?;
    let made = async {
        let new = new_user(&operator, &chosen)?;
        acts::register(operator.app(), &operator.actor(), new).await
    };
    match made.await {
        Ok(user) => {
            let told = chosen.tell(Told::done(&format!("The user {} is registered.", user.name)));
            Ok(operator.done(&format!("/admin/users/{}", user.id), &told))
        }
        Err(problem) => Ok(show_form(&operator, Some(refused(problem)?))),
    }
}

/// One user, with their sessions and what they gave to clients.
#[utoipa::path(
    get, path = "/admin/users/{id}",
    params(
        ("id" = String, Path, description = "The user's id"),
        ("after" = Option<String>, Query, description = "What was given before the grant with this id"),
    ),
    responses(Shown, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn show(Path(id): Path<String>, operator: Operator) -> Result<Response, WebError> {
    let (user, now) = (acts::find(operator.app(), &id).await?, ambient::now());
    let (logins, (grants, pager)) = (logins(&operator, &user, now).await?, grants(&operator, &user, now).await?);
    Ok(operator.show(&UserPage {
        frame: operator.frame("users"),
        told: operator.told(),
        id: user.id.to_string(),
        name: user.name.to_string(),
        is_self: user.id == operator.user.id,
        is_admin: user.is_admin,
        disabled: user.disabled_at.map(|at| when(at, now)),
        facts: facts(&user),
        registered: when(user.created_at, now),
        logins,
        grants,
        pager,
    }))
}

/// The form for a password.
#[utoipa::path(
    get, path = "/admin/users/{id}/password",
    params(("id" = String, Path, description = "The user's id")),
    responses(Shown, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_password(Path(id): Path<String>, operator: Operator) -> Result<Response, WebError> {
    let user = acts::find(operator.app(), &id).await?;
    Ok(show_password(&operator, &user, None))
}

/// Sets a user's password, and signs out every browser of theirs.
#[utoipa::path(
    post, path = "/admin/users/{id}/password",
    params(("id" = String, Path, description = "The user's id")),
    request_body(content = console::PasswordForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, Gone, FormAgain, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn password(Path(id): Path<String>, Order(operator): Order) -> Result<Response, WebError> {
    let (user, chosen) = (acts::find(operator.app(), &id).await?, Chosen::of(&operator)?);
    match acts::set_password(operator.app(), &operator.actor(), &user, chosen.password.clone()).await {
        Ok(()) => {
            let told =
                chosen.tell(Told::done(&format!("{} has a new password, and is signed out everywhere.", user.name)));
            Ok(operator.done(&format!("/admin/users/{}", user.id), &told))
        }
        Err(problem) => Ok(show_password(&operator, &user, Some(refused(problem)?))),
    }
}

/// Asks whether a user is to be disabled.
#[utoipa::path(
    get, path = "/admin/users/{id}/disable",
    params(("id" = String, Path, description = "The user's id")),
    responses(Shown, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_disable(Path(id): Path<String>, operator: Operator) -> Result<Response, WebError> {
    let user = acts::find(operator.app(), &id).await?;
    let confirm = ask(&operator, &user, "Disable the user?", "Disable the user", "disable")
        .says("They are signed out of every browser and sign in no more.")
        .says("What they gave to applications and devices is revoked: the tokens are refused at every edge at once. Enabling them again does not bring it back.")
        .dangerous();
    Ok(operator.show(&confirm))
}

/// Disables a user, and revokes what they gave.
#[utoipa::path(
    post, path = "/admin/users/{id}/disable",
    params(("id" = String, Path, description = "The user's id")),
    request_body(content = console::BareForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, Gone, FormAgain, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn disable(Path(id): Path<String>, Order(operator): Order) -> Result<Response, WebError> {
    let user = acts::find(operator.app(), &id).await?;
    let user = acts::disable(operator.app(), &operator.actor(), &user).await?;
    Ok(done(&operator, &user, "is disabled"))
}

/// Asks whether a user may sign in again.
#[utoipa::path(
    get, path = "/admin/users/{id}/enable",
    params(("id" = String, Path, description = "The user's id")),
    responses(Shown, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_enable(Path(id): Path<String>, operator: Operator) -> Result<Response, WebError> {
    let user = acts::find(operator.app(), &id).await?;
    let confirm = ask(&operator, &user, "Enable the user?", "Enable the user", "enable")
        .says("They may sign in again. What they had given to applications and devices stays revoked, and they are asked anew.");
    Ok(operator.show(&confirm))
}

/// Lets a user who was disabled sign in again.
#[utoipa::path(
    post, path = "/admin/users/{id}/enable",
    params(("id" = String, Path, description = "The user's id")),
    request_body(content = console::BareForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn enable(Path(id): Path<String>, Order(operator): Order) -> Result<Response, WebError> {
    let user = acts::find(operator.app(), &id).await?;
    let user = acts::enable(operator.app(), &operator.actor(), &user).await?;
    Ok(done(&operator, &user, "may sign in again"))
}

/// Asks whether a user is to be an administrator, or no longer.
#[utoipa::path(
    get, path = "/admin/users/{id}/admin",
    params(("id" = String, Path, description = "The user's id")),
    responses(Shown, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_admin(Path(id): Path<String>, operator: Operator) -> Result<Response, WebError> {
    let user = acts::find(operator.app(), &id).await?;
    let confirm = match user.is_admin {
        false => ask(&operator, &user, "Make the user an administrator?", "Make an administrator", "admin")
            .says("They may then do all that you can do here: register clients, see and change users, revoke anything, and rotate keys.")
            .dangerous()
            .carries("is_admin", "yes"),
        true => ask(&operator, &user, "Take the console from the user?", "Take it from them", "admin")
            .says("They may no longer use the console. They stay signed in, and what they gave to applications stays as it is.")
            .carries("is_admin", "no"),
    };
    Ok(operator.show(&confirm))
}

/// Says whether a user is an administrator.
#[utoipa::path(
    post, path = "/admin/users/{id}/admin",
    params(("id" = String, Path, description = "The user's id")),
    request_body(content = console::AdministratorForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, Gone, FormAgain, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn set_admin(Path(id): Path<String>, Order(operator): Order) -> Result<Response, WebError> {
    let user = acts::find(operator.app(), &id).await?;
    let is_admin = match operator.text("is_admin") {
        "yes" => true,
        "no" => false,
        _ => return Err(WebError::undecided()),
    };
    let user = acts::set_admin(operator.app(), &operator.actor(), &user, is_admin).await?;
    Ok(done(&operator, &user, if is_admin { "is an administrator" } else { "is no administrator any more" }))
}

/// A password, and whether it was made here and must be shown.
struct Chosen {
    password: Zeroizing<String>,
    was_made: bool,
}

impl Chosen {
    /// The one that was typed, or a random one.
    fn of(operator: &Operator) -> Result<Chosen, WebError> {
        Ok(match operator.given("password") {
            Some(typed) => Chosen { password: Zeroizing::new(typed.to_owned()), was_made: false },
            None => Chosen { password: Zeroizing::new(base64url(&ambient::random::<15>()?)), was_made: true },
        })
    }

    fn tell(&self, told: Told) -> Told {
        if self.was_made { told.with_secret("Password", &self.password) } else { told }
    }
}

fn new_user(operator: &Operator, chosen: &Chosen) -> Result<acts::NewUser, Problem> {
    let unusable = |error: Malformed| Problem::bad_request(&error.to_string());
    let mut claims = UserClaims::parse(operator.given("claims").unwrap_or("{}")).map_err(unusable)?;
    for (claim, field) in [("name", "full_name"), ("email", "email")] {
        if let Some(value) = operator.given(field) {
            claims.set(claim, Value::from(value.trim()));
        }
    }
    Ok(acts::NewUser {
        name: operator.text("name").parse().map_err(unusable)?,
        password: Some(chosen.password.clone()),
        claims,
        external_id: operator.given("external_id").map(|id| id.trim().to_owned()),
        is_admin: operator.ticked("is_admin"),
    })
}

fn show_form(operator: &Operator, refused: Option<(StatusCode, String)>) -> Response {
    let (status, problem) = refused.unwrap_or_default();
    let page = FormPage {
        frame: operator.frame("users"),
        name: operator.text("name"),
        full_name: operator.text("full_name"),
        email: operator.text("email"),
        external_id: operator.text("external_id"),
        claims: operator.text("claims"),
        is_admin: operator.ticked("is_admin"),
        problem: &problem,
    };
    operator.show_with(status, &page)
}

fn show_password(operator: &Operator, user: &User, refused: Option<(StatusCode, String)>) -> Response {
    let (status, problem) = refused.unwrap_or_default();
    let (id, name) = (user.id.as_str(), user.name.as_str());
    operator.show_with(status, &PasswordPage { frame: operator.frame("users"), id, name, problem: &problem })
}

fn ask(operator: &Operator, user: &User, title: &'static str, button: &str, act: &str) -> Confirm {
    let path = format!("/admin/users/{}", user.id);
    let confirm = Confirm::new(operator, "users", title, button).about("User", user.name.as_str());
    confirm.about("User id", user.id.as_str()).posts(&format!("{path}/{act}"), &path)
}

fn done(operator: &Operator, user: &User, what: &str) -> Response {
    operator.done(&format!("/admin/users/{}", user.id), &Told::done(&format!("{} {what}.", user.name)))
}

fn claim(user: &User, name: &str) -> String {
    user.claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn facts(user: &User) -> Vec<(&'static str, String)> {
    let source = match user.auth_source {
        AuthSource::Local if user.password_hash.is_none() => "nothing yet: no password is set",
        AuthSource::Local => "a password that is kept here, as a hash",
        AuthSource::HttpApi => "the HTTP API that was set up for it",
    };
    let claims = serde_json::to_string(&user.claims).unwrap_or_default();
    vec![
        ("Name", claim(user, "name")),
        ("E-mail", claim(user, "email")),
        ("Signs in by", source.to_owned()),
        ("External id", user.external_id.clone().unwrap_or_default()),
        ("All claims", if claims == "{}" { String::new() } else { claims }),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .collect()
}

async fn logins(operator: &Operator, user: &User, now: u64) -> Result<Vec<LoginRow>, WebError> {
    let logins = operator.app().store.logins_of(&user.id, now).await?;
    let row = |login: &tollgate_model::Login| LoginRow {
        browser: login.sender.name(),
        address: login.sender.address.map(|address| address.to_string()).unwrap_or_default(),
        since: when(login.auth_time, now),
        seen: when(login.seen_at, now),
        until: when(login.expires_at, now),
    };
    Ok(logins.iter().map(row).collect())
}

async fn grants(operator: &Operator, user: &User, now: u64) -> Result<(Vec<GrantRow>, Pager), WebError> {
    let after = operator.given("after").and_then(|id| id.parse().ok());
    let given = operator.app().store.given_by(&user.id, after.as_ref(), ROWS + 1, now).await?;
    let path = format!("/admin/users/{}", user.id);
    let (given, pager) = search::pages(operator, &path, &[], "after", given, |given| given.grant.id.to_string());
    let row = |given: &tollgate_storage::Given| {
        let grant = &given.grant;
        GrantRow {
            id: grant.id.to_string(),
            client: grant.client.to_string(),
            device: grant.terms.device.as_ref().map(|device| device.name()).unwrap_or_default(),
            scope: grant.terms.access.scope.to_string(),
            since: when(grant.created_at, now),
            used: when(given.used_at, now),
            until: when(grant.ended_at.unwrap_or(grant.ends_at), now),
            is_good: grant.is_good(now),
        }
    };
    Ok((given.iter().map(row).collect(), pager))
}
