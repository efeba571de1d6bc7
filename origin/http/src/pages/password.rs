//! `/account/password`: a user changes their password. It asks for the old one, for the browser may be another's for a minute; and
//! whoever else is signed in with the old one is signed out.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_model::user::checked_password;
use tollgate_model::{Actor, AuthSource, User};
use zeroize::Zeroizing;

use super::login::{and_back_to, refused};
use super::page::{Frame, Part, WebError};
use super::sign_in::fit;
use super::tries::Try;
use super::visit::{Posted, Visit};
use crate::ending;
use crate::openapi::forms;
use crate::openapi::refusals::{SentOn, Shown};

const PATH: &str = "/account/password";

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage<'a> {
    frame: Frame,
    /// Whether it was changed a moment ago.
    is_done: bool,
    /// Whether the password is this origin's to change.
    is_ours: bool,
    /// What is wrong with the old one; empty for nothing.
    old: &'a str,
    /// What is wrong with the new one.
    new: &'a str,
    /// What is wrong with its repetition.
    again: &'a str,
}

/// The page to change the password.
#[utoipa::path(
    get, path = "/account/password",
    responses(Shown, SentOn, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn get(visit: Visit) -> Result<Response, WebError> {
    match visit.user().await? {
        Some((_, user)) => Ok(show(&visit, &user, Faults::default())),
        None => Ok(visit.go(&and_back_to(PATH))),
    }
}

/// Changes the password, and signs out every other browser.
#[utoipa::path(
    post, path = "/account/password",
    request_body(content = forms::PasswordForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        SentOn,
        WebError,
        (
            status = 422,
            description = "The old password is wrong, or the new one is none",
            body = String,
            content_type = "text/html; charset=utf-8",
        ),
        (status = 429, description = "Too many wrong ones", body = String, content_type = "text/html; charset=utf-8"),
    ),
    security(("session" = []), ()),
)]
pub(crate) async fn post(Posted(visit): Posted) -> Result<Response, WebError> {
    let Some((login, user)) = visit.user().await? else {
        return Ok(visit.go(&and_back_to(PATH)));
    };
    let (old, new) = (visit.text("old"), visit.text("new"));
    if user.auth_source != AuthSource::Local {
        return Ok(show(&visit, &user, Faults::default()));
    }
    let new = match read(old, new, visit.text("again")) {
        Ok(new) => new,
        Err(faults) => return Ok(show(&visit, &user, faults)),
    };
    let app = &visit.app;
    let attempt = Try::begin(app, format!("password of {}", user.id)).await?;
    match fit(app, old, user.password_hash.clone()).await {
        Ok(Some(_)) => attempt.give_back().await?,
        Ok(None) => {
            attempt.failed();
            refused(&visit, user.name.as_str()).await?;
            return Ok(show(&visit, &user, Faults { old: "That is not your password.", ..Faults::default() }));
        }
        Err(error) => {
            attempt.give_back().await?;
            return Err(error.into());
        }
    }
    let hash = app.forge.hash(new).await?;
    let ending = ending(&Actor::user(&user.id), "the user changed their password");
    app.store.set_password(&user.id, &hash, Some(&login.id), &ending).await?;
    tracing::info!(user = %user.id, "changed their password");
    Ok(visit.go("/account/password?done=1"))
}

/// What is wrong with the fields of the form.
#[derive(Default)]
struct Faults {
    old: &'static str,
    new: &'static str,
    again: &'static str,
}

/// The new password, as it is to be hashed.
fn read(old: &str, new: &str, again: &str) -> Result<Zeroizing<String>, Faults> {
    if old.is_empty() {
        return Err(Faults { old: "Please type your old password.", ..Faults::default() });
    }
    let new_password = checked_password(new);
    let new_password =
        new_password.map_err(|_| Faults { new: "It must have 8 to 256 characters.", ..Faults::default() })?;
    match () {
        () if new == old => Err(Faults { new: "It must be another one than before.", ..Faults::default() }),
        () if new != again => Err(Faults { again: "The two are not the same.", ..Faults::default() }),
        () => Ok(new_password),
    }
}

fn show(visit: &Visit, user: &User, faults: Faults) -> Response {
    let is_good = [faults.old, faults.new, faults.again].iter().all(|fault| fault.is_empty());
    let template = PasswordPage {
        frame: visit.frame().with(user, "password"),
        is_done: visit.said.get("done").is_some(),
        is_ours: user.auth_source == AuthSource::Local,
        old: faults.old,
        new: faults.new,
        again: faults.again,
    };
    let status = if is_good { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    visit.page_with(status, &template, Part::Own)
}
