//! State that all instances of this edge share in Spin's key-value store: a snapshot, the log of
//! messages after it, and the last poll of the origin. Spin replaces an instance after some
//! requests or an idle second, and runs many in parallel. Without shared state, each would start
//! stale and poll by itself.
//!
//! The log names its snapshot, and the snapshot is written first. So a new instance finds both or
//! neither, and is as fresh as the instance that wrote them, also when the origin has become
//! unreachable meanwhile.
//!
//! Only times are trusted in the store: every message is verified again
//! ([`tollgate_gate::MessageLog`]). If the store fails, each instance polls by itself.

use crate::edge::{Edge, now_ms};
use spin_sdk::experimental::wasi::keyvalue::{atomics, store};
use spin_sdk::key_value::Store;
use std::net::IpAddr;
use tollgate_gate::{MessageLog, RateLimiter, RouteRateLimit};

/// Key of a snapshot, before its name. A new wire format needs a new key.
const SNAPSHOT_KEY: &str = "tollgate/snapshot/v2/";
/// Key of the message log, which contains its own version.
const LOG_KEY: &str = "tollgate/record";
/// Key of [`OriginPoll`].
const POLL_KEY: &str = "tollgate/questions/v2";
/// Key of a part of the counts of rate limits, before its number.
const LIMITS_KEY: &str = "tollgate/limits/v1/";
/// Parts of the counts, so that requests of different clients seldom write the same value.
const LIMITS_PARTS: u64 = 8;
/// Minimum interval between the polls of all instances: four a second.
const MIN_POLL_INTERVAL_MS: u64 = 250;
/// Minimum interval while polls fail.
const MIN_RETRY_INTERVAL_MS: u64 = 1_000;
/// Age at which a poll without a result counts as lost: its instance may have ended.
const POLL_TIMEOUT_MS: u64 = 2_000;
/// Age at which a failure is ignored.
const FAILURE_EXPIRY_MS: u64 = 10_000;
/// Attempts to replace the log while other instances do so, too.
const MAX_STORE_ATTEMPTS: usize = 3;

/// Which instance polls the origin.
pub(crate) enum PollClaim {
    /// This instance.
    Ours(OriginPoll),
    /// Another instance, whose answer is worth waiting for.
    Other,
    /// None now, because the last poll failed.
    Failing,
}

/// The last poll of the origin by any instance. Times are Unix milliseconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct OriginPoll {
    asked_at_ms: u64,
    /// Time of the last failure, if no poll succeeded after it; else 0.
    failed_at_ms: u64,
    /// Whether the poll has ended. Until then, no other instance polls.
    is_finished: bool,
}

/// Initializes a new instance with the shared state.
pub(crate) async fn initialize(edge: &Edge) {
    catch_up(edge).await;
}

/// Applies the messages of other instances, if these bring changes or make the replica fresher.
pub(crate) async fn catch_up(edge: &Edge) {
    edge.looked_at_ms.set(now_ms());
    let Some(log) = read(LOG_KEY).await.and_then(|bytes| MessageLog::from_bytes(&bytes)) else { return };
    if !log.has_news_for(&edge.gate(), now_ms()) {
        return;
    }
    if !log.has_snapshot_of(&edge.gate()) {
        load_snapshot(edge, &log).await;
    }
    let applied = log.apply_to(&mut edge.gate_mut(), now_ms());
    match applied {
        Ok(()) => {
            let previous = edge.log.replace(log);
            edge.log.borrow_mut().append_changes_of(&previous);
        }
        Err(error) => eprintln!("tollgate: a message of another instance was refused: {error}"),
    }
}

/// Shares the snapshot and the message log with other instances, unless theirs are newer.
pub(crate) async fn store(edge: &Edge) {
    let log = edge.log.borrow().clone();
    if !log.has_proof() || !log.has_snapshot_of(&edge.gate()) {
        return; // new instances would be less fresh than by the stored one
    }
    let name = log.snapshot_name();
    if *edge.stored_snapshot.borrow() != name {
        let snapshot = edge.gate().snapshot().map(<[u8]>::to_vec).unwrap_or_default();
        if !write(&snapshot_key(&name), &snapshot).await {
            return;
        }
        edge.stored_snapshot.replace(name.clone());
    }
    match replace_log(&log) {
        Ok(Some(replaced)) if replaced != name => delete(&snapshot_key(&replaced)).await,
        Ok(_) => {}
        Err(error) => eprintln!("tollgate: {LOG_KEY} cannot be written to the key-value store: {error:?}"),
    }
}

/// Replaces the stored log, unless it is newer. Returns the name of the snapshot of the replaced
/// one.
fn replace_log(log: &MessageLog) -> Result<Option<String>, store::Error> {
    let bucket = store::open("default")?;
    let mut cas = atomics::Cas::new(&bucket, LOG_KEY)?;
    for _ in 0..MAX_STORE_ATTEMPTS {
        let stored = cas.current()?.as_deref().and_then(MessageLog::from_bytes);
        if stored.as_ref().is_some_and(|stored| !log.is_newer_than(stored, now_ms())) {
            return Ok(None);
        }
        match atomics::swap(cas, &log.to_bytes()) {
            Ok(()) => return Ok(stored.map(|stored| stored.snapshot_name())),
            Err(atomics::CasError::CasFailed(next)) => cas = next,
            Err(atomics::CasError::StoreError(error)) => return Err(error),
        }
    }
    Ok(None) // the others' logs are as new
}

/// Claims the next poll of the origin for this instance, unless another one polls now or polled a
/// moment ago.
pub(crate) fn claim_poll(min_interval_ms: u64) -> PollClaim {
    try_claim_poll(now_ms(), min_interval_ms.min(MIN_POLL_INTERVAL_MS)).unwrap_or_else(|error| {
        eprintln!("tollgate: the last poll cannot be read from the key-value store: {error:?}");
        PollClaim::Ours(OriginPoll::default())
    })
}

fn try_claim_poll(now_ms: u64, min_interval_ms: u64) -> Result<PollClaim, store::Error> {
    let bucket = store::open("default")?;
    let cas = atomics::Cas::new(&bucket, POLL_KEY)?;
    let last = cas.current()?.as_deref().and_then(OriginPoll::from_bytes).unwrap_or_default();
    let of_other = || if last.is_failing(now_ms) { PollClaim::Failing } else { PollClaim::Other };
    let min_interval_ms = match last.is_finished {
        false => POLL_TIMEOUT_MS,
        true if last.is_failing(now_ms) => MIN_RETRY_INTERVAL_MS,
        true => min_interval_ms,
    };
    // The distance, so that after setting the clock back, polls resume after one interval.
    if now_ms.abs_diff(last.asked_at_ms) < min_interval_ms {
        return Ok(of_other());
    }
    let ours = OriginPoll { asked_at_ms: now_ms, is_finished: false, ..last };
    match atomics::swap(cas, &ours.to_bytes()) {
        Ok(()) => Ok(PollClaim::Ours(ours)),
        Err(atomics::CasError::CasFailed(_)) => Ok(of_other()),
        Err(atomics::CasError::StoreError(error)) => Err(error),
    }
}

impl OriginPoll {
    /// Whether the last poll failed recently, so that the next one is expected to fail.
    pub(crate) fn is_failing(&self, now_ms: u64) -> bool {
        now_ms.abs_diff(self.failed_at_ms) < FAILURE_EXPIRY_MS
    }

    /// Shares the result of this instance's poll.
    pub(crate) async fn finish(self, is_answered: bool) {
        let failed_at_ms = if is_answered { 0 } else { now_ms() };
        write(POLL_KEY, &Self { failed_at_ms, is_finished: true, ..self }.to_bytes()).await;
    }

    fn to_bytes(self) -> Vec<u8> {
        let times = [self.asked_at_ms.to_be_bytes(), self.failed_at_ms.to_be_bytes()];
        [times.as_flattened(), &[u8::from(self.is_finished)]].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (asked_at, rest) = bytes.split_first_chunk()?;
        let (failed_at, rest) = rest.split_first_chunk()?;
        let [is_finished] = rest.try_into().ok()?;
        Some(Self {
            asked_at_ms: u64::from_be_bytes(*asked_at),
            failed_at_ms: u64::from_be_bytes(*failed_at),
            is_finished: is_finished == 1,
        })
    }
}

/// Counts a request for the rate limit of its route, for all instances.
///
/// # Errors
/// The seconds after which the next request may be sent, if this one exceeds the limit.
pub(crate) fn count_request(limit: &RouteRateLimit, address: Option<IpAddr>) -> Result<(), u64> {
    let bucket = limit.bucket(address);
    let count = || -> Result<Result<(), u64>, store::Error> {
        let store = store::open("default")?;
        let mut cas = atomics::Cas::new(&store, &format!("{LIMITS_KEY}{}", bucket.number() % LIMITS_PARTS))?;
        loop {
            let mut limiter = RateLimiter::from_bytes(&cas.current()?.unwrap_or_default());
            let taken = limiter.take(bucket, &limit.limit, now_ms());
            if taken.is_err() {
                return Ok(taken);
            }
            match atomics::swap(cas, &limiter.to_bytes(now_ms())) {
                Ok(()) => return Ok(taken),
                Err(atomics::CasError::CasFailed(next)) => cas = next, // another instance has counted
                Err(atomics::CasError::StoreError(error)) => return Err(error),
            }
        }
    };
    count().unwrap_or_else(|error| {
        eprintln!("tollgate: a rate limit is not counted, because the key-value store failed: {error:?}");
        Ok(())
    })
}

/// Installs the snapshot of a log, if it is newer than the gate's.
async fn load_snapshot(edge: &Edge, log: &MessageLog) {
    let name = log.snapshot_name();
    if let Some(snapshot) = read(&snapshot_key(&name)).await {
        let warmed = edge.gate_mut().warm(&snapshot);
        match warmed {
            Ok(()) => _ = edge.stored_snapshot.replace(name),
            Err(error) => eprintln!("tollgate: the stored snapshot was refused: {error}"),
        }
    }
}

fn snapshot_key(name: &str) -> String {
    format!("{SNAPSHOT_KEY}{name}")
}

async fn read(key: &str) -> Option<Vec<u8>> {
    let read = async { Store::open_default().await?.get(key).await };
    read.await.unwrap_or_else(|error| {
        eprintln!("tollgate: {key} cannot be read from the key-value store: {error}");
        None
    })
}

/// Returns whether the value was written.
async fn write(key: &str, value: &[u8]) -> bool {
    let written = async { Store::open_default().await?.set(key, value).await };
    written
        .await
        .inspect_err(|error| eprintln!("tollgate: {key} cannot be written to the key-value store: {error}"))
        .is_ok()
}

async fn delete(key: &str) {
    let deleted = async { Store::open_default().await?.delete(key).await };
    if let Err(error) = deleted.await {
        eprintln!("tollgate: {key} cannot be deleted from the key-value store: {error}");
    }
}
