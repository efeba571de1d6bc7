//! `/oauth/logout` (OpenID Connect RP-Initiated Logout) and `/logout`: ends a browser's session, what it gave but for what was to
//! last offline, and tells the clients that want to hear of it.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value};

use super::page::{Frame, Message, Part, WebError, page};
use super::sessions::end_login;
use super::visit::{Posted, Visit};
use crate::domain::{Client, ClientId};
use crate::http::App;
use crate::http::oauth::authorization::see_other;
use crate::http::oauth::id_token_hint;
use crate::http::oauth::parameters::Parameters;
use crate::http::openapi::forms;
use crate::http::openapi::refusals::{SentOn, Shown};

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutPage<'a> {
    frame: Frame,
    client_id: &'a str,
    redirect_uri: &'a str,
    state: &'a str,
}

/// A client leads the browser here to sign out.
#[utoipa::path(
    get, path = "/oauth/logout",
    params(forms::LogoutForm),
    responses(Shown, SentOn, WebError),
    security(("session" = []), ()),
)]
pub(in crate::http) async fn get(visit: Visit) -> Result<Response, WebError> {
    asked(&visit).await
}

/// The page to sign out.
#[utoipa::path(
    get, path = "/logout",
    params(forms::LogoutForm),
    responses(Shown, SentOn, WebError),
    security(("session" = []), ()),
)]
pub(in crate::http) async fn own(visit: Visit) -> Result<Response, WebError> {
    asked(&visit).await
}

/// The same, as a form.
#[utoipa::path(
    post, path = "/oauth/logout",
    request_body(content = forms::LogoutForm, content_type = "application/x-www-form-urlencoded"),
    responses(Shown, SentOn, WebError),
    security(("session" = []), ()),
)]
pub(in crate::http) async fn post(visit: Visit) -> Result<Response, WebError> {
    asked(&visit).await
}

/// The user agreed to sign out.
#[utoipa::path(
    post, path = "/logout",
    request_body(content = forms::ConfirmedLogoutForm, content_type = "application/x-www-form-urlencoded"),
    responses(Shown, SentOn, WebError),
    security(("session" = []), ()),
)]
pub(in crate::http) async fn confirmed(Posted(visit): Posted) -> Result<Response, WebError> {
    let client = client(&visit.app, &visit.said, None).await?;
    let next = next(client.as_ref(), &visit.said)?;
    if let Some(login) = &visit.browser.login {
        end_login(&visit.app, login).await?;
    }
    Ok(signed_out(&visit, next))
}

/// A client sends the browser here. With an ID token that this very session gave, the wish is the user's own; else they are asked:
/// any site can lead a browser here.
async fn asked(visit: &Visit) -> Result<Response, WebError> {
    let (app, asked) = (&visit.app, &visit.said);
    let hint = asked.get("id_token_hint").map(|hint| hinted(app, hint)).transpose()?;
    let client = client(app, asked, hint.as_ref()).await?;
    let next = next(client.as_ref(), asked)?;
    let Some((login, user)) = visit.user().await? else {
        return Ok(signed_out(visit, next));
    };
    let grant = hint.as_ref().and_then(|claims| claims.get("sid")?.as_str()?.parse().ok());
    let of_this_session = match grant {
        Some(grant) => app.store.grant(&grant).await?.is_some_and(|grant| grant.login.as_ref() == Some(&login.id)),
        None => false,
    };
    if of_this_session {
        end_login(app, &login).await?;
        return Ok(signed_out(visit, next));
    }
    let template = LogoutPage {
        frame: visit.frame().with(&user, ""),
        client_id: client.as_ref().map(|client| client.id.as_str()).unwrap_or_default(),
        redirect_uri: visit.text("post_logout_redirect_uri"),
        state: visit.text("state"),
    };
    let part = if next.is_some() { Part::ApplicationFlow } else { Part::Own };
    Ok(visit.page_with(StatusCode::OK, &template, part))
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

fn signed_out(visit: &Visit, next: Option<String>) -> Response {
    let again = Some(("/login", "Sign in again"));
    let frame = visit.frame();
    let message = "You are signed out of this browser.";
    let message = Message { frame, title: "Signed out", message, went_well: true, next: again };
    let mut response = match next {
        Some(uri) => see_other(&uri),
        None => page(StatusCode::OK, &message, Part::Own),
    };
    super::browser::forget(&visit.app, &mut response);
    response
}
