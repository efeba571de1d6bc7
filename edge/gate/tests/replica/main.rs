//! How a gate syncs its replica, how it decides with a stale one, and what its health report says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

mod activity;
mod identity;
mod introspection;
mod message_log;
mod possession;
mod shared_answers;
mod streams;
mod waiting;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tollgate_core::{
    ConfigDigest, Delta, DeltaParts, EdgeKey, HashChain, Nonce, RevocationId, RevocationKind, RevokedBefore,
    SnapshotParts, SnapshotSigner, build_deltas, build_snapshot,
};
use tollgate_gate::{Connection, Decision, FetchError, Freshness, Gate, Question, Request, Settings};

const ISSUER: &str = "https://auth.example";
const NOW: u64 = 1_800_000_000_000;
const SECRET: [u8; 32] = [9; 32];
const NONCE: Nonce = Nonce::from_bytes([7; Nonce::LEN]);

/// A fetch that was started at this time.
fn asked(asked_at_ms: u64) -> Question {
    Question { asked_at_ms, nonce: NONCE }
}

fn signer() -> SnapshotSigner {
    SnapshotSigner::from_seed(&[7; 32])
}

fn gate() -> Gate {
    gate_with(&[])
}

/// A gate with additional settings.
fn gate_with(more: &[(&str, &str)]) -> Gate {
    let pin = URL_SAFE_NO_PAD.encode(signer().public_key());
    let secret =
        json!({ "keys": [{ "kty": "oct", "kid": "shared", "k": URL_SAFE_NO_PAD.encode(SECRET) }] }).to_string();
    let find = |name: &str| match name {
        "TOLLGATE_EDGE_ORIGIN" => Some(ISSUER.to_owned()),
        "TOLLGATE_EDGE_UPSTREAM" => Some("http://127.0.0.1:5000".to_owned()),
        "TOLLGATE_EDGE_SNAPSHOT_KEY" => Some(pin.clone()),
        "TOLLGATE_EDGE_SECRET_KEYS" => Some(secret.clone()),
        _ => more.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
    };
    Gate::new(Settings::from_lookup(find).expect("good settings"))
}

fn config(routes: &Value) -> Vec<u8> {
    json!({ "audience": "https://api.example", "jwks": { "keys": [] }, "routes": routes }).to_string().into_bytes()
}

/// An origin that has revoked `token-1`, `token-2`, … in this order.
struct Origin {
    revoked: u64,
    config: Vec<u8>,
    as_of_ms: u64,
}

impl Origin {
    fn with(revoked: u64) -> Self {
        Self { revoked, config: config(&json!([])), as_of_ms: NOW }
    }

    fn delta(sequence: u64) -> Delta {
        let id = RevocationId::for_token(ISSUER, &format!("token-{sequence}"));
        Delta {
            sequence,
            kind: RevocationKind::Token,
            id,
            revoked_before: RevokedBefore::TOKEN,
            expires_at: NOW / 1000 + 3600,
        }
    }

    fn chain(sequence: u64) -> HashChain {
        (1..=sequence).map(Self::delta).fold(HashChain::genesis(ISSUER), |chain, delta| chain.next(&delta))
    }

    fn snapshot(&self) -> Vec<u8> {
        let revoked: Vec<RevocationId> = (1..=self.revoked).map(|n| Self::delta(n).id).collect();
        let (sequence, chain) = (self.revoked, Self::chain(self.revoked));
        let parts = SnapshotParts::new(ISSUER, sequence, self.as_of_ms, chain, &self.config);
        let parts = SnapshotParts { others: &revoked, ..parts };
        build_snapshot(&parts, &signer()).expect("a good snapshot")
    }

    /// The answer to [`asked`].
    fn deltas(&self, after: u64) -> Vec<u8> {
        self.message(after, Some(NONCE))
    }

    fn message(&self, after: u64, nonce: Option<Nonce>) -> Vec<u8> {
        let deltas: Vec<Delta> = (after + 1..=self.revoked).map(Self::delta).collect();
        let parts = DeltaParts {
            issuer: ISSUER,
            after,
            head: self.revoked,
            as_of_ms: self.as_of_ms,
            chain: Self::chain(after),
            config: ConfigDigest::of(&self.config),
            epoch: 1,
            deltas: &deltas,
            nonce,
        };
        build_deltas(&parts, &signer()).expect("good deltas")
    }
}

/// A gate with the origin's snapshot and all deltas, fresh as of `NOW`.
fn synced(origin: &Origin) -> Gate {
    synced_with(origin, &[])
}

/// As [`synced`], with additional settings.
fn synced_with(origin: &Origin, settings: &[(&str, &str)]) -> Gate {
    let mut gate = gate_with(settings);
    assert_eq!(gate.accept(200, &origin.snapshot(), &asked(NOW)), Ok(true));
    assert_eq!(gate.accept(200, &origin.deltas(origin.revoked), &asked(NOW)), Ok(false));
    gate
}

fn claims(token_id: &str) -> Value {
    json!({ "iss": ISSUER, "sub": "s", "aud": "https://api.example", "client_id": "c", "jti": token_id,
        "iat": NOW / 1000 - 60, "exp": NOW / 1000 + 3600 })
}

fn hs256(token_id: &str) -> String {
    hs256_of(&claims(token_id))
}

fn hs256_of(claims: &Value) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let header = json!({ "alg": "HS256", "typ": "at+jwt", "kid": "shared" }).to_string();
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mac = Hmac::<sha2::Sha256>::new_from_slice(&SECRET).expect("any length").chain_update(&input);
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// The status of the response to a request with this token; 200 if it is forwarded.
fn status(gate: &Gate, target: &str, token_id: &str, now_ms: u64) -> u16 {
    let credentials = format!("Bearer {}", hs256(token_id));
    let headers = [("authorization", credentials.as_bytes())];
    match gate.decide(
        &Request { method: "GET", target, headers: &headers, connection: Connection::default() },
        now_ms,
        true,
    ) {
        Decision::Forward(_) => 200,
        Decision::Answer(answer) => answer.status,
        other => panic!("expected an answer, not {other:?}"),
    }
}

fn health(gate: &Gate, now_ms: u64) -> (u16, Value) {
    match gate.decide(
        &Request { method: "GET", target: "/_tollgate/health", headers: &[], connection: Connection::default() },
        now_ms,
        false,
    ) {
        Decision::Answer(answer) => (answer.status, serde_json::from_slice(&answer.body).expect("JSON")),
        other => panic!("expected an answer, not {other:?}"),
    }
}

#[test]
fn without_a_snapshot_all_requests_are_refused() {
    let gate = gate();
    assert_eq!(gate.freshness(NOW), Freshness::Stale);
    assert_eq!(gate.next_fetch(500, &asked(NOW)), "/edge/v1/snapshot");
    assert_eq!(status(&gate, "/", "a", NOW), 503);
    assert_eq!(status(&gate, "/_tollgate/validate", "a", NOW), 503);
    let (status, body) = health(&gate, NOW);
    assert_eq!((status, &body["status"]), (503, &json!("no_snapshot")));
}

#[test]
fn snapshot_brings_revocations_and_deltas_prove_freshness() {
    let origin = Origin::with(2);
    let mut gate = gate();
    assert_eq!(gate.accept(200, &origin.snapshot(), &asked(NOW)), Ok(true), "deltas must be fetched next");
    assert_eq!(
        gate.next_fetch(1500, &asked(NOW)),
        "/edge/v1/deltas?after=2&wait=1.500&nonce=07070707070707070707070707070707&version=3"
    );
    assert_eq!((status(&gate, "/", "token-1", NOW), status(&gate, "/", "a", NOW)), (401, 503));
    assert_eq!(gate.accept(200, &origin.deltas(2), &asked(NOW)), Ok(false));
    assert_eq!((status(&gate, "/", "token-1", NOW), status(&gate, "/", "a", NOW)), (401, 200));
    let (status, body) = health(&gate, NOW);
    assert_eq!(
        (status, &body["status"], &body["sequence"], &body["last_error"]),
        (200, &json!("ok"), &json!(2), &Value::Null)
    );
}

#[test]
fn replica_ages_from_the_time_of_the_request() {
    let gate = synced(&Origin::with(0));
    for (age, refresh) in [
        (0, Freshness::Fresh),
        (250, Freshness::Fresh),
        (251, Freshness::RefreshDue),
        (1000, Freshness::RefreshDue),
        (1001, Freshness::Stale),
    ] {
        assert_eq!(gate.freshness(NOW + age), refresh, "after {age} ms");
    }
    assert_eq!(gate.freshness(NOW - 5000), Freshness::Stale, "the clock was set back");
    assert_eq!(status(&gate, "/", "a", NOW + 1000), 200);
    assert_eq!(status(&gate, "/", "a", NOW + 1001), 503);
    assert_eq!(health(&gate, NOW + 1001).1["status"], "stale");
}

#[test]
fn route_may_allow_tokens_while_the_replica_is_stale() {
    let mut origin = Origin::with(1);
    origin.config = config(&json!([{ "path": "/lenient", "on_stale": "allow" }]));
    let gate = synced(&origin);
    let later = NOW + 60_000;
    assert_eq!((status(&gate, "/lenient", "a", later), status(&gate, "/lenient", "token-1", later)), (200, 401));
    assert_eq!(status(&gate, "/strict", "a", later), 503);
}

#[test]
fn incomplete_replica_is_not_fresh() {
    let mut origin = Origin::with(0);
    let mut gate = synced(&origin);
    origin.revoked = 3;
    let first_two = {
        let deltas: Vec<Delta> = (1..=2).map(Origin::delta).collect();
        let parts = DeltaParts {
            issuer: ISSUER,
            after: 0,
            head: 3,
            as_of_ms: NOW,
            chain: Origin::chain(0),
            config: ConfigDigest::of(&origin.config),
            epoch: 1,
            deltas: &deltas,
            nonce: Some(NONCE),
        };
        build_deltas(&parts, &signer()).unwrap()
    };
    assert_eq!(gate.accept(200, &first_two, &asked(NOW + 2000)), Ok(true), "one delta is still missing");
    assert_eq!(gate.freshness(NOW + 2000), Freshness::Stale);
    assert_eq!(gate.accept(200, &origin.deltas(2), &asked(NOW + 2001)), Ok(false));
    assert_eq!(gate.freshness(NOW + 2001), Freshness::Fresh);
}

#[test]
fn refused_answer_leaves_the_replica_unchanged() {
    let origin = Origin::with(2);
    let mut gate = synced(&origin);
    let older = Origin::with(1).snapshot();
    let mut tampered = origin.snapshot();
    tampered[40] ^= 1;
    let truncated = origin.snapshot()[..50].to_vec();
    let foreign = {
        let parts = SnapshotParts::new(ISSUER, 9, NOW, Origin::chain(9), &origin.config);
        build_snapshot(&parts, &SnapshotSigner::from_seed(&[8; 32])).unwrap()
    };
    for (code, bad) in [
        (200, older),
        (200, tampered),
        (200, truncated),
        (200, foreign),
        (200, Vec::new()),
        (500, Vec::new()),
        (409, Vec::new()),
    ] {
        let error = gate.accept(code, &bad, &asked(NOW + 10)).expect_err("a bad answer").to_string();
        let (status_code, body) = health(&gate, NOW + 10);
        assert_eq!((status_code, &body["last_error"]["error"]), (200, &json!(error)));
        assert_eq!((status(&gate, "/", "token-2", NOW + 10), status(&gate, "/", "a", NOW + 10)), (401, 200));
    }
    assert_eq!(gate.accept(200, &origin.deltas(2), &asked(NOW + 20)), Ok(false));
    assert_eq!(health(&gate, NOW + 20).1["last_error"], Value::Null, "the error is cleared");
}

#[test]
fn answer_with_an_old_time_is_refused() {
    let mut origin = Origin::with(0);
    let mut gate = synced(&origin);
    origin.as_of_ms = NOW - 61_000;
    assert!(matches!(gate.accept(200, &origin.deltas(0), &asked(NOW)), Err(FetchError::ClockDifference { .. })));
}

#[test]
fn edge_too_far_behind_fetches_the_snapshot() {
    let mut gate = synced(&Origin::with(1));
    assert_eq!(gate.accept(410, b"", &asked(NOW)), Ok(true));
    assert_eq!(gate.next_fetch(0, &asked(NOW)), "/edge/v1/snapshot");
    assert!(gate.accept(410, b"", &asked(NOW)).is_err(), "the loop ends if the origin has no answer at all");
    assert_eq!(
        gate.next_fetch(0, &asked(NOW)),
        "/edge/v1/deltas?after=1&wait=0.000&nonce=07070707070707070707070707070707&version=3",
        "deltas are fetched again"
    );
    assert_eq!(gate.accept(200, &Origin::with(5).snapshot(), &asked(NOW)), Ok(true));
    assert_eq!(
        gate.next_fetch(0, &asked(NOW)),
        "/edge/v1/deltas?after=5&wait=0.000&nonce=07070707070707070707070707070707&version=3"
    );
}

#[test]
fn changed_configuration_is_fetched() {
    let mut origin = Origin::with(0);
    let mut gate = synced(&origin);
    origin.config = config(&json!([{ "path": "/*", "scope": ["all"] }]));
    assert_eq!(gate.accept(200, &origin.deltas(0), &asked(NOW)), Ok(true));
    assert_eq!(gate.next_fetch(0, &asked(NOW)), "/edge/v1/snapshot");
    assert_eq!(gate.accept(200, &origin.snapshot(), &asked(NOW)), Ok(true));
    assert_eq!(gate.accept(200, &origin.deltas(0), &asked(NOW)), Ok(false));
    assert_eq!(status(&gate, "/", "a", NOW), 403);
}

#[test]
fn outdated_configuration_is_stale_and_not_fetched_in_a_loop() {
    let mut origin = Origin::with(0);
    let old = origin.snapshot();
    let mut gate = synced(&origin);
    origin.config = config(&json!([{ "path": "/*", "scope": ["all"] }]));
    for round in 0..3 {
        assert_eq!(
            gate.accept(200, &origin.deltas(0), &asked(NOW + 2000)),
            Ok(round == 0),
            "the new configuration must be fetched"
        );
        assert_eq!(gate.freshness(NOW + 2000), Freshness::Stale, "the configuration is outdated");
        if round == 0 || gate.next_fetch(0, &asked(NOW)).contains("snapshot") {
            assert_eq!(gate.next_fetch(0, &asked(NOW)), "/edge/v1/snapshot");
            assert_eq!(gate.accept(200, &old, &asked(NOW + 2000)), Ok(true), "a snapshot from before the change");
            assert_eq!(
                gate.next_fetch(0, &asked(NOW)),
                "/edge/v1/deltas?after=0&wait=0.000&nonce=07070707070707070707070707070707&version=3"
            );
        }
    }
    assert_eq!(status(&gate, "/", "a", NOW + 2000), 503);
}

#[test]
fn older_snapshot_keeps_newer_deltas() {
    let mut origin = Origin::with(1);
    let mut gate = synced(&origin);
    origin.revoked = 3;
    origin.config = config(&json!([{ "path": "/*", "scope": ["all"] }]));
    assert_eq!(gate.accept(200, &origin.deltas(1), &asked(NOW)), Ok(true));
    let behind = Origin { revoked: 2, config: origin.config.clone(), as_of_ms: NOW };
    assert_eq!(gate.accept(200, &behind.snapshot(), &asked(NOW)), Ok(true));
    assert_eq!(
        gate.next_fetch(0, &asked(NOW)),
        "/edge/v1/deltas?after=3&wait=0.000&nonce=07070707070707070707070707070707&version=3"
    );
    assert_eq!(gate.accept(200, &origin.deltas(3), &asked(NOW)), Ok(false));
    assert_eq!((status(&gate, "/", "token-3", NOW), status(&gate, "/", "a", NOW)), (401, 403));
}

#[test]
fn push_applies_changes_but_does_not_prove_freshness() {
    let mut origin = Origin::with(0);
    let mut gate = synced(&origin);
    origin.revoked = 1;
    let answer = gate.push(&origin.deltas(0), NOW + 900);
    assert_eq!((answer.status, answer.body.as_slice()), (200, br#"{"sequence":1}"#.as_slice()));
    assert_eq!(status(&gate, "/", "token-1", NOW + 900), 401);
    assert_eq!(gate.freshness(NOW + 1001), Freshness::Stale);

    origin.revoked = 4;
    let gap = gate.push(&origin.deltas(3), NOW);
    assert_eq!((gap.status, gap.body.as_slice()), (409, br#"{"sequence":1}"#.as_slice()));
    assert_eq!(gate.push(b"TGDL nonsense", NOW).status, 400);
    assert_eq!(gate.push(&origin.snapshot(), NOW).status, 400, "only deltas are pushed");
    let push = Request { method: "POST", target: "/_tollgate/push", headers: &[], connection: Connection::default() };
    assert_eq!(gate.decide(&push, NOW, false), Decision::Push);
}

#[test]
fn push_that_brings_nothing_new_costs_no_signature_check() {
    let mut origin = Origin::with(0);
    let mut gate = synced(&origin);
    origin.revoked = 2;
    let push = origin.message(0, None);
    assert_eq!(gate.push(&push, NOW).status, 200);
    // Only a message whose signature is not checked passes with a wrong one.
    let forged = |message: &[u8]| {
        let (last, rest) = message.split_last().expect("a message");
        [rest, &[last ^ 1]].concat()
    };
    assert_eq!(gate.push(&forged(&push), NOW).status, 200);
    assert_eq!(gate.sequence(), Some(2));
    origin.revoked = 3;
    assert_eq!(gate.push(&forged(&origin.message(2, None)), NOW).status, 400, "one with news is checked");
    origin.revoked = 2;
    origin.as_of_ms = NOW + 1;
    assert_eq!(gate.push(&forged(&origin.message(0, None)), NOW).status, 400, "so is a newer one");
}

#[test]
fn push_to_an_edge_with_a_key_needs_its_proof_and_is_admitted_once() {
    let gate = gate_with(&[("TOLLGATE_EDGE_KEY", &format!("near:1:{}", URL_SAFE_NO_PAD.encode(SECRET)))]);
    let decide = |header: Option<&str>| {
        let headers: Vec<(&str, &[u8])> = header.map(|value| ("Tollgate-Push", value.as_bytes())).into_iter().collect();
        match gate.decide(
            &Request {
                method: "POST",
                target: "/_tollgate/push",
                headers: &headers,
                connection: Connection::default(),
            },
            NOW,
            false,
        ) {
            Decision::Push => 0,
            Decision::Answer(answer) => answer.status,
            other => panic!("expected an answer, not {other:?}"),
        }
    };
    let (key, other) = (EdgeKey::new(&SECRET), EdgeKey::new(&[8; 32]));
    assert_eq!((decide(None), decide(Some("push&at=1")), decide(Some(&other.sign_push(NOW)))), (403, 403, 403));
    assert_eq!((decide(Some(&key.sign_push(NOW))), decide(Some(&key.sign_push(NOW)))), (0, 403), "a replay");
    assert_eq!((decide(Some(&key.sign_push(NOW + 1))), decide(Some(&key.sign_push(NOW)))), (0, 403), "an older one");
    assert_eq!(decide(Some(&key.sign_push(NOW + 60_001))), 403, "a time of another clock");
}

#[test]
fn stored_snapshot_does_not_make_a_gate_fresh() {
    let mut origin = Origin::with(1);
    origin.config = config(&json!([{ "path": "/lenient", "on_stale": "allow" }]));
    let stored = synced(&origin).snapshot().expect("a snapshot").to_vec();
    let mut gate = gate();
    assert_eq!(gate.warm(&stored), Ok(()));
    assert_eq!(gate.freshness(NOW), Freshness::Stale);
    assert_eq!(
        gate.next_fetch(0, &asked(NOW)),
        "/edge/v1/deltas?after=1&wait=0.000&nonce=07070707070707070707070707070707&version=3"
    );
    assert_eq!((status(&gate, "/", "token-1", NOW), status(&gate, "/", "a", NOW)), (401, 503));
    assert_eq!(status(&gate, "/lenient", "a", NOW), 503, "changes after that snapshot are unknown");
}

#[test]
fn replayed_answer_does_not_prove_freshness() {
    let mut origin = Origin::with(0);
    let mut gate = synced(&origin);
    let recorded = origin.deltas(0);
    let later = Question { asked_at_ms: NOW + 2000, nonce: Nonce::from_bytes([8; Nonce::LEN]) };
    assert_eq!(gate.accept(200, &recorded, &later), Err(FetchError::OtherNonce));
    assert_eq!((gate.freshness(NOW + 2000), status(&gate, "/", "a", NOW + 2000)), (Freshness::Stale, 503));

    // An origin without support for nonces: its changes are applied, but the replica is not fresh.
    origin.revoked = 1;
    assert_eq!(gate.accept(200, &origin.message(0, None), &later), Err(FetchError::OtherNonce));
    assert_eq!((gate.freshness(NOW + 2000), status(&gate, "/", "token-1", NOW + 2000)), (Freshness::Stale, 401));
    assert_eq!(gate.accept_relayed(&origin.deltas(1), NOW + 2000), Ok(false), "the hub has checked the nonce");
    assert_eq!(gate.freshness(NOW + 2000), Freshness::Fresh);
}

#[test]
fn edge_with_a_key_signs_its_requests() {
    let key = format!("near.by:1799999999:{}", URL_SAFE_NO_PAD.encode(SECRET));
    let mut gate = gate_with(&[("TOLLGATE_EDGE_KEY", &key)]);
    assert_eq!(gate.next_fetch(0, &asked(NOW)), "/edge/v1/snapshot");
    assert_eq!(gate.accept(200, &Origin::with(3).snapshot(), &asked(NOW)), Ok(true));
    let target = gate.next_fetch(250, &asked(NOW));
    let query = target.strip_prefix("/edge/v1/deltas?").expect("a query");
    let start = format!("after=3&wait=0.250&nonce={NONCE}&version=3&edge=near.by&number=1799999999&at={NOW}&proof=");
    assert!(query.starts_with(&start), "{query}");
    assert!(EdgeKey::new(&SECRET).has_signed(query) && !EdgeKey::new(&[8; 32]).has_signed(query));
}

#[test]
fn changes_in_a_snapshot_are_dropped() {
    let mut origin = Origin::with(1);
    let mut gate = synced(&origin);
    for round in 1..=20 {
        let before = origin.revoked;
        origin.revoked += 100;
        assert_eq!(gate.accept(200, &origin.deltas(before), &asked(NOW)), Ok(false));
        assert_eq!(health(&gate, NOW).1["changes"], json!(100), "round {round}");
        // A snapshot without the last ten changes.
        let snapshot = Origin { revoked: origin.revoked - 10, config: origin.config.clone(), as_of_ms: NOW };
        assert_eq!(gate.accept(200, &snapshot.snapshot(), &asked(NOW)), Ok(true));
        assert_eq!(health(&gate, NOW).1["changes"], json!(10), "round {round}");
        for number in [1, before, before + 1, origin.revoked - 10, origin.revoked - 9, origin.revoked] {
            assert_eq!(status(&gate, "/", &format!("token-{number}"), NOW), 401, "token {number} in round {round}");
        }
        assert_eq!(status(&gate, "/", &format!("token-{}", origin.revoked + 1), NOW), 200);
        assert_eq!(gate.accept(200, &Origin::with(origin.revoked).snapshot(), &asked(NOW)), Ok(true));
        assert_eq!(health(&gate, NOW).1["changes"], json!(0), "round {round}");
    }
}
