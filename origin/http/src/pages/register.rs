//! `/register`: people create an account for themselves, if the operator allows it.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_config::AccountSettings;
use tollgate_model::user::checked_password;
use tollgate_model::{Actor, User, UserId, UserName};
use tollgate_storage::StoreError;
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::error::WebError;
use super::known_device;
use super::login::{
    carried_query, complete_sign_in, find_pending_request, flow, record_failed_sign_in, safe_return_path,
};
use super::page::Layout;
use super::page_request::{CsrfCheckedForm, PageRequest};
use super::sign_in::authenticate;
use crate::openapi::forms;
use crate::openapi::responses::{HtmlPage, SeeOther};

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage<'a> {
    layout: Layout,
    /// As on the sign-in page: what the registration is for; empty for none.
    request: &'a str,
    user_code: &'a str,
    next: &'a str,
    /// The query of the sign-in page's address.
    query: &'a str,
    username: &'a str,
    /// Names of error messages; empty for none.
    name_error: &'a str,
    password_error: &'a str,
    repeat_error: &'a str,
}

/// The page to create an account.
#[utoipa::path(
    get, path = "/register",
    params(
        ("request" = Option<String>, Query, description = "The pending authorization request"),
        ("user_code" = Option<String>, Query, description = "The pending device"),
        ("next" = Option<String>, Query, description = "The page of this origin to return to"),
    ),
    responses(
        HtmlPage,
        WebError,
        (status = 404, description = "Accounts are created by an administrator", body = String, content_type = "text/html; charset=utf-8"),
    ),
    security(("session" = []), ()),
)]
pub(crate) async fn get(page: PageRequest) -> Result<Response, WebError> {
    check_allowed(&page.state.accounts)?;
    find_pending_request(&page.state, &page.params).await?;
    Ok(show(&page, FieldErrors::default()))
}

/// Creates an account, and signs in.
#[utoipa::path(
    post, path = "/register",
    request_body(content = forms::RegisterForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        SeeOther,
        WebError,
        (status = 404, description = "Accounts are created by an administrator", body = String, content_type = "text/html; charset=utf-8"),
        (
            status = 422,
            description = "The username is taken or not acceptable, or the password is not",
            body = String,
            content_type = "text/html; charset=utf-8",
        ),
    ),
    security(("session" = []), ()),
)]
pub(crate) async fn post(CsrfCheckedForm(mut page): CsrfCheckedForm) -> Result<Response, WebError> {
    check_allowed(&page.state.accounts)?;
    find_pending_request(&page.state, &page.params).await?;
    let (name, password) = match parse(page.param("username"), page.param("password"), page.param("again")) {
        Ok(parsed) => parsed,
        Err(errors) => return Ok(show(&page, errors)),
    };
    // Hashed first, so that a taken username takes as long as a free one.
    let hash = page.state.password_hasher.hash(password).await?;
    let id = UserId::from_random(&rng::random()?);
    let user = User { password_hash: Some(hash), ..User::new(id, name, page.state.clock.now()) };
    match page.state.store.with_actor(&Actor::user(&user.id)).create_user(&user).await {
        Ok(()) => {}
        // A registration page cannot hide that a username is taken.
        Err(StoreError::AlreadyExists(_)) => {
            return match find_own_account(&page).await? {
                Some(user) => complete_sign_in(&mut page, &user).await,
                None => {
                    let errors = FieldErrors { name: "register-username-taken", ..FieldErrors::default() };
                    Ok(show(&page, errors))
                }
            };
        }
        Err(error) => return Err(error.into()),
    }
    tracing::info!(user = %user.id, "created an account");
    complete_sign_in(&mut page, &user).await
}

/// The user who has the username already, if the password is theirs: the form was sent twice, or
/// they forgot that they have an account. It counts as a sign-in attempt.
async fn find_own_account(page: &PageRequest) -> Result<Option<User>, WebError> {
    let (state, name) = (&page.state, page.param("username"));
    let attempt = known_device::begin_attempt(state, page, name).await?;
    let user = authenticate(state, name, page.param("password")).await;
    match &user {
        Ok(Some(_)) => attempt.succeeded().await,
        Ok(None) => {
            attempt.failed();
            record_failed_sign_in(page, name).await?;
        }
        Err(error) if error.is_busy() => attempt.cancel().await,
        Err(_) => attempt.failed(),
    }
    user
}

fn check_allowed(accounts: &AccountSettings) -> Result<(), WebError> {
    match accounts.sign_up {
        true => Ok(()),
        false => Err(WebError::not_found("register-closed")),
    }
}

/// Names of error messages, by field; empty for none.
#[derive(Default)]
struct FieldErrors {
    name: &'static str,
    password: &'static str,
    repeat: &'static str,
}

/// Checks the form. The password is prepared for hashing.
fn parse(name: &str, password: &str, again: &str) -> Result<(UserName, Zeroizing<String>), FieldErrors> {
    let name_error = |_| FieldErrors { name: "register-username-invalid", ..FieldErrors::default() };
    let name: UserName = name.parse().map_err(name_error)?;
    let password_error = |id| FieldErrors { password: id, ..FieldErrors::default() };
    let prepared = checked_password(password).map_err(|_| password_error("password-length"))?;
    if prepared.to_lowercase() == name.as_str() {
        return Err(password_error("password-is-username"));
    }
    if password != again {
        return Err(FieldErrors { repeat: "passwords-differ", ..FieldErrors::default() });
    }
    Ok((name, prepared))
}

fn show(page: &PageRequest, errors: FieldErrors) -> Response {
    let is_valid = [errors.name, errors.password, errors.repeat].iter().all(|error| error.is_empty());
    let template = RegisterPage {
        layout: page.layout(),
        request: page.param("request"),
        user_code: page.param("user_code"),
        next: page.params.get("next").and_then(safe_return_path).unwrap_or_default(),
        query: &carried_query(&page.params),
        username: page.param("username"),
        name_error: errors.name,
        password_error: errors.password,
        repeat_error: errors.repeat,
    };
    let status = if is_valid { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    page.page_with(status, &template, flow(&page.params))
}
