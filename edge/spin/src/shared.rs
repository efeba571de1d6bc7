//! State that all instances of this edge share in Spin's key-value store: a snapshot, the log of
//! messages after it, and the last poll of the origin. Spin replaces an instance after some
//! requests or an idle second, and runs many in parallel. Without shared state, each would start
//! stale and poll by itself.
//!
//! Only times are trusted in the store: every message is verified again
//! ([`tollgate_gate::MessageLog`]). If the store fails, each instance polls by itself.

use crate::edge::{Edge, now_ms};
use spin_sdk::experimental::wasi::keyvalue::{atomics, store};
use spin_sdk::key_value::Store;
use tollgate_gate::MessageLog;

/// Key of the newest snapshot. A new wire format needs a new key.
const SNAPSHOT_KEY: &str = "tollgate/snapshot/v1";
/// Key of the message log, which contains its own version.
const LOG_KEY: &str = "tollgate/record";
/// Key of [`OriginPoll`].
const POLL_KEY: &str = "tollgate/questions/v1";
/// Minimum interval between the polls of all instances: four a second.
const MIN_POLL_INTERVAL_MS: u64 = 250;
/// Age at which a failure is ignored.
const FAILURE_EXPIRY_MS: u64 = 10_000;

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
}

/// Initializes a new instance with the shared state.
pub(crate) async fn initialize(edge: &Edge) {
    load_snapshot(edge).await;
    catch_up(edge).await;
}

/// Applies the messages of other instances, if these make the replica fresher.
pub(crate) async fn catch_up(edge: &Edge) {
    let Some(log) = read(LOG_KEY).await.and_then(|bytes| MessageLog::from_bytes(&bytes)) else { return };
    if !log.is_fresher_than(&edge.gate(), now_ms()) {
        return;
    }
    if !log.has_snapshot_of(&edge.gate()) {
        load_snapshot(edge).await;
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

/// Shares the snapshot with other instances.
pub(crate) async fn store_snapshot(snapshot: &[u8]) {
    write(SNAPSHOT_KEY, snapshot).await;
}

/// Shares the message log with other instances.
pub(crate) async fn store_log(edge: &Edge) {
    let bytes = edge.log.borrow().to_bytes();
    write(LOG_KEY, &bytes).await;
}

/// Claims the next poll of the origin for this instance, unless another one polled a moment ago.
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
    // The distance, so that after setting the clock back, polls resume after one interval.
    if now_ms.abs_diff(last.asked_at_ms) < min_interval_ms {
        return Ok(of_other());
    }
    let ours = OriginPoll { asked_at_ms: now_ms, ..last };
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

    /// Shares the result of this instance's poll, if it differs from that of the last one.
    pub(crate) async fn finish(self, is_answered: bool) {
        if !is_answered || self.failed_at_ms != 0 {
            let failed_at_ms = if is_answered { 0 } else { now_ms() };
            write(POLL_KEY, &Self { failed_at_ms, ..self }.to_bytes()).await;
        }
    }

    fn to_bytes(self) -> Vec<u8> {
        [self.asked_at_ms.to_be_bytes(), self.failed_at_ms.to_be_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (asked_at, rest) = bytes.split_first_chunk()?;
        let failed_at = rest.try_into().ok()?;
        Some(Self { asked_at_ms: u64::from_be_bytes(*asked_at), failed_at_ms: u64::from_be_bytes(failed_at) })
    }
}

/// Installs the shared snapshot, if it is newer than the gate's.
async fn load_snapshot(edge: &Edge) {
    if let Some(snapshot) = read(SNAPSHOT_KEY).await {
        let warmed = edge.gate_mut().warm(&snapshot);
        if let Err(error) = warmed {
            eprintln!("tollgate: the stored snapshot was refused: {error}");
        }
    }
}

async fn read(key: &str) -> Option<Vec<u8>> {
    let read = async { Store::open_default().await?.get(key).await };
    read.await.unwrap_or_else(|error| {
        eprintln!("tollgate: {key} cannot be read from the key-value store: {error}");
        None
    })
}

async fn write(key: &str, value: &[u8]) {
    let written = async { Store::open_default().await?.set(key, value).await };
    if let Err(error) = written.await {
        eprintln!("tollgate: {key} cannot be written to the key-value store: {error}");
    }
}
