//! Messages that answer many edges with one signature, that bring a configuration, and that
//! announce snapshots: what they prove, and that they keep a replica small.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

use std::collections::VecDeque;

use tollgate_core::{
    BuildError, ConfigDigest, Delta, DeltaParts, Deltas, HashChain, MAX_DELTAS, MAX_DOCUMENT_BYTES, Nonce, NonceTree,
    Replica, RevocationId, RevocationKind, RevokedBefore, SharedParts, Snapshot, SnapshotInfo, SnapshotParts,
    SnapshotSigner, TokenIdentifiers, WireError, build_deltas, build_shared_deltas, build_snapshot,
};

const ISSUER: &str = "https://auth.example";
/// Unix milliseconds.
const NOW: u64 = 1_800_000_000_000;
const CONFIG: &[u8] = br#"{"audience":"https://api.example","jwks":{"keys":[]},"routes":[]}"#;
const OTHER_CONFIG: &[u8] = br#"{"audience":"https://other.example","jwks":{"keys":[]},"routes":[{"path":"/a"}]}"#;

fn signer() -> SnapshotSigner {
    SnapshotSigner::from_seed(&[7; 32])
}

fn pins() -> [[u8; 32]; 1] {
    [signer().public_key()]
}

fn nonce(n: usize) -> Nonce {
    Nonce::from_bytes((n as u128 + 1).to_be_bytes())
}

fn delta(sequence: u64) -> Delta {
    Delta {
        sequence,
        kind: RevocationKind::Token,
        id: RevocationId::for_token(ISSUER, &format!("token-{sequence}")),
        revoked_before: RevokedBefore::TOKEN,
        expires_at: NOW / 1000 + sequence,
    }
}

/// A message's content apart from its deltas.
#[derive(Clone, Copy)]
struct Content<'a> {
    as_of_ms: u64,
    config: &'a [u8],
    document: &'a [u8],
    published: Option<SnapshotInfo>,
}

const CONTENT: Content<'static> = Content { as_of_ms: NOW, config: CONFIG, document: b"", published: None };

/// Deltas that follow a chain at `after`, for the root of one or many nonces.
fn message(after: u64, chain: HashChain, deltas: &[Delta], nonce: Nonce, content: &Content<'_>) -> Vec<u8> {
    try_message(after, chain, deltas, nonce, content).expect("valid deltas")
}

fn try_message(
    after: u64,
    chain: HashChain,
    deltas: &[Delta],
    nonce: Nonce,
    content: &Content<'_>,
) -> Result<Vec<u8>, BuildError> {
    let parts = DeltaParts {
        issuer: ISSUER,
        after,
        head: after + deltas.len() as u64,
        as_of_ms: content.as_of_ms,
        chain,
        config: ConfigDigest::of(content.config),
        epoch: 1,
        deltas,
        nonce: None,
    };
    let shared = SharedParts { published: content.published, document: content.document, nonce };
    build_shared_deltas(&parts, &shared, &signer())
}

fn heartbeat(nonce: Nonce, content: &Content<'_>) -> Vec<u8> {
    message(0, HashChain::genesis(ISSUER), &[], nonce, content)
}

fn snapshot(as_of_ms: u64, config: &[u8]) -> Snapshot {
    let parts = SnapshotParts::new(ISSUER, 0, as_of_ms, HashChain::genesis(ISSUER), config);
    Snapshot::decode(build_snapshot(&parts, &signer()).expect("a valid snapshot"), &pins()).expect("a valid snapshot")
}

fn replica() -> Replica {
    Replica::new(snapshot(NOW, CONFIG), ISSUER).expect("the same issuer")
}

fn apply(replica: &mut Replica, message: &[u8]) -> bool {
    replica.apply(&Deltas::decode(message, &pins()).expect("valid deltas")).expect("it fits")
}

#[test]
fn one_signature_answers_each_of_many_nonces_and_no_other() {
    for count in [1, 2, 100] {
        let nonces: Vec<Nonce> = (0..count).map(nonce).collect();
        let tree = NonceTree::new(&nonces).expect("few nonces");
        let message = heartbeat(tree.root(), &CONTENT);
        for (position, own) in nonces.iter().enumerate() {
            let (shared, rest) = tree.answer(&message, position).expect("an answer");
            let deltas = Deltas::decode(&[shared, &rest].concat(), &pins()).expect("a valid answer");
            let answered: Vec<usize> = (0..count + 3).filter(|n| deltas.answers(nonce(*n))).collect();
            assert_eq!((answered, deltas.answers(*own)), (vec![position], true), "{count} nonces");
        }
    }
}

#[test]
fn a_changed_answer_is_refused_or_answers_no_nonce() {
    let nonces: Vec<Nonce> = (0..5).map(nonce).collect();
    let tree = NonceTree::new(&nonces).expect("few nonces");
    let message = heartbeat(tree.root(), &Content { document: CONFIG, ..CONTENT });
    let (shared, rest) = tree.answer(&message, 2).expect("an answer");
    let answer = [shared, &rest].concat();
    for length in 0..answer.len() {
        assert!(Deltas::decode(&answer[..length], &pins()).is_err(), "cut to {length} bytes");
    }
    let mut refused = 0;
    for at in 0..answer.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = answer.clone();
            changed[at] ^= flip;
            match Deltas::decode(&changed, &pins()) {
                Err(_) => refused += 1,
                Ok(deltas) => {
                    assert!(at >= shared.len(), "byte {at} is signed");
                    assert!((0..5).all(|n| !deltas.answers(nonce(n))), "byte {at} changed by {flip:#x}");
                }
            }
        }
    }
    assert!(refused >= 3 * shared.len());
    println!("{} changed answers: {refused} refused, the others prove nothing", 3 * answer.len());
    assert!(Deltas::decode(&[answer.as_slice(), &[0]].concat(), &pins()).is_err(), "a trailing byte");
}

#[test]
fn a_configuration_that_does_not_match_its_digest_is_neither_sent_nor_accepted() {
    let genesis = HashChain::genesis(ISSUER);
    let wrong = Content { document: OTHER_CONFIG, ..CONTENT };
    assert_eq!(try_message(0, genesis, &[], nonce(0), &wrong), Err(BuildError::OtherDigest));
    let large = vec![b' '; MAX_DOCUMENT_BYTES + 1];
    let large = Content { document: &large, config: &large, ..CONTENT };
    assert_eq!(try_message(0, genesis, &[], nonce(0), &large), Err(BuildError::TooLarge("configuration")));
    let unusable = Content { document: b"{}", config: b"{}", ..CONTENT };
    let message = heartbeat(nonce(0), &unusable);
    assert!(matches!(Deltas::decode(&message, &pins()), Err(WireError::Config(_))));
}

#[test]
fn a_message_brings_a_new_configuration_without_a_snapshot() {
    let mut replica = replica();
    let at = |as_of_ms, config, document| heartbeat(nonce(0), &Content { as_of_ms, config, document, published: None });
    let audience = |replica: &Replica| replica.config().audience().to_owned();
    assert!(apply(&mut replica, &at(NOW + 1, CONFIG, b"")));

    assert!(apply(&mut replica, &at(NOW + 2, OTHER_CONFIG, OTHER_CONFIG)), "complete at once");
    assert_eq!((audience(&replica).as_str(), replica.config().routes().len()), ("https://other.example", 1));
    assert!(!replica.needs_snapshot());
    assert!(apply(&mut replica, &at(NOW + 3, OTHER_CONFIG, b"")), "the digest says that nothing has changed");

    // An older message or snapshot does not bring the old configuration back.
    apply(&mut replica, &at(NOW + 1, CONFIG, CONFIG));
    assert_eq!(audience(&replica), "https://other.example");
    replica.install(snapshot(NOW + 1, CONFIG)).expect("newer than the held snapshot");
    assert_eq!(audience(&replica), "https://other.example");
    assert!(apply(&mut replica, &at(NOW + 4, OTHER_CONFIG, b"")));

    // A newer one does, and needs no document if the snapshot has it.
    assert!(apply(&mut replica, &at(NOW + 5, CONFIG, b"")));
    assert_eq!(audience(&replica), "https://api.example");
    assert!(!apply(&mut replica, &at(NOW + 6, OTHER_CONFIG, b"")), "the document is missing");
    assert!(replica.needs_snapshot());
    replica.install(snapshot(NOW + 7, OTHER_CONFIG)).expect("a newer snapshot");
    assert_eq!((audience(&replica).as_str(), replica.needs_snapshot()), ("https://other.example", false));
}

#[test]
fn an_old_small_snapshot_is_replaced_and_an_older_announcement_ignored() {
    let mut replica = replica();
    let announce = |replica: &mut Replica, as_of_ms, published: SnapshotInfo| {
        apply(replica, &heartbeat(nonce(0), &Content { as_of_ms, published: Some(published), ..CONTENT }));
        replica.snapshot_to_fold()
    };
    let info = |as_of_ms, bytes| SnapshotInfo { sequence: 0, as_of_ms, bytes };
    assert_eq!(announce(&mut replica, NOW + 1, info(NOW + 1, 300)), None, "nothing is saved");
    let hour = NOW + 60 * 60 * 1000;
    assert_eq!(announce(&mut replica, NOW + 2, info(hour + 1, 65 * 1024)), None, "old, but large");
    let newer = info(hour + 1, 300);
    assert_eq!(announce(&mut replica, NOW + 3, newer), Some(newer), "expired revocations leave");
    assert_eq!(announce(&mut replica, NOW + 2, info(hour + 9, 300)), Some(newer), "an older message");
    assert_eq!(announce(&mut replica, NOW + 4, info(NOW - 1, 0)), None, "an older snapshot");
}

/// An origin that revokes a token a second, each of which expires after `in_force` more, and
/// publishes snapshots as `snapshot_scheduler.rs` does.
struct Origin {
    in_force: usize,
    deltas: Vec<Delta>,
    chains: Vec<HashChain>,
    live: VecDeque<RevocationId>,
    published: Vec<u8>,
    info: SnapshotInfo,
}

impl Origin {
    fn new(in_force: usize) -> Self {
        let chains = vec![HashChain::genesis(ISSUER)];
        let (deltas, live, published) = (Vec::new(), VecDeque::new(), Vec::new());
        let mut origin = Self { in_force, deltas, chains, live, published, info: SnapshotInfo::default() };
        origin.publish();
        origin
    }

    fn now_ms(&self) -> u64 {
        NOW + self.deltas.len() as u64 * 1000
    }

    fn revoke(&mut self) {
        let delta = delta(self.deltas.len() as u64 + 1);
        self.chains.push(self.chains[self.deltas.len()].next(&delta));
        self.deltas.push(delta);
        self.live.push_back(delta.id);
        if self.live.len() > self.in_force {
            self.live.pop_front();
        }
        let since = self.deltas.len() as u64 - self.info.sequence;
        if since > (self.live.len() as u64 / 4).clamp(1024, 32 * 1024) {
            self.publish();
        }
    }

    fn publish(&mut self) {
        let (sequence, as_of_ms) = (self.deltas.len() as u64, self.now_ms());
        let parts = SnapshotParts::new(ISSUER, sequence, as_of_ms, self.chains[self.deltas.len()], CONFIG);
        let live: Vec<RevocationId> = self.live.iter().copied().collect();
        self.published = build_snapshot(&SnapshotParts { others: &live, ..parts }, &signer()).expect("valid");
        self.info = SnapshotInfo { sequence, as_of_ms, bytes: self.published.len() as u64 };
    }

    fn answer(&self, after: u64) -> Vec<u8> {
        let after = after as usize;
        let deltas = &self.deltas[after..self.deltas.len().min(after + MAX_DELTAS)];
        let content = Content { as_of_ms: self.now_ms(), published: Some(self.info), ..CONTENT };
        message(after as u64, self.chains[after], deltas, nonce(0), &content)
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::decode(self.published.clone(), &pins()).expect("a valid snapshot")
    }

    /// An edge that starts now.
    fn fresh_edge(&self) -> Replica {
        let mut replica = Replica::new(self.snapshot(), ISSUER).expect("the same issuer");
        while replica.sequence() < self.deltas.len() as u64 {
            let answer = self.answer(replica.sequence());
            apply(&mut replica, &answer);
        }
        replica
    }
}

fn is_revoked(replica: &Replica, sequence: u64) -> bool {
    replica.is_revoked(&TokenIdentifiers {
        issuer: ISSUER,
        token_id: &format!("token-{sequence}"),
        session: None,
        subject: "someone",
        client_id: "a-client",
        key_id: None,
        issued_at: NOW / 1000,
    })
}

/// Bytes of the snapshot, and of the deltas after it at 96 bytes each.
fn memory(replica: &Replica) -> usize {
    replica.snapshot().as_bytes().len() + 96 * replica.delta_count()
}

#[test]
fn memory_after_a_million_revocations_is_within_half_of_a_fresh_edges() {
    const REVOCATIONS: u64 = 1_000_000;
    const SLACK: usize = 64 * 1024;
    let mut origin = Origin::new(100_000);
    let mut edge = origin.fresh_edge();
    let (mut fetched, mut fetched_bytes, mut most) = (0, 0, 0.0_f64);
    for revoked in 1..=REVOCATIONS {
        origin.revoke();
        if !revoked.is_multiple_of(1000) {
            continue;
        }
        let answer = origin.answer(edge.sequence());
        apply(&mut edge, &answer);
        assert_eq!(edge.sequence(), revoked);
        if let Some(announced) = edge.snapshot_to_fold() {
            assert_eq!(announced, origin.info);
            edge.install(origin.snapshot()).expect("a newer snapshot");
            (fetched, fetched_bytes) = (fetched + 1, fetched_bytes + announced.bytes);
            assert!(edge.snapshot_to_fold().is_none(), "fetched once");
        }
        // In memory of a fresh edge: the published snapshot and the deltas after it.
        let fresh = origin.published.len() + 96 * (revoked - origin.info.sequence) as usize;
        let own = memory(&edge);
        assert!(own <= fresh + fresh / 2 + SLACK, "{own} bytes after {revoked} revocations, {fresh} of a fresh edge");
        assert!(edge.change_count() <= edge.delta_count());
        most = most.max((own as f64) / ((fresh + SLACK) as f64));
        if revoked.is_multiple_of(50_000) {
            let oldest = revoked.saturating_sub(99_999).max(1);
            let sample = || (oldest..=revoked).step_by(997).chain([oldest, revoked]);
            assert!(sample().all(|sequence| is_revoked(&edge, sequence)), "after {revoked} revocations");
            assert!(!(revoked + 1..revoked + 200).any(|sequence| is_revoked(&edge, sequence)));
        }
    }
    let fresh = origin.fresh_edge();
    println!(
        "after {REVOCATIONS} revocations, 100000 in force: {} deltas after a snapshot of {} bytes; a fresh edge: {} and {}",
        edge.delta_count(),
        edge.snapshot().as_bytes().len(),
        fresh.delta_count(),
        fresh.snapshot().as_bytes().len(),
    );
    println!(
        "{fetched} snapshots fetched, {} bytes for a revocation; at most {most:.2} times a fresh edge's memory",
        fetched_bytes / REVOCATIONS
    );
    assert!(memory(&edge) <= memory(&fresh) * 3 / 2 + SLACK);
}

#[test]
fn the_older_versions_still_answer_their_nonce_and_announce_nothing() {
    let genesis = HashChain::genesis(ISSUER);
    let parts = DeltaParts {
        issuer: ISSUER,
        after: 0,
        head: 0,
        as_of_ms: NOW,
        chain: genesis,
        config: ConfigDigest::of(CONFIG),
        epoch: 1,
        deltas: &[],
        nonce: Some(nonce(0)),
    };
    let answer = build_deltas(&parts, &signer()).expect("valid deltas");
    let deltas = Deltas::decode(&answer, &pins()).expect("valid deltas");
    assert_eq!((deltas.answers(nonce(0)), deltas.answers(nonce(1))), (true, false));
    assert!(deltas.published().is_none() && deltas.config().is_none());
    let push = build_deltas(&DeltaParts { nonce: None, ..parts }, &signer()).expect("valid deltas");
    assert!(!Deltas::decode(&push, &pins()).expect("valid deltas").answers(nonce(0)));
}
