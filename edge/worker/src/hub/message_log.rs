//! The log of messages that a hub sends to isolates: those with changes after its
//! snapshot, and the freshness proof, which is the origin's newest answer.

use crate::{
    origin::AppliedAnswer,
    protocol::{self, Part, snapshot_id},
};

/// Number of messages after the last compaction at which the log is compacted again:
/// a new isolate checks the signature of each, which takes milliseconds.
const MAX_UNCOMPACTED: usize = 64;

/// Effect of an answer on the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LogUpdate {
    /// No changes; at most a new freshness proof.
    None,
    /// A message was appended.
    Appended,
    /// A snapshot replaced all messages.
    Replaced,
}

/// Messages in the order of the history: the first follows the snapshot of the hub's
/// gate.
#[derive(Default)]
pub(super) struct HubLog {
    /// Sequence of the snapshot.
    start: Option<u64>,
    changes: Vec<Change>,
    proof: Option<FreshnessProof>,
    /// Number of messages after the last compaction.
    compacted: usize,
}

/// A message with changes, and the last sequence in it.
struct Change {
    last_sequence: u64,
    message: Vec<u8>,
}

/// The origin's newest answer after which the hub's replica was complete, with the
/// time of its request.
struct FreshnessProof {
    asked_at_ms: u64,
    message: Vec<u8>,
}

impl HubLog {
    /// Restarts the log from a snapshot with this sequence.
    pub(super) fn restart(&mut self, start: Option<u64>) {
        *self = Self { start, ..Self::default() };
    }

    /// Appends a message after which the hub's replica has this sequence. Returns
    /// false if the log has these changes already.
    pub(super) fn append(&mut self, sequence: Option<u64>, message: &[u8]) -> bool {
        let end = self.changes.last().map(|last| last.last_sequence).or(self.start);
        let Some(last_sequence) = sequence.filter(|_| end.is_some() && sequence > end) else { return false };
        self.changes.push(Change { last_sequence, message: message.to_vec() });
        true
    }

    /// Adds an answer of the origin after which the hub's replica has this sequence.
    pub(super) fn add_answer(&mut self, sequence: Option<u64>, answer: &AppliedAnswer) -> LogUpdate {
        if answer.is_snapshot {
            self.restart(sequence);
            return LogUpdate::Replaced;
        }
        // Only the last answer of a sync is a proof: before it, the replica is not complete.
        if !answer.has_more {
            let message = answer.message.clone();
            self.proof = Some(FreshnessProof { asked_at_ms: answer.asked_at_ms, message });
        }
        if self.append(sequence, &answer.message) { LogUpdate::Appended } else { LogUpdate::None }
    }

    /// Whether the log should be compacted, that is replaced by fewer messages with
    /// the same changes.
    pub(super) fn should_be_compacted(&self) -> bool {
        self.changes.len() >= self.compacted + MAX_UNCOMPACTED
    }

    /// Records that the origin cannot send these changes in fewer messages.
    pub(super) fn mark_compacted(&mut self) {
        self.compacted = self.changes.len();
    }

    /// The messages with changes, in order.
    pub(super) fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.changes.iter().map(|change| change.message.as_slice())
    }

    /// The message of the freshness proof.
    pub(super) fn proof(&self) -> Option<&[u8]> {
        self.proof.as_ref().map(|proof| proof.message.as_slice())
    }

    /// Writes the parts for an isolate whose replica has the sequence `after` and
    /// whose request arrived at `arrived_at_ms`. They begin with the snapshot if
    /// the isolate has none, or an older one.
    pub(super) fn write_parts(
        &self,
        answer: &mut Vec<u8>,
        after: Option<u64>,
        snapshot: Option<&[u8]>,
        arrived_at_ms: u64,
        now_ms: u64,
    ) {
        let (Some(start), Some(snapshot)) = (self.start, snapshot) else { return };
        let after = after.filter(|after| *after >= start).unwrap_or_else(|| {
            if let Some(id) = snapshot_id(snapshot) {
                protocol::write_part(answer, Part::Snapshot { id, bytes: snapshot.len() as u64 });
            }
            start
        });
        // The proof may have brought the last change itself. After one by a push, it is older than
        // the last.
        let last = self.changes.last().map(|last| last.last_sequence);
        let is_in_proof =
            |change: &Change| Some(change.last_sequence) == last && self.proof() == Some(change.message.as_slice());
        for change in self.changes.iter().filter(|change| change.last_sequence > after) {
            if !is_in_proof(change) {
                protocol::write_part(answer, Part::Deltas(&change.message));
            }
        }
        if let Some(FreshnessProof { asked_at_ms, message }) = &self.proof {
            let distance_ms = i64::try_from(arrived_at_ms.abs_diff(*asked_at_ms)).unwrap_or(i64::MAX);
            // The hub may have asked after the arrival, while it held the isolate's request. A
            // time in the future only shows that the clock was set back: then the
            // distance counts as age, so that the proof is not too fresh.
            let is_later = (arrived_at_ms..=now_ms).contains(asked_at_ms);
            let age_ms = if is_later { -distance_ms } else { distance_ms };
            protocol::write_part(answer, Part::FreshnessProof { age_ms, message });
        }
    }
}
