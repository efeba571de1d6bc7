//! Histories: what may happen, drawn at random, and made shorter when one of them fails.

use tollgate_core::RevocationKind;

/// Something that happens. Numbers choose among what is there at the time, so that a history stays one when others are
/// taken out of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    /// A token is issued by one of two origins, whose clocks differ.
    Issue { origin: u8, owner: u8, lifetime: u16 },
    /// Something is revoked.
    Revoke { kind: RevocationKind, choice: u16 },
    /// A revocation is lifted.
    Reinstate { kind: RevocationKind, choice: u16 },
    /// Time passes, seconds.
    Wait { seconds: u16 },
    /// An origin closes the epoch and builds a snapshot.
    Publish { origin: u8 },
    /// An origin answers an edge that asks for deltas; the answer is on its way.
    Ask { edge: u8 },
    /// One of the messages on their way arrives at an edge: late, twice, out of order, or at another edge.
    Deliver { edge: u8, choice: u16 },
    /// An edge takes one of the snapshots that were ever built.
    TakeSnapshot { edge: u8, choice: u16 },
    /// An edge asks and is answered at once.
    Follow { edge: u8 },
    /// An edge begins anew from the last snapshot it took.
    Restart { edge: u8 },
}

/// A history of so many operations.
pub(crate) fn random(random: &mut Random, operations: usize) -> Vec<Operation> {
    (0..operations).map(|_| operation(random)).collect()
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
        62..70 => Operation::Ask { edge },
        70..80 => Operation::Deliver { edge, choice },
        80..85 => Operation::TakeSnapshot { edge, choice },
        85..98 => Operation::Follow { edge },
        _ => Operation::Restart { edge },
    }
}

/// Single tokens most of the time; of everything seldom, for it ends all variety.
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

/// Takes out as many operations as it can while the history still fails: ever smaller stretches, to single operations.
pub(crate) fn shortened(history: &[Operation], fails: impl Fn(&[Operation]) -> bool) -> Vec<Operation> {
    let mut shortest = history.to_vec();
    let mut stretch = shortest.len() / 2;
    while stretch > 0 {
        let mut at = 0;
        while at < shortest.len() {
            let mut shorter = shortest.clone();
            shorter.drain(at..(at + stretch).min(shortest.len()));
            if fails(&shorter) {
                shortest = shorter;
            } else {
                at += stretch;
            }
        }
        stretch /= 2;
    }
    shortest
}

/// xorshift64*: random enough for choosing, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    /// The sequence that belongs to a seed.
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
