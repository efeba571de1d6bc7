//! The messages that a hub hands on: those with changes since its snapshot, and the word, which is the origin's newest answer.

use crate::{
    origin::Taken,
    protocol::{self, Part},
};

/// So many messages may come on top of the packed ones before all are packed again: some milliseconds of signatures.
const LONG: usize = 64;

/// What a message taken from the origin brought.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// A sign of life, at most.
    Nothing,
    /// Changes after the ones held.
    Changes,
    /// A snapshot, which stands for all that was held.
    Snapshot,
}

/// Every message joins on to the one before, the first to the snapshot that the hub's gate holds.
#[derive(Default)]
pub(super) struct Log {
    /// The snapshot's sequence.
    base: Option<u64>,
    changes: Vec<Changes>,
    word: Option<Word>,
    /// How many messages there were when they were packed last.
    packed: usize,
}

/// A message with the sequence that it reaches.
struct Changes {
    reaches: u64,
    message: Vec<u8>,
}

/// The newest answer of the origin with which the hub's gate was complete, and when it was asked for.
struct Word {
    asked_at: u64,
    message: Vec<u8>,
}

impl Log {
    /// Begins anew from a snapshot of that sequence.
    pub(super) fn restart(&mut self, base: Option<u64>) {
        *self = Self { base, ..Self::default() };
    }

    /// Adds a message that brought the hub's gate to `sequence`. False when the gate was there already.
    pub(super) fn add(&mut self, sequence: Option<u64>, message: &[u8]) -> bool {
        let head = self.changes.last().map(|last| last.reaches).or(self.base);
        let Some(reaches) = sequence.filter(|_| head.is_some() && sequence > head) else { return false };
        self.changes.push(Changes { reaches, message: message.to_vec() });
        true
    }

    /// Takes in what the gate has accepted from the origin, which brought it to `sequence`.
    pub(super) fn take(&mut self, sequence: Option<u64>, taken: &Taken) -> News {
        if taken.is_snapshot {
            self.restart(sequence);
            return News::Snapshot;
        }
        // With less than the last message of a fetch the gate was not complete, and nor would an isolate be.
        if !taken.more {
            self.word = Some(Word { asked_at: taken.asked_at, message: taken.message.clone() });
        }
        if self.add(sequence, &taken.message) { News::Changes } else { News::Nothing }
    }

    /// Whether the messages have become too many for those who begin from the snapshot.
    pub(super) fn is_long(&self) -> bool {
        self.changes.len() >= self.packed + LONG
    }

    /// Takes these messages for as few as can be had.
    pub(super) fn count_as_packed(&mut self) {
        self.packed = self.changes.len();
    }

    /// The messages with changes, in order.
    pub(super) fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.changes.iter().map(|changes| changes.message.as_slice())
    }

    /// The word, if there is one yet.
    pub(super) fn word(&self) -> Option<&[u8]> {
        self.word.as_ref().map(|word| word.message.as_slice())
    }

    /// What brings an isolate that holds `after` to where the hub is. One that holds nothing, or less than the snapshot, begins
    /// from the snapshot.
    pub(super) fn answer(&self, after: Option<u64>, snapshot: Option<&[u8]>, now_ms: u64) -> Vec<u8> {
        let mut answer = Vec::new();
        let (Some(base), Some(snapshot)) = (self.base, snapshot) else { return answer };
        let after = after.filter(|after| *after >= base).unwrap_or_else(|| {
            protocol::write(&mut answer, Part::Snapshot(snapshot));
            base
        });
        for changes in self.changes.iter().filter(|changes| changes.reaches > after) {
            if self.word() != Some(&changes.message) {
                protocol::write(&mut answer, Part::Deltas(&changes.message));
            }
        }
        if let Some(Word { asked_at, message }) = &self.word {
            // A clock that was set back makes the word old, not young.
            protocol::write(&mut answer, Part::Word { age_ms: now_ms.abs_diff(*asked_at), message });
        }
        answer
    }
}
