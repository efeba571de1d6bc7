//! `/admin/api/keys`: signing keys of tokens. Responses are sent after the commit.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tollgate_keys::PublicKey;
use tollgate_model::{KeyState, TokenAlg};
use tollgate_services::admin::parse_reason;

use super::request::{AdminQuery, Administrator, parse_body};
use crate::openapi::responses::{AdminErrors, BadBody, BadRequest, Conflict, NotFound};
use crate::problem::Problem;

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = PublicKeys)]
pub(crate) struct KeysPage {
    keys: Vec<PublicKey>,
}

/// A key rotation.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rotation)]
struct KeyRotation {
    /// Algorithm; by default EdDSA, ES256 and RS256.
    alg: Option<String>,
    /// Sign as soon as the key is published.
    #[serde(default)]
    now: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct RevokedKey {
    kid: String,
    already: bool,
}

/// Lists signing keys.
#[utoipa::path(
    get, path = "/admin/api/keys",
    params(("all" = Option<bool>, Query, description = "Include deleted keys")),
    responses((status = 200, description = "Keys", body = KeysPage), BadRequest, AdminErrors),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn list(admin: Administrator, query: AdminQuery) -> Result<Json<KeysPage>, Problem> {
    let all = query.flag("all")?;
    Ok(Json(KeysPage { keys: admin.commands.list_keys(|key| all || key.state != KeyState::Gone).await? }))
}

/// Generates the next keys and returns them.
#[utoipa::path(
    post, path = "/admin/api/keys",
    request_body(content = KeyRotation, content_type = "application/json"),
    responses((status = 201, description = "Next keys", body = KeysPage), BadBody, AdminErrors, Conflict),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn rotate(admin: Administrator, body: Bytes) -> Result<Response, Problem> {
    let rotation: KeyRotation = parse_body(&body, "a key rotation")?;
    let alg = rotation.alg.map(|alg| alg.parse::<TokenAlg>()).transpose();
    let alg = alg.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let keys = admin.commands.rotate_keys(&admin.by, alg, rotation.now).await?;
    Ok((StatusCode::CREATED, Json(KeysPage { keys })).into_response())
}

/// Revokes a key and thereby everything that it signed. Its successor is generated automatically.
#[utoipa::path(
    delete, path = "/admin/api/keys/{kid}",
    params(
        ("kid" = String, Path, description = "Key ID"),
        ("reason" = Option<String>, Query, description = "Reason"),
    ),
    responses(
        (status = 200, description = "Revoked", body = RevokedKey),
        BadRequest, AdminErrors, NotFound, Conflict,
    ),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(crate) async fn revoke(
    admin: Administrator,
    Path(kid): Path<String>,
    query: AdminQuery,
) -> Result<Json<RevokedKey>, Problem> {
    let was_revoked_before = admin.commands.revoke_key(&admin.by, &kid, parse_reason(query.get("reason"))?).await?;
    Ok(Json(RevokedKey { kid, already: was_revoked_before }))
}
