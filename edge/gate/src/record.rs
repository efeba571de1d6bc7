//! What one instance of an edge leaves for the next, where instances live for seconds and share a store: the origin's signed
//! messages since a snapshot, the newest answer with which the edge was complete, and when that was asked for.
//!
//! What never happens: an instance that reads a record believes to be fresher than the one that wrote it. Every signature is
//! checked again. The store is trusted for the time alone, and not by more than a minute, for the answer bears the origin's
//! own; a time that has not come yet makes nothing fresh.
//!
//! ```text
//! record   = version snapshot start packed answer *change
//! version  = %x01
//! snapshot = 16 OCTET                 ; the end of the snapshot that the changes follow: of its signature
//! start    = u64                      ; that snapshot's sequence
//! packed   = u32                      ; how many changes there were when they were last asked for together
//! answer   = %x00 / %x01 u64 message  ; none / when it was asked for, in Unix milliseconds, and the origin's answer
//! change   = u64 message              ; the sequence that the message reaches
//! message  = u32 *OCTET               ; as the origin signed it
//! ```
//! Numbers are big-endian.

use crate::gate::Gate;
use crate::knowledge::FetchError;

const VERSION: u8 = 1;
const MARK_BYTES: usize = 16;
/// So many messages may come on top of the packed ones before all are asked for together again: an instance that begins
/// checks each one's signature.
const MAX_UNPACKED: usize = 16;
/// Messages in a record. One that would have more begins anew, and instances ask the origin until it has an answer again.
const MAX_CHANGES: usize = 128;
/// Bytes of a record.
const MAX_BYTES: usize = 16 << 20;

/// The end of a snapshot's signature, which tells it from others.
type SnapshotMark = [u8; MARK_BYTES];

/// What is left for the next instance, beside the snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    snapshot: SnapshotMark,
    /// The snapshot's sequence.
    start: u64,
    packed: usize,
    changes: Vec<Change>,
    answer: Option<Answer>,
}

/// A message with changes, and the sequence that it reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    reaches: u64,
    message: Vec<u8>,
}

/// The newest answer of the origin with which a gate was complete.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    asked_at_ms: u64,
    message: Vec<u8>,
}

impl Record {
    /// Reads a record; none if it is not one of this version's.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = (bytes.len() <= MAX_BYTES).then_some(bytes)?;
        let (&[VERSION], rest) = bytes.split_first_chunk()? else { return None };
        let (snapshot, rest) = rest.split_first_chunk()?;
        let (start, rest) = rest.split_first_chunk()?;
        let (packed, rest) = rest.split_first_chunk()?;
        let (&[is_answered], mut rest) = rest.split_first_chunk()?;
        let packed = u32::from_be_bytes(*packed) as usize;
        let mut record = Self { snapshot: *snapshot, start: u64::from_be_bytes(*start), packed, ..Self::default() };
        if is_answered != 0 {
            let (asked_at_ms, message) = read_message(&mut rest)?;
            record.answer = Some(Answer { asked_at_ms, message });
        }
        while !rest.is_empty() {
            let (reaches, message) = read_message(&mut rest)?;
            record.changes.push(Change { reaches, message });
        }
        (record.changes.len() <= MAX_CHANGES).then_some(record)
    }

    /// The record as it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.snapshot);
        bytes.extend(self.start.to_be_bytes());
        bytes.extend(u32::try_from(self.packed).unwrap_or(u32::MAX).to_be_bytes());
        bytes.push(u8::from(self.answer.is_some()));
        if let Some(answer) = &self.answer {
            write_message(&mut bytes, answer.asked_at_ms, &answer.message);
        }
        for change in &self.changes {
            write_message(&mut bytes, change.reaches, &change.message);
        }
        bytes
    }

    /// Whether the changes follow the snapshot that `gate` holds.
    pub fn fits(&self, gate: &Gate) -> bool {
        self.snapshot == mark(gate)
    }

    /// Whether it can bring `gate` something: a younger answer, or anything at all.
    pub fn is_news_to(&self, gate: &Gate, now_ms: u64) -> bool {
        let offered = self.answer.as_ref().and_then(|answer| now_ms.checked_sub(answer.asked_at_ms));
        match (offered, gate.knowledge.age_ms(now_ms)) {
            (_, None) => true,
            (Some(offered), Some(held)) => offered < held,
            (None, Some(_)) => false,
        }
    }

    /// Adds a message that `gate` has just accepted; `before` is the sequence that it held until then. `asked_at_ms`: when it
    /// was asked for, if `gate` was complete with it.
    pub fn add(&mut self, gate: &Gate, before: Option<u64>, message: &[u8], asked_at_ms: Option<u64>) {
        if !self.fits(gate) || self.changes.len() >= MAX_CHANGES {
            let start = gate.knowledge.replica().map_or(0, |replica| replica.snapshot().sequence());
            *self = Self { snapshot: mark(gate), start, ..Self::default() };
        }
        if before > Some(self.reaches()) {
            return; // it does not join on to what is here
        }
        if let Some(reaches) = gate.sequence().filter(|_| gate.sequence() > before) {
            self.changes.push(Change { reaches, message: message.to_vec() });
        }
        if let Some(asked_at_ms) = asked_at_ms {
            self.answer = Some(Answer { asked_at_ms, message: message.to_vec() });
        }
    }

    /// Adds what `other` has beyond this record, of the same snapshot.
    pub fn add_changes_of(&mut self, other: &Self) {
        let reached = self.reaches();
        if self.snapshot == other.snapshot {
            self.changes.extend(other.changes.iter().filter(|change| change.reaches > reached).cloned());
            self.changes.truncate(MAX_CHANGES);
        }
    }

    /// Brings `gate` what it lacks. The snapshot comes first, by [`Gate::warm`].
    ///
    /// # Errors
    /// The first message that is refused; what was taken before it stays.
    pub fn give(&self, gate: &mut Gate, now_ms: u64) -> Result<(), FetchError> {
        let answer = self.answer.as_ref();
        for change in &self.changes {
            let is_news = Some(change.reaches) > gate.sequence();
            if is_news && answer.is_none_or(|answer| answer.message != change.message) {
                gate.knowledge.take_deltas(&change.message, None)?;
            }
        }
        match answer {
            Some(answer) => gate.knowledge.take_shared_answer(&answer.message, answer.asked_at_ms, now_ms),
            None => Ok(()),
        }
    }

    /// Whether all that came since the snapshot should be asked for together: there are many messages, or `gate` holds more
    /// than they bring.
    pub fn should_be_packed(&self, gate: &Gate) -> bool {
        self.changes.len() >= self.packed + MAX_UNPACKED || (self.fits(gate) && gate.sequence() > Some(self.reaches()))
    }

    /// Takes the messages for as few as the origin gives.
    pub fn count_as_packed(&mut self) {
        self.packed = self.changes.len();
    }

    /// The last sequence that it brings.
    fn reaches(&self) -> u64 {
        self.changes.last().map_or(self.start, |change| change.reaches)
    }
}

fn mark(gate: &Gate) -> SnapshotMark {
    gate.snapshot().and_then(|bytes| bytes.last_chunk()).copied().unwrap_or_default()
}

/// A number and the message behind it.
fn read_message(rest: &mut &[u8]) -> Option<(u64, Vec<u8>)> {
    let (number, behind) = rest.split_first_chunk()?;
    let (length, behind) = behind.split_first_chunk()?;
    let (message, behind) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = behind;
    Some((u64::from_be_bytes(*number), message.to_vec()))
}

/// Writes a message behind its number. One that no length can tell is none that the origin makes.
fn write_message(bytes: &mut Vec<u8>, number: u64, message: &[u8]) {
    let Ok(length) = u32::try_from(message.len()) else { return };
    bytes.extend(number.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(message);
}
