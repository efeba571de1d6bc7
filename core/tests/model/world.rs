//! An issuer, its edges and the model of both. The issuer and the model keep plain maps by name; the edges are the crate's own
//! replicas and know only the messages that arrive.

use std::collections::{BTreeMap, HashMap};

use tollgate_core::{
    CascadeBuilder, ConfigDigest, Delta, DeltaParts, Deltas, EpochTokenId, HashChain, MAX_DELTAS, Replica, ReplicaView,
    RevocationChecker as _, RevocationId, RevocationKind, RevokedBefore, Snapshot, SnapshotParts, SnapshotSigner,
    TokenIdentifiers, build_deltas, build_snapshot,
};

use crate::history::Operation;

const ISSUER: &str = "https://auth.example";
const CONFIG: &[u8] = br#"{"audience":"https://api.example","jwks":{"keys":[]},"routes":[]}"#;
const BEGIN: u64 = 1_800_000_000;
/// Seconds by which the second origin's clock is ahead.
const SKEW: u64 = 7;
/// The longest life of a token, and how long after it a revocation is kept: as the origin does.
const LONGEST_LIFE: u64 = 700;
const KEEP_AFTER_EXPIRY: u64 = 120;

/// How the edges of a run behave.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edges {
    /// As they are.
    Sound,
    /// They pass over every delta while believing to have taken it in.
    Deaf,
}

/// What a run tried.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) decisions: u64,
    pub(crate) revoked: u64,
    /// Decisions that a verifier would have taken from its memory.
    pub(crate) remembered: u64,
    /// The most changes that an edge kept beside its snapshot.
    pub(crate) most_changes: usize,
}

/// Runs a history; the error says where an edge and the model differ.
pub(crate) fn run(history: &[Operation]) -> Result<Counts, String> {
    run_with(history, Edges::Sound)
}

/// As [`run`], with edges of this behaviour.
pub(crate) fn run_with(history: &[Operation], edges: Edges) -> Result<Counts, String> {
    let mut world = World::new(edges);
    let mut counts = Counts::default();
    for operation in history {
        world.step(*operation);
        world.compare(&mut counts).map_err(|difference| format!("after {operation:?}: {difference}"))?;
    }
    Ok(counts)
}

struct Token {
    id: String,
    issued: EpochTokenId,
    owner: u8,
    issued_at: u64,
    expires_at: u64,
}

impl Token {
    /// What it is revoked by under each kind, as text.
    fn name(&self, kind: RevocationKind) -> String {
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

/// The marks in force by kind and name: the plain truth.
type Marks = BTreeMap<(RevocationKind, String), (RevokedBefore, u64)>;

fn is_revoked(marks: &Marks, token: &Token) -> bool {
    RevocationKind::ALL.into_iter().any(|kind| {
        let mark = marks.get(&(kind, token.name(kind))).map_or(RevokedBefore::NOT_REVOKED, |(mark, _)| *mark);
        match kind {
            RevocationKind::Token => mark != RevokedBefore::NOT_REVOKED,
            RevocationKind::Everything => mark.applies_to(token.issued_at),
            _ => mark.applies_to(token.issued.epoch().into()),
        }
    })
}

struct Edge {
    replica: Replica,
    /// The snapshot that would survive a restart.
    stored: Vec<u8>,
    /// The sequence that a deaf edge believes to have.
    believed: u64,
    /// By which history a token was not revoked when last asked, as a verifier remembers it.
    cleared: HashMap<EpochTokenId, HashChain>,
}

struct World {
    edges_are: Edges,
    now: u64,
    epoch: u32,
    issued: u32,
    tokens: Vec<Token>,
    /// The truth after each delta; the first is before any.
    truth: Vec<Marks>,
    deltas: Vec<Delta>,
    chains: Vec<HashChain>,
    snapshots: Vec<Vec<u8>>,
    under_way: Vec<Vec<u8>>,
    edges: Vec<Edge>,
    signer: SnapshotSigner,
    pins: [[u8; 32]; 1],
}

impl World {
    fn new(edges_are: Edges) -> Self {
        let signer = SnapshotSigner::from_seed(&[7; 32]);
        let pins = [signer.public_key()];
        let mut world = Self {
            edges_are,
            now: BEGIN,
            epoch: 1,
            issued: 0,
            tokens: Vec::new(),
            truth: vec![Marks::new()],
            deltas: Vec::new(),
            chains: vec![HashChain::genesis(ISSUER)],
            snapshots: Vec::new(),
            under_way: Vec::new(),
            edges: Vec::new(),
            signer,
            pins,
        };
        world.publish();
        for _ in 0..3 {
            let stored = world.snapshots[0].clone();
            world.edges.push(Edge { replica: world.replica(&stored), stored, believed: 0, cleared: HashMap::new() });
        }
        world
    }

    fn step(&mut self, operation: Operation) {
        match operation {
            Operation::Issue { origin, owner, lifetime } => self.issue(origin, owner, lifetime),
            Operation::Revoke { kind, choice } => self.revoke(kind, choice),
            Operation::Reinstate { kind, choice } => self.reinstate(kind, choice),
            Operation::Wait { seconds } => self.now += u64::from(seconds),
            Operation::Publish { origin } => {
                self.now += u64::from(origin); // whichever origin does it reads the same store, a little later
                self.publish();
            }
            Operation::Ask { edge } => {
                let message = self.answer(self.edges[usize::from(edge)].replica.sequence());
                self.under_way.push(message);
            }
            Operation::Deliver { edge, choice } => {
                if let Some(message) = choose(&self.under_way, choice).cloned() {
                    self.deliver(edge, &message);
                }
            }
            Operation::TakeSnapshot { edge, choice } => self.take_snapshot(edge, choice),
            Operation::Follow { edge } => {
                let message = self.answer(self.edges[usize::from(edge)].replica.sequence());
                self.deliver(edge, &message);
            }
            Operation::Restart { edge } => {
                let replica = self.replica(&self.edges[usize::from(edge)].stored);
                let edge = &mut self.edges[usize::from(edge)];
                edge.believed = replica.sequence();
                edge.replica = replica;
            }
        }
    }

    fn issue(&mut self, origin: u8, owner: u8, lifetime: u16) {
        self.issued += 1;
        let mut random = [0; EpochTokenId::UNIQUE_BYTES];
        // Spread as real ones are, and different from each other.
        let spread = RevocationId::for_token("random", &self.issued.to_string());
        random.copy_from_slice(&spread.as_bytes()[..EpochTokenId::UNIQUE_BYTES]);
        let issued = EpochTokenId::new(self.epoch, random);
        let issued_at = self.now + u64::from(origin) * SKEW;
        let expires_at = issued_at + u64::from(lifetime).min(LONGEST_LIFE);
        self.tokens.push(Token { id: issued.to_string(), issued, owner, issued_at, expires_at });
    }

    fn revoke(&mut self, kind: RevocationKind, choice: u16) {
        let Some(token) = choose(&self.tokens, choice) else { return };
        let name = token.name(kind);
        let (mark, expires_at) = match kind {
            RevocationKind::Token => (RevokedBefore::TOKEN, token.expires_at + KEEP_AFTER_EXPIRY),
            RevocationKind::Everything => {
                (RevokedBefore::time(token.issued_at), self.now + SKEW + LONGEST_LIFE + KEEP_AFTER_EXPIRY)
            }
            _ => {
                self.epoch += 1; // what is issued from now on is not struck
                (RevokedBefore::through_epoch(self.epoch - 1), self.now + SKEW + LONGEST_LIFE + KEEP_AFTER_EXPIRY)
            }
        };
        let held = self.latest().get(&(kind, name.clone())).map_or(RevokedBefore::NOT_REVOKED, |(mark, _)| *mark);
        if mark > held {
            self.append(kind, name, mark, expires_at);
        }
    }

    fn reinstate(&mut self, kind: RevocationKind, choice: u16) {
        let held: Vec<String> = self
            .latest()
            .iter()
            .filter(|((known, _), (mark, _))| *known == kind && *mark != RevokedBefore::NOT_REVOKED)
            .map(|((_, name), _)| name.clone())
            .collect();
        if let Some(name) = choose(&held, choice) {
            self.append(kind, name.clone(), RevokedBefore::NOT_REVOKED, self.now + LONGEST_LIFE + KEEP_AFTER_EXPIRY);
        }
    }

    fn append(&mut self, kind: RevocationKind, name: String, mark: RevokedBefore, expires_at: u64) {
        let id = match kind {
            RevocationKind::Everything => RevocationId::EVERYTHING,
            RevocationKind::Token => RevocationId::for_token(ISSUER, &name),
            _ => RevocationId::new(kind, ISSUER, &name),
        };
        let delta = Delta { sequence: self.deltas.len() as u64 + 1, kind, id, revoked_before: mark, expires_at };
        let mut marks = self.latest().clone();
        marks.insert((kind, name), (mark, expires_at));
        self.chains.push(self.chains[self.deltas.len()].next(&delta));
        self.deltas.push(delta);
        self.truth.push(marks);
    }

    fn latest(&self) -> &Marks {
        &self.truth[self.deltas.len()]
    }

    /// Closes the epoch, and builds a snapshot of what is not void.
    fn publish(&mut self) {
        let covered = self.epoch;
        self.epoch += 1;
        let alive = |token: &&Token| token.expires_at + KEEP_AFTER_EXPIRY >= self.now;
        let known: Vec<&Token> = self.tokens.iter().filter(alive).collect();
        let marks = self.latest();
        let is_struck = |token: &&Token| {
            marks
                .get(&(RevocationKind::Token, token.id.clone()))
                .is_some_and(|(mark, _)| *mark != RevokedBefore::NOT_REVOKED)
        };
        let revoked: Vec<RevocationId> =
            known.iter().copied().filter(is_struck).map(|token| token.issued.revocation_id()).collect();
        let mut builder = CascadeBuilder::new(revoked, known.len() as u64).expect("few tokens");
        builder.show(known.iter().map(|token| token.issued.revocation_id())).expect("its own filter");
        let cascade = builder.finish().expect("few tokens");

        let in_force = marks
            .iter()
            .filter(|(_, (mark, expires_at))| *mark != RevokedBefore::NOT_REVOKED && *expires_at >= self.now);
        let groups: Vec<(RevocationKind, RevocationId, RevokedBefore)> = in_force
            .filter(|((kind, _), _)| RevocationKind::GROUPS.contains(kind))
            .map(|((kind, name), (mark, _))| (*kind, RevocationId::new(*kind, ISSUER, name), *mark))
            .collect();
        let before = marks
            .get(&(RevocationKind::Everything, String::new()))
            .map_or(RevokedBefore::NOT_REVOKED, |(mark, _)| *mark);
        let sequence = self.deltas.len() as u64;
        let parts = SnapshotParts::new(ISSUER, sequence, self.now * 1000, self.chains[self.deltas.len()], CONFIG);
        let parts = SnapshotParts {
            epoch: covered,
            everything_before: before,
            groups: &groups,
            covered: Some(&cascade),
            ..parts
        };
        self.snapshots.push(build_snapshot(&parts, &self.signer).expect("a good snapshot"));
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
        build_deltas(&parts, &self.signer).expect("good deltas")
    }

    fn deliver(&mut self, edge: u8, message: &[u8]) {
        let deltas = Deltas::decode(message, &self.pins).expect("a good message");
        let edge = &mut self.edges[usize::from(edge)];
        if self.edges_are == Edges::Deaf {
            edge.believed = edge.believed.max(deltas.head());
            return;
        }
        // It may not join on, and then changes nothing.
        let _ = edge.replica.apply(&deltas);
        edge.believed = edge.replica.sequence();
    }

    fn take_snapshot(&mut self, edge: u8, choice: u16) {
        let Some(snapshot) = choose(&self.snapshots, choice) else { return };
        let decoded = Snapshot::decode(snapshot.clone(), &self.pins).expect("a good snapshot");
        let edge = &mut self.edges[usize::from(edge)];
        // An older one is refused.
        if edge.replica.install(decoded).is_ok() {
            edge.stored = snapshot.clone();
            edge.believed = edge.replica.sequence();
        }
    }

    fn replica(&self, snapshot: &[u8]) -> Replica {
        let snapshot = Snapshot::decode(snapshot.to_vec(), &self.pins).expect("a good snapshot");
        Replica::new(snapshot, ISSUER).expect("our issuer")
    }

    /// Asks every edge about every live token. A clear that a verifier would remember, because the history is still the same,
    /// must be the answer.
    fn compare(&mut self, counts: &mut Counts) -> Result<(), String> {
        for (index, edge) in self.edges.iter_mut().enumerate() {
            let history = ReplicaView { replica: &edge.replica, is_fresh: true }.version();
            let since = edge.replica.sequence() - edge.replica.snapshot().sequence();
            if edge.replica.change_count() as u64 > since {
                let changes = edge.replica.change_count();
                return Err(format!(
                    "edge {index} keeps {changes} changes beside a snapshot that {since} deltas follow"
                ));
            }
            counts.most_changes = counts.most_changes.max(edge.replica.change_count());
            let truth = &self.truth[edge.believed as usize];
            for token in self.tokens.iter().filter(|token| token.expires_at > self.now) {
                let names =
                    [RevocationKind::Session, RevocationKind::Subject, RevocationKind::Client, RevocationKind::Key]
                        .map(|kind| token.name(kind));
                let answer = edge.replica.is_revoked(&TokenIdentifiers {
                    issuer: ISSUER,
                    token_id: &token.id,
                    session: Some(&names[0]),
                    subject: &names[1],
                    client_id: &names[2],
                    key_id: Some(&names[3]),
                    issued_at: token.issued_at,
                });
                counts.decisions += 1;
                counts.revoked += u64::from(answer);
                let is_remembered = history.is_some() && edge.cleared.get(&token.issued).copied() == history;
                counts.remembered += u64::from(is_remembered);
                if is_remembered && answer {
                    return Err(format!("edge {index} would remember that {} is not revoked", token.id));
                }
                match history.filter(|_| !answer) {
                    Some(history) => edge.cleared.insert(token.issued, history),
                    None => edge.cleared.remove(&token.issued),
                };
                let expected = is_revoked(truth, token);
                if answer != expected {
                    let sequence = edge.believed;
                    return Err(format!(
                        "edge {index} at sequence {sequence} says {answer}, the model {expected}, of {} of epoch {}, issued by {}",
                        token.id,
                        token.issued.epoch(),
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
