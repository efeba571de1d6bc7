//! What one instance of an edge leaves for the next.

use super::*;
use tollgate_gate::Record;

/// What a gate leaves that took a snapshot after one revocation, and was answered at `NOW` after the second and third.
fn left() -> (Origin, Record) {
    let (mut origin, mut record) = (Origin::with(1), Record::default());
    let mut gate = gate();
    gate.accept(200, &origin.snapshot(), &asked(NOW)).expect("a snapshot");
    for revoked in [2, 3] {
        let before = gate.sequence();
        origin.revoked = revoked;
        let message = origin.deltas(revoked - 1);
        assert_eq!(gate.accept(200, &message, &asked(NOW)), Ok(false));
        record.add(&gate, before, &message, Some(NOW));
    }
    origin.revoked = 1;
    (origin, Record::from_bytes(&record.to_bytes()).expect("its own bytes"))
}

#[test]
fn a_new_instance_knows_what_another_left_and_is_as_old() {
    let (origin, record) = left();
    let mut next = gate();
    next.warm(&origin.snapshot()).expect("the same snapshot");
    assert!(record.fits(&next) && record.is_news_to(&next, NOW + 5000));
    assert_eq!(record.give(&mut next, NOW + 5000), Ok(()));
    assert_eq!((next.sequence(), next.refresh(NOW + 100)), (Some(3), Refresh::Fresh));
    assert_eq!(next.refresh(NOW + 5000), Refresh::Required, "no younger than it was");
    assert_eq!(status(&next, "/", "token-3", NOW + 5000), 401);
    assert!(!record.is_news_to(&next, NOW + 5000), "it knows that already");
}

#[test]
fn an_older_record_makes_no_gate_older_and_one_from_the_future_none_fresh() {
    let (origin, record) = left();
    let mut held = informed(&Origin { as_of_ms: NOW + 400, ..Origin::with(1) });
    assert_eq!(
        held.accept(200, &Origin { as_of_ms: NOW + 400, ..Origin::with(3) }.deltas(1), &asked(NOW + 400)),
        Ok(false)
    );
    assert_eq!(record.give(&mut held, NOW + 500), Ok(()));
    assert_eq!(held.refresh(NOW + 600), Refresh::Fresh, "asked at NOW + 400, not at NOW");

    let mut next = gate();
    next.warm(&origin.snapshot()).expect("the same snapshot");
    assert_eq!(record.give(&mut next, NOW - 5000), Ok(()), "the clock was set back");
    assert_eq!(next.sequence(), Some(3));
    for now in [NOW - 5000, NOW, NOW + 100] {
        assert_eq!(next.refresh(now), Refresh::Required);
    }
}

#[test]
fn a_record_that_does_not_join_on_brings_no_freshness() {
    let (_, record) = left();
    let mut next = gate();
    next.warm(&Origin::with(0).snapshot()).expect("an older snapshot");
    assert!(!record.fits(&next));
    assert!(record.give(&mut next, NOW).is_err(), "a change between is missing");
    assert_eq!(next.refresh(NOW), Refresh::Required);

    let bytes = record.to_bytes();
    for length in 0..bytes.len() {
        if let Some(cut) = Record::from_bytes(&bytes[..length]) {
            let mut next = gate();
            next.warm(&Origin::with(1).snapshot()).expect("a snapshot");
            let given = cut.give(&mut next, NOW);
            assert!(given.is_err() || next.sequence() == Some(3), "cut to {length} bytes");
        }
    }
    let mut forged = bytes;
    *forged.last_mut().expect("bytes") ^= 1;
    let mut next = gate();
    next.warm(&Origin::with(1).snapshot()).expect("a snapshot");
    let forged = Record::from_bytes(&forged).expect("the form is good");
    assert!(forged.give(&mut next, NOW).is_err() || next.sequence() == Some(3));
}

#[test]
fn a_record_with_many_messages_or_too_few_asks_to_be_packed() {
    let mut gate = informed(&Origin::with(1));
    let mut record = Record::default();
    for revoked in 2..20 {
        let before = gate.sequence();
        let message = Origin::with(revoked).deltas(revoked - 1);
        assert_eq!(gate.accept(200, &message, &asked(NOW)), Ok(false));
        record.add(&gate, before, &message, Some(NOW));
        assert_eq!(record.should_be_packed(&gate), revoked >= 17);
    }
    record.count_as_packed();
    assert!(!record.should_be_packed(&gate));
    assert_eq!(gate.accept(200, &Origin::with(20).deltas(19), &asked(NOW)), Ok(false));
    assert!(record.should_be_packed(&gate), "it lacks a change");
}
