//! `/admin/api/keys`: listing, rotating and revoking the keys that sign tokens. Answers come after the commit.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::admin::auth::authenticate;
use super::oauth::parameters::Parameters;
use super::problem::Problem;
use super::{App, AppState};
use crate::ambient;
use crate::domain::{Reason, Revoke, Target, TokenAlg};
use crate::http::openapi::refusals::{BadBody, BadRequest, Conflict, NotAdmin, NotFound};
use crate::keys::keeper::Rotated;
use crate::keys::schedule::Wanted;
use crate::keys::{KeyState, PublicKey, Purpose, Unrevocable};

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = PublicKeys)]
pub(super) struct Page {
    keys: Vec<PublicKey>,
}

/// Which keys are to be replaced, and when.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// EdDSA, ES256 and RS256 without it.
    alg: Option<String>,
    /// Sign as soon as it is published.
    #[serde(default)]
    now: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct RevokedKey {
    kid: String,
    already: bool,
}

/// The keys.
#[utoipa::path(
    get, path = "/admin/api/keys",
    params(("all" = Option<bool>, Query, description = "Those that are gone, too")),
    responses((status = 200, description = "Keys", body = Page), BadRequest, NotAdmin),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(super) async fn list(
    State(app): State<AppState>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<Page>, Problem> {
    authenticate(&app, &headers).await?;
    let query = Parameters::from_form(query.as_deref().unwrap_or_default());
    let query = query.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let all = match query.get("all") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::bad_request("all must be true or false")),
    };
    Ok(Json(listed(&app, |key| all || key.state != KeyState::Gone).await?))
}

/// Makes the next keys, and answers with those that are on their way.
#[utoipa::path(
    post, path = "/admin/api/keys",
    request_body(content = Rotation, content_type = "application/json"),
    responses((status = 201, description = "The next keys", body = Page), BadBody, NotAdmin, Conflict),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(super) async fn rotate(State(app): State<AppState>, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    let by = authenticate(&app, &headers).await?;
    let rotation: Rotation = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(&format!("the body is not what is to be rotated: {error}")))?;
    let alg = rotation.alg.map(|alg| alg.parse::<TokenAlg>()).transpose();
    let wanted = match alg.map_err(|error| Problem::bad_request(&error.to_string()))? {
        Some(TokenAlg::Hs256) => vec![(Purpose::Derive, TokenAlg::Hs256)],
        Some(alg) => vec![(Purpose::Token, alg)],
        None => [TokenAlg::EdDsa, TokenAlg::Es256, TokenAlg::Rs256].map(|alg| (Purpose::Token, alg)).to_vec(),
    };
    let ahead = if rotation.now { 0 } else { app.key_policy.ahead };
    let mut kids = Vec::new();
    for (purpose, alg) in wanted {
        match app.keys.rotate(Wanted { purpose, alg, ahead }, &by).await? {
            Rotated::Changed(key) | Rotated::UnderWay(key) => kids.push(key.kid),
            Rotated::TooMany | Rotated::NotPinned => {
                let detail = format!("too many keys for {alg} wait for their last tokens to expire");
                return Err(Problem::new(StatusCode::CONFLICT, &detail));
            }
        }
    }
    tracing::info!(by = by.as_str(), ?kids, "rotated keys");
    Ok((StatusCode::CREATED, Json(listed(&app, |key| kids.contains(&key.kid)).await?)).into_response())
}

/// Revokes a key: nothing that it signed is good any more. The next one is made by itself.
#[utoipa::path(
    delete, path = "/admin/api/keys/{kid}",
    params(
        ("kid" = String, Path, description = "The key's identifier"),
        ("reason" = Option<String>, Query, description = "Why"),
    ),
    responses(
        (status = 200, description = "It is revoked", body = RevokedKey),
        BadRequest, NotAdmin, NotFound, Conflict,
    ),
    security(("bearer" = ["tollgate:admin"])),
)]
pub(super) async fn revoke(
    State(app): State<AppState>,
    headers: HeaderMap,
    Path(kid): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<RevokedKey>, Problem> {
    let by = authenticate(&app, &headers).await?;
    let query = Parameters::from_form(query.as_deref().unwrap_or_default());
    let query = query.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let reason = query.get("reason").map(str::parse::<Reason>).transpose();
    let reason = reason.map_err(|error| Problem::bad_request(&error.to_string()))?;
    app.keys.fresh().await?.check_revocable(&kid).map_err(|error| {
        let status = if error == Unrevocable::Unknown { StatusCode::NOT_FOUND } else { StatusCode::CONFLICT };
        Problem::new(status, &error.to_string())
    })?;
    let revoke = Revoke::any(Target::Key(kid.clone()), by.clone(), reason, ambient::now());
    let revoke = revoke.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let already = !app.writer.revoke(revoke).await?.is_news;
    tracing::info!(kid, by = by.as_str(), already, "revoked a key");
    Ok(Json(RevokedKey { kid, already }))
}

async fn listed(app: &App, wanted: impl Fn(&PublicKey) -> bool) -> Result<Page, Problem> {
    let keys = app.keys.fresh().await?;
    Ok(Page { keys: keys.listing().iter().filter(|key| wanted(key)).cloned().collect() })
}
