//! Access tokens that are shown to this origin itself, and tokens that are shown to it to be judged.

use crate::ambient;
use crate::domain::{AccessToken, SecretHash, SecretKind, TokenId};
use crate::http::App;
use crate::store::StoreError;

/// The id of an access token of this origin, signed or opaque. It says nothing about expiry or revocation.
pub(in crate::http) async fn recognise(app: &App, unverified_token: &str) -> Result<Option<TokenId>, StoreError> {
    if SecretKind::Access.made(unverified_token) {
        return app.store.opaque_token(&SecretHash::of(unverified_token)).await;
    }
    app.keys.recognise(unverified_token, &app.issuer).await
}

/// The record of an access token that is good this moment: of this origin, not expired, not revoked.
pub(in crate::http) async fn good(app: &App, unverified_token: &str) -> Result<Option<AccessToken>, StoreError> {
    let Some(id) = recognise(app, unverified_token).await? else {
        return Ok(None);
    };
    let token = app.store.unrevoked_token(id).await?;
    Ok(token.filter(|token| ambient::now() < token.expires_at))
}
