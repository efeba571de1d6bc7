//! `/oauth/authorize` (RFC 6749 §3.1): takes a client's request from a browser, and sends the
//! browser to sign-in, to consent, or back to the client.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::LOCATION;
use axum::response::Response;
use tollgate_keys::jose;
use tollgate_model::authorization::REQUEST_LIFETIME;
use tollgate_model::encoding::base64url;
use tollgate_model::user::PASSWORD_ACR;
use tollgate_model::{
    Access, AuthorizationCode, AuthorizationError, AuthorizationRequest, AuthorizationStep, BrowserSession,
    ClaimsRequest, Client, ClientId, ClientStatus, Grant, GrantId, GrantTerms, GrantType, MAX_TOKEN_LIFETIME,
    RefreshTokenPolicy, Registrant, Secret, SecretHash, SecretKind, User,
};
use tollgate_services::signing_keys::SigningKeys;
use tollgate_storage::Store;
use tollgate_system::{Clock, rng};

use super::authorization::{AuthorizationRequestReader, REQUEST_URI, RejectedRequest, read};
use super::authorization_response::{AuthorizationResponses, ReturnTo, see_other};
use super::front_channel::{self, FrontChannelGrant};
use super::id_token::AMR;
use super::issue::TokenIssuer;
use super::parameters::{FormOnly, Parameters};
use crate::issuer::Issuer;
use crate::openapi::forms;
use crate::openapi::responses::HtmlPage;
use crate::pages::browser::{Browser, BrowserSessions};
use crate::pages::error::WebError;
use crate::pages::query::{UI_LOCALES, query_pair};
use crate::refused_request::RefusedRequest;
use crate::request_context::note_client_id;

/// State of the authorization endpoint, and of the pages that continue its requests.
pub(crate) struct AuthorizationEndpoint {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) keys: SigningKeys,
    pub(crate) refresh: RefreshTokenPolicy,
    pub(crate) reader: Arc<AuthorizationRequestReader>,
    pub(crate) sessions: Arc<BrowserSessions>,
    pub(crate) responses: AuthorizationResponses,
    /// Issues tokens in responses; none where the server does not offer that.
    pub(crate) front_channel: Option<TokenIssuer>,
}

/// Takes an authorization request from a browser (RFC 6749 §3.1).
#[utoipa::path(
    get, path = "/oauth/authorize",
    params(forms::AuthorizationForm),
    responses(
        (status = 303, description = "On to the next page, or back to the client"),
        HtmlPage,
        WebError,
    ),
    security(("session" = []), ()),
)]
pub(crate) async fn get(
    State(endpoint): State<Arc<AuthorizationEndpoint>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let asked = Parameters::from_form(query.as_deref().unwrap_or_default());
    authorize(&endpoint, &headers, &asked.map_err(|_| WebError::bad_request("error-address-malformed"))?).await
}

/// Takes an authorization request from a browser, as a form.
#[utoipa::path(
    post, path = "/oauth/authorize",
    request_body(content = forms::AuthorizationForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "On to the next page, or back to the client"),
        HtmlPage,
        WebError,
    ),
    security(("session" = []), ()),
)]
pub(crate) async fn post(
    State(endpoint): State<Arc<AuthorizationEndpoint>>,
    headers: HeaderMap,
    form: Result<FormOnly, super::error::OAuthError>,
) -> Result<Response, WebError> {
    let FormOnly(_, asked) = form.map_err(|_| WebError::bad_request("error-form-malformed"))?;
    authorize(&endpoint, &headers, &asked).await
}

async fn authorize(
    endpoint: &AuthorizationEndpoint,
    headers: &HeaderMap,
    asked: &Parameters,
) -> Result<Response, WebError> {
    match answer(endpoint, headers, asked).await {
        Ok(mut response) => {
            if let Some(refused) = response.extensions_mut().remove::<RefusedRequest>() {
                response.extensions_mut().insert(refused.with_request(asked));
            }
            Ok(response)
        }
        Err(error) => Err(error.with_request(asked)),
    }
}

async fn answer(
    endpoint: &AuthorizationEndpoint,
    headers: &HeaderMap,
    asked: &Parameters,
) -> Result<Response, WebError> {
    let client = client(endpoint, asked).await?;
    let browser = Browser::from_headers(&endpoint.sessions, headers).await?;
    let pushed = asked.get("request_uri").and_then(|uri| uri.strip_prefix(REQUEST_URI));
    let request = match pushed {
        Some(handle) => return continue_pushed_request(endpoint, &client, &browser, handle).await,
        None => match read(&endpoint.reader, &client, &endpoint.store.list_resources().await?, asked, false).await {
            Ok(request) => request,
            Err(RejectedRequest { return_to: Some(to), error }) => {
                return refuse(endpoint, &client, &browser, &to, &error).await;
            }
            Err(RejectedRequest { return_to: None, error }) => {
                return Err(WebError::bad_application_request(&error.to_string()));
            }
        },
    };
    next_page(endpoint, &client, request, &browser, None).await
}

async fn client(endpoint: &AuthorizationEndpoint, asked: &Parameters) -> Result<Client, WebError> {
    let unknown = || WebError::bad_application_request("client_id is unknown");
    let id: ClientId = asked.get("client_id").ok_or_else(unknown)?.parse().map_err(|_| unknown())?;
    let client = endpoint.store.find_client(&id).await?;
    if client.is_some() {
        note_client_id(&id);
    }
    let client = client.ok_or_else(unknown)?;
    match client.status {
        ClientStatus::Active => Ok(client),
        ClientStatus::Disabled { .. } => Err(unknown()),
        ClientStatus::Excluded { rule } => Err(WebError::bad_application_request(rule)),
    }
}

/// Continues the pushed request of this handle, for its own client only. The handle is used up by
/// the authorization that it leads to, not by a visit: link previews, HEAD requests and reloads may
/// come first (FAPI 2.0 Security Profile §5.3.2.2 note 3). Until then all visits share one waiting
/// request, whose handle is derived from this one, so that they lead to one authorization.
async fn continue_pushed_request(
    endpoint: &AuthorizationEndpoint,
    client: &Client,
    browser: &Browser,
    handle: &str,
) -> Result<Response, WebError> {
    let gone = || WebError::bad_application_request("request_uri has expired or was used before");
    if !SecretKind::Request.is_well_formed(handle) {
        return Err(gone());
    }
    let (store, now, hash) = (&endpoint.store, endpoint.clock.now(), SecretHash::of(handle));
    let pushed = store.find_pushed_request(&hash, now).await?;
    let pushed = pushed.filter(|request| request.client == client.id).ok_or_else(gone)?;
    let waiting = Secret::new(SecretKind::Request, SecretHash::of(&format!("waiting|{handle}")).as_bytes());
    let request = match store.find_authorization_request(&waiting.hash(), now).await? {
        Some(request) => request,
        None => {
            let request = AuthorizationRequest { pushed: Some(base64url(hash.as_bytes())), ..pushed };
            let expires_at = now.saturating_add(REQUEST_LIFETIME);
            store.save_authorization_request(&waiting.hash(), &request, false, expires_at).await?;
            request
        }
    };
    next_page(endpoint, client, request, browser, Some(waiting.reveal())).await
}

/// Rejects a request. The client is informed by a redirect, except: a client that registered itself
/// is not redirected to before a user has signed in, or anybody could make a link to this server
/// lead anywhere (RFC 9700 §4.11); then the user sees an error page, with a link that names the
/// client's host. In a frame, where a client silently checks for a session, the redirect happens: a
/// frame has no address bar to deceive.
async fn refuse(
    endpoint: &AuthorizationEndpoint,
    client: &Client,
    browser: &Browser,
    to: &ReturnTo,
    error: &AuthorizationError,
) -> Result<Response, WebError> {
    let asks_silently = browser.is_frame && *error == AuthorizationError::LoginRequired;
    if client.registrant() == Registrant::Client && browser.login.is_none() && !asks_silently {
        let response = endpoint.responses.send_error(client, browser, to, error).await?;
        // A response that is posted has no address to link to.
        let address = response.headers().get(LOCATION).and_then(|address| address.to_str().ok());
        return Err(WebError::bad_application_request(&error.to_string()).with_return_link(address));
    }
    endpoint.responses.send_error(client, browser, to, error).await
}

/// Sends the browser to the next page of a request: sign-in, consent, or back to the client.
/// `handle` is the one under which the request waited, if it did. It keeps waiting under the same
/// handle, so a page that is open twice, or a form that is sent twice, also gets to the next page.
pub(crate) async fn next_page(
    endpoint: &AuthorizationEndpoint,
    client: &Client,
    request: AuthorizationRequest,
    browser: &Browser,
    handle: Option<&str>,
) -> Result<Response, WebError> {
    let (now, mut login) = (endpoint.clock.now(), browser.login.as_ref());
    if let Some(other) = login
        && !is_hinted(endpoint, client, &request, other).await?
    {
        if request.signed_in.as_ref() == Some(&other.id) {
            // The user signed in again, but is a different one than requested (OpenID Connect Core
            // §3.1.2.1).
            answer_waiting(endpoint, handle).await?;
            let (to, error) = (ReturnTo::of(&request), AuthorizationError::LoginRequired);
            return endpoint.responses.send_error(client, browser, &to, &error).await;
        }
        login = None;
    }
    let agreed = match login {
        Some(login) => has_agreed(endpoint, client, &request, login).await?,
        None => false,
    };
    let page = match request.next_step(login, agreed, now) {
        Err(error) => {
            answer_waiting(endpoint, handle).await?;
            return refuse(endpoint, client, browser, &ReturnTo::of(&request), &error).await;
        }
        Ok(AuthorizationStep::Issue) => {
            let login = login.ok_or_else(WebError::request_expired)?;
            answer_waiting(endpoint, handle).await?;
            return issue_code(endpoint, client, &request, browser, login, None).await;
        }
        Ok(AuthorizationStep::SignIn) => "login",
        Ok(AuthorizationStep::Consent) => "consent",
    };
    let handle = match handle {
        Some(handle) => handle.to_owned(),
        None => Secret::new(SecretKind::Request, &rng::random()?).reveal().to_owned(),
    };
    let expires_at = now.saturating_add(REQUEST_LIFETIME);
    endpoint.store.save_authorization_request(&SecretHash::of(&handle), &request, false, expires_at).await?;
    let ui_locales = request.ui_locales.as_deref().map(|tags| format!("&{}", query_pair(UI_LOCALES, tags)));
    Ok(see_other(&format!("{}/{page}?request={handle}{}", endpoint.issuer.url, ui_locales.unwrap_or_default())))
}

/// Lets a waiting request expire soon, because it has been answered.
async fn answer_waiting(endpoint: &AuthorizationEndpoint, handle: Option<&str>) -> Result<(), WebError> {
    if let Some(handle) = handle {
        endpoint
            .store
            .complete_authorization_request(&SecretHash::of(handle), endpoint.clock.now())
            .await?
            .ok_or_else(WebError::request_expired)?;
    }
    Ok(())
}

/// Whether the user is the one of the `id_token_hint`, if there is one.
pub(crate) async fn is_hinted(
    endpoint: &AuthorizationEndpoint,
    client: &Client,
    request: &AuthorizationRequest,
    login: &BrowserSession,
) -> Result<bool, WebError> {
    let Some(hinted) = &request.hinted_subject else { return Ok(true) };
    let user = endpoint.store.find_user(&login.user).await?;
    let key = endpoint.keys.current().derive_key("tollgate pairwise subjects v1");
    Ok(user.is_some_and(|user| user.subject_for(&client.metadata, &key) == *hinted))
}

/// Whether the user has consented to all of this before. For a redirect to an app on the user's own
/// device, consent is asked each time, also for first-party clients: any app there can claim to be
/// that client (RFC 8252 §8.6).
async fn has_agreed(
    endpoint: &AuthorizationEndpoint,
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
    Ok(endpoint.store.get_consent(&login.user, &client.id).await?.covers(&consented_access(request)?))
}

/// What the user is asked to allow.
pub(crate) fn consented_access(request: &AuthorizationRequest) -> Result<Access, WebError> {
    request.consented_access().map_err(|error| WebError::bad_application_request(&error.to_string()))
}

/// Records the grant, and sends the code to the client.
pub(crate) async fn issue_code(
    endpoint: &AuthorizationEndpoint,
    client: &Client,
    request: &AuthorizationRequest,
    browser: &Browser,
    login: &BrowserSession,
    agreed: Option<&Access>,
) -> Result<Response, WebError> {
    let user =
        endpoint.store.find_user(&login.user).await?.filter(User::is_active).ok_or_else(WebError::request_expired)?;
    let secret = Secret::new(SecretKind::Code, &rng::random()?);
    let mut grant = grant_of(endpoint, client, &user, login, request.access.clone())?;
    grant.terms.claims = request.claims.clone();
    // Verifiers accept the token for the leeway longer.
    let tokens_lifetime = endpoint.issuer.token_lifetime.saturating_add(jose::LEEWAY);
    let has_token = request.response_type.has_token();
    let code = AuthorizationCode {
        hash: secret.hash(),
        redirect_uri: request.redirect_uri_named.then(|| request.redirect_uri.clone()),
        challenge: request.challenge.clone(),
        nonce: request.nonce.clone(),
        jkt: request.jkt.clone(),
        expires_at: grant.created_at.saturating_add(client.metadata.lifetimes.of_authorization_code()),
        tokens_expire_at: has_token.then(|| grant.created_at.saturating_add(tokens_lifetime)),
        redeemed_at: None,
        grant,
    };
    if !endpoint.store.create_code(&code, agreed).await? {
        return Err(WebError::request_expired());
    }
    tracing::info!(client = %client.id, grant = %code.grant.id, "granted");
    let code_text = request.response_type.has_code().then(|| secret.reveal());
    let mut parameters: Vec<_> = code_text.iter().map(|text| ("code", (*text).to_owned())).collect();
    if request.response_type.is_legacy() {
        let issuer = endpoint.front_channel.as_ref().ok_or_else(WebError::request_expired)?;
        let granted = FrontChannelGrant { client, user: &user, request, code: &code, code_text };
        parameters.extend(Box::pin(front_channel::tokens(issuer, &granted)).await?);
    }
    endpoint.responses.send(client, browser, &ReturnTo::of(request), &parameters).await
}

/// The grant that a user gives a client now. Without refresh tokens it ends with the longest-lived
/// access token.
pub(crate) fn grant_of(
    endpoint: &AuthorizationEndpoint,
    client: &Client,
    user: &User,
    login: &BrowserSession,
    access: Access,
) -> Result<Grant, WebError> {
    let now = endpoint.clock.now();
    let lifetime = match client.metadata.allows(GrantType::RefreshToken) {
        true => client.metadata.lifetimes.refresh_within(endpoint.refresh).lifetime,
        false => MAX_TOKEN_LIFETIME,
    };
    let (acr, amr) = (PASSWORD_ACR.to_owned(), vec![AMR.to_owned()]);
    Ok(Grant {
        id: GrantId::from_random(&rng::random()?),
        client: client.id.clone(),
        user: user.id.clone(),
        subject: user
            .subject_for(&client.metadata, &endpoint.keys.current().derive_key("tollgate pairwise subjects v1")),
        browser_session: Some(login.id.clone()),
        terms: GrantTerms {
            access,
            auth_time: login.auth_time,
            acr,
            amr,
            device: None,
            claims: ClaimsRequest::default(),
        },
        created_at: now,
        ends_at: now.saturating_add(lifetime),
        ended_at: None,
    })
}
