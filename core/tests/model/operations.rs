//! The operations of the model test: drawn at random, and reduced to a short sequence when they
//! fail.

use tollgate_core::RevocationKind;

/// One operation. Its numbers select among the objects that exist at the time, so that a sequence
/// stays valid when operations are removed from it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    /// One of two origins, whose clocks differ, issues a token.
    Issue { origin: u8, owner: u8, lifetime: u16 },
    /// A token or group is revoked.
    Revoke { kind: RevocationKind, choice: u16 },
    /// A token or group is reinstated.
    Reinstate { kind: RevocationKind, choice: u16 },
    /// Time passes.
    Wait { seconds: u16 },
    /// An origin closes the epoch and builds a snapshot.
    Publish { origin: u8 },
    /// An edge requests deltas. The answer is sent and not yet delivered.
    Request { edge: u8 },
    /// One of the sent messages is delivered to an edge: late, twice, out of order, or to another
    /// edge.
    Deliver { edge: u8, choice: u16 },
    /// One of all snapshots so far is delivered to an edge.
    InstallSnapshot { edge: u8, choice: u16 },
    /// An edge requests deltas, and the answer is delivered immediately.
    Sync { edge: u8 },
    /// An edge restarts from the last snapshot that it installed.
    Restart { edge: u8 },
}

/// This number of random operations.
pub(crate) fn random(random: &mut Random, count: usize) -> Vec<Operation> {
    (0..count).map(|_| operation(random)).collect()
}

fn operation(random: &mut Random) -> Operation {
    let edge = random.below(3) as u8;
    let choice = random.below(1 << 16) as u16;
    let origin = random.below(2) as u8;
    match random.below(100) {
        0..30 => Operation::Issue { origin, owner: random.below(6) as u8, lifetime: 30 + random.below(600) as u16 },
        30..42 => Operation::Revoke { kind: kind(random), choice },
        42..48 => Operation::Reinstate { kind: kind(random), choice },
        48..56 => Operation::Wait { seconds: random.below(60) as u16 },
        56..62 => Operation::Publish { origin },
        62..70 => Operation::Request { edge },
        70..80 => Operation::Deliver { edge, choice },
        80..85 => Operation::InstallSnapshot { edge, choice },
        85..98 => Operation::Sync { edge },
        _ => Operation::Restart { edge },
    }
}

/// Mostly single tokens, and rarely everything, after which all tokens have the same answer.
fn kind(random: &mut Random) -> RevocationKind {
    match random.below(20) {
        0..12 => RevocationKind::Token,
        12..14 => RevocationKind::Session,
        14..16 => RevocationKind::Subject,
        16..18 => RevocationKind::Client,
        18 => RevocationKind::Key,
        _ => RevocationKind::Everything,
    }
}

/// Removes as many operations as possible while the rest still fails: ranges of decreasing length,
/// down to single operations.
pub(crate) fn shortest_failing(operations: &[Operation], fails: impl Fn(&[Operation]) -> bool) -> Vec<Operation> {
    let mut shortest = operations.to_vec();
    let mut length = shortest.len() / 2;
    while length > 0 {
        let mut at = 0;
        while at < shortest.len() {
            let mut shorter = shortest.clone();
            shorter.drain(at..(at + length).min(shortest.len()));
            if fails(&shorter) {
                shortest = shorter;
            } else {
                at += length;
            }
        }
        length /= 2;
    }
    shortest
}

/// xorshift64*: the same numbers on all machines.
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % bound
    }
}
