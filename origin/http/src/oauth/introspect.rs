//! `POST /oauth/introspect` (RFC 7662): what the store knows of a token, this moment.
//!
//! A client is told of tokens that were issued to it, and of those for an API that it introspects
//! for. Of all others it is told what is told of tokens that never were (RFC 7662 §4): exactly
//! `{"active":false}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use tollgate_model::{AccessToken, Claims, Client, Confirmation, SecretKind, TokenAlg};
use tollgate_storage::Versions;

use super::bearer;
use super::client_auth::authenticate;
use super::error::OAuthError;
use super::parameters::FormOnly;
use crate::openapi::forms;
use crate::{App, AppState, header_list, json};

/// RFC 9701 §5
const SIGNED: &str = "application/token-introspection+jwt";

/// Bytes of what is told of most tokens.
const USUAL_ANSWER: usize = 512;

/// RFC 7662 §2.2. An inactive token's answer has nothing but `active`.
#[derive(Serialize, Default, utoipa::ToSchema)]
struct Introspection<'a> {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    token_type: Option<&'static str>,
    #[serde(flatten)]
    #[schema(value_type = Object)]
    claims: Option<Claims<'a>>,
}

/// What there is to tell.
enum Finding {
    /// That the token is good for nothing, or none of the client's business.
    Inactive,
    /// That a refresh token is good.
    Refresh,
    /// What an access token says.
    Access(Arc<AccessToken>),
}

impl Finding {
    fn told<'a>(&'a self, issuer: &'a str) -> Introspection<'a> {
        match self {
            Finding::Inactive => Introspection::default(),
            Finding::Refresh => Introspection { active: true, ..Introspection::default() },
            Finding::Access(token) => {
                let by_key = matches!(token.details.cnf, Some(Confirmation::Key(_)));
                let token_type = Some(if by_key { "DPoP" } else { "Bearer" });
                Introspection { active: true, token_type, claims: Some(token.claims(issuer)) }
            }
        }
    }
}

/// Tells what a token is worth this moment (RFC 7662).
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
    State(app): State<AppState>,
    FormOnly(caller, form): FormOnly,
) -> Result<Response, OAuthError> {
    let authenticated = authenticate(&app, &caller, &form, "/oauth/introspect").await?;
    let client = authenticated.confidential()?;
    let unverified_token = form.required("token", "token is missing")?;
    let finding = introspect(&app, client, unverified_token, authenticated.now).await?;
    let found = finding.told(&app.issuer);
    app.metrics.introspected(found.active);
    if !wants_signed(&caller.headers) {
        return Ok(json::sized(&found, USUAL_ANSWER));
    }
    let claims = json!({ "iss": app.issuer, "aud": client.id, "iat": app.clock.now(), "token_introspection": found });
    let alg = client.metadata.introspection_signed_response_alg.unwrap_or(TokenAlg::Rs256);
    let signed =
        app.keys.wait_for_signing_key(alg).await.sign_statement_with(alg, "token-introspection+jwt", &claims)?;
    Ok(([(CONTENT_TYPE, SIGNED)], signed).into_response())
}

/// Whether the answer is to be a signed JWT (RFC 9701 §4).
fn wants_signed(headers: &HeaderMap) -> bool {
    header_list::members(headers, ACCEPT)
        .any(|range| range.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(SIGNED))
}

async fn introspect(app: &App, client: &Client, unverified_token: &str, now: Versions) -> Result<Finding, OAuthError> {
    if SecretKind::Refresh.is_well_formed(unverified_token) {
        return Box::pin(refresh_token(app, client, unverified_token)).await;
    }
    let Some(token) = bearer::good_as_of(app, unverified_token, now).await? else {
        return Ok(Finding::Inactive);
    };
    Ok(if may_know(app, client, &token, now).await? { Finding::Access(token) } else { Finding::Inactive })
}

/// Whether a token was issued to this client, or is for an API that it introspects for.
async fn may_know(app: &App, client: &Client, token: &AccessToken, now: Versions) -> Result<bool, OAuthError> {
    if token.client == client.id {
        return Ok(true);
    }
    for audience in token.audience.iter() {
        let resource = app.cache.resource(audience, now).await?;
        if resource.as_ref().as_ref().is_some_and(|resource| resource.introspected_by.as_ref() == Some(&client.id)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A refresh token is told of to its own client alone, and of it nothing but whether it is good.
async fn refresh_token(app: &App, client: &Client, unverified_token: &str) -> Result<Finding, OAuthError> {
    let Some(presented) = app.keys.current().refresh_keys().parse(unverified_token) else {
        return Ok(Finding::Inactive);
    };
    let token = app.cache.refresh_token(presented).await?;
    let is_good = token.is_some_and(|token| token.is_usable_by(&client.id, app.clock.now()));
    Ok(if is_good { Finding::Refresh } else { Finding::Inactive })
}
