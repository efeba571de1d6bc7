//! Group commit: many callers share few transactions, and each gets its own result.

use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::task::JoinSet;
use tollgate_model::Target;
use tollgate_storage::{WriteError, Writer};

use crate::database::Database;
use crate::samples::{NOW, client, draft, issue_tokens, read_log, reinstate, revoke, revoke_any, wait_until_queued};

on_both_databases!(
    concurrent_callers_share_commits,
    bad_request_fails_alone,
    full_queue_refuses_requests,
    commit_wakes_watches_of_this_process,
    other_writers_get_a_turn_under_load,
);

async fn concurrent_callers_share_commits(database: &Database) {
    const COUNT: u32 = 1000;
    issue_tokens(&database.store, &[]).await;
    let (writer, task) = Writer::new(database.store.clone());
    let task = tokio::spawn(task);
    let mut callers = JoinSet::new();
    let begun = Instant::now();
    for number in 0..COUNT {
        let (writer, store) = (writer.clone(), database.store.clone());
        callers.spawn(async move {
            let token = writer.issue(draft(number, NOW + 3600)).await.expect("issued");
            assert_eq!(store.find_token(token.id).await.expect("read").map(|token| token.number), Some(token.number));
            let target = Target::Token(token.id.to_string());
            let revoked = writer.revoke(revoke_any(target.clone(), NOW)).await.expect("revoked");
            assert!(revoked.is_new_to_edges && revoked.revocation.target == target);
            // It is committed when the caller gets the result.
            assert!(store.is_token_revoked(&token).await.expect("asked"));
            if number % 10 == 0 {
                assert!(writer.reinstate(reinstate(target, NOW)).await.expect("lifted").is_new_to_edges);
            }
        });
    }
    callers.join_all().await;
    println!("{COUNT} tokens issued, revoked and looked up in {:?}", begun.elapsed());
    assert_eq!(read_log(&database.store).await.len() as u32, COUNT + COUNT / 10);
    drop(writer);
    task.await.expect("it ends with the last handle");
}

async fn bad_request_fails_alone(database: &Database) {
    issue_tokens(&database.store, &[]).await;
    let (writer, task) = Writer::new(database.store.clone());
    let mut stranger = draft(1000, NOW + 3600);
    stranger.client = "nobody".parse().expect("an id");
    let mut callers = JoinSet::new();
    for number in 0..20 {
        let (writer, draft) = (writer.clone(), if number == 7 { stranger.clone() } else { draft(number, NOW + 3600) });
        callers.spawn(async move { (number, writer.issue(draft).await.is_ok()) });
    }
    let revoking = writer.clone();
    callers.spawn(async move { (20, revoking.revoke(revoke(3)).await.is_ok()) });
    // All of them go into one transaction.
    wait_until_queued(&writer, 21).await;
    let task = tokio::spawn(task);
    let mut done = callers.join_all().await;
    done.sort_unstable();
    assert_eq!(done, (0..21).map(|number| (number, number != 7)).collect::<Vec<_>>());
    assert_eq!(read_log(&database.store).await.len(), 1);
    drop(writer);
    task.await.expect("it ends");
}

async fn full_queue_refuses_requests(database: &Database) {
    let (writer, task) = Writer::new(database.store.clone());
    let mut callers = JoinSet::new();
    for _ in 0..16 * 1024 {
        let writer = writer.clone();
        callers.spawn(async move { drop(writer.revoke(revoke(1)).await) });
    }
    while !matches!(
        tokio::time::timeout(Duration::from_millis(20), writer.revoke(revoke(1))).await,
        Ok(Err(WriteError::Busy))
    ) {}
    callers.abort_all();
    drop(task);
    assert!(matches!(writer.revoke(revoke(1)).await, Err(WriteError::Stopped)));
    assert!(read_log(&database.store).await.is_empty());
}

async fn commit_wakes_watches_of_this_process(database: &Database) {
    let mut watch = database.store.watch_changes().await.expect("watching");
    while tokio::time::timeout(Duration::from_millis(200), watch.changed()).await.is_ok() {}
    assert!(watch.changed().now_or_never().is_none(), "nothing has changed since");
    database.store.revoke(revoke(1)).await.expect("revoked");
    // Without waiting for a notification or a poll of the database.
    watch.changed().now_or_never().expect("woken").expect("changed");
}

/// So many callers that the queue is never empty.
async fn other_writers_get_a_turn_under_load(database: &Database) {
    issue_tokens(&database.store, &[]).await;
    let (writer, task) = Writer::new(database.store.clone());
    let task = tokio::spawn(task);
    let mut callers = JoinSet::new();
    for caller in 0..1000 {
        let writer = writer.clone();
        callers.spawn(async move {
            for number in 0_u32.. {
                writer.issue(draft(caller + 1000 * number, NOW + 3600)).await.expect("issued");
            }
        });
    }
    for number in 0..3 {
        let other = client(&format!("another-{number}")).0;
        database.store.create_client(&other).await.expect("it has its turn");
    }
    assert!(callers.try_join_next().is_none(), "all of them still ask");
    callers.abort_all();
    while callers.join_next().await.is_some() {}
    drop(writer);
    task.await.expect("it ends");
}

/// Prints the rate of durable revocations; it depends on the machine, so nothing is required of it.
#[tokio::test(flavor = "multi_thread")]
async fn revocations_a_second_on_sqlite() {
    const COUNT: u32 = 20_000;
    const CALLERS: u32 = 1000;
    let database = Database::sqlite("revocations_a_second").await;
    let (writer, task) = Writer::new(database.store.clone());
    let task = tokio::spawn(task);
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let writer = writer.clone();
        callers.spawn(async move {
            for number in (caller..COUNT).step_by(CALLERS as usize) {
                assert!(writer.revoke(revoke(number)).await.expect("revoked").is_new_to_edges);
            }
        });
    }
    callers.join_all().await;
    let took = begun.elapsed();
    println!(
        "{COUNT} revocations by {CALLERS} callers in {took:?}: {:.0} a second",
        f64::from(COUNT) / took.as_secs_f64()
    );
    assert_eq!(read_log(&database.store).await.len() as u32, COUNT);
    drop(writer);
    task.await.expect("it ends");
    database.remove().await;
}
