//! The life of signing keys: when a new key signs, when an old key is deleted, and what a
//! revocation changes. The tests set the time.

use std::collections::BTreeMap;
use std::sync::Arc;

use tollgate_core::{CheckedByCaller, ConfigDigest, TokenRequirements, UnknownStatusPolicy, verify};
use tollgate_keys::{KeyRing, MasterKey};
use tollgate_model::key_schedule::{KEY_SWITCH_MARGIN, KeySpec, MAX_KEYS_PER_ALGORITHM};
use tollgate_model::{AccessToken, Audience, Target, TokenAlg, TokenDraft};
use tollgate_model::{KeyPolicy, KeyPurpose, KeyState, StoredKey};
use tollgate_services::revocation_feed::edge_config;
use tollgate_services::signing_keys::rotation::{self, KeyRotation};
use tollgate_services::signing_keys::{SigningKeys, SigningPool};
use tollgate_storage::{PublishedSnapshot, Store, StoreError};

use crate::database::Database;
use crate::samples::{ISSUER, NOW, client, draft, reinstate, revoke_any};

on_both_databases!(
    key_is_published_before_it_signs,
    key_is_replaced_on_schedule_and_once,
    key_is_deleted_after_its_last_token_expired,
    revoked_key_is_replaced_at_once,
    hs256_keys_change_with_a_revocation_and_with_a_rotation,
    snapshot_key_signs_only_after_it_was_pinned,
    hundred_rotations_refuse_no_valid_token,
    origin_finds_a_key_that_another_origin_signs_with,
);

/// Ed25519 keys are generated fast.
const ALG: TokenAlg = TokenAlg::EdDsa;
const NEVER: KeyPolicy = KeyPolicy { rotation: None, ahead: 100, statement_lifetime: 3600 };

fn master_key() -> MasterKey {
    MasterKey::from_random([1; 32])
}

/// Creates the first keys.
async fn create_keys(database: &Database, at: u64) -> &Store {
    let first = tokio::task::block_in_place(|| KeyRing::generate(&master_key(), at)).expect("made");
    assert!(database.store.create_first_keys(&first).await.expect("stored"));
    &database.store
}

async fn key_ring(store: &Store, at: u64) -> KeyRing {
    let rows = store.get_stored_keys().await.expect("read");
    KeyRing::open(&master_key(), &rows.keys, rows.revoked, at).expect("they open")
}

/// `kid` of the key that signs.
fn signing_kid(ring: &KeyRing) -> Option<String> {
    ring.signing_key(ALG).map(|(kid, _)| kid.to_owned())
}

/// `kid` of the key that signs at a time.
async fn signing_kid_at(store: &Store, at: u64) -> Option<String> {
    signing_kid(&key_ring(store, at).await)
}

async fn state(store: &Store, kid: &str, at: u64) -> KeyState {
    let ring = key_ring(store, at).await;
    ring.listing().iter().find(|key| key.kid == kid).expect("the key is listed").state
}

fn is_in_jwks(ring: &KeyRing, kid: &str) -> bool {
    serde_json::to_string(&ring.public_jwks()).expect("JSON").contains(kid)
}

async fn rotate(store: &Store, purpose: KeyPurpose, alg: TokenAlg, ahead: u64, at: u64) -> KeyRotation {
    rotation::rotate(store, &master_key(), KeySpec { purpose, alg, ahead }, at).await.expect("asked")
}

async fn rotated(store: &Store, ahead: u64, at: u64) -> StoredKey {
    match rotate(store, KeyPurpose::Token, ALG, ahead, at).await {
        KeyRotation::Changed(key) => key,
        other => panic!("{other:?}"),
    }
}

/// Publishes a snapshot with all keys of a time, as the publisher does.
async fn publish(store: &Store, at: u64) {
    let ring = key_ring(store, at).await;
    let document = edge_config::document("https://api.example", &ring.public_jwks(), &[], &[]).expect("written");
    let snapshot = PublishedSnapshot {
        number: 0,
        sequence: store.get_feed_head().await.expect("a head").sequence,
        epoch: 1,
        as_of_ms: at * 1000,
        built_ms: at * 1000,
        revoked: 0,
        config: ConfigDigest::of(&document),
        message: document,
    };
    assert!(store.publish_snapshot(&snapshot, &ring.unpublished()).await.expect("asked").is_some(), "published");
}

async fn tend(store: &Store, policy: KeyPolicy, at: u64) -> Vec<StoredKey> {
    rotation::run_due_tasks(store, &master_key(), policy, at).await.expect("tended")
}

async fn issue(store: &Store, ring: &KeyRing, alg: TokenAlg, draft: TokenDraft) -> (AccessToken, String) {
    let key_id = ring.key_id(alg, &draft.audience).expect("a key");
    let token = store.issue(TokenDraft { key_id, ..draft }).await.expect("issued");
    let text = ring.issue(&token, ISSUER).expect("signed");
    (token, text)
}

/// Whether a verifier with these keys accepts a token.
fn is_valid(ring: &KeyRing, text: &str, at: u64) -> bool {
    let expected = TokenRequirements {
        issuer: ISSUER,
        audience: "https://api.example",
        scope: &[],
        rules: None,
        leeway: 0,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    verify(text.as_bytes(), ring.verifying_keys(), &expected, &CheckedByCaller, at).is_ok()
}

async fn key_is_published_before_it_signs(database: &Database) {
    let store = create_keys(database, NOW).await;
    let old = signing_kid_at(store, NOW).await;
    let new = rotated(store, 100, NOW).await;
    assert_eq!(
        rotate(store, KeyPurpose::Token, ALG, 100, NOW).await,
        KeyRotation::AlreadyScheduled(new.clone()),
        "a rotation is in progress"
    );
    assert_eq!(signing_kid_at(store, NOW + 1_000_000).await, old, "an unpublished key never signs");
    assert!(is_in_jwks(&key_ring(store, NOW).await, &new.kid), "the JWKS has it at once");
    publish(store, NOW + 10).await;
    let message = store.find_published_snapshot().await.expect("read").expect("there").message;
    assert!(
        String::from_utf8(message).expect("JSON").contains(&new.kid),
        "the snapshot that starts the waiting time has it, too"
    );
    assert_eq!(key_ring(store, NOW + 10).await.next_change(), Some(NOW + 110));
    assert_eq!(signing_kid_at(store, NOW + 109).await, old);
    assert_eq!(signing_kid_at(store, NOW + 110).await, Some(new.kid.clone()));
    assert_eq!(state(store, &old.expect("a key"), NOW + 110).await, KeyState::Retiring);

    // Without a waiting time it signs when it is published. A rotation in progress can be
    // shortened.
    let newer = rotated(store, 0, NOW + 200).await;
    assert_eq!(signing_kid_at(store, NOW + 300).await, Some(new.kid));
    publish(store, NOW + 300).await;
    assert_eq!(signing_kid_at(store, NOW + 300).await, Some(newer.kid));
    let newest = rotated(store, 100, NOW + 400).await;
    publish(store, NOW + 400).await;
    assert_eq!(rotated(store, 0, NOW + 410).await.kid, newest.kid);
    assert_eq!(signing_kid_at(store, NOW + 410).await, Some(newest.kid));
}

async fn key_is_replaced_on_schedule_and_once(database: &Database) {
    let store = create_keys(database, NOW).await;
    let policy = KeyPolicy { rotation: Some(10_000), ..NEVER };
    assert_eq!(tend(store, policy, NOW + 9_899).await, []);
    // Two origins rotate at the same time.
    let second = database.reopen().await;
    let (one, other) = tokio::join!(tend(store, policy, NOW + 9_900), tend(&second, policy, NOW + 9_900));
    second.close().await;
    let mut algs: Vec<String> = one.into_iter().chain(other).map(|key| key.alg).collect();
    algs.sort();
    assert_eq!(algs, ["ES256", "EdDSA", "RS256"], "one successor for each algorithm whose keys edges fetch themselves");
    assert_eq!(tend(store, policy, NOW + 9_950).await, []);
    let old = signing_kid_at(store, NOW).await;
    publish(store, NOW + 9_901).await;
    assert_eq!(signing_kid_at(store, NOW + 10_000).await, old);
    assert_ne!(signing_kid_at(store, NOW + 10_001).await, old);
    assert_eq!(
        tend(store, KeyPolicy { rotation: None, ..policy }, NOW + 1_000_000).await.len(),
        3,
        "old keys get their time of deletion"
    );
}

async fn key_is_deleted_after_its_last_token_expired(database: &Database) {
    let store = create_keys(database, NOW).await;
    store.create_client(&client("reports").0).await.expect("registered");
    let before = key_ring(store, NOW).await;
    let old = signing_kid(&before).expect("a key");
    let ends = NOW + 50_000;
    let (token, text) = issue(store, &before, ALG, draft(1, ends)).await;
    issue(store, &before, ALG, draft(2, ends - 1)).await;
    rotated(store, 0, NOW).await;
    publish(store, NOW + 1).await;
    // A request that chose the old key before still signs with it.
    let (_, late) = issue(store, &before, ALG, draft(3, ends)).await;

    assert_eq!(tend(store, NEVER, NOW + KEY_SWITCH_MARGIN).await, [], "a request may still sign with it");
    let retiring = tend(store, NEVER, NOW + 1 + KEY_SWITCH_MARGIN).await;
    assert_eq!(retiring.first().map(|key| (key.kid.clone(), key.retires_at)), Some((old.clone(), Some(ends))));
    assert_eq!(tend(store, NEVER, ends - 1).await, []);
    let last = key_ring(store, ends - 1).await;
    assert!(is_valid(&last, &text, ends - 1) && is_valid(&last, &late, ends - 1), "valid until the last second");
    assert!(recognises(&last, &text, &token));
    let deleted = tend(store, NEVER, ends).await;
    assert_eq!(
        deleted.first().map(|key| (key.gone_at, key.sealed.len())),
        Some((Some(ends), 0)),
        "the private key is deleted"
    );
    let after = key_ring(store, ends).await;
    assert!(!is_in_jwks(&after, &old) && after.verify_token(&text, ISSUER).is_none());
    let forged =
        before.issue(&AccessToken { expires_at: ends + 1000, ..token }, ISSUER).expect("signed with the stolen key");
    assert!(
        is_valid(&before, &forged, ends) && !is_valid(&after, &forged, ends),
        "tokens of the deleted key are refused"
    );
}

async fn revoked_key_is_replaced_at_once(database: &Database) {
    let store = create_keys(database, NOW).await;
    store.create_client(&client("reports").0).await.expect("registered");
    let before = key_ring(store, NOW).await;
    let old = signing_kid(&before).expect("a key");
    let (_, text) = issue(store, &before, ALG, draft(1, NOW + 3600)).await;
    store.revoke(revoke_any(Target::Key(old.clone()), NOW)).await.expect("revoked");
    let revoked = key_ring(store, NOW).await;
    assert!(signing_kid(&revoked).is_none() && !is_in_jwks(&revoked, &old) && !is_valid(&revoked, &text, NOW));
    let refused = store.issue(TokenDraft { key_id: old.clone(), ..draft(2, NOW + 3600) }).await;
    assert!(matches!(refused, Err(StoreError::KeyRevoked(_))), "{refused:?}");

    let made = tend(store, NEVER, NOW).await;
    assert_eq!(made.iter().map(|key| (key.alg.as_str(), key.ahead)).collect::<Vec<_>>(), [("EdDSA", 0)]);
    publish(store, NOW + 1).await;
    assert_eq!(signing_kid_at(store, NOW + 1).await, Some(made[0].kid.clone()));
    assert_eq!(state(store, &old, NOW + 1).await, KeyState::Revoked);

    // If a rotation is in progress, the next key signs at once when verifiers know it already.
    let next = rotated(store, 1000, NOW + 2).await;
    store.revoke(revoke_any(Target::Key(made[0].kid.clone()), NOW + 3)).await.expect("revoked");
    assert_eq!(tend(store, NEVER, NOW + 3).await.first().map(|key| (&key.kid, key.ahead)), Some((&next.kid, 0)));
    publish(store, NOW + 3).await;
    assert_eq!(signing_kid_at(store, NOW + 3).await, Some(next.kid.clone()));
    let (last, next) = (next, rotated(store, 1000, NOW + 3).await);
    publish(store, NOW + 3).await;
    store.revoke(revoke_any(Target::Key(last.kid), NOW + 4)).await.expect("revoked");
    assert_eq!(signing_kid_at(store, NOW + 4).await, Some(next.kid.clone()));
    // A reinstated key verifies again, but does not sign.
    store.reinstate(reinstate(Target::Key(old.clone()), NOW + 4)).await.expect("lifted");
    assert!(is_valid(&key_ring(store, NOW + 4).await, &text, NOW + 4));
    assert_eq!(signing_kid_at(store, NOW + 4).await, Some(next.kid));
    assert_eq!(state(store, &old, NOW + 4).await, KeyState::Retiring);
}

fn recognises(ring: &KeyRing, text: &str, record: &AccessToken) -> bool {
    ring.verify_token(text, ISSUER).is_some_and(|recognised| recognised.matches_record(record))
}

async fn hs256_keys_change_with_a_revocation_and_with_a_rotation(database: &Database) {
    let store = create_keys(database, NOW).await;
    store.create_client(&client("reports").0).await.expect("registered");
    let audience: Audience = "https://api.example".parse().expect("an audience");
    let other: Audience = "other".parse().expect("an audience");
    let kid = |ring: &KeyRing, audience: &Audience| ring.audience_key(audience).expect("a key").kid().to_owned();
    let before = key_ring(store, NOW).await;
    let (token, text) = issue(store, &before, TokenAlg::Hs256, draft(1, NOW + 50_000)).await;
    assert!(kid(&before, &audience) == token.key_id && recognises(&before, &text, &token));
    assert!(before.is_derived_kid(&token.key_id) && !before.is_derived_kid("another.key"));

    // A revoked key is replaced at once; keys of other audiences stay.
    store.revoke(revoke_any(Target::Key(token.key_id.clone()), NOW)).await.expect("revoked");
    let revoked = key_ring(store, NOW).await;
    assert_ne!(kid(&revoked, &audience), token.key_id);
    assert_eq!(kid(&revoked, &other), kid(&before, &other));
    assert_eq!((revoked.verify_token(&text, ISSUER), tend(store, NEVER, NOW).await), (None, vec![]));
    let (second, text) = issue(store, &revoked, TokenAlg::Hs256, draft(2, NOW + 50_000)).await;

    // A rotation replaces all of them, after the time to configure the new ones at the edges.
    assert!(matches!(rotate(store, KeyPurpose::Derive, TokenAlg::Hs256, 100, NOW).await, KeyRotation::Changed(_)));
    let during = key_ring(store, NOW + 99).await;
    assert_eq!((kid(&during, &audience), during.audience_keys(&audience).len()), (second.key_id.clone(), 2));
    let after = key_ring(store, NOW + 100).await;
    assert_ne!(kid(&after, &audience), second.key_id);
    assert!(recognises(&after, &text, &second));
    assert_eq!(tend(store, NEVER, NOW + 100 + KEY_SWITCH_MARGIN).await[0].retires_at, Some(NOW + 50_000));
    assert_eq!(tend(store, NEVER, NOW + 50_000).await[0].gone_at, Some(NOW + 50_000));
    let last = key_ring(store, NOW + 50_000).await;
    assert_eq!((last.audience_keys(&audience).len(), last.verify_token(&text, ISSUER)), (1, None));
}

async fn snapshot_key_signs_only_after_it_was_pinned(database: &Database) {
    let store = create_keys(database, NOW).await;
    let old = key_ring(store, NOW).await.snapshot_signer().public_key();
    let rotate = |ahead, at| rotate(store, KeyPurpose::Snapshot, ALG, ahead, at);
    assert_eq!(rotate(0, NOW).await, KeyRotation::NotPinned);
    assert!(matches!(rotate(100, NOW).await, KeyRotation::Changed(_)));
    let during = key_ring(store, NOW + 1_000_000).await;
    assert_eq!((during.snapshot_signer().public_key(), during.snapshot_pins().len()), (old, 2));
    assert_eq!(during.snapshot_pins()[0], old, "the signing key comes first");
    assert!(matches!(rotate(0, NOW + 10).await, KeyRotation::Changed(_)));
    let after = key_ring(store, NOW + 10).await;
    assert_eq!([after.snapshot_signer().public_key()], [during.snapshot_pins()[1]]);
    assert_eq!(after.snapshot_pins(), [during.snapshot_pins()[1]]);
    tend(store, NEVER, NOW + 10 + KEY_SWITCH_MARGIN).await;
    assert_eq!(tend(store, NEVER, NOW + 10 + KEY_SWITCH_MARGIN).await.len(), 1, "the old key is deleted");
}

async fn hundred_rotations_refuse_no_valid_token(database: &Database) {
    const LIFETIME: u64 = 3600;
    const STEP: u64 = 700;
    let store = create_keys(database, NOW).await;
    store.create_client(&client("reports").0).await.expect("registered");
    let mut live: Vec<(u64, String)> = Vec::new();
    let mut stolen: BTreeMap<String, Arc<KeyRing>> = BTreeMap::new();
    let (mut number, mut refused) = (0_u32, 0);
    for round in 0..100 {
        let at = NOW + round * STEP;
        let now = Arc::new(key_ring(store, at).await);
        stolen.insert(signing_kid(&now).expect("a key"), Arc::clone(&now));
        let mut load = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (store, ring, first) = (store.clone(), Arc::clone(&now), number);
            number += 3;
            load.spawn(async move {
                let mut made = Vec::new();
                for number in first..first + 3 {
                    let draft = TokenDraft { issued_at: at, ..draft(number, at + LIFETIME) };
                    made.push((at + LIFETIME, issue(&store, &ring, ALG, draft).await.1));
                }
                made
            });
        }
        rotated(store, 0, at + 1).await;
        publish(store, at + 2).await;
        live.extend(load.join_all().await.into_iter().flatten());
        tend(store, NEVER, at + STEP - 1).await;
        tend(store, NEVER, at + STEP - 1).await;
        let verifier = key_ring(store, at + STEP - 1).await;
        live.retain(|(end, _)| *end > at + STEP - 1);
        assert!(live.iter().all(|(_, text)| is_valid(&verifier, text, at + STEP - 1)), "a valid token is refused");
        assert!(verifier.public_jwks().len() < 2 + MAX_KEYS_PER_ALGORITHM);
        // Tokens signed with stolen copies of deleted keys are refused.
        for (kid, keys) in stolen.iter().filter(|(kid, _)| !is_in_jwks(&verifier, kid)) {
            let forged = draft(u32::MAX, at + 2 * STEP).issued(1, 0);
            let text = keys.issue(&AccessToken { key_id: kid.clone(), ..forged }, ISSUER).expect("signed");
            assert!(is_valid(keys, &text, at + STEP - 1) && !is_valid(&verifier, &text, at + STEP - 1), "{kid}");
            refused += 1;
        }
    }
    assert!(number == 1200 && refused > 4000, "{refused} tokens of deleted keys");
    assert!(stolen.len() == 100 && NEVER.statement_lifetime == LIFETIME);
}

async fn origin_finds_a_key_that_another_origin_signs_with(database: &Database) {
    let now = tollgate_system::Clock::system().now();
    let (one, other) = (create_keys(database, now).await, database.reopen().await);
    one.create_client(&client("reports").0).await.expect("registered");
    let (clock, pool) = (tollgate_system::Clock::system(), SigningPool::start().expect("started"));
    let keys = SigningKeys::open(other.clone(), master_key(), clock, pool).await.expect("opened");
    let new = rotated(one, 0, now).await;
    publish(one, now).await;
    let ahead = key_ring(one, now + 1).await;
    let (token, text) = issue(one, &ahead, ALG, draft(1, now + 3600)).await;
    assert_eq!(token.key_id, new.kid);
    assert!(!is_in_jwks(&keys.current(), &new.kid), "the other origin does not know the key yet");
    let recognised = keys.verify_token(&text, ISSUER).await.expect("asked");
    assert!(
        recognised.is_some_and(|recognised| recognised.matches_record(&token)),
        "it reads the keys again for an unknown kid"
    );
    assert!(is_in_jwks(&keys.current(), &new.kid));
    assert_eq!(keys.verify_token("a.b.c", ISSUER).await.expect("asked"), None);
    other.close().await;
}
