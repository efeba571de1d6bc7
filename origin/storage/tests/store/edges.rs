//! Registered edges, route rules, and leader locks.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;
use tollgate_model::{Edge, EdgeHeartbeat, OnStale, Route, Scope};
use tollgate_storage::{LeaderRole, StoreError};

use crate::database::Database;
use crate::samples::NOW;

on_both_databases!(acknowledged_sequence_never_decreases, conflicting_routes_are_refused,);

async fn acknowledged_sequence_never_decreases(database: &Database) {
    let name = "tokyo-1".parse().expect("a name");
    let edge = Edge {
        name,
        url: "http://127.0.0.1:8787".parse().expect("a URL"),
        acknowledged: 0,
        acknowledged_at_ms: None,
        contacted_at_ms: None,
        created_at: NOW,
    };
    database.store.create_edge(&edge).await.expect("registered");
    assert!(matches!(database.store.create_edge(&edge).await, Err(StoreError::AlreadyExists("edge"))));
    for (sequence, at) in [(7, 1000), (7, 3000), (5, 4000)] {
        database.store.record_edge_acknowledgement(&edge.name, sequence, at).await.expect("recorded");
    }
    let edges = database.store.list_edges().await.expect("listed");
    let heard =
        |at_ms| Edge { acknowledged: 7, acknowledged_at_ms: Some(3000), contacted_at_ms: Some(at_ms), ..edge.clone() };
    assert_eq!(edges, [heard(4000)]);
    let contact = EdgeHeartbeat { name: edge.name.clone(), number: edge.number(), sequence: 6, at_ms: 5000 };
    let stranger = EdgeHeartbeat { name: "stranger".parse().expect("a name"), sequence: 9, ..contact.clone() };
    let earlier = EdgeHeartbeat { number: edge.number() - 1, sequence: 9, at_ms: 6000, ..contact.clone() };
    database.store.record_edge_contacts(&[contact.clone(), stranger, earlier]).await.expect("recorded");
    assert_eq!(database.store.list_edges().await.expect("listed"), [heard(5000)]);
    let repeated = EdgeHeartbeat { sequence: 7, at_ms: 2000, ..contact };
    database.store.record_edge_contacts(&[repeated]).await.expect("recorded");
    assert_eq!(database.store.list_edges().await.expect("listed"), [heard(5000)], "an old question takes nothing back");
    assert!(database.store.delete_edge(&edge.name).await.expect("removed"));
    assert!(!database.store.delete_edge(&edge.name).await.expect("asked"));
}

async fn conflicting_routes_are_refused(database: &Database) {
    let route = |path: &str, methods: &[&str]| {
        let methods: Vec<String> = methods.iter().map(|method| (*method).to_owned()).collect();
        Route::new(path, &methods, Scope::parse("a b").expect("a scope"), false, OnStale::Allow)
            .expect("a route")
            .on_not_covered(OnStale::Allow)
    };
    let before = database.store.get_feed_head().await.expect("a head").version;
    for added in [route("/b", &[]), route("/a", &["PUT", "GET"]), route("/a", &[])] {
        database.store.create_route(&added).await.expect("added");
    }
    assert!(database.store.create_route(&route("/a", &["GET"])).await.is_err());
    let routes = database.store.list_routes().await.expect("listed");
    assert_eq!(routes, [route("/a", &[]), route("/a", &["GET", "PUT"]), route("/b", &[])]);
    assert!(database.store.delete_route(&route("/b", &[])).await.expect("removed"));
    assert!(!database.store.delete_route(&route("/b", &[])).await.expect("asked"));
    assert!(database.store.get_feed_head().await.expect("a head").version > before, "edges are notified");
}

#[tokio::test]
async fn sqlite_has_one_origin_that_leads_every_role() {
    let database = Database::sqlite("leader_lock").await;
    let _lock = database.store.acquire_leader_lock(LeaderRole::EdgePush).await.expect("leader");
    let _other = database.store.acquire_leader_lock(LeaderRole::SnapshotPublication).await.expect("leader");
    database.remove().await;
}

#[tokio::test]
async fn one_origin_on_postgresql_leads_a_role() {
    let database = Box::pin(Database::postgres("leader_lock")).await;
    let other = database.reopen().await;
    let within = Duration::from_secs(10);

    let first = database.store.acquire_leader_lock(LeaderRole::EdgePush).await.expect("leader");
    let refused = timeout(Duration::from_millis(1500), other.acquire_leader_lock(LeaderRole::EdgePush)).await;
    assert!(refused.is_err(), "another origin leads");
    // The other role has a lock of its own.
    drop(
        timeout(within, other.acquire_leader_lock(LeaderRole::SnapshotPublication))
            .await
            .expect("it is free")
            .expect("leader"),
    );
    drop(first);
    let mut second =
        timeout(within, other.acquire_leader_lock(LeaderRole::EdgePush)).await.expect("it is free").expect("leader");
    assert!(timeout(Duration::from_millis(1500), second.wait_until_lost()).await.is_err(), "it is kept");

    // As when the leader's machine fails: the connection ends without a message.
    let mut connection = PgConnection::connect(database.url()).await.expect("connected");
    let end = "SELECT pg_terminate_backend(pid) FROM pg_locks
               WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    sqlx::query(end).execute(&mut connection).await.expect("ended");
    connection.close().await.expect("closed");
    let (third, error) = tokio::join!(
        timeout(within, database.store.acquire_leader_lock(LeaderRole::EdgePush)),
        timeout(within, second.wait_until_lost())
    );
    assert!(third.expect("it is free").is_ok(), "another takes over");
    assert!(matches!(error, Ok(StoreError::Database(_))), "the one that lost it knows: {error:?}");
    other.close().await;
    database.remove().await;
}
