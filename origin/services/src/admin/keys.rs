//! The keys that sign tokens.

use tollgate_keys::{KeyNotRevocable, PublicKey};
use tollgate_model::key_schedule::KeySpec;
use tollgate_model::{Actor, KeyPurpose, NewRevocation, Reason, Target, TokenAlg};

use super::{AdminError, Administration};
use crate::signing_keys::rotation::KeyRotation;

impl Administration {
    /// The keys that `filter` accepts, of all that were ever made.
    ///
    /// # Errors
    /// When the database fails or its keys cannot be decrypted.
    pub async fn list_keys(&self, filter: impl Fn(&PublicKey) -> bool) -> Result<Vec<PublicKey>, AdminError> {
        let keys = self.keys.reload().await?;
        Ok(keys.listing().iter().filter(|key| filter(key)).cloned().collect())
    }

    /// Makes the next keys, of one algorithm or of all asymmetric ones, and returns the upcoming
    /// keys. With `immediately` they sign as soon as they are published.
    ///
    /// # Errors
    /// [`AdminError::Conflict`] when too many keys are still in use, or when the database or the
    /// random source fails.
    pub async fn rotate_keys(
        &self,
        by: &Actor,
        alg: Option<TokenAlg>,
        immediately: bool,
    ) -> Result<Vec<PublicKey>, AdminError> {
        let specs = match alg {
            Some(TokenAlg::Hs256) => vec![(KeyPurpose::Derive, TokenAlg::Hs256)],
            Some(alg) => vec![(KeyPurpose::Token, alg)],
            None => [TokenAlg::EdDsa, TokenAlg::Es256, TokenAlg::Rs256].map(|alg| (KeyPurpose::Token, alg)).to_vec(),
        };
        let ahead = if immediately { 0 } else { self.key_policy.ahead };
        let mut kids = Vec::new();
        for (purpose, alg) in specs {
            match self.keys.rotate(KeySpec { purpose, alg, ahead }, by).await? {
                KeyRotation::Changed(key) | KeyRotation::AlreadyScheduled(key) => kids.push(key.kid),
                KeyRotation::TooManyKeys | KeyRotation::NotPinned => {
                    let problem = format!("too many keys for {alg} wait for their last tokens to expire");
                    return Err(AdminError::Conflict(problem));
                }
            }
        }
        tracing::info!(by = by.as_str(), ?kids, "rotated keys");
        self.list_keys(|key| kids.contains(&key.kid)).await
    }

    /// Checks that a key exists and that its revocation has an effect.
    ///
    /// # Errors
    /// [`AdminError::NotFound`] or [`AdminError::Conflict`], or when the database fails.
    pub async fn check_key_revocable(&self, kid: &str) -> Result<(), AdminError> {
        self.keys.reload().await?.check_revocable(kid).map_err(|error| match error {
            KeyNotRevocable::Unknown => AdminError::not_found("key", kid),
            error => AdminError::Conflict(error.to_string()),
        })
    }

    /// Revokes a key and with it everything that it signed; its successor is made automatically.
    /// Returns whether it was revoked already.
    ///
    /// # Errors
    /// As [`Administration::check_key_revocable`].
    pub async fn revoke_key(&self, by: &Actor, kid: &str, reason: Option<Reason>) -> Result<bool, AdminError> {
        self.check_key_revocable(kid).await?;
        let revocation = NewRevocation::any(Target::Key(kid.to_owned()), by.clone(), reason, self.clock.now())?;
        let was_revoked = !self.writer.revoke(revocation).await?.is_new_to_edges;
        tracing::info!(kid, by = by.as_str(), was_revoked, "revoked a key");
        Ok(was_revoked)
    }
}
