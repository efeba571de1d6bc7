//! Signed JWTs other than access tokens (status lists, security events), and encryption of
//! credentials of other systems.

use serde::Serialize;
use tollgate_model::TokenAlg;
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::compact::{self, IssueError, UnsignedJwt};
use super::master::{MasterKey, SealError};
use super::ring::KeyRing;

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

    /// Encrypts a credential for the database. `context` is authenticated: one row's ciphertext
    /// cannot be used in another.
    ///
    /// # Errors
    /// If the random source fails, or the credential is far too long.
    pub fn seal_secret(&self, secret: &str, context: &str) -> Result<Vec<u8>, SealError> {
        let nonce = rng::random().map_err(|_| SealError::Refused)?;
        self.sealing_key().seal(secret.as_bytes(), context.as_bytes(), nonce)
    }

    /// Decrypts the result of [`KeyRing::seal_secret`] with the same context.
    ///
    /// # Errors
    /// If it was encrypted with other keys, or the row was altered.
    pub fn open_secret(&self, sealed: &[u8], context: &str) -> Result<Zeroizing<String>, SealError> {
        let bytes = self.sealing_key().open(sealed, context.as_bytes())?;
        let text = str::from_utf8(&bytes).map_err(|_| SealError::WrongKey)?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    fn sealing_key(&self) -> MasterKey {
        MasterKey::from_random(*self.derive_key("tollgate secrets key v1"))
    }
}
