//! Valid messages with content in every section.

use tollgate_core::{
    CascadeBuilder, ConfigDigest, Delta, DeltaParts, EpochTokenId, HashChain, Nonce, NonceTree, RevocationId,
    RevocationKind, RevokedBefore, SharedParts, Snapshot, SnapshotInfo, SnapshotParts, SnapshotSigner, build_deltas,
    build_shared_deltas, build_snapshot,
};

use crate::mutation::Random;
use crate::targets::{ANSWERED_NONCE, ISSUER, NOW, SEED};

/// A configuration in the form that an origin writes.
pub(crate) const CONFIG: &[u8] = br#"{"audience":"https://api.example","jwks":{"keys":[{"alg":"EdDSA","crv":"Ed25519","kid":"e","kty":"OKP","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]},"routes":[{"methods":["GET"],"on_not_covered":"deny","on_stale":"allow","path":"/reports/*","public":false,"scope":["reports:read"]}]}"#;
/// The newest epoch that the snapshot covers.
pub(crate) const EPOCH: u32 = 9;
/// The snapshot's sequence.
pub(crate) const SEQUENCE: u64 = 6;
/// Number of covered tokens of the snapshot; every tenth of them is revoked.
pub(crate) const COVERED: u64 = 3000;
/// Number of revoked tokens that are not covered.
pub(crate) const OTHERS: u64 = 40;

pub(crate) fn signer() -> SnapshotSigner {
    SnapshotSigner::from_seed(&SEED)
}

pub(crate) fn pins() -> [[u8; 32]; 1] {
    [signer().public_key()]
}

/// The nth token, issued in a covered or in a newer epoch.
pub(crate) fn token(n: u64, is_covered: bool) -> EpochTokenId {
    let mut random = Random::new(n);
    let bytes = std::array::from_fn(|_| random.below(256) as u8);
    EpochTokenId::new(if is_covered { 1 + n as u32 % EPOCH } else { EPOCH + 1 }, bytes)
}

pub(crate) fn is_revoked(covered: u64) -> bool {
    covered.is_multiple_of(10)
}

/// The groups of the snapshot.
pub(crate) fn groups() -> Vec<(RevocationKind, RevocationId, RevokedBefore)> {
    let group = |kind, count: u32| {
        (1..=count).map(move |n| {
            (kind, RevocationId::new(kind, ISSUER, &format!("name-{n}")), RevokedBefore::through_epoch(n))
        })
    };
    let [sessions, subjects, clients, keys] = RevocationKind::GROUPS;
    group(sessions, 5).chain(group(subjects, 3)).chain(group(clients, 2)).chain(group(keys, 2)).collect()
}

/// The revocation log of the messages. Its fork has other expiry times from the fourth delta on.
pub(crate) fn history(is_fork: bool) -> Vec<Delta> {
    let values = [
        RevokedBefore::TOKEN,
        RevokedBefore::through_epoch(3),
        RevokedBefore::through_epoch(4),
        RevokedBefore::EVERY_EPOCH,
        RevokedBefore::time(NOW),
        RevokedBefore::NOT_REVOKED,
    ];
    let kinds = [
        RevocationKind::Token,
        RevocationKind::Session,
        RevocationKind::Client,
        RevocationKind::Key,
        RevocationKind::Everything,
        RevocationKind::Session,
    ];
    let ids = [RevocationId::for_token(ISSUER, "a"), RevocationId::EVERYTHING];
    (1..)
        .zip(kinds.into_iter().zip(values).cycle())
        .take(12)
        .map(|(sequence, (kind, revoked_before))| {
            let id = ids[usize::from(kind == RevocationKind::Everything)];
            Delta {
                sequence,
                kind,
                id,
                revoked_before,
                expires_at: NOW + sequence + u64::from(is_fork && sequence > 3),
            }
        })
        .collect()
}

/// The hash chain of a log at a sequence.
pub(crate) fn chain(issuer: &str, history: &[Delta], sequence: u64) -> HashChain {
    history.iter().take(sequence as usize).fold(HashChain::genesis(issuer), |chain, delta| chain.next(delta))
}

/// A snapshot of this issuer and log as of the sequence, by this signer.
pub(crate) fn snapshot(issuer: &str, history: &[Delta], sequence: u64, signer: &SnapshotSigner) -> Vec<u8> {
    let ids = |numbers: std::ops::Range<u64>, is_covered| {
        numbers.map(move |n| token(n, is_covered).revocation_id()).collect::<Vec<_>>()
    };
    let covered = ids(0..COVERED, true);
    let revoked: Vec<_> = (0..COVERED).zip(&covered).filter(|(n, _)| is_revoked(*n)).map(|(_, id)| *id).collect();
    let mut cascade = CascadeBuilder::new(revoked, COVERED).expect("few tokens");
    cascade.add_covered(covered).expect("its own filter");
    let cascade = cascade.finish().expect("few tokens");
    let (groups, others) = (groups(), ids(0..OTHERS, false));
    let parts = SnapshotParts {
        epoch: EPOCH,
        everything_before: RevokedBefore::time(NOW - 100_000),
        groups: &groups,
        others: &others,
        covered: Some(&cascade),
        ..SnapshotParts::new(issuer, sequence, NOW * 1000 + sequence, chain(issuer, history, sequence), CONFIG)
    };
    build_snapshot(&parts, signer).expect("a valid snapshot")
}

/// The snapshot that the tests change.
pub(crate) fn real_snapshot() -> Vec<u8> {
    snapshot(ISSUER, &history(false), SEQUENCE, &signer())
}

/// Deltas of this issuer and log, after one sequence up to another.
pub(crate) fn deltas(issuer: &str, history: &[Delta], after: u64, to: u64) -> Vec<u8> {
    build_deltas(&delta_parts(issuer, history, after, to), &signer()).expect("valid deltas")
}

fn delta_parts<'a>(issuer: &'a str, history: &'a [Delta], after: u64, to: u64) -> DeltaParts<'a> {
    DeltaParts {
        issuer,
        after,
        head: history.len() as u64,
        as_of_ms: NOW * 1000,
        chain: chain(issuer, history, after),
        config: ConfigDigest::of(CONFIG),
        epoch: EPOCH + 1,
        deltas: &history[after as usize..to as usize],
        nonce: None,
    }
}

/// The answer to the second of three nonces, with a configuration.
pub(crate) fn shared_deltas() -> Vec<u8> {
    let history = history(false);
    let nonces = [Nonce::from_bytes([1; Nonce::LEN]), ANSWERED_NONCE, Nonce::from_bytes([3; Nonce::LEN])];
    let tree = NonceTree::new(&nonces).expect("three nonces");
    let published = Some(SnapshotInfo { sequence: SEQUENCE, as_of_ms: NOW * 1000, bytes: 5000 });
    let shared = SharedParts { published, document: CONFIG, nonce: tree.root() };
    let message = build_shared_deltas(&delta_parts(ISSUER, &history, 4, 5), &shared, &signer()).expect("valid deltas");
    let (shared, rest) = tree.answer(&message, 1).expect("an answer");
    [shared, &rest].concat()
}

/// The message of deltas that the tests change. It contains each kind.
pub(crate) fn real_deltas() -> Vec<u8> {
    deltas(ISSUER, &history(false), 0, SEQUENCE)
}

/// Decodes a valid snapshot.
pub(crate) fn decoded(message: Vec<u8>) -> Snapshot {
    Snapshot::decode(message, &pins()).expect("a valid snapshot")
}
