//! A snapshot answers exactly for every covered token, for any number of tokens and any share of
//! revoked ones.

use std::collections::BTreeSet;

use tollgate_core::{
    CascadeBuilder, HashChain, RevocationId, RevocationKind, RevokedBefore, Snapshot, SnapshotParts, build_snapshot,
};

use crate::mutation::Random;
use crate::reference_reader::CONFIG;
use crate::sample_messages::{
    self, COVERED, EPOCH, OTHERS, decoded, groups, is_revoked, pins, real_snapshot, signer, token,
};
use crate::targets::ISSUER;

/// Most covered tokens of one set.
const MAX_COVERED: usize = 3_000_000;

fn ids(count: usize, seed: u64) -> Vec<RevocationId> {
    let mut random = Random::new(seed);
    let ids = (0..count).map(|_| {
        let halves = [random.below(1 << 53), random.below(1 << 53)].map(|half| half << 11 ^ half);
        RevocationId::from_bytes((u128::from(halves[0]) << 64 | u128::from(halves[1])).to_be_bytes())
    });
    ids.collect()
}

fn build(revoked: Vec<RevocationId>, covered: &[RevocationId], estimate: u64, batch: usize) -> Vec<u8> {
    let mut cascade = CascadeBuilder::new(revoked, estimate).expect("within bounds");
    for ids in covered.chunks(batch.max(1)) {
        cascade.add_covered(ids.iter().copied()).expect("its own filter");
    }
    let cascade = cascade.finish().expect("within bounds");
    let parts = SnapshotParts::new(ISSUER, 1, 1, HashChain::genesis(ISSUER), CONFIG);
    build_snapshot(&SnapshotParts { epoch: 1, covered: Some(&cascade), ..parts }, &signer()).expect("within bounds")
}

fn check(snapshot: &Snapshot, covered: &[RevocationId], revoked: usize) -> u64 {
    for (n, id) in covered.iter().enumerate() {
        assert_eq!(
            snapshot.is_token_revoked(*id, Some(1)),
            n < revoked,
            "token {n} of {}, {revoked} revoked",
            covered.len()
        );
    }
    assert_eq!(snapshot.covered_revocation_count(), revoked);
    covered.len() as u64
}

#[test]
fn every_covered_token_is_answered_exactly() {
    let (mut checked, mut sets) = (0, 0);
    for revoked in [0, 1, 2, 3, 4, 7, 10, 33, 100, 333, 1_000, 3_333, 10_000, 33_333, 100_000] {
        for density in [1, 2, 3, 10, 30, 100, 300, 1_000] {
            let count = revoked.max(1) * density;
            if count > MAX_COVERED {
                continue;
            }
            let covered = ids(count, (revoked * 31 + density) as u64);
            let message = build(covered[..revoked].to_vec(), &covered, count as u64, 10_000);
            checked += check(&decoded(message), &covered, revoked);
            sets += 1;
        }
    }
    println!("{checked} covered tokens of {sets} sets, each answered exactly");
}

#[test]
fn a_wrong_estimate_changes_the_size_and_no_answer() {
    let covered = ids(20_000, 1);
    let mut sizes = Vec::new();
    for estimate in [0, 1, 1_000, 20_000, 1_000_000, u64::MAX] {
        let message = build(covered[..1_000].to_vec(), &covered, estimate, 999);
        sizes.push((estimate, message.len()));
        check(&decoded(message), &covered, 1_000);
    }
    let right = sizes[3].1;
    assert!(sizes.iter().all(|(_, size)| *size >= right), "the right estimate gives the smallest: {sizes:?}");
    println!("bytes by estimate of 20000: {sizes:?}");
}

#[test]
fn the_order_of_tokens_does_not_change_the_bytes() {
    let mut cases = 0;
    for (revoked, count) in [(1, 1), (1, 50), (30, 3_000), (500, 500), (1_000, 40_000)] {
        let covered = ids(count, 7);
        let first = build(covered[..revoked].to_vec(), &covered, count as u64, count);
        let mut random = Random::new(count as u64);
        for _ in 0..5 {
            let mut shuffled = covered.clone();
            for at in (1..shuffled.len()).rev() {
                shuffled.swap(at, random.index(at + 1));
            }
            let mut again: Vec<_> = covered[..revoked].iter().rev().copied().collect();
            again.push(covered[0]); // a revoked token twice, and covered tokens twice
            let twice = shuffled.iter().chain(shuffled.iter().take(100)).copied().collect::<Vec<_>>();
            assert!(build(again, &twice, count as u64, 1 + random.index(count)) == first, "{revoked} of {count}");
            cases += 1;
        }
    }
    println!("{cases} times the same bytes from another order");
}

#[test]
fn tokens_that_were_not_added_may_be_false_positives_but_never_false_negatives() {
    // The origin must add every token that it issued: for other tokens the answer is random.
    let covered = ids(50_000, 3);
    let snapshot = decoded(build(covered[..5_000].to_vec(), &covered[..6_000], 50_000, 1_000));
    check(&snapshot, &covered[..6_000], 5_000);
    let false_positives = covered[6_000..].iter().filter(|id| snapshot.is_token_revoked(**id, Some(1))).count();
    assert!(false_positives > 0, "none of 44,000 tokens that were not added");
}

#[test]
fn a_complete_snapshot_answers_what_it_was_built_from() {
    let snapshot = decoded(real_snapshot());
    for n in 0..COVERED {
        let id = token(n, true);
        assert_eq!(snapshot.is_token_revoked(id.revocation_id(), Some(id.epoch())), is_revoked(n), "covered {n}");
    }
    for n in 0..10 * OTHERS {
        let id = token(n, false);
        assert_eq!(snapshot.is_token_revoked(id.revocation_id(), Some(id.epoch())), n < OTHERS, "other {n}");
    }
    let mut seen = BTreeSet::new();
    for (kind, id, revoked_before) in groups() {
        assert_eq!(snapshot.revoked_before(kind, id), revoked_before);
        let other_kinds = RevocationKind::GROUPS.into_iter().filter(|other| *other != kind);
        assert!(
            other_kinds.clone().all(|other| snapshot.revoked_before(other, id) == RevokedBefore::NOT_REVOKED),
            "an id belongs to one kind"
        );
        seen.insert((kind, id));
    }
    assert_eq!(seen.len(), RevocationKind::GROUPS.iter().map(|kind| snapshot.count(*kind)).sum::<usize>());
    assert_eq!((snapshot.epoch(), snapshot.sequence()), (EPOCH, sample_messages::SEQUENCE));
    assert_eq!(snapshot.as_bytes(), real_snapshot(), "the same bytes from the same input");
    assert!(Snapshot::decode(real_snapshot(), &pins()).is_ok());
}
