//! An issuer, its edges and a model of the revocations. The issuer and the model use plain maps by
//! name; the edges are replicas of the crate and receive only messages.

use std::collections::{BTreeMap, HashMap};

use tollgate_core::{
    CascadeBuilder, ConfigDigest, Delta, DeltaParts, Deltas, EpochTokenId, HashChain, MAX_DELTAS, Replica, ReplicaView,
    RevocationChecker as _, RevocationId, RevocationKind, RevokedBefore, Snapshot, SnapshotParts, SnapshotSigner,
    TokenIdentifiers, build_deltas, build_snapshot,
};

use crate::operations::Operation;

const ISSUER: &str = "https://auth.example";
const CONFIG: &[u8] = br#"{"audience":"https://api.example","jwks":{"keys":[]},"routes":[]}"#;
/// Start of the simulation, Unix seconds.
const START: u64 = 1_800_000_000;
/// Seconds by which the second origin's clock is ahead.
const CLOCK_SKEW_SECONDS: u64 = 7;
/// Longest lifetime of a token, in seconds.
const MAX_TOKEN_LIFETIME: u64 = 700;
/// Seconds for which a revocation is kept after its tokens have expired, as at the origin.
const KEEP_AFTER_EXPIRY: u64 = 120;

/// Behavior of the edges of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EdgeBehavior {
    /// The crate's own.
    Correct,
    /// They report a sequence as reached without applying the deltas.
    IgnoresDeltas,
}

/// Counts of a run.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) decisions: u64,
    pub(crate) revoked: u64,
    /// Decisions that a verifier would have answered from its cache.
    pub(crate) cached: u64,
    /// Most changes that an edge had after its snapshot.
    pub(crate) max_changes: usize,
}

/// Runs the operations. The error says where an edge and the model differ.
pub(crate) fn run(operations: &[Operation]) -> Result<Counts, String> {
    run_with(operations, EdgeBehavior::Correct)
}

/// As [`run`], with edges of this behavior.
pub(crate) fn run_with(operations: &[Operation], behavior: EdgeBehavior) -> Result<Counts, String> {
    let mut simulation = Simulation::new(behavior);
    let mut counts = Counts::default();
    for operation in operations {
        simulation.step(*operation);
        simulation.compare(&mut counts).map_err(|difference| format!("after {operation:?}: {difference}"))?;
    }
    Ok(counts)
}

struct Token {
    id: String,
    epoch_id: EpochTokenId,
    owner: u8,
    issued_at: u64,
    expires_at: u64,
}

impl Token {
    /// The identifier by which a revocation of this kind names the token.
    fn identifier(&self, kind: RevocationKind) -> String {
        match kind {
            RevocationKind::Token => self.id.clone(),
            RevocationKind::Session => format!("session-{}", self.owner),
            RevocationKind::Subject => format!("subject-{}", self.owner / 2),
            RevocationKind::Client => format!("client-{}", self.owner % 2),
            RevocationKind::Key => format!("key-{}", self.owner % 3),
            RevocationKind::Everything => String::new(),
        }
    }
}

/// The model: value and expiry by kind and identifier.
type Revocations = BTreeMap<(RevocationKind, String), (RevokedBefore, u64)>;

fn is_revoked(revocations: &Revocations, token: &Token) -> bool {
    RevocationKind::ALL.into_iter().any(|kind| {
        let revoked_before = revocations
            .get(&(kind, token.identifier(kind)))
            .map_or(RevokedBefore::NOT_REVOKED, |(revoked_before, _)| *revoked_before);
        match kind {
            RevocationKind::Token => revoked_before != RevokedBefore::NOT_REVOKED,
            RevocationKind::Everything => revoked_before.applies_to(token.issued_at),
            _ => revoked_before.applies_to(token.epoch_id.epoch().into()),
        }
    })
}

struct Edge {
    replica: Replica,
    /// The snapshot from which the edge restarts.
    stored: Vec<u8>,
    /// The sequence that the edge reports.
    reported_sequence: u64,
    /// The version of the log at which a token was not revoked when last checked, as in a
    /// verifier's cache.
    not_revoked_at: HashMap<EpochTokenId, HashChain>,
}

struct Simulation {
    behavior: EdgeBehavior,
    now: u64,
    epoch: u32,
    issued_count: u32,
    tokens: Vec<Token>,
    /// The model after each delta; the first entry is the empty model.
    model: Vec<Revocations>,
    deltas: Vec<Delta>,
    chains: Vec<HashChain>,
    snapshots: Vec<Vec<u8>>,
    /// Messages that were sent.
    sent: Vec<Vec<u8>>,
    edges: Vec<Edge>,
    signer: SnapshotSigner,
    pins: [[u8; 32]; 1],
}

impl Simulation {
    fn new(behavior: EdgeBehavior) -> Self {
        let signer = SnapshotSigner::from_seed(&[7; 32]);
        let pins = [signer.public_key()];
        let mut simulation = Self {
            behavior,
            now: START,
            epoch: 1,
            issued_count: 0,
            tokens: Vec::new(),
            model: vec![Revocations::new()],
            deltas: Vec::new(),
            chains: vec![HashChain::genesis(ISSUER)],
            snapshots: Vec::new(),
            sent: Vec::new(),
            edges: Vec::new(),
            signer,
            pins,
        };
        simulation.publish();
        for _ in 0..3 {
            let stored = simulation.snapshots[0].clone();
            simulation.edges.push(Edge {
                replica: simulation.replica(&stored),
                stored,
                reported_sequence: 0,
                not_revoked_at: HashMap::new(),
            });
        }
        simulation
    }

    fn step(&mut self, operation: Operation) {
        match operation {
            Operation::Issue { origin, owner, lifetime } => self.issue(origin, owner, lifetime),
            Operation::Revoke { kind, choice } => self.revoke(kind, choice),
            Operation::Reinstate { kind, choice } => self.reinstate(kind, choice),
            Operation::Wait { seconds } => self.now += u64::from(seconds),
            Operation::Publish { origin } => {
                self.now += u64::from(origin); // both origins read the same database, the second one a little later
                self.publish();
            }
            Operation::Request { edge } => {
                let message = self.answer(self.edges[usize::from(edge)].replica.sequence());
                self.sent.push(message);
            }
            Operation::Deliver { edge, choice } => {
                if let Some(message) = choose(&self.sent, choice).cloned() {
                    self.deliver(edge, &message);
                }
            }
            Operation::InstallSnapshot { edge, choice } => self.install_snapshot(edge, choice),
            Operation::Sync { edge } => {
                let message = self.answer(self.edges[usize::from(edge)].replica.sequence());
                self.deliver(edge, &message);
            }
            Operation::Restart { edge } => {
                let replica = self.replica(&self.edges[usize::from(edge)].stored);
                let edge = &mut self.edges[usize::from(edge)];
                edge.reported_sequence = replica.sequence();
                edge.replica = replica;
            }
        }
    }

    fn issue(&mut self, origin: u8, owner: u8, lifetime: u16) {
        self.issued_count += 1;
        let mut random = [0; EpochTokenId::UNIQUE_BYTES];
        // Distributed as real ids are, and distinct.
        let hash = RevocationId::for_token("random", &self.issued_count.to_string());
        random.copy_from_slice(&hash.as_bytes()[..EpochTokenId::UNIQUE_BYTES]);
        let epoch_id = EpochTokenId::new(self.epoch, random);
        let issued_at = self.now + u64::from(origin) * CLOCK_SKEW_SECONDS;
        let expires_at = issued_at + u64::from(lifetime).min(MAX_TOKEN_LIFETIME);
        self.tokens.push(Token { id: epoch_id.to_string(), epoch_id, owner, issued_at, expires_at });
    }

    fn revoke(&mut self, kind: RevocationKind, choice: u16) {
        let Some(token) = choose(&self.tokens, choice) else { return };
        let identifier = token.identifier(kind);
        let (revoked_before, expires_at) = match kind {
            RevocationKind::Token => (RevokedBefore::TOKEN, token.expires_at + KEEP_AFTER_EXPIRY),
            RevocationKind::Everything => (
                RevokedBefore::time(token.issued_at),
                self.now + CLOCK_SKEW_SECONDS + MAX_TOKEN_LIFETIME + KEEP_AFTER_EXPIRY,
            ),
            _ => {
                self.epoch += 1; // tokens issued from now on are not revoked
                (
                    RevokedBefore::through_epoch(self.epoch - 1),
                    self.now + CLOCK_SKEW_SECONDS + MAX_TOKEN_LIFETIME + KEEP_AFTER_EXPIRY,
                )
            }
        };
        let current = self
            .latest()
            .get(&(kind, identifier.clone()))
            .map_or(RevokedBefore::NOT_REVOKED, |(revoked_before, _)| *revoked_before);
        if revoked_before > current {
            self.append(kind, identifier, revoked_before, expires_at);
        }
    }

    fn reinstate(&mut self, kind: RevocationKind, choice: u16) {
        let revoked: Vec<String> = self
            .latest()
            .iter()
            .filter(|((known, _), (revoked_before, _))| *known == kind && *revoked_before != RevokedBefore::NOT_REVOKED)
            .map(|((_, identifier), _)| identifier.clone())
            .collect();
        if let Some(identifier) = choose(&revoked, choice) {
            self.append(
                kind,
                identifier.clone(),
                RevokedBefore::NOT_REVOKED,
                self.now + MAX_TOKEN_LIFETIME + KEEP_AFTER_EXPIRY,
            );
        }
    }

    fn append(&mut self, kind: RevocationKind, identifier: String, revoked_before: RevokedBefore, expires_at: u64) {
        let id = match kind {
            RevocationKind::Everything => RevocationId::EVERYTHING,
            RevocationKind::Token => RevocationId::for_token(ISSUER, &identifier),
            _ => RevocationId::new(kind, ISSUER, &identifier),
        };
        let delta = Delta { sequence: self.deltas.len() as u64 + 1, kind, id, revoked_before, expires_at };
        let mut revocations = self.latest().clone();
        revocations.insert((kind, identifier), (revoked_before, expires_at));
        self.chains.push(self.chains[self.deltas.len()].next(&delta));
        self.deltas.push(delta);
        self.model.push(revocations);
    }

    fn latest(&self) -> &Revocations {
        &self.model[self.deltas.len()]
    }

    /// Closes the epoch, and builds a snapshot without expired revocations.
    fn publish(&mut self) {
        let covered = self.epoch;
        self.epoch += 1;
        let alive = |token: &&Token| token.expires_at + KEEP_AFTER_EXPIRY >= self.now;
        let known: Vec<&Token> = self.tokens.iter().filter(alive).collect();
        let revocations = self.latest();
        let is_revoked_by_id = |token: &&Token| {
            revocations
                .get(&(RevocationKind::Token, token.id.clone()))
                .is_some_and(|(revoked_before, _)| *revoked_before != RevokedBefore::NOT_REVOKED)
        };
        let revoked: Vec<RevocationId> =
            known.iter().copied().filter(is_revoked_by_id).map(|token| token.epoch_id.revocation_id()).collect();
        let mut builder = CascadeBuilder::new(revoked, known.len() as u64).expect("few tokens");
        builder.add_covered(known.iter().map(|token| token.epoch_id.revocation_id())).expect("its own filter");
        let cascade = builder.finish().expect("few tokens");

        let in_force = revocations.iter().filter(|(_, (revoked_before, expires_at))| {
            *revoked_before != RevokedBefore::NOT_REVOKED && *expires_at >= self.now
        });
        let groups: Vec<(RevocationKind, RevocationId, RevokedBefore)> = in_force
            .filter(|((kind, _), _)| RevocationKind::GROUPS.contains(kind))
            .map(|((kind, identifier), (revoked_before, _))| {
                (*kind, RevocationId::new(*kind, ISSUER, identifier), *revoked_before)
            })
            .collect();
        let everything_before = revocations
            .get(&(RevocationKind::Everything, String::new()))
            .map_or(RevokedBefore::NOT_REVOKED, |(revoked_before, _)| *revoked_before);
        let sequence = self.deltas.len() as u64;
        let parts = SnapshotParts::new(ISSUER, sequence, self.now * 1000, self.chains[self.deltas.len()], CONFIG);
        let parts =
            SnapshotParts { epoch: covered, everything_before, groups: &groups, covered: Some(&cascade), ..parts };
        self.snapshots.push(build_snapshot(&parts, &self.signer).expect("a valid snapshot"));
    }

    fn answer(&self, after: u64) -> Vec<u8> {
        let deltas: Vec<Delta> = self.deltas.iter().skip(after as usize).take(MAX_DELTAS).copied().collect();
        let parts = DeltaParts {
            issuer: ISSUER,
            after,
            head: self.deltas.len() as u64,
            as_of_ms: self.now * 1000,
            chain: self.chains[after as usize],
            config: ConfigDigest::of(CONFIG),
            epoch: self.epoch,
            deltas: &deltas,
            nonce: None,
        };
        build_deltas(&parts, &self.signer).expect("valid deltas")
    }

    fn deliver(&mut self, edge: u8, message: &[u8]) {
        let deltas = Deltas::decode(message, &self.pins).expect("a valid message");
        let edge = &mut self.edges[usize::from(edge)];
        if self.behavior == EdgeBehavior::IgnoresDeltas {
            edge.reported_sequence = edge.reported_sequence.max(deltas.head());
            return;
        }
        // A message that does not continue the replica changes nothing.
        let _ = edge.replica.apply(&deltas);
        edge.reported_sequence = edge.replica.sequence();
    }

    fn install_snapshot(&mut self, edge: u8, choice: u16) {
        let Some(snapshot) = choose(&self.snapshots, choice) else { return };
        let decoded = Snapshot::decode(snapshot.clone(), &self.pins).expect("a valid snapshot");
        let edge = &mut self.edges[usize::from(edge)];
        // An older snapshot is refused.
        if edge.replica.install(decoded).is_ok() {
            edge.stored = snapshot.clone();
            edge.reported_sequence = edge.replica.sequence();
        }
    }

    fn replica(&self, snapshot: &[u8]) -> Replica {
        let snapshot = Snapshot::decode(snapshot.to_vec(), &self.pins).expect("a valid snapshot");
        Replica::new(snapshot, ISSUER).expect("the same issuer")
    }

    /// Compares the answer of every edge for every live token with the model's. A "not revoked"
    /// that a verifier would answer from its cache, because the version of the log is the same,
    /// must be correct, too.
    fn compare(&mut self, counts: &mut Counts) -> Result<(), String> {
        for (index, edge) in self.edges.iter_mut().enumerate() {
            let version = ReplicaView { replica: &edge.replica, is_fresh: true }.version();
            let since = edge.replica.sequence() - edge.replica.snapshot().sequence();
            if edge.replica.change_count() as u64 > since {
                let changes = edge.replica.change_count();
                return Err(format!("edge {index} has {changes} changes after a snapshot that {since} deltas follow"));
            }
            counts.max_changes = counts.max_changes.max(edge.replica.change_count());
            let model = &self.model[edge.reported_sequence as usize];
            for token in self.tokens.iter().filter(|token| token.expires_at > self.now) {
                let identifiers =
                    [RevocationKind::Session, RevocationKind::Subject, RevocationKind::Client, RevocationKind::Key]
                        .map(|kind| token.identifier(kind));
                let answer = edge.replica.is_revoked(&TokenIdentifiers {
                    issuer: ISSUER,
                    token_id: &token.id,
                    session: Some(&identifiers[0]),
                    subject: &identifiers[1],
                    client_id: &identifiers[2],
                    key_id: Some(&identifiers[3]),
                    issued_at: token.issued_at,
                });
                counts.decisions += 1;
                counts.revoked += u64::from(answer);
                let is_cached = version.is_some() && edge.not_revoked_at.get(&token.epoch_id).copied() == version;
                counts.cached += u64::from(is_cached);
                if is_cached && answer {
                    return Err(format!("edge {index} would cache that {} is not revoked", token.id));
                }
                match version.filter(|_| !answer) {
                    Some(version) => edge.not_revoked_at.insert(token.epoch_id, version),
                    None => edge.not_revoked_at.remove(&token.epoch_id),
                };
                let expected = is_revoked(model, token);
                if answer != expected {
                    let sequence = edge.reported_sequence;
                    return Err(format!(
                        "edge {index} at sequence {sequence} answers {answer}, the model {expected}, for {} of epoch {} and owner {}",
                        token.id,
                        token.epoch_id.epoch(),
                        token.owner
                    ));
                }
            }
        }
        Ok(())
    }
}

fn choose<T>(from: &[T], choice: u16) -> Option<&T> {
    from.get(usize::from(choice).checked_rem(from.len())?)
}
