//! `/oauth/logout` (OpenID Connect RP-Initiated Logout) and `/logout`: end a browser's session and
//! its grants, except those with `offline_access`. Clients are notified by back-channel logout.
//!
//! The session cookie is `SameSite=Lax`: a browser sends it with a link or redirect from another
//! site, but not with that site's form. A form without a session is therefore redirected to the
//! same page as a link. The bearer of an ID token may end the session in which it was issued, with
//! or without the cookie.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value};
use tollgate_keys::jose;
use tollgate_model::{Actor, Client, ClientId, Grant, GrantId, Registrant};
use tollgate_services::termination::termination;
use tollgate_storage::Store;

use super::error::WebError;
use super::page::{Flow, Layout, MessagePage};
use super::page_request::{CsrfCheckedForm, PageRequest};
use super::query::{UI_LOCALES, query_pair};
use super::sessions::{SIGNED_OUT, end_session};
use super::state::PageState;
use crate::oauth::authorization_response::see_other;
use crate::oauth::id_token_hint;
use crate::oauth::parameters::Parameters;
use crate::openapi::forms;
use crate::openapi::responses::{HtmlPage, SeeOther};
use crate::request_context::note_client_id;

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutPage<'a> {
    layout: Layout,
    client_id: &'a str,
    redirect_uri: &'a str,
    state: &'a str,
}

/// A client sends the browser here to sign out, by a link or redirect.
#[utoipa::path(
    get, path = "/oauth/logout",
    params(forms::LogoutForm),
    responses(HtmlPage, SeeOther, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn get(page: PageRequest) -> Result<Response, WebError> {
    request_logout(&page, SentBy::Link).await
}

/// The page to sign out.
#[utoipa::path(
    get, path = "/logout",
    params(forms::LogoutForm),
    responses(HtmlPage, SeeOther, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn own(page: PageRequest) -> Result<Response, WebError> {
    request_logout(&page, SentBy::Link).await
}

/// A client sends the browser here to sign out, by a form.
#[utoipa::path(
    post, path = "/oauth/logout",
    request_body(content = forms::LogoutForm, content_type = "application/x-www-form-urlencoded"),
    responses(HtmlPage, SeeOther, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn post(page: PageRequest) -> Result<Response, WebError> {
    request_logout(&page, SentBy::Form).await
}

/// The user confirmed the logout.
#[utoipa::path(
    post, path = "/logout",
    request_body(content = forms::ConfirmedLogoutForm, content_type = "application/x-www-form-urlencoded"),
    responses(HtmlPage, SeeOther, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn confirmed(CsrfCheckedForm(page): CsrfCheckedForm) -> Result<Response, WebError> {
    let client = find_client(&page.state.store, &page.params, None).await?;
    let redirect_uri = checked_redirect_uri(&page.state, client.as_ref(), &page.params)?;
    if let Some(login) = &page.browser.login {
        end_session(&page.state, &login.user, &login.id).await?;
    }
    Ok(signed_out(&page, redirect_uri, true))
}

/// How a browser was sent here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SentBy {
    /// A link or redirect: the browser sends its cookie.
    Link,
    /// A form: the browser does not send its cookie if the form is another site's.
    Form,
}

/// Handles a client's logout request. An ID token ends the session in which it was issued, if that
/// is the browser's or the browser shows none. Otherwise the user must confirm: any site can send a
/// browser here.
async fn request_logout(page: &PageRequest, sent_by: SentBy) -> Result<Response, WebError> {
    let (state, params) = (&page.state, &page.params);
    let hint = params.get("id_token_hint").map(|hint| hint_claims(state, hint)).transpose()?;
    let client = find_client(&state.store, params, hint.as_ref()).await?;
    let redirect_uri = checked_redirect_uri(state, client.as_ref(), params)?;
    let grant = match &hint {
        Some(claims) => find_grant(&state.store, claims).await?,
        None => None,
    };
    let Some((login, user)) = page.user().await? else {
        let ended = match &grant {
            Some(grant) => end_session_of_grant(state, grant).await?,
            None => false,
        };
        // If no session ends, a client that registered itself must not use this as an open redirect
        // (RFC 9700 §4.11).
        let is_operators = client.is_some_and(|client| client.registrant() == Registrant::Operator);
        let redirect_uri = redirect_uri.filter(|_| ended || is_operators);
        // The browser may have a session whose cookie did not come with the form.
        return Ok(match sent_by {
            SentBy::Form if !ended => redirect_as_link(page),
            SentBy::Form | SentBy::Link => signed_out(page, redirect_uri, sent_by == SentBy::Link),
        });
    };
    if grant.is_some_and(|grant| grant.browser_session.as_ref() == Some(&login.id)) {
        end_session(state, &user.id, &login.id).await?;
        return Ok(signed_out(page, redirect_uri, true));
    }
    let template = LogoutPage {
        layout: page.layout().for_user(&user, ""),
        client_id: client.as_ref().map(|client| client.id.as_str()).unwrap_or_default(),
        redirect_uri: page.param("post_logout_redirect_uri"),
        state: page.param("state"),
    };
    let flow = if redirect_uri.is_some() { Flow::Application } else { Flow::Own };
    Ok(page.page_with(StatusCode::OK, &template, flow))
}

/// The grant of an ID token, if it is still stored and belongs to the client that is the token's
/// audience.
async fn find_grant(store: &Store, claims: &Map<String, Value>) -> Result<Option<Grant>, WebError> {
    let id = claims.get("sid").and_then(Value::as_str).and_then(|sid| sid.parse::<GrantId>().ok());
    let grant = match id {
        Some(id) => store.find_grant(&id).await?,
        None => None,
    };
    Ok(grant.filter(|grant| jose::is_for(claims, &[grant.client.as_str()])))
}

/// Ends the session of a grant. A grant without a session, such as a device's, is ended instead,
/// unless it has `offline_access`. False if there was nothing to end.
async fn end_session_of_grant(state: &PageState, grant: &Grant) -> Result<bool, WebError> {
    if let Some(login) = &grant.browser_session {
        return end_session(state, &grant.user, login).await;
    }
    let remains = grant.ended_at.is_some() || grant.terms.access.scope.has("offline_access");
    if !remains {
        let ending = termination(&Actor::user(&grant.user), SIGNED_OUT, state.clock.now());
        state.store.end_grant(&grant.id, &ending).await?;
    }
    Ok(!remains)
}

/// Redirects to this page with the same parameters in the query.
fn redirect_as_link(page: &PageRequest) -> Response {
    let names = ["id_token_hint", "client_id", "post_logout_redirect_uri", "state", UI_LOCALES];
    let pairs = names.into_iter().filter_map(|name| Some((name, page.params.get(name)?)));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    // Sets no cookie: it would replace the one that the browser did not send.
    see_other(&format!("{}/oauth/logout?{query}", page.state.issuer.url))
}

/// The claims of an ID token of this server, even if expired (RP-Initiated Logout §2).
fn hint_claims(state: &PageState, hint: &str) -> Result<Map<String, Value>, WebError> {
    id_token_hint::claims(&state.issuer.url, &state.keys, hint)
        .ok_or_else(|| WebError::bad_application_request("id_token_hint is not an ID token of this server"))
}

/// The requesting client: the audience of the ID token, or the one that `client_id` names.
async fn find_client(
    store: &Store,
    params: &Parameters,
    hint: Option<&Map<String, Value>>,
) -> Result<Option<Client>, WebError> {
    let hinted = hint.and_then(|claims| claims.get("aud")?.as_str());
    let named = params.get("client_id");
    if hinted.is_some() && named.is_some() && hinted != named {
        return Err(WebError::bad_application_request("client_id is not the audience of id_token_hint"));
    }
    let Some(id) = hinted.or(named) else {
        return Ok(None);
    };
    let unknown = || WebError::bad_application_request("client_id is unknown");
    let id: ClientId = id.parse().map_err(|_| unknown())?;
    let client = store.find_client(&id).await?.ok_or_else(unknown)?;
    note_client_id(&client.id);
    Ok(Some(client))
}

/// The redirect URI with `state`, if one is requested. It must be registered for the client.
fn checked_redirect_uri(
    state: &PageState,
    client: Option<&Client>,
    params: &Parameters,
) -> Result<Option<String>, WebError> {
    let Some(uri) = params.get("post_logout_redirect_uri") else {
        return Ok(None);
    };
    let registered = client
        .filter(|client| client.is_active())
        .and_then(|client| client.metadata.post_logout_redirect_uris.iter().find(|registered| registered.matches(uri)))
        .ok_or_else(|| {
            WebError::bad_application_request("post_logout_redirect_uri is not registered for this client")
        })?;
    let allowed = registered.check(state.issuer.http_redirects);
    allowed.map_err(|error| WebError::bad_application_request(&error.to_string()))?;
    let join = if uri.contains('?') { '&' } else { '?' };
    Ok(Some(match params.get("state") {
        Some(state) => format!("{uri}{join}{}", query_pair("state", state)),
        None => uri.to_owned(),
    }))
}

/// Redirects to the client, or shows that the user is signed out. `sent_cookie`: whether the
/// browser sends its cookie with such a request; only then the cookie is removed.
fn signed_out(page: &PageRequest, redirect_uri: Option<String>, sent_cookie: bool) -> Response {
    let mut response = match redirect_uri {
        Some(uri) => see_other(&uri),
        None => {
            let [title, message] = ["logout-done-title", "logout-done"].map(|id| page.messages.text(id).to_string());
            let link = Some(("/login", "logout-sign-in-again"));
            let layout = page.layout();
            let template = MessagePage {
                layout,
                title,
                message,
                detail: String::new(),
                is_success: true,
                link,
                return_link: None,
            };
            // Without a session the layout has no form, so the page needs no new cookie.
            super::page::page(StatusCode::OK, &template, page.messages.language(), Flow::Own)
        }
    };
    if sent_cookie {
        super::browser::clear_cookie(&page.state.issuer, &mut response);
    }
    response
}
