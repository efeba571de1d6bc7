//! Tokens on record, and revoking them: one history, whoever writes it.

use std::time::Duration;

use tollgate::domain::Revocation;
use tollgate_core::{Change, Delta};

use crate::database::Database;
use crate::samples::{NOW, followed, revocation, token, token_id, with_tokens};

on_both_databases!(
    a_token_is_on_record,
    revoking_twice_tells_edges_once,
    reinstating_tells_edges_too,
    a_rolled_back_revocation_leaves_no_gap,
    concurrent_revocations_make_one_history,
);

async fn a_token_is_on_record(database: &Database) {
    let token = token(1, NOW + 3600);
    with_tokens(&database.store, std::slice::from_ref(&token)).await;
    assert_eq!(database.store.token(&token.id).await.expect("looked up"), Some(token.clone()));
    assert_eq!(database.store.token(&token_id(2)).await.expect("looked up"), None);
    assert!(database.store.record_token(&token).await.is_err(), "no jti twice");
    assert!(database.store.unrevoked_token(&token.id).await.expect("looked up").is_some());
    assert!(database.store.revoke(&revocation(1)).await.expect("revoked"));
    assert!(database.store.unrevoked_token(&token.id).await.expect("looked up").is_none());
}

async fn revoking_twice_tells_edges_once(database: &Database) {
    assert!(database.store.revoke(&revocation(1)).await.expect("revoked"));
    assert!(!database.store.revoke(&revocation(1)).await.expect("asked"));
    assert!(database.store.is_revoked(&token_id(1)).await.expect("asked"));
    assert!(!database.store.is_revoked(&token_id(2)).await.expect("asked"));
    let Revocation { id, void_after, .. } = revocation(1);
    let history = followed(&database.store).await;
    assert_eq!(history, [Delta { sequence: 1, id, change: Change::Revoke, expires_at: void_after }]);
}

async fn reinstating_tells_edges_too(database: &Database) {
    assert!(!database.store.reinstate(&token_id(1)).await.expect("asked"));
    database.store.revoke(&revocation(1)).await.expect("revoked");
    assert!(database.store.reinstate(&token_id(1)).await.expect("lifted"));
    assert!(!database.store.is_revoked(&token_id(1)).await.expect("asked"));
    assert!(database.store.revoke(&revocation(1)).await.expect("revoked again"));
    let changes: Vec<Change> = followed(&database.store).await.iter().map(|delta| delta.change).collect();
    assert_eq!(changes, [Change::Revoke, Change::Reinstate, Change::Revoke]);
}

async fn a_rolled_back_revocation_leaves_no_gap(database: &Database) {
    // Dropped at different moments: some before the commit, some after.
    for number in 0..40_u32 {
        let revocation = revocation(number);
        let patience = Duration::from_micros(u64::from(number) * 50);
        drop(tokio::time::timeout(patience, database.store.revoke(&revocation)).await);
    }
    let told = followed(&database.store).await.len();
    let mut revoked = 0;
    for number in 0..40 {
        revoked += usize::from(database.store.is_revoked(&token_id(number)).await.expect("asked"));
    }
    assert_eq!(told, revoked, "each revocation has its delta, and each delta its revocation");
}

async fn concurrent_revocations_make_one_history(database: &Database) {
    let other = database.again().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100_u32 {
        let store = if number % 2 == 0 { database.store.clone() } else { other.clone() };
        // Every token twice, by way of either process.
        tasks.spawn(async move { store.revoke(&revocation(number / 2)).await.expect("revoked") });
    }
    let fresh = tasks.join_all().await.into_iter().filter(|fresh| *fresh).count();
    assert_eq!(fresh, 50, "each was revoked by one of the two");
    assert_eq!(followed(&database.store).await.len(), 50);
    other.close().await;
}
