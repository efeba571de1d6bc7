//! Valid messages that do not continue a replica: older ones, ones that leave a gap, ones of a
//! fork, ones of another issuer.

use tollgate_core::{Deltas, Replica, ReplicaError, RevocationKind};

use crate::sample_messages::{self, SEQUENCE, chain, decoded, history, pins, real_snapshot, signer};
use crate::targets::ISSUER;

const OTHER_ISSUER: &str = "https://other.example";

fn snapshot(is_fork: bool, sequence: u64) -> tollgate_core::Snapshot {
    decoded(sample_messages::snapshot(ISSUER, &history(is_fork), sequence, &signer()))
}

fn deltas(is_fork: bool, after: u64, to: u64) -> Deltas {
    Deltas::decode(&sample_messages::deltas(ISSUER, &history(is_fork), after, to), &pins()).expect("valid deltas")
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
        assert_eq!(replica.install(snapshot(true, offered)), Err(refused), "the same snapshot of a fork");
    }
    replica.apply(&deltas(false, SEQUENCE, SEQUENCE + 3)).expect("consecutive");
    let forked = ReplicaError::Fork { sequence: SEQUENCE + 2 };
    assert_eq!(
        replica.install(snapshot(true, SEQUENCE + 2)),
        Err(forked),
        "a fork that is older than the replica's deltas"
    );
    assert_eq!(
        replica.install(snapshot(false, SEQUENCE + 2)),
        Ok(()),
        "newer than the replica's snapshot: newer deltas are kept"
    );
    assert_eq!(replica.sequence(), SEQUENCE + 3);
    println!("{} rollbacks refused", 2 * SEQUENCE);
}

/// Offers every range of the log and of its fork to a replica at every sequence. It applies exactly
/// those ranges of its own log that continue it, and does not change for any other.
#[test]
fn every_range_of_deltas_continues_the_replica_or_is_refused() {
    let last = history(false).len() as u64;
    let mut cases = [0_u64; 4];
    for held in 0..=last {
        let begin = Replica::new(snapshot(false, held), ISSUER).expect("our issuer");
        for (is_fork, after, to) in ranges(last) {
            let mut replica = begin.clone();
            let answer = replica.apply(&deltas(is_fork, after, to)).map(drop);
            // The two logs differ from the fourth delta on.
            let is_after_fork = is_fork && held > 3;
            let (expected, sequence) = match () {
                () if after > held => (Err(ReplicaError::Gap { held, offered: after }), held),
                () if to < held => (Ok(()), held),
                () if is_after_fork => (Err(ReplicaError::Fork { sequence: held }), held),
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
    let [applied, known, gaps, forks] = cases;
    println!("{applied} ranges applied, {known} ignored as known, {gaps} gaps and {forks} forks refused");
}

fn ranges(last: u64) -> impl Iterator<Item = (bool, u64, u64)> {
    let of_one = move |is_fork| (0..=last).flat_map(move |after| (after..=last).map(move |to| (is_fork, after, to)));
    [false, true].into_iter().flat_map(of_one)
}

#[test]
fn a_fork_or_another_issuer_is_refused() {
    let mut replica = replica();
    assert_eq!(replica.install(snapshot(true, SEQUENCE)), Err(ReplicaError::Fork { sequence: SEQUENCE }));
    assert_ne!(chain(ISSUER, &history(true), SEQUENCE), chain(ISSUER, &history(false), SEQUENCE));
    let foreign = || decoded(sample_messages::snapshot(OTHER_ISSUER, &history(false), SEQUENCE + 1, &signer()));
    assert_eq!(Replica::new(foreign(), ISSUER).err(), Some(ReplicaError::WrongIssuer));
    assert_eq!(replica.install(foreign()), Err(ReplicaError::WrongIssuer));
    for (after, to) in [(0, 0), (0, 7), (SEQUENCE, SEQUENCE + 1), (SEQUENCE + 1, SEQUENCE + 2)] {
        let foreign = sample_messages::deltas(OTHER_ISSUER, &history(false), after, to);
        let foreign = Deltas::decode(&foreign, &pins()).expect("valid deltas");
        assert_eq!(replica.apply(&foreign), Err(ReplicaError::WrongIssuer));
    }
    assert_eq!(
        (replica.sequence(), replica.snapshot().count(RevocationKind::Session)),
        (SEQUENCE, 5),
        "the replica did not change"
    );
}
