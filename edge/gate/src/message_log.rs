//! The log of the origin's signed messages that instances of an edge share through a key-value
//! store, where an instance lives for seconds: the messages after a snapshot, and the newest answer
//! as of which an instance's replica was complete (the freshness proof), with the time of its
//! request.
//!
//! Never: an instance that reads the log becomes fresher than the one that wrote it. Every
//! signature is checked again. Only the time of the proof is believed, within a minute of the
//! origin's own time in the answer; a time in the future makes nothing fresh.
//!
//! ```text
//! log       = version snapshot start compacted proof *change
//! version   = %x01
//! snapshot  = 16 OCTET                 ; end of the signature of the snapshot before the changes
//! start     = u64                      ; sequence of that snapshot
//! compacted = u32                      ; number of changes after the last compaction
//! proof     = %x00 / %x01 u64 message  ; none / Unix milliseconds of the request, and the answer
//! change    = u64 message              ; last sequence in the message
//! message   = u32 *OCTET               ; as signed by the origin
//! ```
//! Numbers are big-endian.

use std::fmt::Write as _;

use crate::gate::Gate;
use crate::replica_state::FetchError;

const VERSION: u8 = 1;
const SNAPSHOT_ID_BYTES: usize = 16;
/// Number of messages after the last compaction at which the log is compacted again: a new instance
/// checks the signature of each.
const MAX_UNCOMPACTED: usize = 16;
/// Maximum number of messages in a log. A longer one restarts empty; until it has a proof again,
/// each instance asks the origin itself.
const MAX_CHANGES: usize = 128;
/// Maximum size of an encoded log.
const MAX_BYTES: usize = 16 << 20;

/// Last bytes of a snapshot's signature, which identify the snapshot.
type SnapshotId = [u8; SNAPSHOT_ID_BYTES];

/// The origin's messages after a snapshot, for other instances of the same edge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageLog {
    snapshot: SnapshotId,
    /// Sequence of the snapshot.
    start: u64,
    compacted: usize,
    changes: Vec<Change>,
    proof: Option<FreshnessProof>,
}

/// A message with changes, and the last sequence in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    last_sequence: u64,
    message: Vec<u8>,
}

/// The newest answer of the origin after which a replica was complete.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FreshnessProof {
    asked_at_ms: u64,
    message: Vec<u8>,
}

impl MessageLog {
    /// Decodes a log; none if it has another version or form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = (bytes.len() <= MAX_BYTES).then_some(bytes)?;
        let (&[VERSION], rest) = bytes.split_first_chunk()? else { return None };
        let (snapshot, rest) = rest.split_first_chunk()?;
        let (start, rest) = rest.split_first_chunk()?;
        let (compacted, rest) = rest.split_first_chunk()?;
        let (&[has_proof], mut rest) = rest.split_first_chunk()?;
        let compacted = u32::from_be_bytes(*compacted) as usize;
        let mut log = Self { snapshot: *snapshot, start: u64::from_be_bytes(*start), compacted, ..Self::default() };
        if has_proof != 0 {
            let (asked_at_ms, message) = read_message(&mut rest)?;
            log.proof = Some(FreshnessProof { asked_at_ms, message });
        }
        while !rest.is_empty() {
            let (last_sequence, message) = read_message(&mut rest)?;
            log.changes.push(Change { last_sequence, message });
        }
        (log.changes.len() <= MAX_CHANGES).then_some(log)
    }

    /// Encodes the log.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.snapshot);
        bytes.extend(self.start.to_be_bytes());
        bytes.extend(u32::try_from(self.compacted).unwrap_or(u32::MAX).to_be_bytes());
        bytes.push(u8::from(self.proof.is_some()));
        if let Some(proof) = &self.proof {
            write_message(&mut bytes, proof.asked_at_ms, &proof.message);
        }
        for change in &self.changes {
            write_message(&mut bytes, change.last_sequence, &change.message);
        }
        bytes
    }

    /// Whether the log starts from the snapshot of `gate`.
    pub fn has_snapshot_of(&self, gate: &Gate) -> bool {
        self.snapshot == snapshot_id(gate)
    }

    /// Name of the snapshot before the changes, for a store.
    pub fn snapshot_name(&self) -> String {
        self.snapshot.iter().fold(String::new(), |mut name, byte| {
            // Writing to a String cannot fail.
            let _ = write!(name, "{byte:02x}");
            name
        })
    }

    /// Whether a new instance becomes as fresh by the log as its writer was.
    pub fn has_proof(&self) -> bool {
        self.proof.is_some()
    }

    /// Whether other instances should keep this log instead of `other`. A proof with a time in the
    /// future only shows that the clock was set back.
    pub fn is_newer_than(&self, other: &Self, now_ms: u64) -> bool {
        let order = |log: &Self| {
            let asked_at_ms = log.proof.as_ref().map(|proof| proof.asked_at_ms).filter(|at_ms| *at_ms <= now_ms);
            (log.start, asked_at_ms, log.last_sequence())
        };
        order(self) > order(other)
    }

    /// Whether the log has changes that `gate` lacks, or can make it fresher.
    pub fn has_news_for(&self, gate: &Gate, now_ms: u64) -> bool {
        Some(self.last_sequence()) > gate.sequence() || self.is_fresher_than(gate, now_ms)
    }

    /// Whether the log can make `gate` fresher. To a gate that was never fresh, any log is of use.
    fn is_fresher_than(&self, gate: &Gate, now_ms: u64) -> bool {
        let age = self.proof.as_ref().and_then(|proof| now_ms.checked_sub(proof.asked_at_ms));
        match (age, gate.state.age_ms(now_ms)) {
            (_, None) => true,
            (Some(age), Some(age_of_gate)) => age < age_of_gate,
            (None, Some(_)) => false,
        }
    }

    /// Appends a message that `gate` has just applied to a replica with the sequence `before`.
    /// `asked_at_ms` is the time of the request if the replica is complete with its answer.
    pub fn append(&mut self, gate: &Gate, before: Option<u64>, message: &[u8], asked_at_ms: Option<u64>) {
        if !self.has_snapshot_of(gate) || self.changes.len() >= MAX_CHANGES {
            let start = gate.state.replica().map_or(0, |replica| replica.snapshot().sequence());
            *self = Self { snapshot: snapshot_id(gate), start, ..Self::default() };
        }
        if before > Some(self.last_sequence()) {
            return; // changes before it are missing here
        }
        if let Some(last_sequence) = gate.sequence().filter(|_| gate.sequence() > before) {
            self.changes.push(Change { last_sequence, message: message.to_vec() });
        }
        if let Some(asked_at_ms) = asked_at_ms {
            self.proof = Some(FreshnessProof { asked_at_ms, message: message.to_vec() });
        }
    }

    /// Appends the later changes of `other`, if it starts from the same snapshot.
    pub fn append_changes_of(&mut self, other: &Self) {
        let last_sequence = self.last_sequence();
        if self.snapshot == other.snapshot {
            self.changes.extend(other.changes.iter().filter(|change| change.last_sequence > last_sequence).cloned());
            self.changes.truncate(MAX_CHANGES);
        }
    }

    /// Applies to `gate` the messages that it lacks. Its snapshot must be installed before
    /// ([`Gate::warm`]).
    ///
    /// # Errors
    /// Says why a message was refused. The messages before it stay applied.
    pub fn apply_to(&self, gate: &mut Gate, now_ms: u64) -> Result<(), FetchError> {
        let proof = self.proof.as_ref();
        // The proof may have brought the last change itself. After one by a push, it is older than
        // the last.
        let is_in_proof = |change: &Change| {
            change.last_sequence == self.last_sequence() && proof.is_some_and(|proof| proof.message == change.message)
        };
        for change in &self.changes {
            let is_new = Some(change.last_sequence) > gate.sequence();
            if is_new && !is_in_proof(change) {
                gate.state.apply_deltas(&change.message, None)?;
            }
        }
        match proof {
            Some(proof) => gate.state.apply_shared_answer(&proof.message, proof.asked_at_ms, now_ms),
            None => Ok(()),
        }
    }

    /// Whether the log should be compacted, that is replaced by fewer messages with all changes
    /// after the snapshot: it has many messages, or lacks changes of `gate`.
    pub fn should_be_compacted(&self, gate: &Gate) -> bool {
        let lacks_changes = self.has_snapshot_of(gate) && gate.sequence() > Some(self.last_sequence());
        self.changes.len() >= self.compacted + MAX_UNCOMPACTED || lacks_changes
    }

    /// Records that the origin cannot send these changes in fewer messages.
    pub fn mark_compacted(&mut self) {
        self.compacted = self.changes.len();
    }

    fn last_sequence(&self) -> u64 {
        self.changes.last().map_or(self.start, |change| change.last_sequence)
    }
}

fn snapshot_id(gate: &Gate) -> SnapshotId {
    gate.snapshot().and_then(|bytes| bytes.last_chunk()).copied().unwrap_or_default()
}

/// Reads a number and the message after it.
fn read_message(rest: &mut &[u8]) -> Option<(u64, Vec<u8>)> {
    let (number, tail) = rest.split_first_chunk()?;
    let (length, tail) = tail.split_first_chunk()?;
    let (message, tail) = tail.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = tail;
    Some((u64::from_be_bytes(*number), message.to_vec()))
}

/// Writes a number and a message. A message of 4 GiB or more is left out; no origin sends one.
fn write_message(bytes: &mut Vec<u8>, number: u64, message: &[u8]) {
    let Ok(length) = u32::try_from(message.len()) else { return };
    bytes.extend(number.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(message);
}
