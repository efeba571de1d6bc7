//! The feed, and what a sweep deletes.

use std::time::Duration;

use tollgate_model::NewRevocation;
use tollgate_storage::StoreError;

use crate::database::Database;
use crate::samples::{ISSUER, NOW, by, draft, issue_tokens, read_log, revoke};

on_both_databases!(
    feed_page_contains_the_deltas_after_a_sequence,
    sweep_deletes_expired_records,
    feed_page_before_the_kept_deltas_has_no_chain,
    database_of_another_issuer_is_refused,
    watch_notices_commits_of_another_process,
);

async fn feed_page_contains_the_deltas_after_a_sequence(database: &Database) {
    for number in 1..=5 {
        database.store.revoke(revoke(number)).await.expect("revoked");
    }
    let page = database.store.get_feed_page(3).await.expect("a page");
    assert_eq!(page.deltas.iter().map(|delta| delta.sequence).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(page.head.sequence, 5);
    let at_the_end = database.store.get_feed_page(5).await.expect("a page");
    assert!(at_the_end.deltas.is_empty() && at_the_end.chain.is_some());
    let beyond = database.store.get_feed_page(6).await.expect("a page");
    assert!(beyond.deltas.is_empty() && beyond.chain.is_none());
}

async fn sweep_deletes_expired_records(database: &Database) {
    let tokens = issue_tokens(&database.store, &[draft(1, NOW + 60), draft(2, NOW + 3600)]).await;
    let short = NewRevocation::token(&tokens[0], by(), None, NOW).expect("it lives");
    database.store.revoke(short.clone()).await.expect("revoked");
    database.store.revoke(revoke(2)).await.expect("revoked");

    let at_the_end = database.store.sweep(short.void_after).await.expect("swept");
    assert_eq!((at_the_end.tokens, at_the_end.revocations), (0, 0), "still within the margin");
    let after = database.store.sweep(short.void_after + 1).await.expect("swept");
    assert_eq!((after.tokens, after.revocations), (1, 1));
    assert!(database.store.is_token_revoked(&tokens[1]).await.expect("asked"));
    assert!(!database.store.is_token_revoked(&tokens[0]).await.expect("asked"), "its tokens have expired");
    assert_eq!(read_log(&database.store).await.len(), 2, "the history stays whole");
    assert_eq!(NewRevocation::token(&tokens[0], by(), None, short.void_after + 1), None, "too late to revoke");
}

async fn feed_page_before_the_kept_deltas_has_no_chain(database: &Database) {
    for number in 1..=3 {
        database.store.revoke(revoke(number)).await.expect("revoked");
    }
    assert_eq!(database.store.sweep(NOW).await.expect("swept").deltas, 0, "few are all kept");
    database.delete_deltas_up_to(1).await;
    assert!(database.store.get_feed_page(0).await.expect("a page").chain.is_none(), "the beginning is gone");
    assert!(database.store.get_feed_page(1).await.expect("a page").chain.is_none(), "so is the link at 1");
    let page = database.store.get_feed_page(2).await.expect("a page");
    assert!(page.chain.is_some() && page.deltas.len() == 1);
}

async fn database_of_another_issuer_is_refused(database: &Database) {
    database.store.adopt_issuer(ISSUER).await.expect("its own");
    let refused = database.store.adopt_issuer("https://other.example").await;
    assert!(matches!(refused, Err(StoreError::WrongIssuer { .. })), "{refused:?}");
    assert_eq!(database.store.get_issuer().await.expect("read"), ISSUER);
}

async fn watch_notices_commits_of_another_process(database: &Database) {
    let mut watch = database.store.watch_changes().await.expect("watching");
    let other = database.reopen().await;
    // Consumes the notifications of opening the database.
    while tokio::time::timeout(Duration::from_millis(200), watch.changed()).await.is_ok() {}
    let noticed = tokio::spawn(async move { watch.changed().await });
    other.revoke(revoke(1)).await.expect("revoked");
    // A limit for a test that hangs; `cargo xtask bench revocation` measures the delay.
    tokio::time::timeout(Duration::from_secs(60), noticed).await.expect("noticed").expect("ran").expect("no error");
    other.close().await;
}
