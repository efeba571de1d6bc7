//! Key rotation and revocation while origins serve requests.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tollgate_core::{
    CheckedByCaller, Deltas, Refusal, Replica, ReplicaView, RevocationChecker, Snapshot, TokenRequirements,
    UnknownStatusPolicy, verify,
};
use tollgate_keys::KeyRing;
use tollgate_model::KeyPurpose;
use tollgate_model::key_schedule::KeySpec;
use tollgate_model::{Actor, NewRevocation, Target, TokenAlg};
use tollgate_services::signing_keys::rotation::{self, KeyRotation};
use tollgate_system::Clock;
use tollgate_test_kit::wait::wait_until;

use crate::database::Database;
use crate::fixture::{IssuerClient, key_ring, kid, master_key, start_origin};
use crate::samples::ISSUER;

on_both_databases!(
    requests_succeed_while_keys_change,
    edge_refuses_tokens_of_a_revoked_key,
    new_snapshot_key_signs_the_next_snapshot,
    admin_api_lists_rotates_and_revokes_keys,
);

async fn rotate(database: &Database, purpose: KeyPurpose, ahead: u64) -> KeyRotation {
    let spec = KeySpec { purpose, alg: TokenAlg::EdDsa, ahead };
    rotation::rotate(&database.store, &master_key(), spec, Clock::system().now()).await.expect("answered")
}

async fn revoke(database: &Database, kid: &str) {
    let by = Actor::command_line(None);
    let revoke = NewRevocation::any(Target::Key(kid.to_owned()), by, None, Clock::system().now()).expect("a key");
    database.store.revoke(revoke).await.expect("revoked");
}

async fn requests_succeed_while_keys_change(database: &Database) {
    let (one, other) = (start_origin(database).await, start_origin(database).await);
    let client = IssuerClient::register(&database.store, "busy", "", TokenAlg::EdDsa).await;
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let revoked = Arc::new(Mutex::new(BTreeSet::new()));
    let mut load = tokio::task::JoinSet::new();
    for (here, there) in [(one.url(), other.url()), (other.url(), one.url())] {
        let (client, stop, answered, revoked) =
            (client.clone(), Arc::clone(&stop), Arc::clone(&answered), Arc::clone(&revoked));
        load.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let token = client.token(&here).await;
                let (is_active, kid) = (client.is_active(&there, &token).await, kid(&token));
                let is_revoked = revoked.lock().expect("not poisoned").contains(&kid);
                assert!(is_active || is_revoked, "inactive at the other origin: {kid}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for _ in 0..5 {
        let KeyRotation::Changed(next) = rotate(database, KeyPurpose::Token, 0).await else { panic!("a rotation") };
        for origin in [&one, &other] {
            wait_until("the next key signs", async || kid(&client.token(&origin.url()).await) == next.kid).await;
        }
    }
    // After a revocation of the key, the next token is signed with another.
    for origin in [&one, &other] {
        let old = kid(&client.token(&origin.url()).await);
        revoked.lock().expect("not poisoned").insert(old.clone());
        revoke(database, &old).await;
        for origin in [&one, &other] {
            assert_ne!(kid(&client.token(&origin.url()).await), old);
        }
    }
    let so_far = answered.load(Ordering::Relaxed);
    wait_until("requests are still answered", async || answered.load(Ordering::Relaxed) > so_far).await;
    stop.store(true, Ordering::Relaxed);
    load.join_all().await;
    one.shutdown().await;
    other.shutdown().await;
}

/// Fetches an edge's replica.
async fn fetch_replica(url: &str, keys: &KeyRing) -> Replica {
    let bytes = fetch(&format!("{url}/edge/v1/snapshot")).await;
    Replica::new(Snapshot::decode(bytes, keys.snapshot_pins()).expect("pinned"), ISSUER).expect("the issuer's")
}

async fn fetch(url: &str) -> Vec<u8> {
    let answer = reqwest::get(url).await.expect("answered");
    assert_eq!(answer.status(), 200, "{url}");
    answer.bytes().await.expect("a body").to_vec()
}

fn check_token(replica: &Replica, token: &str, revocations: &impl RevocationChecker) -> Result<(), Refusal> {
    let expected = TokenRequirements {
        issuer: ISSUER,
        audience: ISSUER,
        scope: &[],
        rules: None,
        leeway: 0,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    let keys = replica.snapshot().config().keys();
    verify(token.as_bytes(), keys, &expected, revocations, Clock::system().now()).map(drop)
}

async fn edge_refuses_tokens_of_a_revoked_key(database: &Database) {
    let server = start_origin(database).await;
    let client = IssuerClient::register(&database.store, "client", "", TokenAlg::EdDsa).await;
    let (keys, token) = (key_ring(&database.store).await, client.token(&server.url()).await);
    let mut edge = fetch_replica(&server.url(), &keys).await;
    assert!(check_token(&edge, &token, &ReplicaView { replica: &edge, is_fresh: true }).is_ok());

    revoke(database, &kid(&token)).await;
    let deltas = fetch(&format!("{}/edge/v1/deltas?after={}", server.url(), edge.sequence())).await;
    edge.apply(&Deltas::decode(&deltas, keys.snapshot_pins()).expect("pinned")).expect("the next deltas");
    let refused = check_token(&edge, &token, &ReplicaView { replica: &edge, is_fresh: true });
    assert!(matches!(refused, Err(Refusal::Revoked)), "{refused:?}");
    assert!(!client.is_active(&server.url(), &token).await);

    // The next request gets a new key, and the next snapshot lacks the old one.
    let next = client.token(&server.url()).await;
    assert_ne!(kid(&next), kid(&token));
    let newest = fetch_replica(&server.url(), &keys).await;
    assert!(check_token(&newest, &next, &ReplicaView { replica: &newest, is_fresh: true }).is_ok());
    assert!(check_token(&newest, &token, &CheckedByCaller).is_err(), "the key is not in the snapshot any more");
    let (_, jwks) = client.get(&format!("{}/.well-known/jwks.json", server.url()), None).await;
    assert!(jwks.to_string().contains(&kid(&next)) && !jwks.to_string().contains(&kid(&token)));
    server.shutdown().await;
}

async fn new_snapshot_key_signs_the_next_snapshot(database: &Database) {
    let server = start_origin(database).await;
    let old = key_ring(&database.store).await.snapshot_pins().to_vec();
    assert!(matches!(rotate(database, KeyPurpose::Snapshot, 100).await, KeyRotation::Changed(_)));
    let both = key_ring(&database.store).await.snapshot_pins().to_vec();
    assert_eq!((both.len(), both[0]), (2, old[0]));
    let snapshot = async || fetch(&format!("{}/edge/v1/snapshot", server.url())).await;
    assert!(Snapshot::decode(snapshot().await, &old).is_ok(), "an edge that pins only the old key accepts it");
    assert!(matches!(rotate(database, KeyPurpose::Snapshot, 0).await, KeyRotation::Changed(_)));
    wait_until("the next key signs", async || Snapshot::decode(snapshot().await, &both[1..]).is_ok()).await;
    let deltas = fetch(&format!("{}/edge/v1/deltas?after=0", server.url())).await;
    assert!(Deltas::decode(&deltas, &both).is_ok(), "an edge that pins both keys accepts it");
    server.shutdown().await;
}

async fn admin_api_lists_rotates_and_revokes_keys(database: &Database) {
    use reqwest::{Method, StatusCode};
    let server = start_origin(database).await;
    let admin = IssuerClient::register(&database.store, "admin", "tollgate:admin", TokenAlg::EdDsa).await;
    let other = IssuerClient::register(&database.store, "other", "", TokenAlg::EdDsa).await;
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
    let kid_of = |purpose: &str| {
        let keys = listed["keys"].as_array().expect("a list").iter();
        let key = keys.clone().find(|key| key["purpose"] == purpose).expect("a key");
        key["kid"].as_str().expect("a kid").to_owned()
    };
    let revoke = async |kid: &str| admin.admin(Method::DELETE, &format!("{url}/{kid}"), &token, &json!(null)).await;
    assert_eq!(revoke("no-such-key").await.0, StatusCode::NOT_FOUND);
    assert_eq!(revoke(&kid_of("snapshot")).await.0, StatusCode::CONFLICT);
    let (status, revoked) = revoke(&kid(&token)).await;
    assert_eq!((status, &revoked["already"]), (StatusCode::OK, &json!(false)));
    assert_eq!(revoke(&kid(&token)).await.0, StatusCode::UNAUTHORIZED, "the administrator's own token is revoked");
    server.shutdown().await;
}
