//! Messages from origin to edge: which ones an edge accepts and refuses, byte by byte, and how they
//! change a replica.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

use ed25519_dalek::{Signer as _, SigningKey};
use tollgate_core::{
    ConfigDigest, Delta, DeltaParts, Deltas, HashChain, MAX_DELTAS, MessageKind, Replica, ReplicaError, ReplicaView,
    RevocationChecker as _, RevocationId, RevocationKind, RevocationStatus, RevokedBefore, Snapshot, SnapshotParts,
    SnapshotSigner, TokenIdentifiers, WireError, build_deltas, build_snapshot,
};

const ISSUER: &str = "https://auth.example";
const SEED: [u8; 32] = [7; 32];
/// Unix milliseconds, long after the tokens were issued.
const AS_OF_MS: u64 = 1_800_000_000_000;
const CONFIG: &[u8] = br#"{"audience":"https://api.example","jwks":{"keys":[]},"routes":[]}"#;

fn signer() -> SnapshotSigner {
    SnapshotSigner::from_seed(&SEED)
}

fn pins() -> [[u8; 32]; 1] {
    [signer().public_key()]
}

/// Identifiers of a token that can be revoked only by its id.
fn identifiers<'a>(issuer: &'a str, token_id: &'a str) -> TokenIdentifiers<'a> {
    let (session, key_id) = (None, None);
    TokenIdentifiers {
        issuer,
        token_id,
        session,
        subject: "someone",
        client_id: "a-client",
        key_id,
        issued_at: 1_700_000_000,
    }
}

fn is_revoked(replica: &Replica, token_id: &str) -> bool {
    replica.is_revoked(&identifiers(ISSUER, token_id))
}

fn token(n: u64) -> RevocationId {
    RevocationId::for_token(ISSUER, &format!("token-{n}"))
}

/// An origin's revocation log, from which it builds messages.
struct RevocationLog {
    issuer: &'static str,
    deltas: Vec<Delta>,
}

impl RevocationLog {
    fn new(issuer: &'static str, changes: &[(RevokedBefore, u64)]) -> Self {
        let deltas = (1..)
            .zip(changes)
            .map(|(sequence, &(revoked_before, n))| Delta {
                sequence,
                kind: RevocationKind::Token,
                id: token(n),
                revoked_before,
                expires_at: 2_000_000_000,
            })
            .collect();
        Self { issuer, deltas }
    }

    fn with_revoked_tokens(count: u64) -> Self {
        Self::new(ISSUER, &(1..=count).map(|n| (RevokedBefore::TOKEN, n)).collect::<Vec<_>>())
    }

    fn chain_at(&self, sequence: u64) -> HashChain {
        self.deltas
            .iter()
            .take(sequence as usize)
            .fold(HashChain::genesis(self.issuer), |chain, delta| chain.next(delta))
    }

    fn snapshot_at(&self, sequence: u64) -> Vec<u8> {
        let mut revoked: Vec<RevocationId> = Vec::new();
        for delta in self.deltas.iter().take(sequence as usize) {
            match delta.revoked_before {
                RevokedBefore::NOT_REVOKED => revoked.retain(|id| *id != delta.id),
                _ => revoked.push(delta.id),
            }
        }
        let chain = self.chain_at(sequence);
        let parts = SnapshotParts {
            others: &revoked,
            ..SnapshotParts::new(self.issuer, sequence, AS_OF_MS + sequence, chain, CONFIG)
        };
        build_snapshot(&parts, &signer()).expect("a valid snapshot")
    }

    fn deltas(&self, after: u64, to: u64) -> Vec<u8> {
        let parts = DeltaParts {
            issuer: self.issuer,
            after,
            head: self.deltas.len() as u64,
            as_of_ms: 1,
            chain: self.chain_at(after),
            config: ConfigDigest::of(CONFIG),
            epoch: 1,
            deltas: &self.deltas[after as usize..to as usize],
            nonce: None,
        };
        build_deltas(&parts, &signer()).expect("valid deltas")
    }
}

fn decode(snapshot: Vec<u8>) -> Snapshot {
    Snapshot::decode(snapshot, &pins()).expect("a valid snapshot")
}

fn apply(replica: &mut Replica, deltas: &[u8]) -> Result<bool, ReplicaError> {
    replica.apply(&Deltas::decode(deltas, &pins()).expect("valid deltas"))
}

fn sign(mut body: Vec<u8>) -> Vec<u8> {
    let signature = SigningKey::from_bytes(&SEED).sign(&body);
    body.extend(signature.to_bytes());
    body
}

#[test]
fn a_snapshot_answers_what_it_was_built_from() {
    let log = RevocationLog::new(
        ISSUER,
        &[(RevokedBefore::TOKEN, 1), (RevokedBefore::TOKEN, 2), (RevokedBefore::NOT_REVOKED, 1)],
    );
    let snapshot = decode(log.snapshot_at(3));
    assert_eq!((snapshot.issuer(), snapshot.sequence(), snapshot.as_of_ms()), (ISSUER, 3, AS_OF_MS + 3));
    assert_eq!((snapshot.chain(), snapshot.config_digest()), (log.chain_at(3), ConfigDigest::of(CONFIG)));
    assert_eq!(
        (
            snapshot.count(RevocationKind::Token),
            snapshot.is_token_revoked(token(1), None),
            snapshot.is_token_revoked(token(2), None)
        ),
        (1, false, true)
    );
    assert_eq!(snapshot.config().audience(), "https://api.example");
}

#[test]
fn identical_input_gives_identical_bytes() {
    let ids: Vec<RevocationId> = (0..1000).map(token).collect();
    let reversed: Vec<RevocationId> = ids.iter().rev().chain(&ids).copied().collect();
    let build = |revoked: &[RevocationId]| {
        let parts =
            SnapshotParts { others: revoked, ..SnapshotParts::new(ISSUER, 1, 2, HashChain::genesis(ISSUER), CONFIG) };
        build_snapshot(&parts, &signer()).expect("a valid snapshot")
    };
    assert_eq!(build(&ids), build(&reversed));
}

#[test]
fn the_filter_has_no_false_negatives_and_the_list_removes_its_false_positives() {
    let count = 20_000;
    let snapshot = decode(RevocationLog::with_revoked_tokens(count).snapshot_at(count));
    assert!((1..=count).all(|n| snapshot.is_token_revoked(token(n), None)));
    assert!(!(count + 1..=10 * count).any(|n| snapshot.is_token_revoked(token(n), None)));
}

#[test]
fn every_truncation_and_every_changed_byte_is_refused() {
    let log = RevocationLog::with_revoked_tokens(3);
    let mut cases = 0;
    for (kind, message) in [(MessageKind::Snapshot, log.snapshot_at(3)), (MessageKind::Deltas, log.deltas(0, 3))] {
        assert_eq!(MessageKind::of(&message), Some(kind));
        let refused = |bytes: &[u8]| match kind {
            MessageKind::Snapshot => Snapshot::decode(bytes.to_vec(), &pins()).is_err(),
            MessageKind::Deltas => Deltas::decode(bytes, &pins()).is_err(),
        };
        assert!(!refused(&message));
        for length in 0..message.len() {
            assert!(refused(&message[..length]), "{kind:?} cut to {length} bytes");
            cases += 1;
        }
        for at in 0..message.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = message.clone();
                changed[at] ^= flip;
                assert!(refused(&changed), "{kind:?} with byte {at} changed by {flip:#x}");
                cases += 1;
            }
        }
        let mut longer = message.clone();
        longer.push(0);
        assert!(refused(&longer), "{kind:?} with a trailing byte");
    }
    println!("{cases} corrupted messages refused");
}

#[test]
fn only_signatures_of_pinned_keys_are_accepted() {
    let message = RevocationLog::with_revoked_tokens(1).snapshot_at(1);
    let other = SnapshotSigner::from_seed(&[8; 32]).public_key();
    assert_eq!(Snapshot::decode(message.clone(), &[other]).unwrap_err(), WireError::BadSignature);
    assert_eq!(Snapshot::decode(message.clone(), &[]).unwrap_err(), WireError::BadSignature);
    assert!(
        Snapshot::decode(message, &[other, signer().public_key()]).is_ok(),
        "the second pinned key, during a rotation"
    );
}

#[test]
fn a_signed_message_with_an_invalid_format_is_refused() {
    let good = RevocationLog::with_revoked_tokens(2).snapshot_at(2);
    let unsigned = &good[..good.len() - 64];
    let changed = |at: usize, byte: u8| {
        let mut body = unsigned.to_vec();
        body[at] = byte;
        Snapshot::decode(sign(body), &pins()).unwrap_err()
    };
    assert_eq!(changed(0, b'X'), WireError::WrongKind);
    assert_eq!(changed(4, 2), WireError::UnknownVersion { version: 2 });
    assert_eq!(changed(5, 1), WireError::Malformed("a reserved byte is not zero"));

    let issuer_end = 8 + 2 + ISSUER.len();
    let config_length = issuer_end + 8 + 8 + 32;
    let groups = config_length + 4 + CONFIG.len() + 4 + 8;
    let filter_count = groups + 4 * 4;
    let revoked_count = filter_count + 4 + 64;
    for at in [8, config_length, groups, groups + 12, filter_count, revoked_count] {
        assert_eq!(changed(at, 0xff), WireError::Truncated, "a length of gigabytes at byte {at}");
    }
    let mut unordered = unsigned.to_vec();
    let ids = revoked_count + 4;
    unordered[ids..ids + 32].rotate_left(16);
    let refused = Snapshot::decode(sign(unordered), &pins()).unwrap_err();
    assert_eq!(refused, WireError::Malformed("the revoked ids are not in order"));
    let mut filterless = unsigned.to_vec();
    filterless[filter_count + 3] = 0;
    filterless.drain(filter_count + 4..revoked_count);
    let refused = Snapshot::decode(sign(filterless), &pins()).unwrap_err();
    assert_eq!(refused, WireError::Malformed("the filter does not match the list"));
    let mut longer = unsigned.to_vec();
    longer.push(0);
    assert_eq!(Snapshot::decode(sign(longer), &pins()).unwrap_err(), WireError::Malformed("trailing bytes"));
}

#[test]
fn a_message_of_one_kind_is_refused_as_the_other_kind() {
    let log = RevocationLog::with_revoked_tokens(1);
    assert_eq!(Snapshot::decode(log.deltas(0, 1), &pins()).unwrap_err(), WireError::WrongKind);
    assert_eq!(Deltas::decode(&log.snapshot_at(1), &pins()).unwrap_err(), WireError::WrongKind);
}

#[test]
fn deltas_are_built_only_in_order_and_within_limits() {
    let log = RevocationLog::with_revoked_tokens(MAX_DELTAS as u64 + 1);
    let parts = |after: u64, deltas: &[Delta]| {
        let chain = log.chain_at(after);
        let parts = DeltaParts {
            issuer: ISSUER,
            after,
            head: after + 1,
            as_of_ms: 1,
            chain,
            config: ConfigDigest::of(CONFIG),
            epoch: 1,
            deltas,
            nonce: None,
        };
        build_deltas(&parts, &signer()).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(parts(0, &log.deltas[..1]), Ok(()));
    assert!(parts(1, &log.deltas[..1]).is_err(), "a delta that is not the next one");
    assert!(parts(0, &log.deltas[..2]).is_err(), "deltas past the head");
    assert!(parts(0, &log.deltas).is_err(), "too many deltas");
}

#[test]
fn a_replica_follows_its_origin() {
    let log = RevocationLog::new(
        ISSUER,
        &[
            (RevokedBefore::TOKEN, 1),
            (RevokedBefore::TOKEN, 2),
            (RevokedBefore::NOT_REVOKED, 1),
            (RevokedBefore::TOKEN, 3),
        ],
    );
    let mut replica = Replica::new(decode(log.snapshot_at(1)), ISSUER).expect("the same issuer");
    assert!(is_revoked(&replica, "token-1") && !is_revoked(&replica, "token-2"));
    assert_eq!(apply(&mut replica, &log.deltas(1, 3)), Ok(false), "there are more deltas");
    assert!(!is_revoked(&replica, "token-1") && is_revoked(&replica, "token-2"));
    assert!(!replica.is_caught_up(), "the message mentioned a fourth delta");
    assert_eq!(apply(&mut replica, &log.deltas(3, 4)), Ok(true));
    assert!(replica.is_caught_up() && is_revoked(&replica, "token-3"));
    assert_eq!(apply(&mut replica, &log.deltas(4, 4)), Ok(true), "a heartbeat");
    assert_eq!(replica.sequence(), 4);
    assert_eq!(replica.install(decode(log.snapshot_at(4))), Ok(()));
    assert!(!is_revoked(&replica, "token-1") && is_revoked(&replica, "token-2") && is_revoked(&replica, "token-3"));
}

#[test]
fn messages_may_come_twice_late_and_overlapping() {
    let log = RevocationLog::with_revoked_tokens(6);
    let mut replica = Replica::new(decode(log.snapshot_at(2)), ISSUER).expect("the same issuer");
    // Deltas before the snapshot prove nothing. Of the others, those up to the last delta prove
    // that none is missing.
    for (after, to, sequence, complete) in [
        (2, 4, 4, false),
        (2, 4, 4, false),
        (0, 1, 4, false),
        (1, 6, 6, true),
        (3, 5, 6, true),
        (6, 6, 6, true),
        (0, 1, 6, false),
    ] {
        assert_eq!(apply(&mut replica, &log.deltas(after, to)), Ok(complete), "deltas {after} to {to}");
        assert_eq!(replica.sequence(), sequence);
    }
    assert!((1..=6).all(|n| is_revoked(&replica, &format!("token-{n}"))));
}

#[test]
fn a_replica_refuses_rollback_gap_and_fork() {
    let log = RevocationLog::with_revoked_tokens(5);
    let other = RevocationLog::new(
        ISSUER,
        &[(RevokedBefore::TOKEN, 1), (RevokedBefore::TOKEN, 9), (RevokedBefore::TOKEN, 3), (RevokedBefore::TOKEN, 4)],
    );
    let foreign = RevocationLog::new("https://other.example", &[(RevokedBefore::TOKEN, 1)]);
    let mut replica = Replica::new(decode(log.snapshot_at(3)), ISSUER).expect("the same issuer");

    assert_eq!(replica.install(decode(log.snapshot_at(2))), Err(ReplicaError::Rollback { held: 3, offered: 2 }));
    assert_eq!(replica.install(decode(other.snapshot_at(3))), Err(ReplicaError::Fork { sequence: 3 }));
    assert_eq!(replica.install(decode(foreign.snapshot_at(1))), Err(ReplicaError::WrongIssuer));
    assert_eq!(apply(&mut replica, &log.deltas(4, 5)), Err(ReplicaError::Gap { held: 3, offered: 4 }));
    assert_eq!(apply(&mut replica, &other.deltas(3, 4)), Err(ReplicaError::Fork { sequence: 3 }));
    assert_eq!(
        apply(&mut replica, &other.deltas(1, 4)),
        Err(ReplicaError::Fork { sequence: 3 }),
        "a fork that starts earlier"
    );
    assert_eq!(apply(&mut replica, &foreign.deltas(0, 1)), Err(ReplicaError::WrongIssuer));
    assert_eq!(replica.sequence(), 3);
    assert!(is_revoked(&replica, "token-2") && !is_revoked(&replica, "token-9"), "the replica did not change");
    assert!(Replica::new(decode(foreign.snapshot_at(1)), ISSUER).is_err());
}

#[test]
fn a_stale_replica_still_refuses_revoked_tokens() {
    let replica =
        Replica::new(decode(RevocationLog::with_revoked_tokens(1).snapshot_at(1)), ISSUER).expect("the same issuer");
    let status =
        |issuer, token, is_fresh| ReplicaView { replica: &replica, is_fresh }.status(&identifiers(issuer, token));
    assert_eq!(status(ISSUER, "token-1", true), RevocationStatus::Revoked);
    assert_eq!(status(ISSUER, "token-1", false), RevocationStatus::Revoked);
    assert_eq!(status(ISSUER, "token-2", true), RevocationStatus::NotRevoked);
    assert_eq!(status(ISSUER, "token-2", false), RevocationStatus::Stale);
    assert_eq!(status("https://other.example", "token-2", true), RevocationStatus::NotCovered);
}
