//! `/oauth/authorize` (RFC 6749 §3.1): a browser brings a client's request, and goes
//! on to sign in, to agree, or straight back.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use tollgate_model::authorization::REQUEST_LIFETIME;
use tollgate_model::grant::AUTHORIZATION_CODE_LIFETIME;
use tollgate_model::{
    Access, AuthorizationCode, AuthorizationError, AuthorizationRequest, AuthorizationStep, BrowserSession, Client,
    ClientId, Grant, GrantId, GrantTerms, GrantType, MAX_TOKEN_LIFETIME, Registrant, Secret, SecretHash, SecretKind,
    User,
};
use tollgate_system::rng;

use super::authorization::{REQUEST_URI, Refused, ReturnTo, read, see_other};
use super::parameters::{FormOnly, Parameters};
use crate::openapi::forms;
use crate::pages::browser::Browser;
use crate::pages::error::WebError;
use crate::pages::page_request::{UI_LOCALES, query_pair};
use crate::{App, AppState};

/// The class of a sign-in by password, and its method (RFC 8176).
pub(crate) const ACR: &str = "urn:tollgate:acr:password";
const AMR: &str = "pwd";

/// Takes an authorization request from a browser (RFC 6749 §3.1).
#[utoipa::path(
    get, path = "/oauth/authorize",
    params(forms::AuthorizationForm),
    responses((status = 303, description = "On to the next page, or back to the client"), WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn get(
    State(app): State<AppState>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let asked = Parameters::from_form(query.as_deref().unwrap_or_default());
    authorize(&app, &headers, &asked.map_err(|_| WebError::bad_request("error-address-malformed"))?).await
}

/// Takes an authorization request from a browser, as a form.
#[utoipa::path(
    post, path = "/oauth/authorize",
    request_body(content = forms::AuthorizationForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "On to the next page, or back to the client"), WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn post(
    State(app): State<AppState>,
    headers: HeaderMap,
    form: Result<FormOnly, super::error::OAuthError>,
) -> Result<Response, WebError> {
    let FormOnly(_, asked) = form.map_err(|_| WebError::bad_request("error-form-malformed"))?;
    authorize(&app, &headers, &asked).await
}

async fn authorize(app: &App, headers: &HeaderMap, asked: &Parameters) -> Result<Response, WebError> {
    let client = client(app, asked).await?;
    let browser = Browser::from_headers(app, headers).await?;
    let pushed = asked.get("request_uri").and_then(|uri| uri.strip_prefix(REQUEST_URI));
    let request = match pushed {
        Some(handle) => taken(app, &client, handle).await?,
        None => match read(app, &client, asked, false).await {
            Ok(request) => request,
            Err(Refused { return_to: Some(to), error }) => return refuse(app, &client, &browser, &to, &error),
            Err(Refused { return_to: None, error }) => {
                return Err(WebError::bad_application_request(&error.to_string()));
            }
        },
    };
    go_on(app, &client, request, &browser, None).await
}

async fn client(app: &App, asked: &Parameters) -> Result<Client, WebError> {
    let unknown = || WebError::bad_application_request("client_id is unknown");
    let id: ClientId = asked.get("client_id").ok_or_else(unknown)?.parse().map_err(|_| unknown())?;
    let client = app.store.find_client(&id).await?;
    client.filter(Client::is_active).ok_or_else(unknown)
}

/// The pushed request of this handle, which is good once and for its own client.
async fn taken(app: &App, client: &Client, handle: &str) -> Result<AuthorizationRequest, WebError> {
    let gone = || WebError::bad_application_request("request_uri has expired or was used before");
    if !SecretKind::Request.is_well_formed(handle) {
        return Err(gone());
    }
    let request = app.store.consume_authorization_request(&SecretHash::of(handle), true, app.clock.now()).await?;
    request.filter(|request| request.client == client.id).ok_or_else(gone)
}

/// Tells the client that its request is refused. A client that registered itself is
/// not told before somebody is signed in: else anybody could make a link to this
/// server lead to wherever they like (RFC 9700 §4.11). The user is told instead. Not
/// in a frame, where a client asks silently whether somebody is signed in: there is
/// no address bar to deceive.
fn refuse(
    app: &App,
    client: &Client,
    browser: &Browser,
    to: &ReturnTo,
    error: &AuthorizationError,
) -> Result<Response, WebError> {
    let asks_silently = browser.is_frame && *error == AuthorizationError::LoginRequired;
    if client.registrant() == Registrant::Client && browser.login.is_none() && !asks_silently {
        return Err(WebError::bad_application_request(&error.to_string()));
    }
    Ok(to.error(app, error))
}

/// Takes a request one step further: to the sign-in, to the consent, or back to the
/// client. `handle`: under which it waited for this step, if it did. It goes on
/// waiting under the same one, so that a page that is open twice, or a form that is
/// sent twice, comes to the next step as well.
pub(crate) async fn go_on(
    app: &App,
    client: &Client,
    request: AuthorizationRequest,
    browser: &Browser,
    handle: Option<&str>,
) -> Result<Response, WebError> {
    let (now, mut login) = (app.clock.now(), browser.login.as_ref());
    if let Some(other) = login
        && !is_hinted(app, client, &request, other).await?
    {
        if request.signed_in.as_ref() == Some(&other.id) {
            // They were asked, and are somebody else (OpenID Connect Core §3.1.2.1).
            answer_waiting(app, handle).await?;
            return Ok(ReturnTo::of(&request).error(app, &AuthorizationError::LoginRequired));
        }
        login = None;
    }
    let agreed = match login {
        Some(login) => has_agreed(app, client, &request, login).await?,
        None => false,
    };
    let page = match request.next_step(login, agreed, now) {
        Err(error) => {
            answer_waiting(app, handle).await?;
            return refuse(app, client, browser, &ReturnTo::of(&request), &error);
        }
        Ok(AuthorizationStep::Issue) => {
            let login = login.ok_or_else(WebError::request_expired)?;
            answer_waiting(app, handle).await?;
            return issue_code(app, client, &request, login, None).await;
        }
        Ok(AuthorizationStep::SignIn) => "login",
        Ok(AuthorizationStep::Consent) => "consent",
    };
    let handle = match handle {
        Some(handle) => handle.to_owned(),
        None => Secret::new(SecretKind::Request, &rng::random()?).reveal().to_owned(),
    };
    let expires_at = now.saturating_add(REQUEST_LIFETIME);
    app.store.save_authorization_request(&SecretHash::of(&handle), &request, false, expires_at).await?;
    let ui_locales = request.ui_locales.as_deref().map(|tags| format!("&{}", query_pair(UI_LOCALES, tags)));
    Ok(see_other(&format!("{}/{page}?request={handle}{}", app.issuer, ui_locales.unwrap_or_default())))
}

/// Has a request that waited be over soon, for it is answered.
async fn answer_waiting(app: &App, handle: Option<&str>) -> Result<(), WebError> {
    if let Some(handle) = handle {
        app.store
            .complete_authorization_request(&SecretHash::of(handle), app.clock.now())
            .await?
            .ok_or_else(WebError::request_expired)?;
    }
    Ok(())
}

/// Whether the user is the one whom the client believes to be there, if it said so.
pub(crate) async fn is_hinted(
    app: &App,
    client: &Client,
    request: &AuthorizationRequest,
    login: &BrowserSession,
) -> Result<bool, WebError> {
    let Some(hinted) = &request.hinted_subject else { return Ok(true) };
    let user = app.store.find_user(&login.user).await?;
    let key = app.keys.current().derive_key("tollgate pairwise subjects v1");
    Ok(user.is_some_and(|user| user.subject_for(&client.metadata, &key) == *hinted))
}

/// Whether the user has agreed to all of this before. What leads to an app on the
/// user's own machine is asked each time, also of the operator's own clients: any app
/// there can claim to be that client (RFC 8252 §8.6).
async fn has_agreed(
    app: &App,
    client: &Client,
    request: &AuthorizationRequest,
    login: &BrowserSession,
) -> Result<bool, WebError> {
    if client.is_public() && !request.redirect_uri.starts_with("https://") {
        return Ok(false);
    }
    if client.metadata.first_party {
        return Ok(true);
    }
    Ok(app.store.get_consent(&login.user, &client.id).await?.covers(&request.access))
}

/// Records what was given, and sends the client its code.
pub(crate) async fn issue_code(
    app: &App,
    client: &Client,
    request: &AuthorizationRequest,
    login: &BrowserSession,
    agreed: Option<&Access>,
) -> Result<Response, WebError> {
    let user = app.store.find_user(&login.user).await?.filter(User::is_active).ok_or_else(WebError::request_expired)?;
    let secret = Secret::new(SecretKind::Code, &rng::random()?);
    let grant = grant_of(app, client, &user, login, request.access.clone())?;
    let code = AuthorizationCode {
        hash: secret.hash(),
        redirect_uri: request.redirect_uri_named.then(|| request.redirect_uri.clone()),
        challenge: request.challenge.clone(),
        nonce: request.nonce.clone(),
        jkt: request.jkt.clone(),
        expires_at: grant.created_at.saturating_add(AUTHORIZATION_CODE_LIFETIME),
        redeemed_at: None,
        grant,
    };
    if !app.store.create_code(&code, agreed).await? {
        return Err(WebError::request_expired());
    }
    tracing::info!(client = %client.id, grant = %code.grant.id, "granted");
    Ok(ReturnTo::of(request).code(app, secret.reveal()))
}

/// What a user gives a client now. Without refresh tokens it ends with the
/// longest-lived access token.
pub(crate) fn grant_of(
    app: &App,
    client: &Client,
    user: &User,
    login: &BrowserSession,
    access: Access,
) -> Result<Grant, WebError> {
    let now = app.clock.now();
    let lifetime = match client.metadata.allows(GrantType::RefreshToken) {
        true => app.grants.refresh.lifetime,
        false => MAX_TOKEN_LIFETIME,
    };
    let (acr, amr) = (ACR.to_owned(), vec![AMR.to_owned()]);
    Ok(Grant {
        id: GrantId::from_random(&rng::random()?),
        client: client.id.clone(),
        user: user.id.clone(),
        subject: user.subject_for(&client.metadata, &app.keys.current().derive_key("tollgate pairwise subjects v1")),
        browser_session: Some(login.id.clone()),
        terms: GrantTerms { access, auth_time: login.auth_time, acr, amr, device: None },
        created_at: now,
        ends_at: now.saturating_add(lifetime),
        ended_at: None,
    })
}
