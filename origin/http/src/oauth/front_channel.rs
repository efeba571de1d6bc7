//! Tokens in authorization responses: the implicit and hybrid response types of OpenID Connect Core
//! §3.2 and §3.3, for the migration of old applications. They pass through the browser, which RFC
//! 9700 §2.1.2 advises against.
//!
//! Never: a refresh token; a token that is bound to a key; a response type that the server's
//! setting and the client's registration do not both turn on.

use std::sync::Arc;

use tollgate_model::{AuthorizationCode, AuthorizationRequest, Client, GrantError, User};
use tollgate_storage::{RedeemCredential, RedeemOutcome, RedeemRequest};

use super::client_auth::AuthenticatedClient;
use super::error::OAuthError;
use super::id_token::{self, IdToken};
use super::issue::{TokenAnswer, TokenIssuer, TokenSubject};

/// What a user has just granted to a client.
pub(super) struct FrontChannelGrant<'a> {
    pub(super) client: &'a Client,
    pub(super) user: &'a User,
    pub(super) request: &'a AuthorizationRequest,
    /// The recorded code; the client receives it only with a response type that has one.
    pub(super) code: &'a AuthorizationCode,
    /// The text of the code, if the client receives it.
    pub(super) code_text: Option<&'a str>,
}

/// The parameters of the response that are tokens.
pub(super) async fn tokens(
    issuer: &TokenIssuer,
    granted: &FrontChannelGrant<'_>,
) -> Result<Vec<(&'static str, String)>, OAuthError> {
    let (client, request, grant) = (granted.client, granted.request, &granted.code.grant);
    if request.response_type.has_id_token() {
        issuer.keys.check_signing_capacity(client.metadata.id_token_alg())?;
    }
    let mut parameters = Vec::new();
    let access_token = match request.response_type.has_token() {
        true => Some(access_token(issuer, granted).await?),
        false => None,
    };
    if let Some(answer) = &access_token {
        parameters.push(("access_token", answer.access_token.clone()));
        parameters.push(("token_type", answer.token_type.to_owned()));
        parameters.push(("expires_in", answer.expires_in.to_string()));
        parameters.extend(answer.scope.iter().map(|scope| ("scope", scope.clone())));
    }
    if request.response_type.has_id_token() {
        let scope = grant.terms.access.scope.intersection(&client.metadata.scope);
        let about = IdToken {
            client,
            user: granted.user,
            grant,
            scope: &scope,
            nonce: request.nonce.as_deref(),
            access_token: access_token.as_ref().map(|answer| answer.access_token.as_str()),
            code: granted.code_text,
        };
        let id_token = id_token::sign(&issuer.issuer, &issuer.keys, issuer.clock.now(), &about).await?;
        parameters.push(("id_token", id_token));
    }
    Ok(parameters)
}

/// Records and signs an access token of the grant. Without a code for the client, the recorded code
/// is redeemed by it.
async fn access_token(issuer: &TokenIssuer, granted: &FrontChannelGrant<'_>) -> Result<TokenAnswer, OAuthError> {
    let grant = &granted.code.grant;
    let caller = AuthenticatedClient {
        client: Arc::new(granted.client.clone()),
        certificate: None,
        now: issuer.cache.versions().await?,
        unconfirmed: false,
    };
    let access = grant.terms.access.clone();
    let (issue, text) = issuer.draft(&caller, TokenSubject::user(grant), access, None).await?.parts(&caller);
    if granted.code_text.is_some() {
        let token = issuer.writer.issue(issue).await?;
        return issuer.answer(granted.client, &token, text).await;
    }
    let credential = RedeemCredential::Code { hash: granted.code.hash, refresh: None };
    let redeem = RedeemRequest { credential, grant: grant.id.clone(), issue, at: issuer.clock.now() };
    match issuer.writer.redeem(redeem).await? {
        RedeemOutcome::Issued(token) | RedeemOutcome::IssuedWithoutRotation(token) => {
            issuer.answer(granted.client, &token, text).await
        }
        RedeemOutcome::Replayed | RedeemOutcome::Ended | RedeemOutcome::Expired => Err(GrantError::Ended.into()),
    }
}
