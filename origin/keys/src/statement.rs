//! What the origin signs beside access tokens, and secrets of others that it keeps: status lists, security events, and the
//! credentials that receivers of events expect.

use serde::Serialize;
use tollgate_model::TokenAlg;
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::{IssueError, KeyRing, MasterKey, SealError, compact};

/// The algorithm of statements: the smallest signatures of those that every JOSE library has.
const ALG: TokenAlg = TokenAlg::EdDsa;

impl KeyRing {
    /// Signs a JWT of another type than an access token, under the EdDSA key of the JWKS.
    ///
    /// The type keeps it from passing for an access token and the other way around (RFC 8725 section 3.11): `recognise` and
    /// the edges refuse every type but theirs.
    ///
    /// # Errors
    /// When there is no such key or signing fails.
    pub fn sign_statement(&self, token_type: &str, claims: &impl Serialize) -> Result<String, IssueError> {
        self.sign_statement_with(ALG, token_type, claims)
    }

    /// As [`KeyRing::sign_statement`], under the key of another algorithm.
    ///
    /// # Errors
    /// When there is no such key or signing fails.
    pub fn sign_statement_with(
        &self,
        alg: TokenAlg,
        token_type: &str,
        claims: &impl Serialize,
    ) -> Result<String, IssueError> {
        let (kid, key) = self.signing_key(alg).ok_or(IssueError::NoKey(alg))?;
        compact::write(&compact::header(alg, kid, token_type), claims, key)
    }

    /// Encrypts a secret for the database, bound to `context`: what opens one row does not open another.
    ///
    /// # Errors
    /// When the system has no randomness, or the secret is far too long.
    pub fn seal_secret(&self, secret: &str, context: &str) -> Result<Vec<u8>, SealError> {
        let nonce = rng::random().map_err(|_| SealError::Refused)?;
        self.sealing_key().seal(secret.as_bytes(), context.as_bytes(), nonce)
    }

    /// Decrypts what [`KeyRing::seal_secret`] made with the same context.
    ///
    /// # Errors
    /// When another origin's keys sealed it, or the row was altered.
    pub fn open_secret(&self, sealed: &[u8], context: &str) -> Result<Zeroizing<String>, SealError> {
        let bytes = self.sealing_key().open(sealed, context.as_bytes())?;
        let text = str::from_utf8(&bytes).map_err(|_| SealError::WrongKey)?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    fn sealing_key(&self) -> MasterKey {
        MasterKey::from_random(*self.derived("tollgate secrets key v1"))
    }
}
