//! ID tokens (OpenID Connect Core §2).

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256, Sha512};
use tollgate_model::encoding::base64url;
use tollgate_model::{Client, Grant, Scope, TokenAlg, User};
use tollgate_services::signing_keys::{SigningError, SigningKeys};

use crate::issuer::Issuer;

/// Method of a sign-in by password (RFC 8176).
pub(crate) const AMR: &str = "pwd";

/// Content of an ID token.
pub(crate) struct IdToken<'a> {
    pub(crate) client: &'a Client,
    pub(crate) user: &'a User,
    pub(crate) grant: &'a Grant,
    /// Scope that selects claims of the user.
    pub(crate) scope: &'a Scope,
    pub(crate) nonce: Option<&'a str>,
    /// The access token of the same response, if there is one.
    pub(crate) access_token: Option<&'a str>,
    /// The code of the same authorization response, if there is one.
    pub(crate) code: Option<&'a str>,
}

/// Signs an ID token (OpenID Connect Core §2).
pub(crate) async fn sign(
    issuer: &Issuer,
    keys: &SigningKeys,
    now: u64,
    about: &IdToken<'_>,
) -> Result<String, SigningError> {
    let (client, grant) = (about.client, about.grant);
    let alg = client.metadata.id_token_alg();
    let mut claims: Map<String, Value> = match client.metadata.id_token_user_claims {
        // Without a code or an access token, the client cannot get them elsewhere (§5.4).
        Some(false) if about.access_token.is_some() || about.code.is_some() => Map::new(),
        _ => about.user.claims_in_scope(about.scope),
    };
    claims.extend(about.user.requested_claims(&grant.terms.claims.id_token, &client.metadata.scope));
    let own = json!({
        "iss": issuer.url,
        "sub": grant.subject,
        "aud": client.id,
        "azp": client.id,
        "iat": now,
        "exp": now.saturating_add(client.metadata.lifetimes.id_token_within(issuer.token_lifetime)),
        "auth_time": grant.terms.auth_time,
        "acr": grant.terms.acr,
        "amr": grant.terms.amr,
        "sid": grant.id,
    });
    if let Value::Object(own) = own {
        claims.extend(own);
    }
    let hashes = [("at_hash", about.access_token), ("c_hash", about.code)];
    claims.extend(hashes.into_iter().filter_map(|(name, text)| Some((name.to_owned(), half_hash(alg, text?).into()))));
    if let Some(nonce) = about.nonce {
        claims.insert("nonce".to_owned(), Value::from(nonce));
    }
    keys.sign_statement(alg, "JWT", &claims).await
}

/// Left half of the hash that belongs to an algorithm (OpenID Connect Core §3.1.3.6, §3.3.2.11):
/// SHA-512 for Ed25519.
fn half_hash(alg: TokenAlg, text: &str) -> String {
    match alg {
        TokenAlg::EdDsa | TokenAlg::Ed25519 => base64url(&Sha512::digest(text.as_bytes())[..32]),
        TokenAlg::Es256 | TokenAlg::Rs256 | TokenAlg::Ps256 | TokenAlg::Hs256 => {
            base64url(&Sha256::digest(text.as_bytes())[..16])
        }
    }
}
