//! Encryption of credentials of other systems in the database.

use tollgate_system::rng;
use zeroize::Zeroizing;

use super::key_ring::KeyRing;
use super::master::{MasterKey, SealError};

impl KeyRing {
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
