//! `/consent`: a signed-in user is asked whether a client may have what it asks for.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::browser::Browser;
use super::login::find;
use super::page::{Form, WebError, form, page, query};
use crate::ambient;
use crate::domain::{Access, AuthorizationError, AuthorizationRequest, Client, SecretHash, Step, User};
use crate::http::oauth::authorization::ReturnTo;
use crate::http::oauth::authorize::{go_on, issue_code};
use crate::http::openapi::forms;
use crate::http::{App, AppState};

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    csrf: &'a str,
    request: &'a str,
    client: &'a str,
    username: &'a str,
    wishes: &'a [String],
    details: &'a [String],
}

/// The page to agree.
#[utoipa::path(
    get, path = "/consent",
    params(("request" = String, Query, description = "The authorization request that waits")),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html; charset=utf-8"),
        (status = 303, description = "On to the next page, or back to the client"),
        WebError,
    ),
    security(("session" = []), ()),
)]
pub(in crate::http) async fn get(
    State(app): State<AppState>,
    headers: HeaderMap,
    RawQuery(text): RawQuery,
) -> Result<Response, WebError> {
    let query = query(text.as_deref())?;
    let handle = query.get("request").ok_or_else(WebError::gone)?;
    let browser = Browser::of(&app, &headers).await?;
    let request = find(&app, handle).await?;
    let client = client(&app, &request).await?;
    let Some((login, user)) = user(&app, &browser).await? else {
        return go_on(&app, &client, request, &browser).await;
    };
    if request.step(Some(&login), false, ambient::now()) != Ok(Step::Consent) {
        return go_on(&app, &client, request, &browser).await;
    }
    let template = ConsentPage {
        csrf: &browser.csrf(&app),
        request: handle,
        client: &client.metadata.name,
        username: user.name.as_str(),
        wishes: &wishes(&app, &request.access).await?,
        details: &request.access.details.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    Ok(browser.remember(&app, page(StatusCode::OK, &template, Some(&request.redirect_uri))))
}

/// Agrees, or does not.
#[utoipa::path(
    post, path = "/consent",
    request_body(content = forms::ConsentForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "On to the next page, or back to the client"), WebError),
    security(("session" = []), ()),
)]
pub(in crate::http) async fn post(
    State(app): State<AppState>,
    headers: HeaderMap,
    posted: Form,
) -> Result<Response, WebError> {
    let form = form(posted)?;
    let browser = Browser::of(&app, &headers).await?;
    browser.check(&app, &form)?;
    let handle = form.get("request").ok_or_else(WebError::gone)?;
    let request = find(&app, handle).await?;
    let client = client(&app, &request).await?;
    let allowed = match form.get("decision") {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Err(WebError::bad("Please choose one of the two.")),
    };
    let Some((login, user)) = user(&app, &browser).await? else {
        return go_on(&app, &client, request, &browser).await;
    };
    // The sign-in may have grown too old for this request meanwhile.
    if request.step(Some(&login), false, ambient::now()) == Ok(Step::SignIn) {
        return go_on(&app, &client, request, &browser).await;
    }
    let taken = app.store.take_request(&SecretHash::of(handle), false, ambient::now()).await?;
    let request = taken.ok_or_else(WebError::gone)?;
    if !allowed {
        return Ok(ReturnTo::of(&request).error(&app, &AuthorizationError::Denied));
    }
    let earlier = app.store.consent(&user.id, &client.id).await?;
    let agreed = earlier.map_or_else(|| request.access.clone(), |earlier| earlier.joined(&request.access));
    issue_code(&app, &client, &request, &login, Some(&agreed)).await
}

async fn client(app: &App, request: &AuthorizationRequest) -> Result<Client, WebError> {
    app.store.client(&request.client).await?.filter(Client::is_active).ok_or_else(WebError::gone)
}

/// Who is signed in, with the session.
pub(super) async fn user(app: &App, browser: &Browser) -> Result<Option<(crate::domain::Login, User)>, WebError> {
    let Some(login) = &browser.login else {
        return Ok(None);
    };
    let user = app.store.user(&login.user).await?.filter(User::is_active);
    Ok(user.map(|user| (login.clone(), user)))
}

/// What a client asks for, in words: those of its resource servers, else the scope values as they are.
pub(super) async fn wishes(app: &App, access: &Access) -> Result<Vec<String>, WebError> {
    let mut words: BTreeMap<String, String> = BTreeMap::from(
        [
            ("openid", "Know who you are"),
            ("profile", "See your name and profile"),
            ("email", "See your e-mail address"),
            ("address", "See your postal address"),
            ("phone", "See your telephone number"),
            ("offline_access", "Go on doing so when you are away"),
        ]
        .map(|(value, words)| (value.to_owned(), words.to_owned())),
    );
    for audience in access.audience.iter() {
        if let Some(resource) = app.store.resource(audience).await? {
            let own = |(value, text): (String, String)| (value, format!("{text} ({})", resource.name));
            words.extend(resource.scopes.into_iter().map(own));
        }
    }
    Ok(access.scope.values().map(|value| words.get(value).cloned().unwrap_or_else(|| value.to_owned())).collect())
}
