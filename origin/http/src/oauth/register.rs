//! `/oauth/register` (RFC 7591) and `/oauth/register/{client}` (RFC 7592): dynamic client
//! registration and its management, where the operator enables it.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use tollgate_config::RegistrationMode;
use tollgate_model::registration::{MAX_REGISTRATION_BYTES, RegistrationPolicy, parse_registration};
use tollgate_model::{
    Actor, AuthMethod, Client, ClientId, ClientMetadata, GrantType, MetadataError, Registrant, ResponseType, Secret,
    SecretHash, SecretKind, StoredSecret, text,
};
use tollgate_services::outbound_http::OutboundClient;
use tollgate_services::signing_keys::{AlgorithmError, with_available_algorithms};
use tollgate_services::termination::termination;
use tollgate_storage::Store;
use tollgate_system::{Clock, rng};

use super::bearer::{BearerAuthenticator, BearerRefusal};
use super::caller::Caller;
use super::error::OAuthError;
use crate::issuer::Issuer;
use crate::openapi::responses::{NotFound, TooLarge};
use crate::problem::Problem;
use crate::request_context::note_client_id;

/// Scope value that allows the registration of clients.
const REGISTER: &str = "tollgate:register";
const PATH: &str = "/oauth/register";

/// State of dynamic client registration.
pub(crate) struct RegistrationEndpoint {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    /// Who may register clients.
    pub(crate) mode: RegistrationMode,
    /// What they may register.
    pub(crate) policy: RegistrationPolicy,
    pub(crate) bearers: Arc<BearerAuthenticator>,
    /// Fetches documents that clients name.
    pub(crate) outbound: OutboundClient,
}

/// Registers a client (RFC 7591 §3).
#[utoipa::path(
    post, path = "/oauth/register",
    request_body(content = ClientMetadata, content_type = "application/json"),
    responses(
        (status = 201, description = "The client, with its secrets", body = RegisteredClient),
        BearerRefusal, TooLarge, NotFound,
    ),
    security(("bearer" = ["tollgate:register"]), ()),
)]
pub(crate) async fn post(
    State(endpoint): State<Arc<RegistrationEndpoint>>,
    caller: Caller,
    body: Bytes,
) -> Result<Response, Response> {
    may_register(&endpoint, &caller).await?;
    create(&endpoint, &body).await.map_err(IntoResponse::into_response)
}

async fn may_register(endpoint: &RegistrationEndpoint, caller: &Caller) -> Result<(), Response> {
    match endpoint.mode {
        RegistrationMode::Off => Err(Problem::not_found().into_response()),
        RegistrationMode::Open => Ok(()),
        RegistrationMode::Token => {
            let token =
                endpoint.bearers.authenticate(caller, "POST", PATH).await.map_err(IntoResponse::into_response)?;
            if !token.audience.has(&endpoint.issuer.url) {
                return Err(BearerRefusal::Invalid.into_response());
            }
            if !token.scope.has(REGISTER) {
                let (required, granted) = (REGISTER.to_owned(), token.scope.to_string());
                return Err(BearerRefusal::Scope { required, granted }.into_response());
            }
            Ok(())
        }
    }
}

async fn create(endpoint: &RegistrationEndpoint, body: &[u8]) -> Result<Response, OAuthError> {
    let metadata = wanted(endpoint, body, None).await?;
    let now = endpoint.clock.now();
    let mut client = Client::new(ClientId::from_random(&rng::random()?), metadata, now);
    let secret = match has_secret(&client) {
        true => Some(Secret::new(SecretKind::Client, &rng::random()?)),
        false => None,
    };
    if let Some(secret) = &secret {
        client = client.with_secret(secret, now);
    }
    let token = Secret::new(SecretKind::Registration, &rng::random()?);
    client.registration = Some(token.hash());
    endpoint.store.with_actor(&Actor::client(&client.id)).create_client(&client).await?;
    tracing::info!(client = %client.id, "a client registered itself");
    let answer = view(&endpoint.issuer, &client, secret.as_ref(), Some(&token));
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// Parses requested metadata. The document of a `sector_identifier_uri` must list the client's
/// redirect URIs: otherwise a client could join another's sector and recognise its users (OpenID
/// Connect Dynamic Client Registration §5).
async fn wanted(
    endpoint: &RegistrationEndpoint,
    body: &[u8],
    operator_metadata: Option<&ClientMetadata>,
) -> Result<ClientMetadata, OAuthError> {
    if body.len() > MAX_REGISTRATION_BYTES {
        return Err(OAuthError::InvalidRequest("the body is too large"));
    }
    let resources = endpoint.store.list_resources().await?;
    let metadata = parse_registration(body, &resources, operator_metadata, &endpoint.policy)?;
    let metadata = with_available_algorithms(&endpoint.store, metadata).await.map_err(|error| match error {
        AlgorithmError::NoKey(_) => OAuthError::from(MetadataError::Metadata(
            "a signature algorithm of responses is one for which this server has no key",
        )),
        AlgorithmError::Store(error) => OAuthError::from(error),
    })?;
    if let Some(sector) = &metadata.sector_identifier_uri {
        let listed = endpoint.outbound.get(sector, Registrant::Client).await.map_err(|error| {
            tracing::warn!(url = sector.as_str(), %error, "a sector's redirect URIs cannot be had");
            MetadataError::Metadata("sector_identifier_uri cannot be read")
        })?;
        metadata.check_sector(&listed)?;
    }
    Ok(metadata)
}

/// `GET`: reads a registration (RFC 7592 §2.1).
#[utoipa::path(
    get, path = "/oauth/register/{client}",
    params(("client" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The client", body = RegisteredClient), BearerRefusal, NotFound),
    security(("bearer" = [])),
)]
pub(crate) async fn show(
    State(endpoint): State<Arc<RegistrationEndpoint>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<RegisteredClient>, Response> {
    let client = managed(&endpoint, &id, &headers).await?;
    Ok(Json(view(&endpoint.issuer, &client, None, None)))
}

/// `PUT`: replaces all metadata of a registration (RFC 7592 §2.2).
#[utoipa::path(
    put, path = "/oauth/register/{client}",
    params(("client" = String, Path, description = "The client's id")),
    request_body(content = ClientMetadata, content_type = "application/json"),
    responses(
        (status = 200, description = "The client as it is now", body = RegisteredClient),
        BearerRefusal, TooLarge, NotFound,
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn update(
    State(endpoint): State<Arc<RegistrationEndpoint>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<RegisteredClient>, Response> {
    let client = managed(&endpoint, &id, &headers).await?;
    replace(&endpoint, client, &body).await.map(Json).map_err(IntoResponse::into_response)
}

async fn replace(endpoint: &RegistrationEndpoint, client: Client, body: &[u8]) -> Result<RegisteredClient, OAuthError> {
    let named: Value = text::json(body).map_err(|_| OAuthError::InvalidRequest("the body is not JSON"))?;
    if named.get("client_id").and_then(Value::as_str) != Some(client.id.as_str()) {
        return Err(OAuthError::InvalidRequest("client_id must be there and be this client's"));
    }
    let metadata = wanted(endpoint, body, client.operator_metadata.as_ref()).await?;
    let store = endpoint.store.with_actor(&Actor::client(&client.id));
    store.update_registration(&client, &metadata).await?;
    let mut client = Client { metadata, ..client };
    let mut secret = None;
    if has_secret(&client) && client.secrets.is_empty() {
        // It used another authentication method before, and needs a secret from now on.
        let new = Secret::new(SecretKind::Client, &rng::random()?);
        let stored = StoredSecret::generated(&new, endpoint.clock.now());
        store.rotate_secret(&client.id, &stored, 0).await?;
        client.secrets.push(stored);
        secret = Some(new);
    }
    Ok(view(&endpoint.issuer, &client, secret.as_ref(), None))
}

/// `DELETE`: removes a client and ends its grants and tokens (RFC 7592 §2.3). Its ID is never
/// reused.
#[utoipa::path(
    delete, path = "/oauth/register/{client}",
    params(("client" = String, Path, description = "The client's id")),
    responses((status = 204, description = "It is gone"), BearerRefusal, NotFound),
    security(("bearer" = [])),
)]
pub(crate) async fn remove(
    State(endpoint): State<Arc<RegistrationEndpoint>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Response> {
    let client = managed(&endpoint, &id, &headers).await?;
    let by = Actor::client(&client.id);
    let disabled = endpoint
        .store
        .disable_client(&client.id, &termination(&by, "the client removed its registration", endpoint.clock.now()))
        .await;
    disabled.map_err(|error| OAuthError::from(error).into_response())?;
    tracing::info!(client = %client.id, "a client removed its registration");
    Ok(StatusCode::NO_CONTENT)
}

/// The client of this ID whose registration access token was presented, where clients may manage
/// their registration. The token of another client reveals nothing (RFC 7592 §2.1).
async fn managed(endpoint: &RegistrationEndpoint, id: &str, headers: &HeaderMap) -> Result<Client, Response> {
    if endpoint.mode == RegistrationMode::Off {
        return Err(Problem::not_found().into_response());
    }
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        value.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = token.map(|(_, token)| token.trim()).ok_or_else(|| BearerRefusal::Missing.into_response())?;
    if !SecretKind::Registration.is_well_formed(token) {
        return Err(BearerRefusal::Invalid.into_response());
    }
    let client = endpoint.store.find_client_by_registration_token(&SecretHash::of(token)).await;
    let client = client.map_err(|error| BearerRefusal::from(error).into_response())?;
    let own = client.filter(|client| client.is_active() && client.id.as_str() == id);
    let own = own.ok_or_else(|| BearerRefusal::Invalid.into_response())?;
    note_client_id(&own.id);
    Ok(own)
}

/// Response to a registration.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RegisteredClient {
    client_id: String,
    client_id_issued_at: u64,
    #[schema(value_type = Vec<String>)]
    response_types: Vec<ResponseType>,
    registration_client_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_access_token: Option<String>,
    #[serde(flatten)]
    metadata: ClientMetadata,
}

fn has_secret(client: &Client) -> bool {
    matches!(client.metadata.auth_method, AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost)
}

/// RFC 7591 §3.2.1 and RFC 7592 §3. Secrets are returned only when they are generated; only hashes
/// are stored.
fn view(issuer: &Issuer, client: &Client, secret: Option<&Secret>, token: Option<&Secret>) -> RegisteredClient {
    RegisteredClient {
        client_id: client.id.to_string(),
        client_id_issued_at: client.created_at,
        response_types: response_types(&client.metadata),
        registration_client_uri: format!("{}{PATH}/{}", issuer.url, client.id),
        client_secret: secret.map(|secret| secret.reveal().to_owned()),
        client_secret_expires_at: secret.map(|_| 0),
        registration_access_token: token.map(|token| token.reveal().to_owned()),
        metadata: ClientMetadata { response_types: Vec::new(), ..client.metadata.clone() },
    }
}

/// The response types that the client may use: `code` with the authorization code grant.
fn response_types(metadata: &ClientMetadata) -> Vec<ResponseType> {
    match metadata.response_types.as_slice() {
        [] if metadata.allows(GrantType::AuthorizationCode) => vec![ResponseType::Code],
        registered => registered.to_vec(),
    }
}
