//! Kills the origin with SIGKILL at random moments under load. No acknowledged revocation is lost,
//! none is recorded twice, and the history that an edge has seen is never rewritten.
//!
//! `TOLLGATE_KILL_ROUNDS` sets the number of kills (default 200), `TOLLGATE_KILL_SEED` the moments.
//! The outcome depends on no timing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tollgate_core::{
    Deltas, EpochTokenId, Replica, RevocationId, RevocationKind, RevokedBefore, Snapshot, TokenIdentifiers,
};
use tollgate_tests::client::TestClient;
use tollgate_tests::database::TestDatabase;
use tollgate_tests::environment::install_tls_provider;
use tollgate_tests::origin_process::OriginProcess;

/// Concurrent clients that issue and revoke tokens.
const WORKERS: u64 = 4;
/// Duration of the load before a kill, in milliseconds.
const LOAD_MS: std::ops::Range<u64> = 5..140;
/// Tokens introspected in each round.
const INTROSPECTED_PER_ROUND: usize = 4;
/// Tokens introspected at the end.
const INTROSPECTED_AT_END: usize = 1000;
/// Longest wait for a response, on a busy machine.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_revocations_survive_sigkill_on_sqlite() -> Result<()> {
    kill_repeatedly("SQLite", TestDatabase::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_revocations_survive_sigkill_on_postgres() -> Result<()> {
    kill_repeatedly("PostgreSQL", TestDatabase::postgres("kill").await?).await
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a whole number"))
}

async fn kill_repeatedly(database: &str, on: TestDatabase) -> Result<()> {
    install_tls_provider();
    let (rounds, seed) = (setting("TOLLGATE_KILL_ROUNDS", 200), setting("TOLLGATE_KILL_SEED", 1));
    let mut test = CrashTest::start(OriginProcess::new(on)?, seed).await?;
    for round in 1..=rounds {
        let result = test.round().await;
        result.with_context(|| format!("{database}, seed {seed}, round {round}: {}", test.origin.log_tail()))?;
    }
    let result = test.conclude().await;
    result.with_context(|| format!("{database}, seed {seed}, at the end: {}", test.origin.log_tail()))?;
    println!("{database}: {rounds} kills; {}", test.summary());
    test.origin.delete().await
}

/// State of a token's revocation, as its client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The token was issued; its revocation was not requested.
    Issued,
    /// Revocation was requested and not answered.
    Requested,
    /// Revocation was answered with 200.
    Acknowledged,
}

struct Token {
    text: String,
    id: EpochTokenId,
    progress: Progress,
}

/// What one worker did in one round.
#[derive(Default)]
struct Work {
    tokens: Vec<Token>,
    /// Responses other than 200.
    refused: Vec<String>,
    /// Token requests that were never answered.
    issuing_unanswered: u64,
}

struct CrashTest {
    origin: OriginProcess,
    client: Arc<TestClient>,
    random: Random,
    pins: [[u8; 32]; 1],
    /// An edge that has followed since before the first revocation, across all restarts.
    edge: Edge,
    tokens: Vec<Token>,
    /// Index in `tokens` of the last round's first token.
    latest: usize,
    starts: Vec<Duration>,
    issuing_unanswered: u64,
    seen_before_kill: u64,
    /// Revocations that a kill left unanswered, and how many of them took effect.
    unanswered: u64,
    survived: u64,
}

impl CrashTest {
    async fn start(mut origin: OriginProcess, seed: u64) -> Result<Self> {
        let http = reqwest::Client::new();
        origin.start(&http).await?;
        let client =
            TestClient::from_cli_output(&origin.url, &origin.cli(&["client", "create", "--json", "--name", "kill"])?)?;
        let key = URL_SAFE_NO_PAD.decode(origin.cli(&["key", "snapshot"])?.trim())?;
        let pins = [key.try_into().ok().context("a key of 32 bytes")?];
        let snapshot = snapshot(&origin.url, &pins).await?;
        ensure!(snapshot.sequence() == 0, "the test starts before any revocation");
        let edge = Edge { replica: Replica::new(snapshot, &origin.url)?, marks: BTreeMap::new() };
        Ok(Self {
            origin,
            client: Arc::new(client),
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            pins,
            edge,
            tokens: Vec::new(),
            latest: 0,
            starts: Vec::new(),
            issuing_unanswered: 0,
            seen_before_kill: 0,
            unanswered: 0,
            survived: 0,
        })
    }

    /// Loads, kills and restarts the origin, and checks the result.
    async fn round(&mut self) -> Result<()> {
        let over = Arc::new(AtomicBool::new(false));
        let mut again = self.unanswered_of_last_round();
        let worker =
            |nth| tokio::spawn(work(Arc::clone(&self.client), Arc::clone(&over), nth, std::mem::take(&mut again)));
        let workers: Vec<_> = (0..WORKERS).map(worker).collect();
        let follow = self.edge.clone().follow(self.origin.url.clone(), self.pins, Arc::clone(&over));
        let follower = tokio::spawn(follow);
        tokio::time::sleep(Duration::from_millis(self.random.between(LOAD_MS))).await;
        self.origin.kill();
        over.store(true, Ordering::SeqCst);

        let seen = follower.await??;
        self.seen_before_kill += seen.replica.sequence() - self.edge.replica.sequence();
        self.edge = seen;
        self.latest = self.tokens.len();
        for worker in workers {
            let work = worker.await?;
            ensure!(work.refused.is_empty(), "the origin answered {:?}", work.refused);
            self.tokens.extend(work.tokens);
            self.issuing_unanswered += work.issuing_unanswered;
        }
        self.starts.push(self.origin.start(&self.client.http).await?);
        // What the edge saw before the kill must still be there; otherwise the sync fails by a gap,
        // a fork or a 409.
        self.edge.catch_up(&self.origin.url, &self.pins).await?;
        self.check(self.latest)?;
        for token in self.tokens[self.latest..].iter().filter(|token| token.progress == Progress::Requested) {
            self.unanswered += 1;
            self.survived += u64::from(self.edge.marks.contains_key(&token.id.revocation_id()));
        }
        let step = ((self.tokens.len() - self.latest) / INTROSPECTED_PER_ROUND).max(1);
        self.introspect(self.latest, step).await
    }

    /// Takes two of the tokens whose revocation was not answered, to be retried as a client would.
    fn unanswered_of_last_round(&mut self) -> Vec<Token> {
        let mut kept = Vec::new();
        let mut again = Vec::new();
        for token in self.tokens.drain(self.latest..) {
            let retry = token.progress == Progress::Requested && again.len() < 2;
            if retry { again.push(token) } else { kept.push(token) }
        }
        self.tokens.extend(kept);
        again
    }

    /// Compares the history of the tokens from this index on with what their clients know.
    fn check(&self, from: usize) -> Result<()> {
        for token in &self.tokens[from..] {
            let marks = self.edge.marks.get(&token.id.revocation_id()).copied().unwrap_or_default();
            match token.progress {
                Progress::Issued => ensure!(marks == 0, "{} was revoked without a request", token.id),
                Progress::Requested => ensure!(marks <= 1, "{} was revoked {marks} times", token.id),
                Progress::Acknowledged => ensure!(marks == 1, "{} is revoked {marks} times, answered 200", token.id),
            }
        }
        Ok(())
    }

    /// Introspects every `step`-th token at the origin.
    async fn introspect(&self, from: usize, step: usize) -> Result<()> {
        for token in self.tokens[from..].iter().step_by(step) {
            let active = with_retry(|| self.client.introspect(&token.text)).await?["active"] == true;
            let is_revoked = self.edge.marks.contains_key(&token.id.revocation_id());
            ensure!(
                active != is_revoked,
                "{} {:?}: active is {active}, revoked {is_revoked}",
                token.id,
                token.progress
            );
        }
        Ok(())
    }

    /// Checks all tokens again, and that an edge starting from a new snapshot agrees with the one
    /// that followed.
    async fn conclude(&mut self) -> Result<()> {
        self.check(0)?;
        self.introspect(0, (self.tokens.len() / INTROSPECTED_AT_END).max(1)).await?;
        let known: BTreeSet<RevocationId> = self.tokens.iter().map(|token| token.id.revocation_id()).collect();
        let foreign = self.edge.marks.keys().filter(|id| !known.contains(id)).count();
        ensure!(foreign == 0, "{foreign} revocations of unknown tokens");
        let snapshot = snapshot(&self.origin.url, &self.pins).await?;
        let replica = Replica::new(snapshot, &self.origin.url)?;
        let mut fresh = Edge { replica, marks: BTreeMap::new() };
        fresh.catch_up(&self.origin.url, &self.pins).await?;
        ensure!(fresh.replica.sequence() == self.edge.replica.sequence(), "both edges are at the head");
        for token in &self.tokens {
            let is_revoked = self.edge.marks.contains_key(&token.id.revocation_id());
            for edge in [&fresh, &self.edge] {
                ensure!(edge.is_revoked(&self.origin.url, token) == is_revoked, "{}: {is_revoked}", token.id);
            }
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let acknowledged = self.tokens.iter().filter(|token| token.progress == Progress::Acknowledged).count();
        let mut starts = self.starts.clone();
        starts.sort_unstable();
        format!(
            "{} tokens issued ({} requests unanswered); {acknowledged} revocations acknowledged, all kept; {} were left \
             unanswered, of these {} took effect; {} deltas, {} of them seen by an edge before a kill; a start takes {:?}, {:?} at most",
            self.tokens.len(),
            self.issuing_unanswered,
            self.unanswered,
            self.survived,
            self.edge.replica.sequence(),
            self.seen_before_kill,
            starts.get(starts.len() / 2).copied().unwrap_or_default(),
            starts.last().copied().unwrap_or_default(),
        )
    }
}

/// A client: issues tokens and revokes four of five, every third by two concurrent requests, until
/// the origin is gone.
async fn work(client: Arc<TestClient>, over: Arc<AtomicBool>, nth: u64, again: Vec<Token>) -> Work {
    let mut work = Work::default();
    for mut token in again {
        revoke(&client, &mut token, false, &mut work).await;
        work.tokens.push(token);
    }
    for count in nth.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        match issue(&client).await {
            Ok(mut token) => {
                if !count.is_multiple_of(5) {
                    revoke(&client, &mut token, count.is_multiple_of(3), &mut work).await;
                }
                work.tokens.push(token);
            }
            Err(Unanswered::Gone) => work.issuing_unanswered += 1,
            Err(Unanswered::Refused(answer)) => work.refused.push(answer),
        }
    }
    work
}

enum Unanswered {
    /// The origin was killed before it answered.
    Gone,
    /// The origin answered with another status than 200.
    Refused(String),
}

async fn issue(client: &TestClient) -> Result<Token, Unanswered> {
    let form = [("grant_type", "client_credentials")];
    let body: Value =
        serde_json::from_str(&post(client, "/oauth/token", &form).await?).map_err(|_| Unanswered::Gone)?;
    let read = || -> Option<Token> {
        let text = body["access_token"].as_str()?.to_owned();
        let claims = URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        Some(Token { id: EpochTokenId::parse(claims["jti"].as_str()?)?, text, progress: Progress::Issued })
    };
    read().ok_or_else(|| Unanswered::Refused(format!("no token in {body}")))
}

async fn revoke(client: &TestClient, token: &mut Token, twice: bool, work: &mut Work) {
    token.progress = Progress::Requested;
    let form = [("token", token.text.as_str())];
    let first = post(client, "/oauth/revoke", &form);
    let second = async { if twice { Some(post(client, "/oauth/revoke", &form).await) } else { None } };
    let (first, second) = tokio::join!(first, second);
    for answer in [Some(first), second].into_iter().flatten() {
        match answer {
            Ok(_) => token.progress = Progress::Acknowledged,
            Err(Unanswered::Gone) => {}
            Err(Unanswered::Refused(answer)) => work.refused.push(answer),
        }
    }
}

/// Sends a request. Its response counts only when it arrived completely, with status 200.
async fn post(client: &TestClient, path: &str, form: &[(&str, &str)]) -> Result<String, Unanswered> {
    let answer = client.request(path, form).send().await.map_err(|_| Unanswered::Gone)?;
    let status = answer.status();
    let body = answer.text().await.map_err(|_| Unanswered::Gone)?;
    if status == 200 { Ok(body) } else { Err(Unanswered::Refused(format!("{path}: {status} {body}"))) }
}

/// An edge's replica, and how often its deltas revoked each token.
#[derive(Clone)]
struct Edge {
    replica: Replica,
    marks: BTreeMap<RevocationId, u64>,
}

impl Edge {
    /// Long-polls as an edge does, until the origin is gone.
    async fn follow(mut self, origin: String, pins: [[u8; 32]; 1], over: Arc<AtomicBool>) -> Result<Self> {
        while !over.load(Ordering::SeqCst) {
            let Some(message) = self.fetch(&origin, "0.5").await? else { continue };
            self.apply(&message, &pins)?;
        }
        Ok(self)
    }

    /// Fetches and applies deltas up to the head.
    async fn catch_up(&mut self, origin: &str, pins: &[[u8; 32]]) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Some(message) = self.fetch(origin, "0").await? {
                self.apply(&message, pins)?;
                if self.replica.is_caught_up() {
                    return Ok(());
                }
            }
            ensure!(started.elapsed() < RESPONSE_TIMEOUT, "the edge does not catch up");
        }
    }

    /// Fetches the deltas after the replica's sequence; none if the origin is gone.
    async fn fetch(&self, origin: &str, wait: &str) -> Result<Option<Vec<u8>>> {
        let url = format!("{origin}/edge/v1/deltas?after={}&wait={wait}", self.replica.sequence());
        let Ok(answer) = reqwest::get(url).await else { return Ok(None) };
        let status = answer.status();
        let Ok(body) = answer.bytes().await else { return Ok(None) };
        ensure!(status == 200, "deltas after {}: {status} {}", self.replica.sequence(), String::from_utf8_lossy(&body));
        Ok(Some(body.to_vec()))
    }

    /// Applies deltas. The replica checks that they continue its hash chain.
    fn apply(&mut self, message: &[u8], pins: &[[u8; 32]]) -> Result<()> {
        let deltas = Deltas::decode(message, pins)?;
        let held = self.replica.sequence();
        ensure!(deltas.head() >= held, "the origin went back to {} from {held}", deltas.head());
        self.replica.apply(&deltas)?;
        for delta in deltas.entries().iter().filter(|delta| delta.sequence > held) {
            ensure!(
                delta.kind == RevocationKind::Token && delta.revoked_before == RevokedBefore::TOKEN,
                "unexpected {delta:?}"
            );
            *self.marks.entry(delta.id).or_default() += 1;
        }
        Ok(())
    }

    fn is_revoked(&self, issuer: &str, token: &Token) -> bool {
        let (session, key_id, subject, client_id) = (None, None, "kill", "kill");
        let token_id = &token.id.to_string();
        let issued_at = u64::MAX;
        self.replica.is_revoked(&TokenIdentifiers { issuer, token_id, session, subject, client_id, key_id, issued_at })
    }
}

async fn snapshot(origin: &str, pins: &[[u8; 32]]) -> Result<Snapshot> {
    let answer = with_retry(|| async { Ok(reqwest::get(format!("{origin}/edge/v1/snapshot")).await?) }).await?;
    ensure!(answer.status() == 200, "the snapshot: {}", answer.status());
    Ok(Snapshot::decode(answer.bytes().await?.to_vec(), pins)?)
}

/// Retries until answered, because a connection from before a kill may still be pooled.
async fn with_retry<T, F: Future<Output = Result<T>>>(ask: impl Fn() -> F) -> Result<T> {
    let started = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if started.elapsed() > RESPONSE_TIMEOUT => bail!("no answer: {error:#}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// xorshift64*: the same seed gives the same moments.
struct Random(u64);

impl Random {
    fn between(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        range.start + (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % (range.end - range.start)
    }
}
