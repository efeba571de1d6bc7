//! The master key: 256 bits that live outside the database and encrypt the private keys in it.

use std::fmt;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use tollgate_model::encoding::{base64url, from_base64url};
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 24;

/// The key that opens the private keys in the database. Written as 43 characters of base64url.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// The text does not hold a master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 bytes in base64url, 43 characters without padding")]
pub struct MasterKeyError;

/// A private key could not be encrypted or decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Another master key sealed it, or the row was altered.
    #[error("the master key does not open it")]
    WrongKey,
    /// The cipher refused the input, which it does for sizes far beyond any key.
    #[error("it could not be encrypted")]
    Refused,
}

impl MasterKey {
    /// Characters of the text form.
    pub const TEXT_LENGTH: usize = 43;

    /// The key of these random bytes.
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> MasterKey {
        MasterKey(Zeroizing::new(random))
    }

    /// Reads the text form; white space around it is ignored.
    ///
    /// # Errors
    /// When it is not 32 bytes in base64url.
    pub fn parse(text: &str) -> Result<MasterKey, MasterKeyError> {
        let bytes = Zeroizing::new(from_base64url(text.trim()).ok_or(MasterKeyError)?);
        let bytes = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| MasterKeyError)?;
        Ok(MasterKey(Zeroizing::new(bytes)))
    }

    /// The text form, for the file made at first start.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(base64url(self.0.as_slice()))
    }

    /// Encrypts `plain`: a random nonce, then the XChaCha20-Poly1305 ciphertext. 192-bit nonces may be drawn at random.
    pub(super) fn seal(&self, plain: &[u8], context: &[u8], nonce: [u8; NONCE_BYTES]) -> Result<Vec<u8>, SealError> {
        let payload = Payload { msg: plain, aad: context };
        let ciphertext = self.cipher()?.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Refused)?;
        Ok([nonce.as_slice(), &ciphertext].concat())
    }

    /// Decrypts what [`MasterKey::seal`] made with the same context.
    pub(super) fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::WrongKey)?;
        let payload = Payload { msg: ciphertext, aad: context };
        let plain = self.cipher()?.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::WrongKey)?;
        Ok(Zeroizing::new(plain))
    }

    /// The cipher runs under a key derived for this one use, so that the master key can serve others later.
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
    fn what_is_sealed_opens_only_in_its_place() {
        let master = MasterKey::from_random([1; 32]);
        let sealed = master.seal(b"private", b"here", [9; 24]).expect("sealed");
        assert_eq!(master.open(&sealed, b"here").expect("opened").as_slice(), b"private");
        assert_eq!(master.open(&sealed, b"there"), Err(SealError::WrongKey));
        assert_eq!(MasterKey::from_random([2; 32]).open(&sealed, b"here"), Err(SealError::WrongKey));
        assert_eq!(master.open(&sealed[..10], b"here"), Err(SealError::WrongKey));
    }

    #[test]
    fn the_text_form_round_trips() {
        let master = MasterKey::from_random([1; 32]);
        assert_eq!(MasterKey::parse(&format!("{}\n", &*master.to_text())).expect("parses").0, master.0);
        assert!(MasterKey::parse("c2hvcnQ").is_err());
        assert_eq!(format!("{master:?}"), "MasterKey(…)");
    }
}
