//! `POST /oauth/introspect` (RFC 7662): the current state of a token.
//!
//! A client may introspect tokens that were issued to it, and tokens for an API that it introspects
//! for. For every other token it gets the answer of an unknown token (RFC 7662 §4): exactly
//! `{"active":false}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use tollgate_model::{AccessToken, Claims, Client, Confirmation, GrantId, SecretKind, TokenAlg, UserName};
use tollgate_services::cache::RegistrationCache;
use tollgate_services::signing_keys::SigningKeys;
use tollgate_services::telemetry::Metrics;
use tollgate_storage::{Store, Versions};
use tollgate_system::Clock;

use super::bearer::BearerAuthenticator;
use super::caller::Caller;
use super::client_auth::{ClientAuthenticator, authenticate};
use super::error::{OAuthError, OAuthRefusal};
use super::parameters::{FormOnly, Parameters};
use crate::extract::header_list;
use crate::issuer::Issuer;
use crate::json;
use crate::openapi::forms;

/// RFC 9701 §5
const SIGNED_MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// Typical bytes of an answer.
const TYPICAL_ANSWER_BYTES: usize = 512;

/// State of the introspection endpoint.
pub(crate) struct IntrospectionEndpoint {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) cache: RegistrationCache,
    pub(crate) keys: SigningKeys,
    pub(crate) clients: Arc<ClientAuthenticator>,
    pub(crate) bearers: Arc<BearerAuthenticator>,
    pub(crate) metrics: Arc<Metrics>,
}

/// RFC 7662 §2.2. For an inactive token, only `active` is sent.
#[derive(Serialize, Default, utoipa::ToSchema)]
struct Introspection<'a> {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    token_type: Option<&'static str>,
    /// User name, where a user granted the access.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(flatten)]
    #[schema(value_type = Object)]
    claims: Option<Claims<'a>>,
}

/// State of a token, as far as the client may know it.
enum TokenState {
    /// Not active, or not for this client to know.
    Inactive,
    /// An active refresh token.
    Refresh,
    /// An active access token, and the name of the user whose grant it has.
    Access(Arc<AccessToken>, Option<UserName>),
}

impl TokenState {
    fn to_introspection<'a>(&'a self, issuer: &'a str) -> Introspection<'a> {
        match self {
            TokenState::Inactive => Introspection::default(),
            TokenState::Refresh => Introspection { active: true, ..Introspection::default() },
            TokenState::Access(token, user) => {
                let by_key = matches!(token.details.cnf, Some(Confirmation::Key(_)));
                let token_type = Some(if by_key { "DPoP" } else { "Bearer" });
                let username = user.as_ref().map(UserName::as_str);
                Introspection { active: true, token_type, username, claims: Some(token.claims(issuer)) }
            }
        }
    }
}

/// Introspects a token (RFC 7662).
#[utoipa::path(
    post, path = "/oauth/introspect",
    request_body(content = forms::OneTokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (
            status = 200,
            description = "What is known; signed if Accept asks for it (RFC 9701)",
            content((Introspection = "application/json"), (String = "application/token-introspection+jwt")),
        ),
        OAuthError,
    ),
    security(("client" = []), ("certificate" = []), ()),
)]
pub(crate) async fn post(
    State(endpoint): State<Arc<IntrospectionEndpoint>>,
    FormOnly(caller, form): FormOnly,
) -> Result<Response, OAuthRefusal> {
    answer(&endpoint, &caller, &form).await.map_err(|error| OAuthRefusal::new(error, &form))
}

async fn answer(endpoint: &IntrospectionEndpoint, caller: &Caller, form: &Parameters) -> Result<Response, OAuthError> {
    let authenticated = authenticate(&endpoint.clients, caller, form, "/oauth/introspect").await?;
    let client = authenticated.confidential()?;
    let unverified_token = form.required("token", "token is missing")?;
    let finding = introspect(endpoint, client, unverified_token, authenticated.now).await?;
    let found = finding.to_introspection(&endpoint.issuer.url);
    endpoint.metrics.introspected(found.active);
    if !wants_signed(&caller.headers) {
        return Ok(json::sized(&found, TYPICAL_ANSWER_BYTES));
    }
    let claims = json!({ "iss": endpoint.issuer.url, "aud": client.id, "iat": endpoint.clock.now(), "token_introspection": found });
    let alg = client.metadata.introspection_signed_response_alg.unwrap_or(TokenAlg::Rs256);
    endpoint.keys.check_signing_capacity(alg)?;
    let signed = endpoint.keys.sign_statement(alg, "token-introspection+jwt", &claims).await?;
    Ok(([(CONTENT_TYPE, SIGNED_MEDIA_TYPE)], signed).into_response())
}

/// Whether the client asked for a signed JWT (RFC 9701 §4).
fn wants_signed(headers: &HeaderMap) -> bool {
    header_list::members(headers, ACCEPT)
        .any(|range| range.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(SIGNED_MEDIA_TYPE))
}

async fn introspect(
    endpoint: &IntrospectionEndpoint,
    client: &Client,
    unverified_token: &str,
    now: Versions,
) -> Result<TokenState, OAuthError> {
    if SecretKind::Refresh.is_well_formed(unverified_token) {
        return Box::pin(refresh_token(endpoint, client, unverified_token)).await;
    }
    let Some(token) = endpoint.bearers.find_active_token_as_of(unverified_token, now).await? else {
        return Ok(TokenState::Inactive);
    };
    Ok(if may_introspect(&endpoint.cache, client, &token, now).await? {
        let user = username(endpoint, &token).await?;
        TokenState::Access(token, user)
    } else {
        TokenState::Inactive
    })
}

/// The name of the user whose grant the token has (RFC 7662 §2.2). Tokens that clients get for
/// themselves have none.
async fn username(endpoint: &IntrospectionEndpoint, token: &AccessToken) -> Result<Option<UserName>, OAuthError> {
    match token.session.as_deref().and_then(|id| id.parse::<GrantId>().ok()) {
        Some(grant) => Ok(Box::pin(endpoint.store.find_public_user_name(&grant)).await?),
        None => Ok(None),
    }
}

/// Whether the token was issued to this client, or is for an API that it introspects for.
async fn may_introspect(
    cache: &RegistrationCache,
    client: &Client,
    token: &AccessToken,
    now: Versions,
) -> Result<bool, OAuthError> {
    if token.client == client.id {
        return Ok(true);
    }
    for audience in token.audience.iter() {
        let resource = cache.resource(audience, now).await?;
        if resource.as_ref().as_ref().is_some_and(|resource| resource.introspected_by.as_ref() == Some(&client.id)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// State of a refresh token: only its own client learns it, and only whether it is active.
async fn refresh_token(
    endpoint: &IntrospectionEndpoint,
    client: &Client,
    unverified_token: &str,
) -> Result<TokenState, OAuthError> {
    let Some(presented) = endpoint.keys.current().refresh_keys().parse(unverified_token) else {
        return Ok(TokenState::Inactive);
    };
    let token = endpoint.cache.refresh_token(presented).await?;
    let is_good = token.is_some_and(|token| token.is_usable_by(&client.id, endpoint.clock.now()));
    Ok(if is_good { TokenState::Refresh } else { TokenState::Inactive })
}
