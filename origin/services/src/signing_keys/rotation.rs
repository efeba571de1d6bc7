//! Key rotation: generates keys ahead of time, switches to them, and destroys keys when all that
//! they signed has expired.
//!
//! Several processes may do this on one database at the same time, including the command line. Each
//! decides within the transaction that writes, so no task is done twice.

use std::collections::BTreeMap;

use tollgate_keys::{DERIVED_KID_PREFIX, MasterKey, generate_key};
use tollgate_model::key_schedule::{
    self as schedule, KEY_SWITCH_MARGIN, KeyPolicy, KeySpec, KeyState, KeyTasks, MAX_KEYS_PER_ALGORITHM,
};
use tollgate_model::{KeyPurpose, StoredKey};
use tollgate_storage::Store;

use super::error::SigningKeysError;

/// Outcome of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRotation {
    /// The key was generated, or will sign sooner than planned.
    Changed(StoredKey),
    /// The next key exists already.
    AlreadyScheduled(StoredKey),
    /// Verifiers accept no more keys, until the last tokens of older keys have expired.
    TooManyKeys,
    /// A snapshot key cannot sign immediately, because edges must pin it first.
    NotPinned,
}

/// Runs the tasks that are due at the Unix second `now`. Returns the keys that were generated or
/// changed.
///
/// # Errors
/// When the database fails, its keys are damaged, or a key cannot be generated.
pub async fn run_due_tasks(
    store: &Store,
    master: &MasterKey,
    policy: KeyPolicy,
    now: u64,
) -> Result<Vec<StoredKey>, SigningKeysError> {
    let rows = store.get_stored_keys().await?;
    let due = schedule::tasks(&rows.keys, &rows.revoked, policy, now);
    if rows.keys.is_empty() || due == KeyTasks::default() {
        return Ok(Vec::new());
    }
    let generated = generate(master, due.create, now).await?;
    let mut last_expiries = BTreeMap::new();
    for key in rows.keys.iter().filter(|key| due.determine_expiry.contains(&key.kid) || due.retire.contains(&key.kid)) {
        last_expiries.insert(key.kid.clone(), last_expiry(store, key).await?);
    }
    let changed = store.update_keys(|keys, revoked| {
        let due = schedule::tasks(keys, revoked, policy, now);
        let states = schedule::states(keys, revoked, now);
        let matches_spec = |key: &StoredKey, spec: &KeySpec| {
            key.purpose == spec.purpose.as_str() && key.alg == spec.alg.as_str() && key.ahead == spec.ahead
        };
        let created = generated.into_iter().filter(|key| due.create.iter().any(|spec| matches_spec(key, spec)));
        let select = |kids: &[String]| keys.iter().filter(|key| kids.contains(&key.kid)).cloned().collect::<Vec<_>>();
        let expedited = select(&due.expedite).into_iter().map(|key| expedite(keys, key, now));
        let with_expiry = select(&due.determine_expiry).into_iter().filter_map(|key| {
            let last = *last_expiries.get(&key.kid)?;
            let replaced = schedule::replaced_at(&key, &states)?;
            Some(StoredKey { retires_at: Some(retirement(&key, replaced, last, policy)), ..key })
        });
        let retired = select(&due.retire).into_iter().filter_map(|key| {
            // An origin whose clock is far behind may have continued to sign.
            match last_expiries.get(&key.kid)? {
                Some(last) if *last > now => Some(StoredKey { retires_at: Some(*last), ..key }),
                _ => Some(StoredKey { gone_at: Some(now), sealed: Vec::new(), ..key }),
            }
        });
        created.chain(expedited).chain(with_expiry).chain(retired).collect()
    });
    let changed = changed.await?;
    for key in &changed {
        let is_retired = key.gone_at.is_some();
        tracing::info!(
            kid = key.kid,
            alg = key.alg,
            purpose = key.purpose,
            is_retired,
            "key generated, changed or retired"
        );
    }
    Ok(changed)
}

/// Generates the successor of the current key, which will sign `spec.ahead` seconds after its
/// publication. If that is 0 and a successor exists already, it signs as soon as it is published.
///
/// # Errors
/// When the database fails or the key cannot be generated.
pub async fn rotate(
    store: &Store,
    master: &MasterKey,
    spec: KeySpec,
    now: u64,
) -> Result<KeyRotation, SigningKeysError> {
    let KeySpec { purpose, alg, ahead } = spec;
    let mut generated = generate(master, vec![spec], now).await?;
    let mut outcome = KeyRotation::TooManyKeys;
    let changed = store.update_keys(|keys, revoked| {
        let states = schedule::states(keys, revoked, now);
        let mut same_kind = states.iter().filter(|(key, _)| key.purpose == purpose.as_str() && key.alg == alg.as_str());
        let upcoming = same_kind.clone().find(|(_, state)| *state == KeyState::Upcoming).map(|(key, _)| (*key).clone());
        let verifiable = same_kind.by_ref().filter(|(_, state)| *state < KeyState::Revoked).count();
        let changed = match upcoming {
            Some(next) if ahead == 0 => Some(expedite(keys, next, now)),
            Some(next) => {
                outcome = KeyRotation::AlreadyScheduled(next);
                None
            }
            None if purpose == KeyPurpose::Snapshot && ahead == 0 => {
                outcome = KeyRotation::NotPinned;
                None
            }
            None if verifiable >= MAX_KEYS_PER_ALGORITHM => None,
            None => generated.pop(),
        };
        changed.into_iter().collect()
    });
    let changed = changed.await?.pop();
    Ok(changed.map_or(outcome, KeyRotation::Changed))
}

/// Changes a key to sign as soon as verifiers know it.
fn expedite(keys: &[StoredKey], key: StoredKey, now: u64) -> StoredKey {
    let pinned = key.purpose == KeyPurpose::Snapshot.as_str();
    let is_known = key.published_at.is_some() || pinned;
    let signs_from = is_known.then(|| schedule::signing_start(keys, &key, now));
    let published_at = key.published_at.or(pinned.then_some(now));
    StoredKey { ahead: 0, published_at, signs_from, ..key }
}

async fn generate(master: &MasterKey, specs: Vec<KeySpec>, now: u64) -> Result<Vec<StoredKey>, SigningKeysError> {
    let master = master.clone();
    let generating =
        tokio::task::spawn_blocking(move || specs.into_iter().map(|spec| generate_key(&master, spec, now)).collect());
    let generated: Result<_, _> = generating.await.map_err(|_| SigningKeysError::Interrupted)?;
    Ok(generated?)
}

/// Expiry of the last token on record that a key signed.
async fn last_expiry(store: &Store, key: &StoredKey) -> Result<Option<u64>, SigningKeysError> {
    Ok(match key.purpose.as_str() {
        "token" => store.find_last_expiry(&key.kid).await?,
        "derive" => {
            let prefix: String = key.kid.chars().take(DERIVED_KID_PREFIX).collect();
            store.find_last_expiry_by_prefix(&format!("{prefix}.")).await?
        }
        _ => None,
    })
}

/// Time after which all that a key signed has expired: its last token on record, and the statements
/// that are not on record.
fn retirement(key: &StoredKey, replaced: u64, last: Option<u64>, policy: KeyPolicy) -> u64 {
    let off_record = match key.purpose.as_str() {
        "token" => policy.statement_lifetime.max(KEY_SWITCH_MARGIN),
        _ => KEY_SWITCH_MARGIN,
    };
    last.unwrap_or(0).max(replaced.saturating_add(off_record))
}
