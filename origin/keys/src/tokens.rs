//! Signing access tokens.

use tollgate_model::status_list::StatusClaim;
use tollgate_model::{AccessToken, Audiences, Claims, TokenAlg};

use super::{KeyRing, compact};

/// The header type of access tokens (RFC 9068 §2.1), so that no other kind of JWT passes for one.
pub(super) const TOKEN_TYPE: &str = "at+jwt";

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("there is no {0} key to sign with")]
    NoKey(TokenAlg),
    #[error("an HS256 token has one audience: its key is that audience's")]
    SeveralAudiences,
    #[error("the key {0} of a token is not known any more")]
    UnknownKey(String),
    #[error("the token could not be written: {0}")]
    Write(#[from] serde_json::Error),
    #[error("the signature could not be made")]
    Sign,
}

impl KeyRing {
    /// The identifier of the key that signs tokens of this algorithm for an audience.
    ///
    /// # Errors
    /// When there is no key for `alg`.
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

    /// Signs `token` with the key that its record names, giving the compact form (RFC 7515 §7.1). That may have been replaced or
    /// revoked since it was chosen: the token is good or not as its record says, and the request that it is for is answered.
    ///
    /// # Errors
    /// When the key is none of this ring's or signing fails.
    pub fn issue(&self, token: &AccessToken, issuer: &str) -> Result<String, IssueError> {
        self.sign_claims(token, &token.claims(issuer))
    }

    /// As [`KeyRing::issue`], with a claim that says where the token's status stands.
    ///
    /// # Errors
    /// As [`KeyRing::issue`].
    pub fn issue_with_status(&self, token: &AccessToken, issuer: &str) -> Result<String, IssueError> {
        let status = Some(StatusClaim::of_token(issuer, token.number));
        self.sign_claims(token, &Claims { status, ..token.claims(issuer) })
    }

    fn sign_claims(&self, token: &AccessToken, claims: &Claims<'_>) -> Result<String, IssueError> {
        if let Some((header, key)) = self.recorded_key(&token.key_id) {
            return compact::write(header, claims, key);
        }
        let audience = token.audience.single().ok_or(IssueError::SeveralAudiences)?;
        let audience = self.recorded_audience_key(audience, &token.key_id);
        let audience = audience.ok_or_else(|| IssueError::UnknownKey(token.key_id.clone()))?;
        compact::write(audience.header(), claims, audience.key())
    }
}
