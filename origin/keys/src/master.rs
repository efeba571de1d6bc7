//! The master key: 256 bits stored outside the database, with which the private keys in the
//! database are encrypted.

use std::fmt;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use tollgate_model::encoding::{base64url, from_base64url};
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 24;

/// The master key. Its text form is 43 characters of base64url.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// Error: a text is not a master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 bytes in base64url, 43 characters without padding")]
pub struct MasterKeyError;

/// Error: a private key could not be encrypted or decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key was encrypted with another master key, or the row was altered.
    #[error("wrong master key, or altered ciphertext")]
    WrongKey,
    /// The cipher refused the input, which happens only for sizes far beyond any key.
    #[error("encryption failed")]
    Refused,
}

impl MasterKey {
    /// Characters of the text form.
    pub const TEXT_LENGTH: usize = 43;

    #[must_use]
    pub fn from_random(random: [u8; 32]) -> MasterKey {
        MasterKey(Zeroizing::new(random))
    }

    /// Parses the text form; surrounding white space is ignored.
    ///
    /// # Errors
    /// If it is not 32 bytes in base64url.
    pub fn parse(text: &str) -> Result<MasterKey, MasterKeyError> {
        let bytes = Zeroizing::new(from_base64url(text.trim()).ok_or(MasterKeyError)?);
        let bytes = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| MasterKeyError)?;
        Ok(MasterKey(Zeroizing::new(bytes)))
    }

    /// The text form, for the key file.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(base64url(self.0.as_slice()))
    }

    /// Encrypts `plain` with XChaCha20-Poly1305; returns nonce and ciphertext. Nonces of 192 bits
    /// can be random.
    pub(super) fn seal(&self, plain: &[u8], context: &[u8], nonce: [u8; NONCE_BYTES]) -> Result<Vec<u8>, SealError> {
        let payload = Payload { msg: plain, aad: context };
        let ciphertext = self.cipher()?.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Refused)?;
        Ok([nonce.as_slice(), &ciphertext].concat())
    }

    /// Decrypts the result of [`MasterKey::seal`] with the same context.
    pub(super) fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::WrongKey)?;
        let payload = Payload { msg: ciphertext, aad: context };
        let plain = self.cipher()?.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::WrongKey)?;
        Ok(Zeroizing::new(plain))
    }

    /// The cipher uses a key derived for this purpose, so that the master key can have further
    /// purposes.
    fn cipher(&self) -> Result<XChaCha20Poly1305, SealError> {
        let mut key = Zeroizing::new([0; 32]);
        let derived =
            Hkdf::<Sha256>::new(None, self.0.as_slice()).expand(b"tollgate private keys at rest v1", key.as_mut());
        derived.map_err(|_| SealError::Refused)?;
        XChaCha20Poly1305::new_from_slice(key.as_slice()).map_err(|_| SealError::Refused)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ciphertext_decrypts_only_with_its_key_and_context() {
        let master = MasterKey::from_random([1; 32]);
        let sealed = master.seal(b"private", b"here", [9; 24]).expect("sealed");
        assert_eq!(master.open(&sealed, b"here").expect("opened").as_slice(), b"private");
        assert_eq!(master.open(&sealed, b"there"), Err(SealError::WrongKey));
        assert_eq!(MasterKey::from_random([2; 32]).open(&sealed, b"here"), Err(SealError::WrongKey));
        assert_eq!(master.open(&sealed[..10], b"here"), Err(SealError::WrongKey));
    }

    #[test]
    fn text_form_round_trips() {
        let master = MasterKey::from_random([1; 32]);
        assert_eq!(MasterKey::parse(&format!("{}\n", &*master.to_text())).expect("parses").0, master.0);
        assert!(MasterKey::parse("c2hvcnQ").is_err());
        assert_eq!(format!("{master:?}"), "MasterKey(…)");
    }
}
