//! Snapshots contain every token and revocation, even while others issue and revoke, and the newest
//! published one is served.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tollgate_core::{ConfigDigest, RevocationId, RevocationKind, RevokedBefore};
use tollgate_model::{AccessToken, Target};
use tollgate_storage::{Batch, PublishedSnapshot, Store};

use crate::database::Database;
use crate::samples::{ISSUER, NOW, draft, issue_tokens, read_log, reinstate, revoke, revoke_any};

on_both_databases!(
    reader_sees_one_state,
    only_unexpired_tokens_are_covered,
    change_of_a_covered_token_is_noticed,
    newest_published_snapshot_is_kept,
    reader_sees_every_token_of_a_closed_epoch,
);

async fn reader_sees_one_state(database: &Database) {
    let store = &database.store;
    store.revoke(revoke(1)).await.expect("revoked");
    store.revoke(revoke_any(Target::Token("another's".to_owned()), NOW)).await.expect("revoked");
    store.revoke(revoke_any(Target::Subject("someone".to_owned()), NOW)).await.expect("revoked");
    store.revoke(revoke_any(Target::Before(NOW - 5), NOW)).await.expect("revoked");
    let mut reader = store.snapshot_reader(NOW).await.expect("reading");
    let state = reader.read_state().await.expect("a state");
    assert_eq!((state.head.sequence, state.before), (4, RevokedBefore::time(NOW - 5)));
    let subject = RevocationId::new(RevocationKind::Subject, ISSUER, "someone");
    assert_eq!(state.groups, [(RevocationKind::Subject, subject, RevokedBefore::through_epoch(1))]);
    let mut revoked = state.revoked.clone();
    revoked.sort_by_key(|(_, epoch)| *epoch);
    let foreign = RevocationId::new(RevocationKind::Token, ISSUER, "another's");
    assert_eq!(revoked, [(foreign, None), (revoke(1).target.id(ISSUER), Some(1))]);
    assert_eq!(Some(state.chain), store.get_feed_page(4).await.expect("a page").chain);

    store.reinstate(reinstate(revoke(1).target, NOW)).await.expect("lifted");
    assert_eq!(reader.read_state().await.expect("the same state").revoked.len(), 2);
    let after = store.snapshot_reader(NOW).await.expect("reading").read_state().await.expect("a state");
    assert_eq!(after.revoked, [(foreign, None)]);
    let later = store.snapshot_reader(revoke(1).void_after + 10_000_000).await.expect("reading").read_state().await;
    let later = later.expect("a state");
    assert!(later.revoked.is_empty() && later.groups.is_empty(), "void ones are left out, swept or not");
}

/// All ids that a reader returns.
async fn covered(store: &Store, closed: u32, now: u64) -> Vec<RevocationId> {
    let mut reader = store.snapshot_reader(now).await.expect("reading");
    let mut all = Vec::new();
    loop {
        let ids = reader.next_covered_ids(closed).await.expect("ids");
        if ids.is_empty() {
            return all;
        }
        all.extend(ids);
    }
}

async fn only_unexpired_tokens_are_covered(database: &Database) {
    let tokens = issue_tokens(&database.store, &[draft(1, NOW + 60), draft(2, NOW + 3600)]).await;
    let closed = database.store.close_epoch().await.expect("closed");
    let young = issue_tokens(&database.store, &[draft(3, NOW + 3600)]).await.remove(0);
    let [short, long] = [tokens[0].id, tokens[1].id].map(|id| id.revocation_id());
    assert_eq!(covered(&database.store, closed, NOW).await, [short, long]);
    assert_eq!(covered(&database.store, closed, NOW + 60 + 120).await, [short, long], "within the margin");
    assert_eq!(covered(&database.store, closed, NOW + 60 + 121).await, [long]);
    assert_eq!(covered(&database.store, closed + 1, NOW).await, [short, long, young.id.revocation_id()]);
    assert_eq!(covered(&database.store, u32::MAX, NOW).await.len(), 3);
}

async fn change_of_a_covered_token_is_noticed(database: &Database) {
    let store = &database.store;
    let tokens = issue_tokens(store, &[draft(1, NOW + 3600)]).await;
    let closed = store.close_epoch().await.expect("closed");
    store.revoke(revoke_any(Target::Subject("someone".to_owned()), NOW)).await.expect("revoked");
    store.revoke(revoke_any(Target::Token("another's".to_owned()), NOW)).await.expect("revoked");
    assert!(!store.has_covered_change_since(0, closed).await.expect("asked"), "neither is a covered token");
    let covered_one = Target::Token(tokens[0].id.to_string());
    store.revoke(revoke_any(covered_one.clone(), NOW)).await.expect("revoked");
    assert!(store.has_covered_change_since(0, closed).await.expect("asked"));
    assert!(!store.has_covered_change_since(3, closed).await.expect("asked"));
    assert!(!store.has_covered_change_since(0, closed - 1).await.expect("asked"));
    store.reinstate(reinstate(covered_one, NOW)).await.expect("lifted");
    assert!(store.has_covered_change_since(3, closed).await.expect("asked"));
    database.delete_deltas_up_to(4).await;
    assert!(store.has_covered_change_since(3, closed).await.expect("asked"), "who knows what is no longer kept");
    assert!(!store.has_covered_change_since(4, closed).await.expect("asked"));
}

async fn newest_published_snapshot_is_kept(database: &Database) {
    let store = &database.store;
    assert_eq!(store.find_published_snapshot().await.expect("read"), None);
    assert_eq!(store.get_feed_page(0).await.expect("a page").config, None);
    let snapshot = |sequence, as_of_ms| PublishedSnapshot {
        number: 0,
        sequence,
        epoch: 3,
        as_of_ms,
        built_ms: 1,
        revoked: 2,
        config: ConfigDigest::of(b"config"),
        message: vec![7; 100],
    };
    let first = store.publish_snapshot(&snapshot(5, 100), &[]).await.expect("published").expect("it is the first");
    assert_eq!(store.publish_snapshot(&snapshot(4, 200), &[]).await.expect("asked"), None, "of an older state");
    assert_eq!(store.publish_snapshot(&snapshot(6, 99), &[]).await.expect("asked"), None, "of an older moment");
    assert_eq!(
        store.find_published_snapshot().await.expect("read"),
        Some(PublishedSnapshot { number: first, ..snapshot(5, 100) })
    );
    assert_eq!(store.get_feed_head().await.expect("a head").snapshot, first);
    let second = store.publish_snapshot(&snapshot(5, 200), &[]).await.expect("published").expect("it is newer");
    assert!(second > first);
    let page = store.get_feed_page(0).await.expect("a page");
    assert_eq!((page.config, page.epoch), (Some(ConfigDigest::of(b"config")), 1));
}

/// Two origins issue and revoke as fast as they can while a third closes epochs and reads.
async fn reader_sees_every_token_of_a_closed_epoch(database: &Database) {
    issue_tokens(&database.store, &[]).await;
    let (other, publisher) = (database.reopen().await, database.reopen().await);
    let (stop, number) = (AtomicBool::new(false), AtomicU32::new(0));
    let issue = async |store: &Store| {
        let mut issued: Vec<AccessToken> = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let next = || draft(number.fetch_add(1, Ordering::Relaxed), NOW + 3600);
            let revocations = issued.last().filter(|token| token.number % 7 == 0).map(|token| {
                // Closes the epoch in the transaction that issues, from time to time.
                revoke_any(Target::Session(format!("session-{}", token.number)), NOW)
            });
            let batch = Batch {
                issuances: vec![next().into(), next().into()],
                revocations: revocations.into_iter().collect(),
                ..Batch::default()
            };
            let outcome = store.apply(batch).await.expect("written");
            issued.extend(outcome.issued.into_iter().map(|token| *token.expect("issued")));
        }
        issued
    };
    let read = async {
        let mut seen = Vec::new();
        // Until enough has happened on both sides, however slow the disk is.
        while seen.len() < 40 || number.load(Ordering::Relaxed) < 100 {
            let closed = publisher.close_epoch().await.expect("closed");
            seen.push((closed, covered(&publisher, closed, NOW).await));
        }
        stop.store(true, Ordering::Relaxed);
        seen
    };
    let (one, two, three, seen) =
        tokio::join!(issue(&database.store), issue(&database.store), issue(&other), Box::pin(read));
    let tokens: Vec<AccessToken> = [one, two, three].concat();
    assert!(tokens.len() > 80, "{} tokens were issued meanwhile", tokens.len());
    let numbers: BTreeSet<u64> = tokens.iter().map(|token| token.number).collect();
    assert_eq!(numbers.len(), tokens.len(), "no number twice");
    let (epochs, mut checked) = (seen.len(), 0);
    for (closed, seen) in seen {
        let seen: BTreeSet<RevocationId> = seen.into_iter().collect();
        let expected: BTreeSet<RevocationId> =
            tokens.iter().filter(|token| token.id.epoch() <= closed).map(|token| token.id.revocation_id()).collect();
        assert_eq!(seen, expected, "of epoch {closed} and before");
        checked += seen.len();
    }
    println!("{} tokens in {epochs} epochs, {checked} sightings", tokens.len());
    read_log(&database.store).await;
    other.close().await;
    publisher.close().await;
}
