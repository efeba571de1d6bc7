//! `GET /edge/v1/introspect`: whether a token is active, for a registered edge that has only a
//! reference to it: the hash of an opaque token, or the `jti` of a signed one. The grammar of
//! question and answer is in `core/src/introspection.rs`.
//!
//! The answer has what a signed token would say, and nothing about users or clients beyond that. An
//! edge may introspect every token of the issuer, as it sees every token that is sent to it.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use tollgate_core::{EdgeKey, Nonce, TokenReference};
use tollgate_keys::TokenRecordKey;
use tollgate_model::{AccessToken, EdgeHeartbeat, SecretHash, TokenId};
use tollgate_services::revocation_feed::{EdgeHeartbeats, RegisteredEdges};
use tollgate_services::signing_keys::SigningKeys;
use tollgate_storage::{Store, StoreError};
use tollgate_system::Clock;

use crate::issuer::Issuer;
use crate::oauth::parameters::Parameters;
use crate::openapi::responses::{BadRequest, Unavailable};
use crate::problem::{self, Problem};

/// State of the endpoint.
pub(crate) struct EdgeIntrospectionEndpoint {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    /// MAC of the edges' proofs and of the answers.
    pub(crate) keys: SigningKeys,
    pub(crate) edges: RegisteredEdges,
}

/// Whether a token is active, for a registered edge.
#[utoipa::path(
    get, path = "/edge/v1/introspect",
    params(
        ("opaque" = Option<String>, Query, description = "SHA-256 of an opaque token, 64 lower-case hexadecimal digits"),
        ("id" = Option<String>, Query, description = "`jti` of a signed token; instead of `opaque`"),
        ("nonce" = String, Query, description = "128 random bits, as 32 lower-case hexadecimal digits"),
        ("edge" = String, Query, description = "Name of a registered edge"),
        ("number" = u64, Query, description = "Number of the registration, from the edge's key"),
        ("at" = u64, Query, description = "Time of the request, Unix milliseconds"),
        (
            "proof" = String,
            Query,
            description = "HMAC-SHA256 with the edge's key over the query before it; last parameter",
        ),
    ),
    responses(
        (
            status = 200,
            description = "The state of the token, authenticated by the edge's key",
            body = Vec<u8>,
            content_type = "application/octet-stream",
        ),
        BadRequest, Unavailable,
        (
            status = 403,
            description = "Only registered edges are answered",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(crate) async fn get(
    State(endpoint): State<Arc<EdgeIntrospectionEndpoint>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let text = query.unwrap_or_default();
    let query = Parameters::from_form(&text).map_err(|error| Problem::bad_request(&error.to_string()))?;
    let reference = parse_reference(&query).ok_or_else(|| Problem::bad_request("opaque or id must name one token"))?;
    let nonce = query.get("nonce").and_then(Nonce::from_hex);
    let nonce = nonce.ok_or_else(|| Problem::bad_request("nonce must be 32 lower-case hexadecimal digits"))?;
    let key = endpoint.authenticate(&text, &query).await?;
    let token = endpoint.find_active_token(&reference).await?;
    let claims = match &token {
        Some(token) => {
            let claims = serde_json::to_vec(&token.claims(&endpoint.issuer.url));
            Some(claims.map_err(|error| {
                tracing::error!(%error, "the claims of a token could not be serialized");
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the claims could not be serialized")
            })?)
        }
        None => None,
    };
    let active = token.as_ref().zip(claims.as_deref()).map(|(token, claims)| (token.key_id.as_str(), claims));
    let headers = [(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, key.seal_introspection(nonce, active)).into_response())
}

impl EdgeIntrospectionEndpoint {
    /// The key of the registered edge that signed the query.
    async fn authenticate(&self, text: &str, query: &Parameters) -> Result<EdgeKey, Problem> {
        let refused = || Problem::new(StatusCode::FORBIDDEN, "only registered edges are answered");
        let number = |name| query.get(name).and_then(|text| text.parse().ok());
        let name = query.get("edge").and_then(|name| name.parse().ok());
        let (Some(name), Some(number), Some(at_ms)) = (name, number("number"), number("at")) else {
            return Err(refused());
        };
        let edge = EdgeHeartbeat { name, number, sequence: 0, at_ms, report: None };
        let keys = self.keys.current();
        let is_authentic = EdgeHeartbeats::is_authentic(text, &edge, &keys, self.clock.now_ms());
        if !is_authentic || !self.edges.contains(&edge.name, edge.number).await? {
            return Err(refused());
        }
        Ok(EdgeKey::new(&keys.edge_secret(&edge.name, edge.number)))
    }

    /// The record of the token, if it is neither expired nor revoked.
    async fn find_active_token(&self, reference: &TokenReference) -> Result<Option<AccessToken>, StoreError> {
        let token = match reference {
            TokenReference::Opaque(hash) => {
                let hash = SecretHash::from_bytes(*hash);
                self.store.find_unrevoked_record(TokenRecordKey::Opaque(&hash)).await?
            }
            TokenReference::Id(id) => {
                let token = self.store.find_unrevoked_record(TokenRecordKey::Id(TokenId::from(*id))).await?;
                token.filter(|token| token.opaque.is_none()) // an edge knows only signed tokens by their id
            }
        };
        Ok(token.filter(|token| self.clock.now() < token.expires_at))
    }
}

/// The token that the query names; none unless it names exactly one.
fn parse_reference(query: &Parameters) -> Option<TokenReference> {
    let mut named = ["opaque", "id"].into_iter().filter_map(|name| Some((name, query.get(name)?)));
    let (Some((name, value)), None) = (named.next(), named.next()) else { return None };
    TokenReference::parse(&format!("{name}={value}"))
}
