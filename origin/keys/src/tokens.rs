//! Serializes and signs access tokens.

use std::sync::Arc;

use serde_json::{Map, Value};
use tollgate_model::status_list::StatusClaim;
use tollgate_model::{AccessToken, AccessTokenType, Audiences, Claims, TokenAlg};

use super::compact::{self, IssueError, UnsignedJwt};
use super::key_ring::KeyRing;
use super::private::PrivateKey;

impl KeyRing {
    /// The `kid` of the key that signs tokens with this algorithm for an audience.
    ///
    /// # Errors
    /// If there is no key for `alg`.
    pub fn key_id(&self, alg: TokenAlg, audience: &Audiences) -> Result<String, IssueError> {
        let kid = match alg {
            TokenAlg::Hs256 => {
                let audience = audience.single().ok_or(IssueError::SeveralAudiences)?;
                self.audience_key(audience).map(|key| key.kid().to_owned())
            }
            _ => self.signing_key(alg).map(|(kid, _)| kid.to_owned()),
        };
        kid.ok_or(IssueError::NoKey(alg))
    }

    /// Serializes `token` as [`KeyRing::prepare_token_with`] does, without optional claims and with
    /// the usual type.
    ///
    /// # Errors
    /// If the key is not in this ring.
    pub fn prepare_token(&self, token: &AccessToken, issuer: &str) -> Result<UnsignedJwt, IssueError> {
        self.prepare_token_with(token, issuer, &TokenOptions::default())
    }

    /// Serializes `token`, to be signed with the key of its record (compact serialization, RFC 7515
    /// §7.1). The key may have been replaced or revoked since it was chosen: the record decides
    /// whether the token is valid, and the request is answered.
    ///
    /// # Errors
    /// If the key is not in this ring.
    pub fn prepare_token_with(
        &self,
        token: &AccessToken,
        issuer: &str,
        options: &TokenOptions<'_>,
    ) -> Result<UnsignedJwt, IssueError> {
        let status = options.has_status.then(|| StatusClaim::of_token(issuer, token.number));
        let claims = Claims { status, user: options.user_claims, ..token.claims(issuer) };
        if let Some((header, key)) = self.recorded_key(&token.key_id) {
            return unsigned(header, key, &token.key_id, &claims, options.token_type);
        }
        let audience = token.audience.single().ok_or(IssueError::SeveralAudiences)?;
        let audience = self.recorded_audience_key(audience, &token.key_id);
        let audience = audience.ok_or_else(|| IssueError::UnknownKey(token.key_id.clone()))?;
        unsigned(audience.header(), audience.key(), audience.kid(), &claims, options.token_type)
    }

    /// Serializes and signs `token`. RSA takes about a millisecond: not for an async thread.
    ///
    /// # Errors
    /// If the key is not in this ring, or signing fails.
    pub fn issue(&self, token: &AccessToken, issuer: &str) -> Result<String, IssueError> {
        self.prepare_token(token, issuer)?.sign()
    }
}

/// What a token says besides its record.
#[derive(Debug, Clone, Default)]
pub struct TokenOptions<'a> {
    pub token_type: AccessTokenType,
    /// Whether it has the `status` claim.
    pub has_status: bool,
    /// Claims of the user.
    pub user_claims: Option<&'a Map<String, Value>>,
}

/// Serializes the claims. `header` is the key's header for the usual type of access tokens.
fn unsigned(
    header: &str,
    key: &Arc<PrivateKey>,
    kid: &str,
    claims: &Claims<'_>,
    token_type: AccessTokenType,
) -> Result<UnsignedJwt, IssueError> {
    match token_type {
        AccessTokenType::AtJwt => UnsignedJwt::new(header, claims, key),
        AccessTokenType::Jwt => UnsignedJwt::new(&compact::header(key.alg(), kid, token_type.as_str()), claims, key),
    }
}
