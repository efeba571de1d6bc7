//! Good messages at the wrong place: older ones, ones that leave a gap, ones of a fork, ones of another issuer.

use tollgate_core::{Deltas, Replica, ReplicaError, RevocationKind};

use crate::sample::{self, SEQUENCE, chain, decoded, history, pins, real_snapshot, signer};
use crate::targets::ISSUER;

const STRANGER: &str = "https://other.example";

fn snapshot(is_fork: bool, sequence: u64) -> tollgate_core::Snapshot {
    decoded(sample::snapshot(ISSUER, &history(is_fork), sequence, &signer()))
}

fn deltas(is_fork: bool, after: u64, to: u64) -> Deltas {
    Deltas::decode(&sample::deltas(ISSUER, &history(is_fork), after, to), &pins()).expect("good deltas")
}

fn replica() -> Replica {
    Replica::new(decoded(real_snapshot()), ISSUER).expect("our issuer")
}

#[test]
fn an_older_snapshot_is_a_rollback() {
    let mut replica = replica();
    for offered in 0..SEQUENCE {
        let refused = ReplicaError::Rollback { held: SEQUENCE, offered };
        assert_eq!(replica.install(snapshot(false, offered)), Err(refused.clone()));
        assert_eq!(replica.install(snapshot(true, offered)), Err(refused), "of a fork, too");
    }
    replica.apply(&deltas(false, SEQUENCE, SEQUENCE + 3)).expect("they follow");
    let forked = ReplicaError::Fork { sequence: SEQUENCE + 2 };
    assert_eq!(replica.install(snapshot(true, SEQUENCE + 2)), Err(forked), "of a fork, older than the deltas held");
    assert_eq!(
        replica.install(snapshot(false, SEQUENCE + 2)),
        Ok(()),
        "newer than the snapshot held: the deltas since stand"
    );
    assert_eq!(replica.sequence(), SEQUENCE + 3);
    println!("{} rollbacks refused", 2 * SEQUENCE);
}

/// Every stretch of the history and of a fork of it is offered to an edge at every sequence: it takes exactly those of its own
/// history that join on to what it holds, and changes nothing for any other.
#[test]
fn every_stretch_of_deltas_joins_on_or_is_refused() {
    let last = history(false).len() as u64;
    let mut cases = [0_u64; 4];
    for held in 0..=last {
        let begin = Replica::new(snapshot(false, held), ISSUER).expect("our issuer");
        for (is_fork, after, to) in stretches(last) {
            let mut replica = begin.clone();
            let answer = replica.apply(&deltas(is_fork, after, to)).map(drop);
            // The fork has other deltas from the fourth on; up to there it is the same history.
            let is_apart = is_fork && held > 3;
            let (expected, sequence) = match () {
                () if after > held => (Err(ReplicaError::Gap { held, offered: after }), held),
                () if to < held => (Ok(()), held),
                () if is_apart => (Err(ReplicaError::Fork { sequence: held }), held),
                () => (Ok(()), to),
            };
            assert_eq!(answer, expected, "deltas {after} to {to} at {held}, fork: {is_fork}");
            assert_eq!(replica.sequence(), sequence);
            cases[match answer {
                Ok(()) => usize::from(to < held),
                Err(ReplicaError::Gap { .. }) => 2,
                Err(_) => 3,
            }] += 1;
        }
    }
    let [taken, past, gaps, forks] = cases;
    println!("{taken} stretches taken, {past} passed over as known, {gaps} gaps and {forks} forks refused");
}

fn stretches(last: u64) -> impl Iterator<Item = (bool, u64, u64)> {
    let of_one = move |is_fork| (0..=last).flat_map(move |after| (after..=last).map(move |to| (is_fork, after, to)));
    [false, true].into_iter().flat_map(of_one)
}

#[test]
fn another_history_or_another_issuer_is_refused() {
    let mut replica = replica();
    assert_eq!(replica.install(snapshot(true, SEQUENCE)), Err(ReplicaError::Fork { sequence: SEQUENCE }));
    assert_ne!(chain(ISSUER, &history(true), SEQUENCE), chain(ISSUER, &history(false), SEQUENCE));
    let theirs = || decoded(sample::snapshot(STRANGER, &history(false), SEQUENCE + 1, &signer()));
    assert_eq!(Replica::new(theirs(), ISSUER).err(), Some(ReplicaError::WrongIssuer));
    assert_eq!(replica.install(theirs()), Err(ReplicaError::WrongIssuer));
    for (after, to) in [(0, 0), (0, 7), (SEQUENCE, SEQUENCE + 1), (SEQUENCE + 1, SEQUENCE + 2)] {
        let theirs = sample::deltas(STRANGER, &history(false), after, to);
        let theirs = Deltas::decode(&theirs, &pins()).expect("good deltas");
        assert_eq!(replica.apply(&theirs), Err(ReplicaError::WrongIssuer));
    }
    assert_eq!(
        (replica.sequence(), replica.snapshot().count(RevocationKind::Session)),
        (SEQUENCE, 5),
        "nothing changed"
    );
}
