//! Keys that change while requests come, at two origins on one database.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tollgate_core::{
    CheckedByCaller, Deltas, Refusal, Replica, ReplicaView, RevocationChecker, Snapshot, TokenRequirements,
    UnknownStatusPolicy, verify,
};
use tollgate_keys::KeyRing;
use tollgate_model::Purpose;
use tollgate_model::key_schedule::Wanted;
use tollgate_model::{Actor, Revoke, Target, TokenAlg};
use tollgate_services::signing_keys::keeper::{self, Rotated};
use tollgate_system::clock;

use crate::database::Database;
use crate::samples::ISSUER;
use crate::served::{Asker, kid, master, origin, ring, until};

on_both_databases!(
    requests_do_not_notice_that_keys_change,
    a_revoked_key_is_refused_at_an_edge_at_once,
    a_new_snapshot_key_signs_a_new_snapshot,
    administrators_keep_keys,
);

async fn rotate(database: &Database, purpose: Purpose, ahead: u64) -> Rotated {
    let wanted = Wanted { purpose, alg: TokenAlg::EdDsa, ahead };
    keeper::rotate(&database.store, &master(), wanted, clock::now()).await.expect("asked")
}

async fn revoke(database: &Database, kid: &str) {
    let by = Actor::command_line(None);
    let revoke = Revoke::any(Target::Key(kid.to_owned()), by, None, clock::now()).expect("a key");
    database.store.revoke(revoke).await.expect("revoked");
}

async fn requests_do_not_notice_that_keys_change(database: &Database) {
    let (one, other) = (origin(database).await, origin(database).await);
    let asker = Asker::register(&database.store, "busy", "", TokenAlg::EdDsa).await;
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let revoked = Arc::new(Mutex::new(BTreeSet::new()));
    let mut load = tokio::task::JoinSet::new();
    for (here, there) in [(one.url(), other.url()), (other.url(), one.url())] {
        let (asker, stop, asked, revoked) =
            (asker.clone(), Arc::clone(&stop), Arc::clone(&asked), Arc::clone(&revoked));
        load.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let token = asker.token(&here).await;
                let (is_active, kid) = (asker.is_active(&there, &token).await, kid(&token));
                let is_revoked = revoked.lock().expect("whole").contains(&kid);
                assert!(is_active || is_revoked, "issued here, known there: {kid}");
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for _ in 0..5 {
        let Rotated::Changed(next) = rotate(database, Purpose::Token, 0).await else { panic!("a rotation") };
        for origin in [&one, &other] {
            until("the next key signs", async || kid(&asker.token(&origin.url()).await) == next.kid).await;
        }
    }
    // Nor that one is revoked: the next token is signed by another.
    for origin in [&one, &other] {
        let old = kid(&asker.token(&origin.url()).await);
        revoked.lock().expect("whole").insert(old.clone());
        revoke(database, &old).await;
        for origin in [&one, &other] {
            assert_ne!(kid(&asker.token(&origin.url()).await), old);
        }
    }
    let so_far = asked.load(Ordering::Relaxed);
    until("requests went on", async || asked.load(Ordering::Relaxed) > so_far).await;
    stop.store(true, Ordering::Relaxed);
    load.join_all().await;
    one.shutdown().await;
    other.shutdown().await;
}

/// An edge's view of the origin: the snapshot, brought up to date by deltas.
async fn replica(url: &str, keys: &KeyRing) -> Replica {
    let bytes = fetched(&format!("{url}/edge/v1/snapshot")).await;
    Replica::new(Snapshot::decode(bytes, keys.snapshot_pins()).expect("pinned"), ISSUER).expect("the issuer's")
}

async fn fetched(url: &str) -> Vec<u8> {
    let answer = reqwest::get(url).await.expect("answered");
    assert_eq!(answer.status(), 200, "{url}");
    answer.bytes().await.expect("a body").to_vec()
}

fn judged(replica: &Replica, token: &str, revocations: &impl RevocationChecker) -> Result<(), Refusal> {
    let expected = TokenRequirements {
        issuer: ISSUER,
        audience: ISSUER,
        scope: &[],
        leeway: 0,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    let keys = replica.snapshot().config().keys();
    verify(token.as_bytes(), keys, &expected, revocations, clock::now()).map(drop)
}

async fn a_revoked_key_is_refused_at_an_edge_at_once(database: &Database) {
    let server = origin(database).await;
    let asker = Asker::register(&database.store, "client", "", TokenAlg::EdDsa).await;
    let (keys, token) = (ring(&database.store).await, asker.token(&server.url()).await);
    let mut edge = replica(&server.url(), &keys).await;
    assert!(judged(&edge, &token, &ReplicaView { replica: &edge, is_fresh: true }).is_ok());

    revoke(database, &kid(&token)).await;
    let deltas = fetched(&format!("{}/edge/v1/deltas?after={}", server.url(), edge.sequence())).await;
    edge.apply(&Deltas::decode(&deltas, keys.snapshot_pins()).expect("pinned")).expect("they join on");
    let refused = judged(&edge, &token, &ReplicaView { replica: &edge, is_fresh: true });
    assert!(matches!(refused, Err(Refusal::Revoked)), "{refused:?}");
    assert!(!asker.is_active(&server.url(), &token).await);

    // The next request has a new key already, and the snapshot after that has nothing of the old one.
    let next = asker.token(&server.url()).await;
    assert_ne!(kid(&next), kid(&token));
    let newest = replica(&server.url(), &keys).await;
    assert!(judged(&newest, &next, &ReplicaView { replica: &newest, is_fresh: true }).is_ok());
    assert!(judged(&newest, &token, &CheckedByCaller).is_err(), "the key is not known any more");
    let (_, jwks) = asker.get(&format!("{}/.well-known/jwks.json", server.url()), None).await;
    assert!(jwks.to_string().contains(&kid(&next)) && !jwks.to_string().contains(&kid(&token)));
    server.shutdown().await;
}

async fn a_new_snapshot_key_signs_a_new_snapshot(database: &Database) {
    let server = origin(database).await;
    let old = ring(&database.store).await.snapshot_pins().to_vec();
    assert!(matches!(rotate(database, Purpose::Snapshot, 100).await, Rotated::Changed(_)));
    let both = ring(&database.store).await.snapshot_pins().to_vec();
    assert_eq!((both.len(), both[0]), (2, old[0]));
    let snapshot = async || fetched(&format!("{}/edge/v1/snapshot", server.url())).await;
    assert!(Snapshot::decode(snapshot().await, &old).is_ok(), "an edge with the old key only goes on");
    assert!(matches!(rotate(database, Purpose::Snapshot, 0).await, Rotated::Changed(_)));
    until("the next key signs", async || Snapshot::decode(snapshot().await, &both[1..]).is_ok()).await;
    let deltas = fetched(&format!("{}/edge/v1/deltas?after=0", server.url())).await;
    assert!(Deltas::decode(&deltas, &both).is_ok(), "an edge with both takes whatever it gets");
    server.shutdown().await;
}

async fn administrators_keep_keys(database: &Database) {
    use reqwest::{Method, StatusCode};
    let server = origin(database).await;
    let admin = Asker::register(&database.store, "admin", "tollgate:admin", TokenAlg::EdDsa).await;
    let other = Asker::register(&database.store, "other", "", TokenAlg::EdDsa).await;
    let (token, weak) = (admin.token(&server.url()).await, other.token(&server.url()).await);
    let url = format!("{}/admin/api/keys", server.url());
    assert_eq!(admin.admin(Method::GET, &url, &weak, &json!(null)).await.0, StatusCode::FORBIDDEN);
    let (status, listed) = admin.admin(Method::GET, &url, &token, &json!(null)).await;
    assert_eq!((status, listed["keys"].as_array().map(Vec::len)), (StatusCode::OK, Some(6)));
    assert!(!listed.to_string().contains("sealed"));

    let (status, made) = admin.admin(Method::POST, &url, &token, &json!({ "alg": "ES256" })).await;
    assert_eq!((status, &made["keys"][0]["state"]), (StatusCode::CREATED, &json!("upcoming")));
    let (_, again) = admin.admin(Method::POST, &url, &token, &json!({ "alg": "ES256" })).await;
    assert_eq!(again["keys"][0]["kid"], made["keys"][0]["kid"]);
    for body in [json!({ "alg": "none" }), json!({ "algorithm": "ES256" })] {
        assert_eq!(admin.admin(Method::POST, &url, &token, &body).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
    let of = |purpose: &str| {
        let keys = listed["keys"].as_array().expect("a list").iter();
        let key = keys.clone().find(|key| key["purpose"] == purpose).expect("there is one");
        key["kid"].as_str().expect("a kid").to_owned()
    };
    let revoke = async |kid: &str| admin.admin(Method::DELETE, &format!("{url}/{kid}"), &token, &json!(null)).await;
    assert_eq!(revoke("no-such-key").await.0, StatusCode::NOT_FOUND);
    assert_eq!(revoke(&of("snapshot")).await.0, StatusCode::CONFLICT);
    let (status, revoked) = revoke(&kid(&token)).await;
    assert_eq!((status, &revoked["already"]), (StatusCode::OK, &json!(false)));
    assert_eq!(revoke(&kid(&token)).await.0, StatusCode::UNAUTHORIZED, "whoever revokes the key of his token is out");
    server.shutdown().await;
}
