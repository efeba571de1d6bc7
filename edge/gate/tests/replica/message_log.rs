//! The log of messages that instances of an edge share.

use super::*;
use tollgate_gate::MessageLog;

/// The log of a gate that installed a snapshot with one revocation and fetched the second and third
/// at `NOW`.
fn log_of_three() -> (Origin, MessageLog) {
    let (mut origin, mut log) = (Origin::with(1), MessageLog::default());
    let mut gate = gate();
    gate.accept(200, &origin.snapshot(), &asked(NOW)).expect("a snapshot");
    for revoked in [2, 3] {
        let before = gate.sequence();
        origin.revoked = revoked;
        let message = origin.deltas(revoked - 1);
        assert_eq!(gate.accept(200, &message, &asked(NOW)), Ok(false));
        log.append(&gate, before, &message, Some(NOW));
    }
    origin.revoked = 1;
    (origin, MessageLog::from_bytes(&log.to_bytes()).expect("its own bytes"))
}

#[test]
fn log_makes_a_new_instance_as_fresh_as_its_writer() {
    let (origin, log) = log_of_three();
    let mut next = gate();
    next.warm(&origin.snapshot()).expect("the same snapshot");
    assert!(log.has_snapshot_of(&next) && log.has_news_for(&next, NOW + 5000));
    assert_eq!(log.apply_to(&mut next, NOW + 5000), Ok(()));
    assert_eq!((next.sequence(), next.freshness(NOW + 100)), (Some(3), Freshness::Fresh));
    assert_eq!(next.freshness(NOW + 5000), Freshness::Stale, "no fresher than its writer");
    assert_eq!(status(&next, "/", "token-3", NOW + 5000), 401);
    assert!(!log.has_news_for(&next, NOW + 5000), "its messages are applied already");
}

#[test]
fn log_with_an_older_or_future_proof_does_not_change_freshness() {
    let (origin, log) = log_of_three();
    let mut newer = synced(&Origin { as_of_ms: NOW + 400, ..Origin::with(1) });
    assert_eq!(
        newer.accept(200, &Origin { as_of_ms: NOW + 400, ..Origin::with(3) }.deltas(1), &asked(NOW + 400)),
        Ok(false)
    );
    assert_eq!(log.apply_to(&mut newer, NOW + 500), Ok(()));
    assert_eq!(newer.freshness(NOW + 600), Freshness::Fresh, "complete as of NOW + 400, not NOW");

    let mut next = gate();
    next.warm(&origin.snapshot()).expect("the same snapshot");
    assert_eq!(log.apply_to(&mut next, NOW - 5000), Ok(()), "the clock was set back");
    assert_eq!(next.sequence(), Some(3));
    for now in [NOW - 5000, NOW, NOW + 100] {
        assert_eq!(next.freshness(now), Freshness::Stale);
    }
}

#[test]
fn log_with_missing_or_forged_messages_proves_no_freshness() {
    let (_, log) = log_of_three();
    let mut next = gate();
    next.warm(&Origin::with(0).snapshot()).expect("an older snapshot");
    assert!(!log.has_snapshot_of(&next));
    assert!(log.apply_to(&mut next, NOW).is_err(), "a change in between is missing");
    assert_eq!(next.freshness(NOW), Freshness::Stale);

    let bytes = log.to_bytes();
    for length in 0..bytes.len() {
        if let Some(truncated) = MessageLog::from_bytes(&bytes[..length]) {
            let mut next = gate();
            next.warm(&Origin::with(1).snapshot()).expect("a snapshot");
            let applied = truncated.apply_to(&mut next, NOW);
            assert!(applied.is_err() || next.sequence() == Some(3), "truncated to {length} bytes");
        }
    }
    let mut forged = bytes;
    *forged.last_mut().expect("bytes") ^= 1;
    let mut next = gate();
    next.warm(&Origin::with(1).snapshot()).expect("a snapshot");
    let forged = MessageLog::from_bytes(&forged).expect("well-formed");
    assert!(forged.apply_to(&mut next, NOW).is_err() || next.sequence() == Some(3));
}

#[test]
fn long_or_incomplete_log_should_be_compacted() {
    let mut gate = synced(&Origin::with(1));
    let mut log = MessageLog::default();
    for revoked in 2..20 {
        let before = gate.sequence();
        let message = Origin::with(revoked).deltas(revoked - 1);
        assert_eq!(gate.accept(200, &message, &asked(NOW)), Ok(false));
        log.append(&gate, before, &message, Some(NOW));
        assert_eq!(log.should_be_compacted(&gate), revoked >= 17);
    }
    log.mark_compacted();
    assert!(!log.should_be_compacted(&gate));
    assert_eq!(gate.accept(200, &Origin::with(20).deltas(19), &asked(NOW)), Ok(false));
    assert!(log.should_be_compacted(&gate), "it lacks a change");
}

#[test]
fn log_after_a_push_brings_the_change_and_an_older_proof() {
    let (origin, mut log) = log_of_three();
    let mut writer = gate();
    writer.warm(&origin.snapshot()).expect("the snapshot");
    log.apply_to(&mut writer, NOW).expect("its messages");
    let push = Origin::with(4).message(3, None);
    assert_eq!(writer.push(&push, NOW + 100).status, 200);
    log.append(&writer, Some(3), &push, None);

    let mut other = gate();
    other.warm(&origin.snapshot()).expect("the snapshot");
    log_of_three().1.apply_to(&mut other, NOW).expect("the log before the push");
    assert!(log.has_news_for(&other, NOW + 100) && log.has_proof());
    assert!(log.is_newer_than(&log_of_three().1, NOW + 100) && !log_of_three().1.is_newer_than(&log, NOW + 100));
    assert_eq!(log.apply_to(&mut other, NOW + 100), Ok(()));
    assert_eq!((other.sequence(), other.freshness(NOW + 100)), (Some(4), Freshness::Fresh));

    let mut next = gate();
    next.warm(&origin.snapshot()).expect("the snapshot");
    assert_eq!(log.apply_to(&mut next, NOW + 5000), Ok(()));
    assert_eq!(status(&next, "/", "token-4", NOW + 5000), 401);
    assert_eq!(next.freshness(NOW + 100), Freshness::Fresh, "complete as of its writer's proof");
}
