//! `/oauth/userinfo` (OpenID Connect Core §5.3): claims of the user for the client of an access
//! token; and `/oauth/tokeninfo`: what an access token says, for its bearer.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tollgate_model::{Client, GrantId, Scope, User};
use tollgate_services::signing_keys::SigningKeys;
use tollgate_storage::Store;
use tollgate_system::Clock;

use crate::issuer::Issuer;
use crate::oauth::bearer::{BearerAuthenticator, BearerRefusal};
use crate::oauth::caller::Caller;
use crate::oauth::parameters::{Parameters, is_form};

/// State of the userinfo and tokeninfo endpoints.
pub(crate) struct UserInfoEndpoint {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) keys: SigningKeys,
    pub(crate) bearers: Arc<BearerAuthenticator>,
}

/// Returns the claims of the user (OpenID Connect Core §5.3).
#[utoipa::path(
    method(get, post), path = "/oauth/userinfo",
    responses(
        (
            status = 200,
            description = "Claims; signed if the client is registered for that",
            content((Object = "application/json"), (String = "application/jwt")),
        ),
        BearerRefusal,
    ),
    security(("bearer" = []), ("bearer" = [], "dpop" = [])),
)]
pub(crate) async fn any(
    State(endpoint): State<Arc<UserInfoEndpoint>>,
    method: Method,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, BearerRefusal> {
    let form = form_of(&method, &caller, body)?;
    let in_form = form.get("access_token");
    let token = endpoint.bearers.authenticate_with(&caller, in_form, method.as_str(), "/oauth/userinfo").await?;
    let no_openid =
        |granted: &Scope| BearerRefusal::Scope { required: "openid".to_owned(), granted: granted.to_string() };
    if !token.scope.has("openid") {
        return Err(no_openid(&token.scope));
    }
    let grant: GrantId = token.session.as_deref().and_then(|id| id.parse().ok()).ok_or(BearerRefusal::Invalid)?;
    // Claims are for the client of the grant: another client must not learn them by an exchanged
    // token.
    let grant = endpoint.store.find_grant(&grant).await?.filter(|grant| grant.client == token.client);
    let grant = grant.ok_or(BearerRefusal::Invalid)?;
    let user = endpoint.store.find_user(&grant.user).await?.filter(User::is_active).ok_or(BearerRefusal::Invalid)?;
    let client =
        endpoint.store.find_client(&token.client).await?.filter(Client::is_active).ok_or(BearerRefusal::Invalid)?;
    let scope = token.scope.intersection(&client.metadata.scope);
    if !scope.has("openid") {
        return Err(no_openid(&scope));
    }
    let mut claims: Map<String, Value> = user.claims_in_scope(&scope);
    claims.extend(user.requested_claims(&grant.terms.claims.userinfo, &client.metadata.scope));
    claims.insert("sub".to_owned(), Value::from(token.subject.as_str()));
    let Some(alg) = client.metadata.userinfo_signed_response_alg else {
        return Ok(Json(claims).into_response());
    };
    claims.insert("iss".to_owned(), Value::from(endpoint.issuer.url.as_str()));
    claims.insert("aud".to_owned(), Value::from(client.id.as_str()));
    endpoint.keys.check_signing_capacity(alg)?;
    let signed = endpoint.keys.sign_statement(alg, "JWT", &claims).await?;
    Ok(([(CONTENT_TYPE, "application/jwt")], signed).into_response())
}

/// The form of a POST; it may have the access token (RFC 6750 §2.2).
fn form_of(method: &Method, caller: &Caller, body: Result<Bytes, BytesRejection>) -> Result<Parameters, BearerRefusal> {
    if *method != Method::POST || !is_form(&caller.headers) {
        return Ok(Parameters::default());
    }
    let body = body.map_err(|_| BearerRefusal::Malformed)?;
    let form = str::from_utf8(&body).map_err(|_| BearerRefusal::Malformed)?;
    Parameters::from_form(form).map_err(|_| BearerRefusal::Malformed)
}

/// Returns what the presented access token says.
#[utoipa::path(
    method(get, post), path = "/oauth/tokeninfo",
    responses((status = 200, description = "Its claims, and `expires_in` seconds", body = Object), BearerRefusal),
    security(("bearer" = []), ("bearer" = [], "dpop" = [])),
)]
pub(crate) async fn tokeninfo(
    State(endpoint): State<Arc<UserInfoEndpoint>>,
    method: Method,
    caller: Caller,
) -> Result<Json<Value>, BearerRefusal> {
    let token = endpoint.bearers.authenticate(&caller, method.as_str(), "/oauth/tokeninfo").await?;
    let mut info = json!(token.claims(&endpoint.issuer.url));
    info["expires_in"] = Value::from(token.expires_at.saturating_sub(endpoint.clock.now()));
    Ok(Json(info))
}
