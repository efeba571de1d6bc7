//! Password hashing, where it can hurt nobody: on threads of its own, few at a time.
//!
//! Argon2id takes 19 MiB and some tens of milliseconds a hash, on purpose. On an async thread it would stop all others for
//! that long, and as many at once as there are requests would take the machine's memory: so a semaphore bounds them, and who
//! cannot be served soon is told to come back.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::ambient;

/// Hashes at one time. More would only take turns on the cores there are, and hold their memory meanwhile.
const AT_ONCE: usize = 2;
/// How long one waits for its turn before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hashes passwords and checks them; clones share the bound.
#[derive(Clone)]
pub struct Forge {
    turns: Arc<Semaphore>,
    /// The hash of a password that nobody has, checked where there is no user: so that an unknown name takes as long as a
    /// wrong password.
    nobody: Arc<str>,
}

/// A password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// Too many are waiting.
    #[error("too many passwords wait to be checked; try again")]
    Busy,
    /// The hash or the system failed.
    #[error("a password could not be hashed: {0}")]
    Failed(String),
}

impl Forge {
    /// A forge.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new() -> Result<Forge, ForgeError> {
        let nobody = hash_now(&Zeroizing::new(String::from_utf8_lossy(&random_salt()?).into_owned()))?;
        Ok(Forge { turns: Arc::new(Semaphore::new(AT_ONCE)), nobody: nobody.into() })
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    /// When too many wait, or the system has no randomness.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, ForgeError> {
        self.work(move || hash_now(&password)).await
    }

    /// Whether this is the password of `hash`; with no hash, never, after the same time.
    ///
    /// # Errors
    /// When too many wait, or the hash is none.
    pub async fn verify(&self, password: Zeroizing<String>, hash: Option<String>) -> Result<bool, ForgeError> {
        let is_somebody = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.to_string());
        let fits = self.work(move || {
            let hash = PasswordHash::new(&hash).map_err(failed)?;
            Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        });
        Ok(fits.await? && is_somebody)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ForgeError> + Send + 'static,
    ) -> Result<T, ForgeError> {
        let turn = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| ForgeError::Busy)?.map_err(failed)?;
        // The turn goes with the work: a caller that went away does not free it before its hash is done.
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(failed)?
    }
}

/// The PHC string of a password, at once: for the command line.
///
/// # Errors
/// When the system has no randomness.
pub fn hash_now(password: &Zeroizing<String>) -> Result<String, ForgeError> {
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &random_salt()?).map_err(failed)?;
    Ok(hash.to_string())
}

fn random_salt() -> Result<[u8; 16], ForgeError> {
    ambient::random().map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> ForgeError {
    ForgeError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_hash_alone() {
        let forge = Forge::new().expect("a forge");
        let password = |text: &str| Zeroizing::new(text.to_owned());
        let hash = forge.hash(password("correct horse")).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(forge.verify(password("correct horse"), Some(hash.clone())).await.expect("checked"));
        assert!(!forge.verify(password("wrong horse"), Some(hash)).await.expect("checked"));
        assert!(!forge.verify(password("correct horse"), None).await.expect("checked"));
        assert!(forge.verify(password("x"), Some("no hash".to_owned())).await.is_err());
    }
}
