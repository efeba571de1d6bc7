//! `/oauth/logout` (OpenID Connect RP-Initiated Logout) and `/logout`: ends a browser's session, what it gave but for what was to
//! last offline, and tells the clients that want to hear of it.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value};

use super::backchannel;
use super::browser::Browser;
use super::consent::user;
use super::page::{Form, Message, WebError, form, page, query};
use crate::ambient;
use crate::domain::{Actor, Client, ClientId, Login, Revoke, Target};
use crate::http::oauth::authorization::see_other;
use crate::http::oauth::id_token_hint;
use crate::http::oauth::parameters::Parameters;
use crate::http::openapi::forms;
use crate::http::{App, AppState};

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutPage<'a> {
    action: &'a str,
    csrf: &'a str,
    username: &'a str,
    client_id: &'a str,
    redirect_uri: &'a str,
    state: &'a str,
}

/// A client leads the browser here to sign out.
#[utoipa::path(
    get, path = "/oauth/logout",
    params(forms::LogoutForm),
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
    asked(&app, &headers, &query(text.as_deref())?).await
}

/// The page to sign out.
#[utoipa::path(
    get, path = "/logout",
    params(forms::LogoutForm),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html; charset=utf-8"),
        (status = 303, description = "On to the next page, or back to the client"),
        WebError,
    ),
    security(("session" = []), ()),
)]
pub(in crate::http) async fn own(
    app: State<AppState>,
    headers: HeaderMap,
    query: RawQuery,
) -> Result<Response, WebError> {
    get(app, headers, query).await
}

/// The same, as a form.
#[utoipa::path(
    post, path = "/oauth/logout",
    request_body(content = forms::LogoutForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html; charset=utf-8"),
        (status = 303, description = "On to the next page, or back to the client"),
        WebError,
    ),
    security(("session" = []), ()),
)]
pub(in crate::http) async fn post(
    State(app): State<AppState>,
    headers: HeaderMap,
    posted: Form,
) -> Result<Response, WebError> {
    asked(&app, &headers, &form(posted)?).await
}

/// The user agreed to sign out.
#[utoipa::path(
    post, path = "/logout",
    request_body(content = forms::ConfirmedLogoutForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html; charset=utf-8"),
        (status = 303, description = "On to the next page, or back to the client"),
        WebError,
    ),
    security(("session" = []), ()),
)]
pub(in crate::http) async fn confirmed(
    State(app): State<AppState>,
    headers: HeaderMap,
    posted: Form,
) -> Result<Response, WebError> {
    let form = form(posted)?;
    let browser = Browser::of(&app, &headers).await?;
    browser.check(&app, &form)?;
    let client = client(&app, &form, None).await?;
    let next = next(client.as_ref(), &form)?;
    if let Some(login) = &browser.login {
        end(&app, login).await?;
    }
    Ok(signed_out(&app, next))
}

/// A client sends the browser here. With an ID token that this very session gave, the wish is the user's own; else they are asked:
/// any site can lead a browser here.
async fn asked(app: &App, headers: &HeaderMap, asked: &Parameters) -> Result<Response, WebError> {
    let hint = asked.get("id_token_hint").map(|hint| hinted(app, hint)).transpose()?;
    let client = client(app, asked, hint.as_ref()).await?;
    let next = next(client.as_ref(), asked)?;
    let browser = Browser::of(app, headers).await?;
    let Some((login, user)) = user(app, &browser).await? else {
        return Ok(signed_out(app, next));
    };
    let grant = hint.as_ref().and_then(|claims| claims.get("sid")?.as_str()?.parse().ok());
    let of_this_session = match grant {
        Some(grant) => app.store.grant(&grant).await?.is_some_and(|grant| grant.login.as_ref() == Some(&login.id)),
        None => false,
    };
    if of_this_session {
        end(app, &login).await?;
        return Ok(signed_out(app, next));
    }
    let template = LogoutPage {
        action: &format!("{}/logout", app.issuer),
        csrf: &browser.csrf(app),
        username: user.name.as_str(),
        client_id: client.as_ref().map(|client| client.id.as_str()).unwrap_or_default(),
        redirect_uri: asked.get("post_logout_redirect_uri").unwrap_or_default(),
        state: asked.get("state").unwrap_or_default(),
    };
    Ok(browser.remember(app, page(StatusCode::OK, &template, asked.get("post_logout_redirect_uri"))))
}

/// The claims of an ID token of ours, however old (RP-Initiated Logout §2).
fn hinted(app: &App, hint: &str) -> Result<Map<String, Value>, WebError> {
    id_token_hint::claims(app, hint).ok_or_else(|| WebError::bad("id_token_hint is not an ID token of this server."))
}

/// The client that asks: that of the ID token, or the one named.
async fn client(app: &App, asked: &Parameters, hint: Option<&Map<String, Value>>) -> Result<Option<Client>, WebError> {
    let hinted = hint.and_then(|claims| claims.get("aud")?.as_str());
    let named = asked.get("client_id");
    if hinted.is_some() && named.is_some() && hinted != named {
        return Err(WebError::bad("client_id is not that of id_token_hint."));
    }
    let Some(id) = hinted.or(named) else {
        return Ok(None);
    };
    let unknown = || WebError::bad("client_id is not that of an application that is known here.");
    let id: ClientId = id.parse().map_err(|_| unknown())?;
    app.store.client(&id).await?.map(Some).ok_or_else(unknown)
}

/// Where the browser goes afterwards: to a URI that the client registered, or nowhere.
fn next(client: Option<&Client>, asked: &Parameters) -> Result<Option<String>, WebError> {
    let Some(uri) = asked.get("post_logout_redirect_uri") else {
        return Ok(None);
    };
    let registered = client.is_some_and(|client| {
        client.metadata.post_logout_redirect_uris.iter().any(|registered| registered.is_met_by(uri))
    });
    if !registered {
        return Err(WebError::bad("post_logout_redirect_uri is not one that this application registered."));
    }
    let join = if uri.contains('?') { '&' } else { '?' };
    Ok(Some(match asked.get("state") {
        Some(state) => format!("{uri}{join}{}", super::login::encoded("state", state)),
        None => uri.to_owned(),
    }))
}

/// Ends a session and what was given in it.
async fn end(app: &App, login: &Login) -> Result<(), WebError> {
    let grants = app.store.grants_of_login(&login.id).await?;
    for grant in &grants {
        if grant.terms.access.scope.has("offline_access") {
            continue;
        }
        let reason = "the user signed out".parse().ok();
        let target = Target::Session(grant.id.to_string());
        let revoke = Revoke::any(target, Actor::client(&grant.client), reason, ambient::now());
        app.writer.revoke(revoke.map_err(|_| WebError::gone())?).await?;
    }
    app.store.delete_login(&login.id).await?;
    tracing::info!(login = %login.id, "signed out");
    backchannel::tell(app, grants).await?;
    Ok(())
}

fn signed_out(app: &App, next: Option<String>) -> Response {
    let mut response = match next {
        Some(uri) => see_other(&uri),
        None => page(StatusCode::OK, &Message { title: "Signed out", message: "You are signed out." }, None),
    };
    response.headers_mut().extend(super::browser::forget(app).map(|cookie| (SET_COOKIE, cookie)));
    response
}
