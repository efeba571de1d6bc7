//! Serializes signed JWTs other than access tokens: ID tokens, status lists, security events.

use serde::Serialize;
use tollgate_model::TokenAlg;

use super::compact::{self, IssueError, UnsignedJwt};
use super::key_ring::KeyRing;

/// The algorithm of statements without a recipient who chose another: that with the smallest
/// signatures among those that every JOSE library supports.
pub const STATEMENT_ALG: TokenAlg = TokenAlg::EdDsa;

impl KeyRing {
    /// Serializes a JWT that is not an access token, to be signed with the key of the JWKS for
    /// `alg`.
    ///
    /// `token_type` keeps it from being accepted as an access token and vice versa (RFC 8725
    /// §3.11): [`KeyRing::verify_token`] and edges refuse every other type. `JWT` is the type of
    /// some access tokens, too; a JWT of that type must have no `jti` and no `client_id`.
    ///
    /// # Errors
    /// If there is no such key.
    pub fn prepare_statement(
        &self,
        alg: TokenAlg,
        token_type: &str,
        claims: &impl Serialize,
    ) -> Result<UnsignedJwt, IssueError> {
        let (kid, key) = self.signing_key(alg).ok_or(IssueError::NoKey(alg))?;
        UnsignedJwt::new(&compact::header(alg, kid, token_type), claims, key)
    }
}
