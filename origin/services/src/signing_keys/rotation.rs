//! Making keys before they are needed, switching to them, and destroying them when nothing they
//! signed is good any more.
//!
//! Several processes may do this on one database at a time, the command line among them: what there
//! is to do is decided anew in the transaction that writes it, so nothing is done twice.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tollgate_keys::{DERIVED_KID_PREFIX, MasterKey, generate_key};
use tollgate_model::error_chain::with_causes;
use tollgate_model::key_schedule::{
    self as schedule, KEY_SWITCH_MARGIN, KeyPolicy, KeySpec, KeyState, KeyTasks, MAX_KEYS_PER_ALGORITHM,
};
use tollgate_model::{KeyPurpose, StoredKey};
use tollgate_storage::Store;
use tollgate_system::clock;

use super::{SigningKeys, SigningKeysError};
use crate::feed_change::FeedChange;

/// How often it is looked whether something is due, when nothing happens.
const INTERVAL: Duration = Duration::from_secs(10);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// What a rotation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRotation {
    /// The key was made, or told to sign sooner.
    Changed(StoredKey),
    /// This one is on its way already.
    AlreadyScheduled(StoredKey),
    /// So many keys wait for their last tokens to expire that verifiers could take no more.
    TooManyKeys,
    /// A snapshot key cannot sign before edges pin it: it is to be made first.
    NotPinned,
}

/// Keeps the keys as they should be, and the ring as they are, until `stop`.
pub async fn run(keys: SigningKeys, policy: KeyPolicy, mut wake: Receiver<FeedChange>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = async {
            loop {
                let version = wake.borrow_and_update().head.version;
                let rest = match run_due_tasks_and_reload(&keys, policy).await {
                    Ok(rest) => rest,
                    Err(error) => {
                        tracing::error!(error = with_causes(&error), "the keys cannot be kept");
                        PAUSE
                    }
                };
                // The watch ends only when the origin does; then so does this, from outside.
                let _ = timeout(rest, wake.wait_for(|wake| wake.head.version != version)).await;
            }
        } => {}
    }
}

/// Does what is due, reads the keys, and says how long they stand.
async fn run_due_tasks_and_reload(keys: &SigningKeys, policy: KeyPolicy) -> Result<Duration, SigningKeysError> {
    // What is retired is destroyed: not by a clock that jumped.
    run_due_tasks(keys.store(), keys.master(), policy, keys.store().settled_now()).await?;
    let change = keys.reload().await?.next_change();
    let until = change.map(|change| change.saturating_mul(1000).saturating_sub(clock::now_ms()));
    Ok(until.map_or(INTERVAL, |ms| Duration::from_millis(ms.max(1))).min(INTERVAL))
}

/// Does what is due at the Unix second `now`; gives the keys that were made or changed.
///
/// # Errors
/// When the database fails, its keys are damaged, or none can be made.
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
    let made = made(master, due.create, now).await?;
    let mut ends = BTreeMap::new();
    for key in rows.keys.iter().filter(|key| due.determine_expiry.contains(&key.kid) || due.retire.contains(&key.kid)) {
        ends.insert(key.kid.clone(), last_expiry(store, key).await?);
    }
    let changed = store.update_keys(|keys, revoked| {
        let due = schedule::tasks(keys, revoked, policy, now);
        let states = schedule::states(keys, revoked, now);
        let is_for = |key: &StoredKey, wanted: &KeySpec| {
            key.purpose == wanted.purpose.as_str() && key.alg == wanted.alg.as_str() && key.ahead == wanted.ahead
        };
        let needed = made.into_iter().filter(|key| due.create.iter().any(|wanted| is_for(key, wanted)));
        let of = |kids: &[String]| keys.iter().filter(|key| kids.contains(&key.kid)).cloned().collect::<Vec<_>>();
        let hastened = of(&due.expedite).into_iter().map(|key| hastened(keys, key, now));
        let settled = of(&due.determine_expiry).into_iter().filter_map(|key| {
            let last = *ends.get(&key.kid)?;
            let replaced = schedule::replaced_at(&key, &states)?;
            Some(StoredKey { retires_at: Some(end(&key, replaced, last, policy)), ..key })
        });
        let retired = of(&due.retire).into_iter().filter_map(|key| {
            // An origin with a clock far behind may have gone on signing.
            match ends.get(&key.kid)? {
                Some(last) if *last > now => Some(StoredKey { retires_at: Some(*last), ..key }),
                _ => Some(StoredKey { gone_at: Some(now), sealed: Vec::new(), ..key }),
            }
        });
        needed.chain(hastened).chain(settled).chain(retired).collect()
    });
    let changed = changed.await?;
    for key in &changed {
        let retired = key.gone_at.is_some();
        tracing::info!(
            kid = key.kid,
            alg = key.alg,
            purpose = key.purpose,
            retired,
            "a key was made, moved on or retired"
        );
    }
    Ok(changed)
}

/// Makes the successor of the key that signs now, to sign `wanted.ahead` seconds after it was
/// published. With nothing ahead, a successor that there is already signs as soon as it is
/// published.
///
/// # Errors
/// When the database fails or the key cannot be made.
pub async fn rotate(
    store: &Store,
    master: &MasterKey,
    wanted: KeySpec,
    now: u64,
) -> Result<KeyRotation, SigningKeysError> {
    let KeySpec { purpose, alg, ahead } = wanted;
    let mut made = made(master, vec![wanted], now).await?;
    let mut outcome = KeyRotation::TooManyKeys;
    let changed = store.update_keys(|keys, revoked| {
        let states = schedule::states(keys, revoked, now);
        let mut same = states.iter().filter(|(key, _)| key.purpose == purpose.as_str() && key.alg == alg.as_str());
        let upcoming = same.clone().find(|(_, state)| *state == KeyState::Upcoming).map(|(key, _)| (*key).clone());
        let known = same.by_ref().filter(|(_, state)| *state < KeyState::Revoked).count();
        let changed = match upcoming {
            Some(next) if ahead == 0 => Some(hastened(keys, next, now)),
            Some(next) => {
                outcome = KeyRotation::AlreadyScheduled(next);
                None
            }
            None if purpose == KeyPurpose::Snapshot && ahead == 0 => {
                outcome = KeyRotation::NotPinned;
                None
            }
            None if known >= MAX_KEYS_PER_ALGORITHM => None,
            None => made.pop(),
        };
        changed.into_iter().collect()
    });
    let changed = changed.await?.pop();
    Ok(changed.map_or(outcome, KeyRotation::Changed))
}

/// The key as it is when it is to sign as soon as verifiers know it.
fn hastened(keys: &[StoredKey], key: StoredKey, now: u64) -> StoredKey {
    let pinned = key.purpose == KeyPurpose::Snapshot.as_str();
    let known = key.published_at.is_some() || pinned;
    let signs_from = known.then(|| schedule::signing_start(keys, &key, now));
    let published_at = key.published_at.or(pinned.then_some(now));
    StoredKey { ahead: 0, published_at, signs_from, ..key }
}

async fn made(master: &MasterKey, wanted: Vec<KeySpec>, now: u64) -> Result<Vec<StoredKey>, SigningKeysError> {
    let master = master.clone();
    let making = tokio::task::spawn_blocking(move || {
        wanted.into_iter().map(|wanted| generate_key(&master, wanted, now)).collect()
    });
    let made: Result<_, _> = making.await.map_err(|_| SigningKeysError::Interrupted)?;
    Ok(made?)
}

/// When the last token on record expires that a key signed.
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

/// When nothing is good any more that a key signed: after its last token on record, and what is not
/// on record.
fn end(key: &StoredKey, replaced: u64, last: Option<u64>, policy: KeyPolicy) -> u64 {
    let others = match key.purpose.as_str() {
        "token" => policy.statement_lifetime.max(KEY_SWITCH_MARGIN),
        _ => KEY_SWITCH_MARGIN,
    };
    last.unwrap_or(0).max(replaced.saturating_add(others))
}
