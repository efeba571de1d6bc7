//! Registered edges, route rules, and leader locks.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;
use tollgate_core::{EdgeCounter, EdgeReport, EdgeTotals};
use tollgate_model::{Edge, EdgeHeartbeat, OnStale, Route, RouteDocument, Scope};
use tollgate_storage::{LeaderRole, StoreError};

use crate::database::Database;
use crate::samples::NOW;

on_both_databases!(
    acknowledged_sequence_never_decreases,
    totals_of_edges_never_decrease,
    many_runs_of_an_edge_are_summed_up,
    conflicting_routes_are_refused,
    rules_of_one_path_differ_by_host,
);

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
    let contact =
        EdgeHeartbeat { name: edge.name.clone(), number: edge.number(), sequence: 6, at_ms: 5000, report: None };
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

fn registered(name: &str) -> Edge {
    Edge {
        name: name.parse().expect("a name"),
        url: "http://127.0.0.1:8787".parse().expect("a URL"),
        acknowledged: 0,
        acknowledged_at_ms: None,
        contacted_at_ms: None,
        created_at: NOW,
    }
}

/// A heartbeat whose run has passed `passed` requests, refused one, and has one stream open.
fn reported(edge: &Edge, run: u64, passed: u64, at_ms: u64) -> EdgeHeartbeat {
    let mut totals = EdgeTotals::default();
    totals.add(EdgeCounter::Passed, passed);
    totals.add(EdgeCounter::StreamsOpened, 1);
    totals.add_refused("revoked", 1);
    let report = Some(EdgeReport { run, totals });
    EdgeHeartbeat { name: edge.name.clone(), number: edge.number(), sequence: 1, at_ms, report }
}

async fn totals_of_edges_never_decrease(database: &Database) {
    let (edge, other) = (registered("tokyo-1"), registered("oslo-1"));
    for edge in [&edge, &other] {
        database.store.create_edge(edge).await.expect("registered");
    }
    let activity = async || database.store.list_edge_activity().await.expect("listed");
    assert!(activity().await.is_empty(), "no reports");
    let stranger = EdgeHeartbeat { name: "stranger".parse().expect("a name"), ..reported(&edge, 1, 9, 1000) };
    let earlier = EdgeHeartbeat { number: edge.number() - 1, ..reported(&edge, 1, 9, 1000) };
    database.store.record_edge_contacts(&[stranger, earlier]).await.expect("recorded");
    assert!(activity().await.is_empty(), "only the present registration counts");
    for (run, passed, at_ms, sum) in [
        (1, 3, 1000, (3, 1)),
        (1, 5, 2000, (5, 1)),
        (1, 4, 1500, (5, 1)),
        (1, 5, 2000, (5, 1)),
        (2, 0, 3000, (5, 2)),
        (2, 2, 4000, (7, 2)),
    ] {
        database.store.record_edge_contacts(&[reported(&edge, run, passed, at_ms)]).await.expect("recorded");
        let totals = activity().await[&edge.name].totals;
        assert_eq!((totals.get(EdgeCounter::Passed), totals.refused_in_all()), sum, "{run} {passed} {at_ms}");
    }
    database.store.record_edge_contacts(&[reported(&other, 1, 1, 70_000)]).await.expect("recorded");
    let both = activity().await;
    assert_eq!((both.len(), both[&other.name].totals.get(EdgeCounter::Passed)), (2, 1), "edges are apart");
    assert_eq!((both[&edge.name].open_streams, both[&edge.name].reported_at_ms), (2, 4000));
    database.store.record_edge_contacts(&[reported(&edge, 2, 2, 62_001)]).await.expect("recorded");
    assert_eq!(activity().await[&edge.name].open_streams, 1, "the other run has ended");
    assert!(database.store.delete_edge(&edge.name).await.expect("removed"));
    let again = Edge { created_at: NOW + 1, ..edge };
    database.store.create_edge(&again).await.expect("registered");
    assert!(!activity().await.contains_key(&again.name), "a new registration begins at 0");
}

async fn many_runs_of_an_edge_are_summed_up(database: &Database) {
    let edge = registered("tokyo-1");
    database.store.create_edge(&edge).await.expect("registered");
    let passed = async || {
        let activity = database.store.list_edge_activity().await.expect("listed");
        activity[&edge.name].totals.get(EdgeCounter::Passed)
    };
    let burst: Vec<EdgeHeartbeat> = (1..=130).map(|run| reported(&edge, run, 1, 1000)).collect();
    database.store.record_edge_contacts(&burst).await.expect("recorded");
    assert_eq!(passed().await, 128, "runs that may be alive are bounded");
    database.store.record_edge_contacts(&[reported(&edge, 200, 10, 601_001)]).await.expect("recorded");
    assert_eq!(passed().await, 138, "the sum of old runs is kept");
    database.store.record_edge_contacts(&[reported(&edge, 200, 11, 602_000)]).await.expect("recorded");
    assert_eq!(passed().await, 139);
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

async fn rules_of_one_path_differ_by_host(database: &Database) {
    let rule = |hosts: &[&str], acr: &[&str]| {
        let document = json!({ "path": "/a", "hosts": hosts, "acr": acr, "rate_limit": { "requests": 1, "seconds": 2, "by": "client" } });
        Route::try_from(serde_json::from_value::<RouteDocument>(document).expect("a document")).expect("a rule")
    };
    let (plain, one, other) =
        (rule(&[], &["gold"]), rule(&["a.example"], &[]), rule(&["b.example", "*.c.example"], &[]));
    for added in [&plain, &one, &other] {
        database.store.create_route(added).await.expect("added");
    }
    assert!(database.store.create_route(&one).await.is_err(), "it exists");
    let routes = database.store.list_routes().await.expect("listed");
    assert_eq!(routes, [plain.clone(), other.clone(), one.clone()], "sorted by hosts, whole");
    assert!(database.store.delete_route(&one).await.expect("removed"));
    assert_eq!(database.store.list_routes().await.expect("listed"), [plain, other]);
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
