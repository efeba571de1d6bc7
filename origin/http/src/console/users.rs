//! `/admin/users`: lists, creates, edits, disables and enables users, sets passwords and
//! administrator rights, and shows sessions and grants.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use tollgate_model::encoding::base64url;
use tollgate_model::{AuthSource, Malformed, User, UserClaims};
use tollgate_services::admin::{AdminError, NewUser, UserProfile};
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::admin_session::{AdminForm, AdminSession};
use super::confirm::Confirm;
use super::flash::Flash;
use super::form_error;
use super::search::{self, PAGE_SIZE, Pager};
use crate::openapi::console;
use crate::openapi::responses::{ConsolePage, FormWithErrors, HtmlPage, PageNotFound, SeeOther};
use crate::pages::error::WebError;
use crate::pages::page::Layout;
use crate::pages::sender::sender_name;
use crate::pages::time_format::Moment;

#[derive(Template)]
#[template(path = "console/users.html")]
struct UsersPage<'a> {
    layout: Layout,
    flash: Flash,
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
    created: Moment,
}

#[derive(Template)]
#[template(path = "console/user.html")]
struct UserPage {
    layout: Layout,
    flash: Flash,
    id: String,
    name: String,
    /// Whether it is the signed-in administrator.
    is_self: bool,
    is_admin: bool,
    disabled: Option<Moment>,
    facts: Vec<(&'static str, String)>,
    created: Moment,
    sessions: Vec<SessionRow>,
    grants: Vec<GrantRow>,
    pager: Pager,
}

struct SessionRow {
    browser: String,
    address: String,
    signed_in: Moment,
    last_seen: Moment,
    expires: Moment,
}

struct GrantRow {
    id: String,
    client: String,
    device: String,
    scope: String,
    granted: Moment,
    last_used: Moment,
    ends: Moment,
    is_active: bool,
}

/// The form of a user, with what was typed or is stored, except the password.
#[derive(Template)]
#[template(path = "console/user_form.html")]
struct FormPage<'a> {
    layout: Layout,
    title: String,
    /// The user that is edited; empty for a new one.
    user_id: &'a str,
    /// The version of the user that the form shows.
    version: &'a str,
    name: &'a str,
    full_name: &'a str,
    email: &'a str,
    external_id: &'a str,
    claims: &'a str,
    is_admin: bool,
    problem: &'a str,
}

#[derive(Template)]
#[template(path = "console/user_password.html")]
struct PasswordPage<'a> {
    layout: Layout,
    id: &'a str,
    name: &'a str,
    problem: &'a str,
}

/// Users, newest first.
#[utoipa::path(
    get, path = "/admin/users", params(console::SearchQuery),
    responses(HtmlPage, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn list(admin: AdminSession) -> Result<Response, WebError> {
    let now = admin.now();
    let found = admin.commands().search_users(&search::requested(&admin)).await?;
    let (found, pager) = search::page(&admin, "/admin/users", found, |user| user.id.to_string());
    let row = |user: &User| Row {
        id: user.id.to_string(),
        name: user.name.to_string(),
        full_name: claim(user, "name"),
        email: claim(user, "email"),
        is_admin: user.is_admin,
        is_active: user.is_active(),
        created: admin.moment(user.created_at, now),
    };
    Ok(admin.show(&UsersPage {
        layout: admin.layout("users"),
        flash: admin.flash(),
        search: admin.param("search"),
        users: found.iter().map(row).collect(),
        pager,
    }))
}

/// The form for a new user.
#[utoipa::path(get, path = "/admin/new/user", responses(HtmlPage, ConsolePage), security(("session" = [])))]
pub(crate) async fn new(admin: AdminSession) -> Response {
    let title = admin.text("user-new").to_string();
    show_form(&admin, title, "", None)
}

/// Creates a user.
#[utoipa::path(
    post, path = "/admin/new/user",
    request_body(content = console::UserForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn create(AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let password = ChosenPassword::from_form(&admin)?;
    let created = async {
        let new = new_user(&admin, &password)?;
        admin.commands().create_user(&admin.actor(), new).await
    };
    match created.await {
        Ok(user) => {
            let flash = Flash::new(&admin.text("user-created").with("username", user.name.as_str()));
            Ok(admin.redirect(&format!("/admin/users/{}", user.id), &password.add_to(&admin, flash)))
        }
        Err(problem) => {
            let title = admin.text("user-new").to_string();
            Ok(show_form(&admin, title, "", Some(form_error(problem)?)))
        }
    }
}

/// One user, with their sessions and grants.
#[utoipa::path(
    get, path = "/admin/users/{id}",
    params(
        ("id" = String, Path, description = "The user's id"),
        ("after" = Option<String>, Query, description = "Grants older than the one with this id"),
    ),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn show(Path(id): Path<String>, admin: AdminSession) -> Result<Response, WebError> {
    let (user, now) = (admin.commands().get_user(&id).await?, admin.now());
    let (sessions, (grants, pager)) = (sessions(&admin, &user, now).await?, grants(&admin, &user, now).await?);
    Ok(admin.show(&UserPage {
        layout: admin.layout("users"),
        flash: admin.flash(),
        id: user.id.to_string(),
        name: user.name.to_string(),
        is_self: user.id == admin.user.id,
        is_admin: user.is_admin,
        disabled: user.disabled_at.map(|at| admin.moment(at, now)),
        facts: facts(&admin, &user),
        created: admin.moment(user.created_at, now),
        sessions,
        grants,
        pager,
    }))
}

/// The form that edits a user.
#[utoipa::path(
    get, path = "/admin/users/{id}/edit",
    params(("id" = String, Path, description = "The user's id")),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn edit(Path(id): Path<String>, admin: AdminSession) -> Result<Response, WebError> {
    let user = admin.commands().get_user(&id).await?;
    let mut other_claims = serde_json::to_value(&user.claims).unwrap_or_default();
    if let Some(claims) = other_claims.as_object_mut() {
        claims.retain(|name, _| !FIELD_CLAIMS.iter().any(|(claim, _)| claim == name));
    }
    let has_other = other_claims.as_object().is_some_and(|claims| !claims.is_empty());
    Ok(admin.show(&FormPage {
        layout: admin.layout("users"),
        title: admin.text("console-edit-name").with("name", user.name.as_str()).to_string(),
        user_id: user.id.as_str(),
        version: &UserProfile::from(&user).version(),
        name: user.name.as_str(),
        full_name: &claim(&user, "name"),
        email: &claim(&user, "email"),
        external_id: user.external_id.as_deref().unwrap_or_default(),
        claims: &if has_other { other_claims.to_string() } else { String::new() },
        is_admin: user.is_admin,
        problem: "",
    }))
}

/// Changes a user's name, claims and external ID.
#[utoipa::path(
    post, path = "/admin/users/{id}/edit",
    params(("id" = String, Path, description = "The user's id")),
    request_body(content = console::UserForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, PageNotFound, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn update(Path(id): Path<String>, AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let user = admin.commands().get_user(&id).await?;
    let changed = async {
        let (typed, version) = (typed_profile(&admin, user.is_admin)?, admin.param("version").to_owned());
        let change = |current: &UserProfile| match current.version() == version {
            true => Ok(typed.clone()),
            false => Err(AdminError::Conflict("the user was changed meanwhile: open the form again".to_owned())),
        };
        admin.commands().change_user(&admin.actor(), &id, change).await
    };
    match changed.await {
        Ok(user) => Ok(redirect(&admin, &user, "user-updated")),
        Err(problem) => {
            let title = admin.text("console-edit-name").with("name", user.name.as_str()).to_string();
            Ok(show_form(&admin, title, user.id.as_str(), Some(form_error(problem)?)))
        }
    }
}

/// The form that sets a password.
#[utoipa::path(
    get, path = "/admin/users/{id}/password",
    params(("id" = String, Path, description = "The user's id")),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_password(Path(id): Path<String>, admin: AdminSession) -> Result<Response, WebError> {
    let user = admin.commands().get_user(&id).await?;
    Ok(show_password(&admin, &user, None))
}

/// Sets a user's password, and signs out all their browsers.
#[utoipa::path(
    post, path = "/admin/users/{id}/password",
    params(("id" = String, Path, description = "The user's id")),
    request_body(content = console::PasswordForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, PageNotFound, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn password(Path(id): Path<String>, AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let (user, password) = (admin.commands().get_user(&id).await?, ChosenPassword::from_form(&admin)?);
    match admin.commands().set_password(&admin.actor(), &user, password.password.clone()).await {
        Ok(()) => {
            let flash = Flash::new(&admin.text("user-password-set").with("username", user.name.as_str()));
            Ok(admin.redirect(&format!("/admin/users/{}", user.id), &password.add_to(&admin, flash)))
        }
        Err(problem) => Ok(show_password(&admin, &user, Some(form_error(problem)?))),
    }
}

/// Asks for confirmation before disabling a user.
#[utoipa::path(
    get, path = "/admin/users/{id}/disable",
    params(("id" = String, Path, description = "The user's id")),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_disable(Path(id): Path<String>, admin: AdminSession) -> Result<Response, WebError> {
    let user = admin.commands().get_user(&id).await?;
    let confirm = confirm(&admin, &user, "user-disable-title", "user-disable", "disable")
        .consequence("user-disable-consequence")
        .consequence("user-disable-revocation")
        .dangerous();
    Ok(admin.show(&confirm))
}

/// Disables a user and revokes their grants.
#[utoipa::path(
    post, path = "/admin/users/{id}/disable",
    params(("id" = String, Path, description = "The user's id")),
    request_body(content = console::ConfirmForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, PageNotFound, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn disable(Path(id): Path<String>, AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let user = admin.commands().get_user(&id).await?;
    let user = admin.commands().disable_user(&admin.actor(), &user).await?;
    Ok(redirect(&admin, &user, "user-disabled"))
}

/// Asks for confirmation before enabling a user.
#[utoipa::path(
    get, path = "/admin/users/{id}/enable",
    params(("id" = String, Path, description = "The user's id")),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_enable(Path(id): Path<String>, admin: AdminSession) -> Result<Response, WebError> {
    let user = admin.commands().get_user(&id).await?;
    let confirm =
        confirm(&admin, &user, "user-enable-title", "user-enable", "enable").consequence("user-enable-consequence");
    Ok(admin.show(&confirm))
}

/// Enables a disabled user.
#[utoipa::path(
    post, path = "/admin/users/{id}/enable",
    params(("id" = String, Path, description = "The user's id")),
    request_body(content = console::ConfirmForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn enable(Path(id): Path<String>, AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let user = admin.commands().get_user(&id).await?;
    let user = admin.commands().enable_user(&admin.actor(), &user).await?;
    Ok(redirect(&admin, &user, "user-enabled"))
}

/// Asks for confirmation before giving or removing administrator rights.
#[utoipa::path(
    get, path = "/admin/users/{id}/admin",
    params(("id" = String, Path, description = "The user's id")),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_admin(Path(id): Path<String>, admin: AdminSession) -> Result<Response, WebError> {
    let user = admin.commands().get_user(&id).await?;
    let confirm = match user.is_admin {
        false => confirm(&admin, &user, "user-make-admin-title", "user-make-admin", "admin")
            .consequence("user-make-admin-consequence")
            .dangerous()
            .carries("is_admin", "yes"),
        true => confirm(&admin, &user, "user-remove-admin-title", "user-remove-admin", "admin")
            .consequence("user-remove-admin-consequence")
            .carries("is_admin", "no"),
    };
    Ok(admin.show(&confirm))
}

/// Gives or removes administrator rights.
#[utoipa::path(
    post, path = "/admin/users/{id}/admin",
    params(("id" = String, Path, description = "The user's id")),
    request_body(content = console::AdministratorForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, PageNotFound, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn set_admin(Path(id): Path<String>, AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let user = admin.commands().get_user(&id).await?;
    let is_admin = match admin.param("is_admin") {
        "yes" => true,
        "no" => false,
        _ => return Err(WebError::undecided()),
    };
    let user = admin.commands().set_admin(&admin.actor(), &user, is_admin).await?;
    Ok(redirect(&admin, &user, if is_admin { "user-is-admin" } else { "user-is-not-admin" }))
}

/// A password, typed or generated.
struct ChosenPassword {
    password: Zeroizing<String>,
    /// A generated password must be shown.
    is_generated: bool,
}

impl ChosenPassword {
    fn from_form(admin: &AdminSession) -> Result<ChosenPassword, WebError> {
        Ok(match admin.find_param("password") {
            Some(typed) => ChosenPassword { password: Zeroizing::new(typed.to_owned()), is_generated: false },
            None => {
                let password = Zeroizing::new(base64url(&rng::random::<15>()?));
                ChosenPassword { password, is_generated: true }
            }
        })
    }

    fn add_to(&self, admin: &AdminSession, flash: Flash) -> Flash {
        match self.is_generated {
            true => flash.with_secret(&admin.text("password").to_string(), &self.password),
            false => flash,
        }
    }
}

fn new_user(admin: &AdminSession, password: &ChosenPassword) -> Result<NewUser, AdminError> {
    let UserProfile { name, claims, external_id, is_admin } = typed_profile(admin, admin.is_checked("is_admin"))?;
    Ok(NewUser { name, password: Some(password.password.clone()), claims, external_id, is_admin })
}

/// The claims with fields of their own.
const FIELD_CLAIMS: [(&str, &str); 2] = [("name", "full_name"), ("email", "email")];

fn typed_profile(admin: &AdminSession, is_admin: bool) -> Result<UserProfile, AdminError> {
    let malformed = |error: Malformed| AdminError::from(error);
    let mut claims = UserClaims::parse(admin.find_param("claims").unwrap_or("{}")).map_err(malformed)?;
    for (claim, field) in FIELD_CLAIMS {
        if let Some(value) = admin.find_param(field) {
            claims.set(claim, Value::from(value.trim()));
        }
    }
    Ok(UserProfile {
        name: admin.param("name").parse().map_err(malformed)?,
        claims,
        external_id: admin.find_param("external_id").map(|id| id.trim().to_owned()),
        is_admin,
    })
}

fn show_form(admin: &AdminSession, title: String, user_id: &str, error: Option<(StatusCode, String)>) -> Response {
    let (status, problem) = error.unwrap_or_default();
    let page = FormPage {
        layout: admin.layout("users"),
        title,
        user_id,
        version: admin.param("version"),
        name: admin.param("name"),
        full_name: admin.param("full_name"),
        email: admin.param("email"),
        external_id: admin.param("external_id"),
        claims: admin.param("claims"),
        is_admin: admin.is_checked("is_admin"),
        problem: &problem,
    };
    admin.show_with(status, &page)
}

fn show_password(admin: &AdminSession, user: &User, error: Option<(StatusCode, String)>) -> Response {
    let (status, problem) = error.unwrap_or_default();
    let (id, name) = (user.id.as_str(), user.name.as_str());
    admin.show_with(status, &PasswordPage { layout: admin.layout("users"), id, name, problem: &problem })
}

fn confirm(admin: &AdminSession, user: &User, title: &'static str, button: &'static str, action: &str) -> Confirm {
    let path = format!("/admin/users/{}", user.id);
    let confirm = Confirm::new(admin, "users", title, button).subject("console-user", user.name.as_str());
    confirm.subject("user-id", user.id.as_str()).posts(&format!("{path}/{action}"), &path)
}

fn redirect(admin: &AdminSession, user: &User, message: &str) -> Response {
    let flash = Flash::new(&admin.text(message).with("username", user.name.as_str()));
    admin.redirect(&format!("/admin/users/{}", user.id), &flash)
}

fn claim(user: &User, name: &str) -> String {
    user.claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A user's details as labels (names of messages) and values, without what is not set.
fn facts(admin: &AdminSession, user: &User) -> Vec<(&'static str, String)> {
    let source = match user.auth_source {
        AuthSource::Local if user.password_hash.is_none() => "user-no-password",
        AuthSource::Local => "user-local-password",
        AuthSource::HttpApi => "user-external-directory",
    };
    let claims = serde_json::to_string(&user.claims).unwrap_or_default();
    vec![
        ("user-full-name", claim(user, "name")),
        ("user-email", claim(user, "email")),
        ("user-signs-in-with", admin.text(source).to_string()),
        ("user-external-id", user.external_id.clone().unwrap_or_default()),
        ("user-all-claims", if claims == "{}" { String::new() } else { claims }),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .collect()
}

async fn sessions(admin: &AdminSession, user: &User, now: u64) -> Result<Vec<SessionRow>, WebError> {
    let logins = admin.store().list_sessions(&user.id, now).await?;
    let row = |login: &tollgate_model::BrowserSession| SessionRow {
        browser: sender_name(&login.sender, &admin.page.messages),
        address: login.sender.address.map(|address| address.to_string()).unwrap_or_default(),
        signed_in: admin.moment(login.auth_time, now),
        last_seen: admin.moment(login.seen_at, now),
        expires: admin.moment(login.expires_at, now),
    };
    Ok(logins.iter().map(row).collect())
}

async fn grants(admin: &AdminSession, user: &User, now: u64) -> Result<(Vec<GrantRow>, Pager), WebError> {
    let after = admin.find_param("after").and_then(|id| id.parse().ok());
    let given = admin.store().list_user_grants(&user.id, after.as_ref(), PAGE_SIZE + 1, now).await?;
    let path = format!("/admin/users/{}", user.id);
    let (given, pager) = search::filtered_page(admin, &path, &[], "after", given, |given| given.grant.id.to_string());
    let row = |given: &tollgate_storage::GrantSummary| {
        let grant = &given.grant;
        let device = grant.terms.device.as_ref().map(|device| sender_name(device, &admin.page.messages));
        GrantRow {
            id: grant.id.to_string(),
            client: grant.client.to_string(),
            device: device.unwrap_or_default(),
            scope: grant.terms.access.scope.to_string(),
            granted: admin.moment(grant.created_at, now),
            last_used: admin.moment(given.used_at, now),
            ends: admin.moment(grant.ended_at.unwrap_or(grant.ends_at), now),
            is_active: grant.is_active(now),
        }
    };
    Ok((given.iter().map(row).collect(), pager))
}
