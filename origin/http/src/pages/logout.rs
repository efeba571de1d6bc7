//! `/oauth/logout` (OpenID Connect RP-Initiated Logout) and `/logout`: ends a browser's session, what it gave but for what was to
//! last offline, and tells the clients that want to hear of it.
//!
//! The session cookie is `SameSite=Lax`: a browser sends it with a link or a redirect from another site, but not with that site's form. A
//! form without a session is therefore redirected to the same page as a link. The bearer of an ID token may end the session in which it was
//! issued, with or without the cookie.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value};
use tollgate_keys::jose;
use tollgate_model::{Actor, Client, ClientId, Grant, GrantId, Registrant};

use super::page::{Frame, Message, Part, WebError, page};
use super::sessions::{SIGNED_OUT, end_session};
use super::visit::{Posted, Visit};
use crate::oauth::authorization::see_other;
use crate::oauth::id_token_hint;
use crate::oauth::parameters::Parameters;
use crate::openapi::forms;
use crate::openapi::refusals::{SentOn, Shown};
use crate::{App, ending};

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
pub(crate) async fn get(visit: Visit) -> Result<Response, WebError> {
    asked(&visit, Way::Link).await
}

/// The page to sign out.
#[utoipa::path(
    get, path = "/logout",
    params(forms::LogoutForm),
    responses(Shown, SentOn, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn own(visit: Visit) -> Result<Response, WebError> {
    asked(&visit, Way::Link).await
}

/// The same, as a form.
#[utoipa::path(
    post, path = "/oauth/logout",
    request_body(content = forms::LogoutForm, content_type = "application/x-www-form-urlencoded"),
    responses(Shown, SentOn, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn post(visit: Visit) -> Result<Response, WebError> {
    asked(&visit, Way::Form).await
}

/// The user agreed to sign out.
#[utoipa::path(
    post, path = "/logout",
    request_body(content = forms::ConfirmedLogoutForm, content_type = "application/x-www-form-urlencoded"),
    responses(Shown, SentOn, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn confirmed(Posted(visit): Posted) -> Result<Response, WebError> {
    let client = client(&visit.app, &visit.said, None).await?;
    let next = next(client.as_ref(), &visit.said)?;
    if let Some(login) = &visit.browser.login {
        end_session(&visit.app, &login.user, &login.id).await?;
    }
    Ok(signed_out(&visit, next, true))
}

/// How a browser was sent here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By a link or a redirect: the cookie is sent.
    Link,
    /// By a form: the cookie is not sent if the form is another site's.
    Form,
}

/// A client sends the browser here. An ID token ends the session in which it was issued, if that is the browser's or the browser shows none.
/// Without one the user is asked, because any site can send a browser here.
async fn asked(visit: &Visit, way: Way) -> Result<Response, WebError> {
    let (app, asked) = (&visit.app, &visit.said);
    let hint = asked.get("id_token_hint").map(|hint| hinted(app, hint)).transpose()?;
    let client = client(app, asked, hint.as_ref()).await?;
    let next = next(client.as_ref(), asked)?;
    let grant = match &hint {
        Some(claims) => grant_of(app, claims).await?,
        None => None,
    };
    let Some((login, user)) = visit.user().await? else {
        let ended = match &grant {
            Some(grant) => end_session_of(app, grant).await?,
            None => false,
        };
        // Without a session that this ends, a client that registered itself could send anybody anywhere (RFC 9700 §4.11).
        let is_operators = client.is_some_and(|client| client.registrant() == Registrant::Operator);
        let next = next.filter(|_| ended || is_operators);
        // The browser may have a session whose cookie did not come with the form.
        return Ok(match way {
            Way::Form if !ended => as_link(visit),
            Way::Form | Way::Link => signed_out(visit, next, way == Way::Link),
        });
    };
    if grant.is_some_and(|grant| grant.login.as_ref() == Some(&login.id)) {
        end_session(app, &user.id, &login.id).await?;
        return Ok(signed_out(visit, next, true));
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

/// The grant of an ID token, if it is still stored, and is that of the client to which the token was given.
async fn grant_of(app: &App, claims: &Map<String, Value>) -> Result<Option<Grant>, WebError> {
    let id = claims.get("sid").and_then(Value::as_str).and_then(|sid| sid.parse::<GrantId>().ok());
    let grant = match id {
        Some(id) => app.store.grant(&id).await?,
        None => None,
    };
    Ok(grant.filter(|grant| jose::is_for(claims, &[grant.client.as_str()])))
}

/// Ends the session in which a grant was given. A grant without a session, as that of a device, ends itself, unless it has `offline_access`.
/// False when there was nothing to end.
async fn end_session_of(app: &App, grant: &Grant) -> Result<bool, WebError> {
    if let Some(login) = &grant.login {
        return end_session(app, &grant.user, login).await;
    }
    let lasts = grant.ended_at.is_some() || grant.terms.access.scope.has("offline_access");
    if !lasts {
        app.store.end_grant(&grant.id, &ending(&Actor::user(&grant.user), SIGNED_OUT)).await?;
    }
    Ok(!lasts)
}

/// Redirects to this page with the same parameters in the query.
fn as_link(visit: &Visit) -> Response {
    let pairs = ["id_token_hint", "client_id", "post_logout_redirect_uri", "state"];
    let pairs = pairs.into_iter().filter_map(|name| Some((name, visit.said.get(name)?)));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    // Sets no cookie: it would replace one that the browser did not send.
    see_other(&format!("{}/oauth/logout?{query}", visit.app.issuer))
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
    let registered = client.filter(|client| client.is_active()).is_some_and(|client| {
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

/// `sent_cookie`: whether the browser sends its cookie with such a request; only then it is removed.
fn signed_out(visit: &Visit, next: Option<String>, sent_cookie: bool) -> Response {
    let again = Some(("/login", "Sign in again"));
    let frame = visit.frame();
    let message = "You are signed out of this browser.";
    let message = Message { frame, title: "Signed out", message, went_well: true, next: again };
    let mut response = match next {
        Some(uri) => see_other(&uri),
        None => page(StatusCode::OK, &message, Part::Own),
    };
    if sent_cookie {
        super::browser::forget(&visit.app, &mut response);
    }
    response
}
