//! The client credentials grant (RFC 6749 §4.4).

use tollgate_model::Access;
use tollgate_model::authorization::requested_access;

use crate::oauth::error::OAuthError;
use crate::oauth::issue::{TokenAnswer, TokenSubject, confirmation};
use crate::oauth::token_request::TokenRequest;

pub(in crate::oauth) async fn grant(request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
    let TokenRequest { endpoint, caller, form, jkt, .. } = request;
    let client = &caller.client;
    let (default, resources) = (&endpoint.issuer.default_audience, endpoint.cache.resources(caller.now).await?);
    let access = Access::for_client(client, requested_access(form)?, default, &resources)?;
    let about = TokenSubject::client(&client.id);
    let drafted = endpoint.tokens.draft(caller, about, access, confirmation(caller, jkt)?).await?;
    endpoint.tokens.issue(caller, drafted).await
}
