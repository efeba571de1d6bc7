//! `/register`: people make an account for themselves, where the operator lets them.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_model::user::checked_password;
use tollgate_model::{Actor, User, UserId, UserName};
use tollgate_storage::StoreError;
use tollgate_system::ambient;
use zeroize::Zeroizing;

use super::known_device;
use super::login::{along, arrive, own_page, part, refused, waiting};
use super::page::{Frame, WebError};
use super::sign_in::signed_in;
use super::visit::{Posted, Visit};
use crate::App;
use crate::openapi::forms;
use crate::openapi::refusals::{SentOn, Shown};

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage<'a> {
    frame: Frame,
    /// As for the sign-in, which this is instead of.
    request: &'a str,
    user_code: &'a str,
    next: &'a str,
    /// The same, as the query of the sign-in's address.
    query: &'a str,
    username: &'a str,
    /// What is wrong with the name; empty for nothing.
    name: &'a str,
    /// What is wrong with the password.
    password: &'a str,
    /// What is wrong with its repetition.
    again: &'a str,
}

/// The page to make an account.
#[utoipa::path(
    get, path = "/register",
    params(
        ("request" = Option<String>, Query, description = "The authorization request that waits"),
        ("user_code" = Option<String>, Query, description = "The device that does"),
        ("next" = Option<String>, Query, description = "The page of this origin to go back to"),
    ),
    responses(
        Shown,
        WebError,
        (status = 404, description = "Accounts are made by others", body = String, content_type = "text/html; charset=utf-8"),
    ),
    security(("session" = []), ()),
)]
pub(crate) async fn get(visit: Visit) -> Result<Response, WebError> {
    allowed(&visit.app)?;
    waiting(&visit.app, &visit.said).await?;
    Ok(show(&visit, Faults::default()))
}

/// Makes an account, and signs in.
#[utoipa::path(
    post, path = "/register",
    request_body(content = forms::RegisterForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        SentOn,
        WebError,
        (status = 404, description = "Accounts are made by others", body = String, content_type = "text/html; charset=utf-8"),
        (
            status = 422,
            description = "The name is taken or none, or the password is none",
            body = String,
            content_type = "text/html; charset=utf-8",
        ),
    ),
    security(("session" = []), ()),
)]
pub(crate) async fn post(Posted(mut visit): Posted) -> Result<Response, WebError> {
    allowed(&visit.app)?;
    waiting(&visit.app, &visit.said).await?;
    let (name, password) = match read(visit.text("username"), visit.text("password"), visit.text("again")) {
        Ok(read) => read,
        Err(faults) => return Ok(show(&visit, faults)),
    };
    // Hashed first, so that a name that is taken takes as long as one that is free.
    let hash = visit.app.forge.hash(password).await?;
    let id = UserId::from_random(&ambient::random()?);
    let user = User { password_hash: Some(hash), ..User::new(id, name, ambient::now()) };
    match visit.app.store.by(&Actor::user(&user.id)).insert_user(&user).await {
        Ok(()) => {}
        // That somebody has a name cannot be hidden from whoever wants it.
        Err(StoreError::Exists(_)) => {
            return match made_before(&visit).await? {
                Some(user) => arrive(&mut visit, &user).await,
                None => {
                    let fault = "This name is taken. Please choose another.";
                    Ok(show(&visit, Faults { name: fault, ..Faults::default() }))
                }
            };
        }
        Err(error) => return Err(error.into()),
    }
    tracing::info!(user = %user.id, "made an account");
    arrive(&mut visit, &user).await
}

/// The user who has the name already, if it is theirs by the password: the form was sent twice, or they forgot that they have an
/// account. It counts as a try to sign in.
async fn made_before(visit: &Visit) -> Result<Option<User>, WebError> {
    let (app, name) = (&visit.app, visit.text("username"));
    let attempt = known_device::begin(app, visit, name).await?;
    let user = signed_in(app, name, visit.text("password")).await;
    match &user {
        Ok(Some(_)) => attempt.succeeded().await,
        Ok(None) => {
            attempt.failed();
            refused(visit, name).await?;
        }
        Err(error) if error.is_busy() => attempt.undone().await,
        Err(_) => attempt.failed(),
    }
    user
}

fn allowed(app: &App) -> Result<(), WebError> {
    match app.people.sign_up {
        true => Ok(()),
        false => Err(WebError::not_here("Accounts are made by whoever runs this place. Please ask there.")),
    }
}

/// What is wrong with the fields of the form.
#[derive(Default)]
struct Faults {
    name: &'static str,
    password: &'static str,
    again: &'static str,
}

fn read(name: &str, password: &str, again: &str) -> Result<(UserName, Zeroizing<String>), Faults> {
    let fault = "It must have 1 to 255 characters, and none that cannot be seen.";
    let name: UserName = name.parse().map_err(|_| Faults { name: fault, ..Faults::default() })?;
    let fault = "It must have 8 to 256 characters.";
    let prepared = checked_password(password).map_err(|_| Faults { password: fault, ..Faults::default() })?;
    if prepared.to_lowercase() == name.as_str() {
        return Err(Faults { password: "It must be another than the name.", ..Faults::default() });
    }
    if password != again {
        return Err(Faults { again: "The two are not the same.", ..Faults::default() });
    }
    Ok((name, prepared))
}

fn show(visit: &Visit, faults: Faults) -> Response {
    let is_good = [faults.name, faults.password, faults.again].iter().all(|fault| fault.is_empty());
    let template = RegisterPage {
        frame: visit.frame(),
        request: visit.text("request"),
        user_code: visit.text("user_code"),
        next: visit.said.get("next").and_then(own_page).unwrap_or_default(),
        query: &along(&visit.said),
        username: visit.text("username"),
        name: faults.name,
        password: faults.password,
        again: faults.again,
    };
    let status = if is_good { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    visit.page_with(status, &template, part(&visit.said))
}
