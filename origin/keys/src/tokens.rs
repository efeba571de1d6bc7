//! Serializes and signs access tokens.

use tollgate_model::status_list::StatusClaim;
use tollgate_model::{AccessToken, Audiences, Claims, TokenAlg};

use super::compact::{IssueError, UnsignedJwt};
use super::ring::KeyRing;

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

    /// Serializes `token`, to be signed with the key of its record (compact serialization, RFC 7515
    /// §7.1). The key may have been replaced or revoked since it was chosen: the record decides
    /// whether the token is valid, and the request is answered.
    ///
    /// # Errors
    /// If the key is not in this ring.
    pub fn prepare_token(&self, token: &AccessToken, issuer: &str) -> Result<UnsignedJwt, IssueError> {
        self.prepare_claims(token, &token.claims(issuer))
    }

    /// As [`KeyRing::prepare_token`], with the `status` claim.
    ///
    /// # Errors
    /// As [`KeyRing::prepare_token`].
    pub fn prepare_token_with_status(&self, token: &AccessToken, issuer: &str) -> Result<UnsignedJwt, IssueError> {
        let status = Some(StatusClaim::of_token(issuer, token.number));
        self.prepare_claims(token, &Claims { status, ..token.claims(issuer) })
    }

    /// Serializes and signs `token`. RSA takes about a millisecond: not for an async thread.
    ///
    /// # Errors
    /// If the key is not in this ring, or signing fails.
    pub fn issue(&self, token: &AccessToken, issuer: &str) -> Result<String, IssueError> {
        self.prepare_token(token, issuer)?.sign()
    }

    fn prepare_claims(&self, token: &AccessToken, claims: &Claims<'_>) -> Result<UnsignedJwt, IssueError> {
        if let Some((header, key)) = self.recorded_key(&token.key_id) {
            return UnsignedJwt::new(header, claims, key);
        }
        let audience = token.audience.single().ok_or(IssueError::SeveralAudiences)?;
        let audience = self.recorded_audience_key(audience, &token.key_id);
        let audience = audience.ok_or_else(|| IssueError::UnknownKey(token.key_id.clone()))?;
        UnsignedJwt::new(audience.header(), claims, audience.key())
    }
}
