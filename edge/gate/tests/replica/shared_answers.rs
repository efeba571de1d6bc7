//! Answers that the origin signed for many edges: their configuration, and the snapshots that they
//! announce.

use serde_json::json;
use tollgate_core::{
    ConfigDigest, Delta, DeltaParts, MAX_DELTAS, NonceTree, SharedParts, SnapshotInfo, build_shared_deltas,
};
use tollgate_gate::{FOLD_TARGET, FetchError, Freshness, Gate, Nonce, Question};

use super::{ISSUER, NONCE, NOW, Origin, asked, config, gate, health, signer, status, synced};

/// The answer to [`asked`], which is signed for other edges, too.
fn shared(origin: &Origin, after: u64, document: &[u8], published: Option<SnapshotInfo>) -> Vec<u8> {
    let deltas: Vec<Delta> = (after + 1..=origin.revoked).take(MAX_DELTAS).map(Origin::delta).collect();
    let parts = DeltaParts {
        issuer: ISSUER,
        after,
        head: origin.revoked,
        as_of_ms: origin.as_of_ms,
        chain: Origin::chain(after),
        config: ConfigDigest::of(&origin.config),
        epoch: 1,
        deltas: &deltas,
        nonce: None,
    };
    let tree = NonceTree::new(&[Nonce::from_bytes([1; 16]), NONCE, Nonce::from_bytes([2; 16])]).expect("three nonces");
    let shared = SharedParts { published, document, nonce: tree.root() };
    let message = build_shared_deltas(&parts, &shared, &signer()).expect("good deltas");
    let (shared, rest) = tree.answer(&message, 1).expect("an answer");
    [shared, &rest].concat()
}

fn is_fold_next(gate: &Gate) -> bool {
    gate.next_fetch(0, &asked(NOW)) == FOLD_TARGET
}

#[test]
fn an_answer_for_many_edges_proves_freshness_to_each_of_them() {
    let origin = Origin::with(1);
    let mut gate = synced(&origin);
    let answer = shared(&origin, 1, b"", None);
    let other = Question { asked_at_ms: NOW + 2000, nonce: Nonce::from_bytes([8; Nonce::LEN]) };
    assert_eq!(gate.accept(200, &answer, &other), Err(FetchError::OtherNonce));
    assert_eq!(gate.freshness(NOW + 2000), Freshness::Stale);
    assert_eq!(gate.accept(200, &answer, &asked(NOW + 2000)), Ok(false));
    assert_eq!(gate.freshness(NOW + 2000), Freshness::Fresh);
}

#[test]
fn a_new_configuration_arrives_with_deltas() {
    let mut origin = Origin::with(1);
    let mut gate = synced(&origin).with_config_deltas();
    let digest = ConfigDigest::of(&origin.config);
    assert!(gate.next_fetch(0, &asked(NOW)).ends_with(&format!("&version=3&config={digest}")));
    assert_eq!(status(&gate, "/", "a", NOW), 200);

    origin.config = config(&json!([{ "path": "/*", "scope": ["all"] }]));
    assert_eq!(gate.accept(200, &shared(&origin, 1, &origin.config, None), &asked(NOW)), Ok(false));
    assert_eq!((status(&gate, "/", "a", NOW), status(&gate, "/", "token-1", NOW)), (403, 401));
    assert!(gate.next_fetch(0, &asked(NOW)).ends_with(&ConfigDigest::of(&origin.config).to_string()));

    let clash = json!({ "kty": "oct", "kid": "shared", "k": "AAAA" });
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "shared", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    for keys in [json!([clash]), json!([key])] {
        let unusable = json!({ "audience": "https://api.example", "jwks": { "keys": keys }, "routes": [] });
        origin.config = unusable.to_string().into_bytes();
        assert!(gate.accept(200, &shared(&origin, 1, &origin.config, None), &asked(NOW + 1)).is_err());
        assert_eq!(status(&gate, "/", "a", NOW), 403, "the configuration is unchanged");
    }
}

#[test]
fn a_smaller_snapshot_is_fetched_once_for_each_announcement() {
    let mut origin = Origin::with(1);
    let mut gate = synced(&origin);
    let old = origin.snapshot();
    origin.revoked = 2000;
    let info = |sequence, as_of_ms| SnapshotInfo { sequence, as_of_ms, bytes: 4000 };
    assert_eq!(gate.accept(200, &shared(&origin, 1, b"", Some(info(1500, NOW))), &asked(NOW)), Ok(true));
    assert!(is_fold_next(&gate), "1,499 changes can be folded");
    assert_eq!(gate.accept(200, &old, &asked(NOW)), Ok(true), "a cache has an older snapshot");
    let answer = |published| shared(&origin, 2000, b"", Some(published));
    assert_eq!(gate.accept(200, &answer(info(1500, NOW)), &asked(NOW)), Ok(false), "not fetched again");
    assert_eq!(gate.accept(200, &answer(info(1600, NOW)), &asked(NOW)), Ok(true), "another announcement");
    gate.fetch_failed("the snapshot cannot be reached", NOW);
    assert!(!is_fold_next(&gate), "a snapshot that only saves memory does not hold up deltas");
    assert_eq!(gate.accept(200, &answer(info(1700, NOW)), &asked(NOW)), Ok(true));
    assert_eq!(gate.accept(304, b"", &asked(NOW)), Ok(false), "the host fetches it in the background");
    assert!(!is_fold_next(&gate));
    assert_eq!(gate.accept(200, &answer(info(1900, NOW)), &asked(NOW)), Ok(true));
    let snapshot = Origin { revoked: 1900, config: origin.config.clone(), as_of_ms: NOW }.snapshot();
    assert_eq!(gate.accept(200, &snapshot, &asked(NOW)), Ok(true));
    assert_eq!(gate.accept(200, &answer(info(1900, NOW)), &asked(NOW)), Ok(false));
    assert_eq!(health(&gate, NOW).1["changes"], json!(100));
    assert!([1, 2, 1900, 1901, 2000].map(|n| status(&gate, "/", &format!("token-{n}"), NOW)).iter().all(|s| *s == 401));
    assert_eq!(status(&gate, "/", "token-2001", NOW), 200);
}

#[test]
fn a_fleet_does_not_fetch_a_snapshot_at_the_same_moment() {
    let mut origin = Origin::with(1);
    let start = synced(&origin).snapshot().expect("a snapshot").to_vec();
    origin.revoked = 2000;
    let published = Some(SnapshotInfo { sequence: 2000, as_of_ms: NOW, bytes: 300 });
    let is_fetched_at_once = |first: u8| {
        let mut gate = gate();
        gate.warm(&start).expect("a good snapshot");
        let mut bytes = [7; Nonce::LEN];
        bytes[0] = first;
        let nonce = Nonce::from_bytes(bytes);
        let deltas: Vec<Delta> = (2..=2000).map(Origin::delta).collect();
        let parts = DeltaParts {
            issuer: ISSUER,
            after: 1,
            head: 2000,
            as_of_ms: NOW,
            chain: Origin::chain(1),
            config: ConfigDigest::of(&origin.config),
            epoch: 1,
            deltas: &deltas,
            nonce: None,
        };
        let shared = SharedParts { published, document: b"", nonce };
        let message = build_shared_deltas(&parts, &shared, &signer()).expect("good deltas");
        gate.accept(200, &message, &Question { asked_at_ms: NOW, nonce }).expect("a good answer");
        is_fold_next(&gate)
    };
    let count = (0..=u8::MAX).step_by(8).filter(|first| is_fetched_at_once(*first)).count();
    assert_eq!(count, 2, "of 32 edges with different nonces");
}
