//! The keys that sign tokens.

use std::collections::BTreeSet;

use tollgate_keys::{KeyNotRevocable, KeyRing, MasterKey, PublicKey};
use tollgate_model::key_schedule::{KeySpec, KeyState, MAX_KEYS_PER_ALGORITHM, has_algorithm, states};
use tollgate_model::{Actor, KeyPolicy, KeyPurpose, NewRevocation, Reason, StoredKey, Target, TokenAlg};

use super::{AdminError, Administration, Registry};
use crate::signing_keys::rotation::{self, KeyRotation};

/// The next key of a purpose and algorithm.
pub struct ScheduledKey {
    /// The key, which may not be published yet.
    pub key: StoredKey,
    /// Whether it was scheduled before.
    pub was_scheduled: bool,
}

/// Outcome of the revocation of a key.
pub struct KeyRevocation {
    /// Whether it was revoked before.
    pub was_revoked: bool,
    /// Keys that were made, or sign earlier, to replace it.
    pub replaced_by: Vec<StoredKey>,
}

/// The keys that a rotation replaces: that of one algorithm, or all that sign with a private key.
fn token_key_kinds(alg: Option<TokenAlg>, keys: &[StoredKey]) -> Vec<(KeyPurpose, TokenAlg)> {
    let asymmetric = TokenAlg::ALL.into_iter().filter(|alg| *alg != TokenAlg::Hs256);
    match alg {
        Some(TokenAlg::Hs256) => vec![(KeyPurpose::Derive, TokenAlg::Hs256)],
        Some(alg) => vec![(KeyPurpose::Token, alg)],
        None => asymmetric.filter(|alg| has_algorithm(keys, *alg)).map(|alg| (KeyPurpose::Token, alg)).collect(),
    }
}

impl Registry {
    /// The keys that a rotation replaces: that of one algorithm, or all that sign with a private
    /// key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn token_key_kinds(&self, alg: Option<TokenAlg>) -> Result<Vec<(KeyPurpose, TokenAlg)>, AdminError> {
        Ok(token_key_kinds(alg, &self.store.list_keys().await?))
    }

    /// Makes the next key of each kind, which signs `ahead` seconds after its publication.
    ///
    /// # Errors
    /// [`AdminError::Conflict`] when too many keys are still in use, or a snapshot key would sign
    /// that edges do not know; or when the database or the random source fails.
    pub async fn schedule_keys(
        &self,
        by: &Actor,
        master: &MasterKey,
        kinds: &[(KeyPurpose, TokenAlg)],
        ahead: u64,
    ) -> Result<Vec<ScheduledKey>, AdminError> {
        let mut scheduled = Vec::new();
        for &(purpose, alg) in kinds {
            let spec = KeySpec { purpose, alg, ahead };
            let (key, was_scheduled) = match rotation::rotate(
                &self.store.with_actor(by),
                master,
                spec,
                self.clock.now(),
            )
            .await?
            {
                KeyRotation::Changed(key) => (key, false),
                KeyRotation::AlreadyScheduled(key) => (key, true),
                KeyRotation::TooManyKeys => {
                    return Err(AdminError::Conflict(format!(
                        "there are {MAX_KEYS_PER_ALGORITHM} keys for {alg}, the maximum: wait until the tokens of the oldest have expired"
                    )));
                }
                KeyRotation::NotPinned => {
                    return Err(AdminError::Conflict(
                            "there is no next snapshot key: create it with `tollgate key rotate --snapshot` and pin it at every edge first"
                                .to_owned(),
                        ));
                }
            };
            tracing::info!(by = by.as_str(), kid = key.kid, was_scheduled, "rotated a key");
            scheduled.push(ScheduledKey { key, was_scheduled });
        }
        Ok(scheduled)
    }

    /// Stores keys of another system.
    ///
    /// # Errors
    /// [`AdminError::Conflict`] when a key with one of these names exists or verifiers accept no
    /// more keys, or when the database fails.
    pub async fn import_keys(&self, by: &Actor, new: Vec<StoredKey>) -> Result<Vec<StoredKey>, AdminError> {
        let mut kids = BTreeSet::new();
        if let Some(twin) = new.iter().find(|key| !kids.insert(key.kid.as_str())) {
            return Err(AdminError::Conflict(format!("two of the keys have the kid {}", twin.kid)));
        }
        let (count, mut problem) = (new.len(), None);
        let store = self.store.with_actor(by);
        let stored = store.update_keys(|keys, revoked| {
            if let Some(taken) = new.iter().find(|key| keys.iter().any(|other| other.kid == key.kid)) {
                problem = Some(format!("a key with the kid {} exists", taken.kid));
                return Vec::new();
            }
            let states = states(keys, revoked, self.clock.now());
            let for_alg = |alg: &str| {
                let old = states.iter().filter(|(key, state)| key.alg == alg && *state < KeyState::Revoked).count();
                old + new.iter().filter(|key| key.alg == alg).count()
            };
            if let Some(key) = new.iter().find(|key| for_alg(&key.alg) > MAX_KEYS_PER_ALGORITHM) {
                problem = Some(format!("there would be more than {MAX_KEYS_PER_ALGORITHM} keys for {}", key.alg));
                return Vec::new();
            }
            new.clone()
        });
        let stored = stored.await?;
        if let Some(problem) = problem {
            return Err(AdminError::Conflict(problem));
        }
        tracing::info!(by = by.as_str(), count, "imported keys");
        Ok(stored)
    }

    /// Revokes a key and with it everything that it signed, and makes its successor, as a running
    /// server does too: the first of the two does the work.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Conflict`] when the revocation would have no effect,
    /// or when the database or the random source fails.
    pub async fn revoke_and_replace_key(
        &self,
        by: &Actor,
        master: &MasterKey,
        keys: &KeyRing,
        policy: KeyPolicy,
        kid: &str,
        reason: Option<Reason>,
    ) -> Result<KeyRevocation, AdminError> {
        check_revocable(keys, kid)?;
        let now = self.clock.now();
        let revocation = NewRevocation::any(Target::Key(kid.to_owned()), by.clone(), reason, now)?;
        let was_revoked = !self.store.revoke(revocation).await?.is_new_to_edges;
        tracing::info!(kid, by = by.as_str(), was_revoked, "revoked a key");
        let changed = rotation::run_due_tasks(&self.store.with_actor(by), master, policy, now).await?;
        let replaced_by = changed.into_iter().filter(|key| key.gone_at.is_none()).collect();
        Ok(KeyRevocation { was_revoked, replaced_by })
    }
}

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
    /// As [`Registry::schedule_keys`].
    pub async fn rotate_keys(
        &self,
        by: &Actor,
        alg: Option<TokenAlg>,
        immediately: bool,
    ) -> Result<Vec<PublicKey>, AdminError> {
        let ahead = if immediately { 0 } else { self.key_policy.ahead };
        let kinds = self.token_key_kinds(alg).await?;
        let scheduled = self.schedule_keys(by, self.keys.master(), &kinds, ahead).await?;
        self.list_keys(|key| scheduled.iter().any(|scheduled| scheduled.key.kid == key.kid)).await
    }

    /// Checks that a key exists and that its revocation has an effect.
    ///
    /// # Errors
    /// [`AdminError::NotFound`] or [`AdminError::Conflict`], or when the database fails.
    pub async fn check_key_revocable(&self, kid: &str) -> Result<(), AdminError> {
        let keys = self.keys.reload().await?;
        check_revocable(&keys, kid)
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

fn check_revocable(keys: &KeyRing, kid: &str) -> Result<(), AdminError> {
    keys.check_revocable(kid).map_err(|error| match error {
        KeyNotRevocable::Unknown => AdminError::not_found("key", kid),
        error => AdminError::Conflict(error.to_string()),
    })
}
