//! What all instances of this edge share, and what outlives them: a snapshot, the record of what came since, and whose turn it
//! is to ask the origin, in Spin's key-value store. Spin replaces an instance after so many requests or an idle second, and
//! has many at once: each would begin without freshness, and ask by itself.
//!
//! What is read is never trusted for more than a time: every message is verified again, by the rules of
//! [`tollgate_gate::MessageLog`]. A store that fails makes this instance ask by itself, no more.

use crate::state::{Edge, now_ms};
use spin_sdk::experimental::wasi::keyvalue::{atomics, store};
use spin_sdk::key_value::Store;
use tollgate_gate::MessageLog;

/// Where a new instance finds the newest snapshot. A new wire format takes a new name.
const SNAPSHOT_KEY: &str = "tollgate/snapshot/v1";
/// Where it finds what came since; the record tells its version itself.
const RECORD_KEY: &str = "tollgate/record";
/// What became of the questions to the origin: see [`Questions`].
const QUESTIONS_KEY: &str = "tollgate/questions/v1";
/// Least time between the questions of all instances, in milliseconds: four a second.
const QUESTION_INTERVAL: u64 = 250;
/// So long after a failure nothing is concluded from it any more, in milliseconds.
const FORGOTTEN_AFTER: u64 = 10_000;

/// Whose turn it is to ask the origin.
pub(crate) enum Claim {
    /// This instance's.
    Ours(Questions),
    /// Another's, which is asking: its answer is worth waiting for.
    Theirs,
    /// The origin could not be asked lately: nothing is worth waiting for.
    Failed,
}

/// The questions of all instances to the origin. Times are Unix milliseconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Questions {
    asked_at_ms: u64,
    /// When the last one failed, unless one was answered since; else 0.
    failed_at_ms: u64,
}

/// Brings a new instance what others left.
pub(crate) async fn begin(edge: &Edge) {
    warm(edge).await;
    catch_up(edge).await;
}

/// Brings the gate what other instances were answered since, if that makes it fresher.
pub(crate) async fn catch_up(edge: &Edge) {
    let Some(record) = read(RECORD_KEY).await.and_then(|bytes| MessageLog::from_bytes(&bytes)) else { return };
    if !record.is_fresher_than(&edge.gate(), now_ms()) {
        return;
    }
    if !record.has_snapshot_of(&edge.gate()) {
        warm(edge).await;
    }
    let given = record.apply_to(&mut edge.gate_mut(), now_ms());
    match given {
        Ok(()) => {
            let held = edge.record.replace(record);
            edge.record.borrow_mut().append_changes_of(&held);
        }
        Err(error) => eprintln!("tollgate: what another instance left is refused: {error}"),
    }
}

/// Leaves the snapshot for others.
pub(crate) async fn keep_snapshot(snapshot: &[u8]) {
    write(SNAPSHOT_KEY, snapshot).await;
}

/// Leaves the record for others.
pub(crate) async fn keep_record(edge: &Edge) {
    let bytes = edge.record.borrow().to_bytes();
    write(RECORD_KEY, &bytes).await;
}

/// Takes the turn to ask the origin, if no instance did a moment ago.
pub(crate) fn claim_question(interval_ms: u64) -> Claim {
    claim_question_at(now_ms(), interval_ms.min(QUESTION_INTERVAL)).unwrap_or_else(|error| {
        eprintln!("tollgate: the key-value store cannot tell whose turn it is: {error:?}");
        Claim::Ours(Questions::default())
    })
}

fn claim_question_at(now_ms: u64, interval_ms: u64) -> Result<Claim, store::Error> {
    let bucket = store::open("default")?;
    let questions = atomics::Cas::new(&bucket, QUESTIONS_KEY)?;
    let last = questions.current()?.as_deref().and_then(Questions::from_bytes).unwrap_or_default();
    let others = || if last.are_failing(now_ms) { Claim::Failed } else { Claim::Theirs };
    // A clock that was set back must not forbid questions until it comes to the old time again.
    if now_ms.abs_diff(last.asked_at_ms) < interval_ms {
        return Ok(others());
    }
    let ours = Questions { asked_at_ms: now_ms, ..last };
    match atomics::swap(questions, &ours.to_bytes()) {
        Ok(()) => Ok(Claim::Ours(ours)),
        Err(atomics::CasError::CasFailed(_)) => Ok(others()),
        Err(atomics::CasError::StoreError(error)) => Err(error),
    }
}

impl Questions {
    /// Whether one failed so lately that the next is expected to fail.
    pub(crate) fn are_failing(&self, now_ms: u64) -> bool {
        now_ms.abs_diff(self.failed_at_ms) < FORGOTTEN_AFTER
    }

    /// Tells the others what became of this instance's question, where that is news to them.
    pub(crate) async fn ended(self, answered: bool) {
        if !answered || self.failed_at_ms != 0 {
            let failed_at_ms = if answered { 0 } else { now_ms() };
            write(QUESTIONS_KEY, &Self { failed_at_ms, ..self }.to_bytes()).await;
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

/// Brings the gate the snapshot that an earlier instance stored, if it is newer than what the gate holds.
async fn warm(edge: &Edge) {
    if let Some(snapshot) = read(SNAPSHOT_KEY).await {
        let warmed = edge.gate_mut().warm(&snapshot);
        if let Err(error) = warmed {
            eprintln!("tollgate: the stored snapshot is refused: {error}");
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
        eprintln!("tollgate: {key} is not stored in the key-value store: {error}");
    }
}
