//! `/account/password`: a user changes their password. The current password is required, because
//! the browser may be unattended. All other sessions end.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_model::user::checked_password;
use tollgate_model::{Actor, AuthSource, User};
use tollgate_services::termination::termination;
use zeroize::Zeroizing;

use super::attempt_limiter::CountedAttempt;
use super::error::WebError;
use super::login::{login_path, record_failed_sign_in};
use super::page::{Flow, Layout};
use super::page_request::{CsrfCheckedForm, PageRequest};
use super::sign_in::verify_password;
use crate::openapi::forms;
use crate::openapi::responses::{HtmlPage, SeeOther};

const PATH: &str = "/account/password";

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage<'a> {
    layout: Layout,
    /// Whether the password has just been changed.
    is_done: bool,
    /// Whether the password is stored here, not in an external user directory.
    is_local: bool,
    /// Names of error messages; empty for none.
    old_error: &'a str,
    new_error: &'a str,
    repeat_error: &'a str,
}

/// The page to change the password.
#[utoipa::path(
    get, path = "/account/password",
    responses(HtmlPage, SeeOther, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn get(page: PageRequest) -> Result<Response, WebError> {
    match page.user().await? {
        Some((_, user)) => Ok(show(&page, &user, FieldErrors::default())),
        None => Ok(page.redirect(&login_path(PATH))),
    }
}

/// Changes the password, and signs out all other browsers.
#[utoipa::path(
    post, path = "/account/password",
    request_body(content = forms::PasswordForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        SeeOther,
        WebError,
        (
            status = 422,
            description = "The current password is wrong, or the new one is not acceptable",
            body = String,
            content_type = "text/html; charset=utf-8",
        ),
        (status = 429, description = "Too many wrong passwords", body = String, content_type = "text/html; charset=utf-8"),
    ),
    security(("session" = []), ()),
)]
pub(crate) async fn post(CsrfCheckedForm(page): CsrfCheckedForm) -> Result<Response, WebError> {
    let Some((login, user)) = page.user().await? else {
        return Ok(page.redirect(&login_path(PATH)));
    };
    let (old, new) = (page.param("old"), page.param("new"));
    if user.auth_source != AuthSource::Local {
        return Ok(show(&page, &user, FieldErrors::default()));
    }
    let new = match parse(old, new, page.param("again")) {
        Ok(new) => new,
        Err(errors) => return Ok(show(&page, &user, errors)),
    };
    let state = &page.state;
    let attempt = CountedAttempt::begin(&state.store, format!("password of {}", user.id), state.clock.now()).await?;
    match verify_password(&state.password_hasher, old, user.password_hash.clone()).await {
        Ok(Some(_)) => attempt.give_back().await?,
        Ok(None) => {
            attempt.failed();
            record_failed_sign_in(&page, user.name.as_str()).await?;
            let errors = FieldErrors { old: "password-current-wrong", ..FieldErrors::default() };
            return Ok(show(&page, &user, errors));
        }
        Err(error) => {
            attempt.give_back().await?;
            return Err(error.into());
        }
    }
    let hash = state.password_hasher.hash(new).await?;
    let ending = termination(&Actor::user(&user.id), "the user changed their password", state.clock.now());
    state.store.update_password(&user.id, &hash, Some(&login.id), &ending).await?;
    tracing::info!(user = %user.id, "changed their password");
    Ok(page.redirect("/account/password?done=1"))
}

/// Names of error messages, by field; empty for none.
#[derive(Default)]
struct FieldErrors {
    old: &'static str,
    new: &'static str,
    repeat: &'static str,
}

/// Checks the form. The new password, prepared for hashing.
fn parse(old: &str, new: &str, again: &str) -> Result<Zeroizing<String>, FieldErrors> {
    if old.is_empty() {
        return Err(FieldErrors { old: "password-current-missing", ..FieldErrors::default() });
    }
    let new_password = checked_password(new);
    let new_password = new_password.map_err(|_| FieldErrors { new: "password-length", ..FieldErrors::default() })?;
    match () {
        () if new == old => Err(FieldErrors { new: "password-not-new", ..FieldErrors::default() }),
        () if new != again => Err(FieldErrors { repeat: "passwords-differ", ..FieldErrors::default() }),
        () => Ok(new_password),
    }
}

fn show(page: &PageRequest, user: &User, errors: FieldErrors) -> Response {
    let is_valid = [errors.old, errors.new, errors.repeat].iter().all(|error| error.is_empty());
    let template = PasswordPage {
        layout: page.layout().for_user(user, "password"),
        is_done: page.params.get("done").is_some(),
        is_local: user.auth_source == AuthSource::Local,
        old_error: errors.old,
        new_error: errors.new,
        repeat_error: errors.repeat,
    };
    let status = if is_valid { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    page.page_with(status, &template, Flow::Own)
}
