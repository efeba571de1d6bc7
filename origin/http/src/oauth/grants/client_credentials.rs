//! The client credentials grant (RFC 6749 §4.4).

use tollgate_model::Access;
use tollgate_model::authorization::requested_access;

use crate::oauth::error::OAuthError;
use crate::oauth::issue::{TokenAnswer, TokenSubject, confirmation, draft, issue};
use crate::oauth::token_request::TokenRequest;

pub(in crate::oauth) async fn grant(request: TokenRequest<'_>) -> Result<TokenAnswer, OAuthError> {
    let TokenRequest { app, caller, form, jkt } = request;
    let client = &caller.client;
    let access = Access::for_client(client, requested_access(form)?, &app.default_audience)?;
    let keys = app.keys.wait_for_signing_key(client.metadata.alg).await;
    let drafted = draft(app, &keys, client, TokenSubject::client(&client.id), access, confirmation(caller, jkt)?)?;
    issue(app, caller, drafted).await
}
