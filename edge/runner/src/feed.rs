//! Keeping the instances fed: one long poll at the origin after another, its answer given to every instance; back-off when
//! the origin fails; trapped instances replaced. Requests never fetch: at most they wait for the poll under way, and not even
//! that while the origin fails.

use crate::answer::now_ms;
use crate::files;
use crate::pool::Pool;
use crate::{OpenError, Question, Settings, Validator};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tollgate_gate::BackOff;

/// What an origin is asked to wait at most; it refuses more than 30 seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// How long a request that may not be decided on old data waits for the poll under way.
const PATIENCE: Duration = Duration::from_secs(2);
/// Least time from one poll to the next, should the origin not wait as it is asked to.
const SPACING: Duration = Duration::from_millis(20);
/// How long the origin may be silent, beyond the wait it is asked for and between the parts of its answer.
const SILENCE: Duration = Duration::from_secs(2);
/// Messages taken in one go: 4096 changes each, so more than any origin keeps.
const MOST_MESSAGES: usize = 16;
/// What the gate asks when it wants a snapshot.
const SNAPSHOT: &str = "/edge/v1/snapshot";
/// The cold-start snapshot's file in the store.
const SNAPSHOT_FILE: &str = "snapshot.v1";

/// The running feed.
pub(crate) struct Feed {
    pool: Arc<Pool>,
    client: reqwest::Client,
    origin: String,
    /// What a long poll asks the origin to wait. Knowledge is as fresh as the moment of asking, and the next answer may
    /// take as long again, so a quarter of the bound leaves half of it for the network.
    wait_ms: u64,
    snapshot_file: Option<PathBuf>,
    /// What became of the last attempt; sent whenever one ends, whether well or badly.
    ended: watch::Sender<BackOff>,
}

/// What the origin answered.
struct Answer {
    status: u16,
    body: Vec<u8>,
    question: Question,
}

impl Feed {
    pub(crate) fn new(pool: Arc<Pool>, settings: &Settings) -> reqwest::Result<Feed> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(crate::forward::tls())
            .connect_timeout(Duration::from_secs(2))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Feed {
            pool,
            client,
            origin: settings.origin.clone(),
            wait_ms: u64::try_from((settings.hard / 4).min(LONGEST_WAIT).as_millis()).unwrap_or_default(),
            snapshot_file: settings.store.as_deref().map(|folder| folder.join(SNAPSHOT_FILE)),
            ended: watch::Sender::new(BackOff::default()),
        })
    }

    /// Waits until the poll under way has ended, for two seconds at most; not at all while the origin fails.
    pub(crate) async fn next(&self) {
        let mut ended = self.ended.subscribe();
        if self.ended.borrow().may_wait(now_ms()) {
            // Past the limit the request is decided on what there is.
            let _ = timeout(PATIENCE, ended.changed()).await;
        }
    }

    /// Polls for ever. The caller ends it by dropping it.
    pub(crate) async fn run(&self) {
        self.warm().await;
        // At the start and after a failure somebody may be waiting for word: then the origin is not to hold its answer.
        let mut wait_ms = 0;
        loop {
            let began = Instant::now();
            match self.round(wait_ms).await {
                Ok(()) => {
                    wait_ms = self.wait_ms;
                    self.ended.send_modify(BackOff::record_success);
                    sleep_until(began + SPACING).await;
                }
                Err(why) => {
                    wait_ms = 0;
                    tracing::warn!(%why, "the origin's word is missing");
                    self.ended.send_modify(|back_off| back_off.record_failure(now_ms(), random_byte()));
                    let pause_ms = self.ended.borrow().remaining_delay_ms(now_ms());
                    sleep(Duration::from_millis(pause_ms)).await;
                }
            }
        }
    }

    /// One poll and what is to be asked at once after it, each answer to every instance; then vacant places are filled.
    async fn round(&self, mut wait_ms: u64) -> Result<(), String> {
        for _ in 0..MOST_MESSAGES {
            let question = question()?;
            let Some((leader, target)) = self.leader(wait_ms, question) else {
                break;
            };
            let answer = match self.get(&target, question).await {
                Ok(answer) => Arc::new(answer),
                Err(why) => {
                    self.pool.fetch_failed(&why);
                    return Err(format!("it cannot be asked: {why}"));
                }
            };
            let (pool, given) = (Arc::clone(&self.pool), Arc::clone(&answer));
            let more = blocking(move || give(&pool, leader, &given)).await?;
            if answer.status == 200 && target == SNAPSHOT {
                self.keep(&answer.body).await;
            }
            if !more {
                break;
            }
            wait_ms = 0;
        }
        self.refill().await
    }

    /// The first instance in service and what it would ask.
    fn leader(&self, wait_ms: u64, question: Question) -> Option<(usize, String)> {
        (0..self.pool.size()).find_map(|index| {
            let target = self.pool.on(index, |validator| validator.next_fetch(wait_ms, question)).ok()?;
            Some((index, target))
        })
    }

    /// Fills vacant places with instances that fetch for themselves what the others know.
    async fn refill(&self) -> Result<(), String> {
        for index in self.pool.vacant() {
            let pool = Arc::clone(&self.pool);
            let mut validator = blocking(move || pool.fresh().map_err(|error: OpenError| error.to_string())).await?;
            for _ in 0..MOST_MESSAGES {
                let question = question()?;
                let target = validator.next_fetch(0, question).map_err(trapped)?;
                let answer = self.get(&target, question).await?;
                if !validator.accept(answer.status, &answer.body, question).map_err(trapped)?? {
                    break;
                }
            }
            self.pool.put(index, validator);
        }
        Ok(())
    }

    /// GETs from the origin; the error is a line for the log and the health report.
    async fn get(&self, target: &str, question: Question) -> Result<Answer, String> {
        let sent = self.client.get(format!("{}{target}", self.origin)).send();
        let mut response = in_time(Duration::from_millis(self.wait_ms) + SILENCE, sent).await?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = in_time(SILENCE, response.chunk()).await? {
            if body.len().saturating_add(chunk.len()) > tollgate_gate::MAX_FETCH_BYTES {
                return Err(format!("the answer is larger than {} bytes", tollgate_gate::MAX_FETCH_BYTES));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body, question })
    }

    /// Gives every instance the snapshot that an earlier run kept.
    async fn warm(&self) {
        let Some(file) = &self.snapshot_file else {
            return;
        };
        let Ok(snapshot) = tokio::fs::read(file).await else {
            return;
        };
        let pool = Arc::clone(&self.pool);
        let warmed = blocking(move || {
            (0..pool.size())
                .try_for_each(|index| pool.on(index, |validator| validator.warm(&snapshot)).unwrap_or(Ok(())))
        });
        if let Err(why) = warmed.await {
            tracing::warn!(%why, "the stored snapshot is refused");
        }
    }

    /// Keeps a snapshot for the next start. A store that fails costs a cold start some milliseconds, no more.
    async fn keep(&self, snapshot: &[u8]) {
        let Some(file) = &self.snapshot_file else {
            return;
        };
        if let Err(error) = files::replace(file, snapshot).await {
            tracing::warn!(%error, "the snapshot is not stored");
        }
    }
}

/// Gives the answer to the leader and then to the others; who does not come to the same point goes out of service. True:
/// ask again at once.
fn give(pool: &Pool, leader: usize, answer: &Answer) -> Result<bool, String> {
    let _alone = pool.feeding();
    let gone = |_| "the instance that asked trapped".to_owned();
    let accept = |validator: &mut Validator| validator.accept(answer.status, &answer.body, answer.question);
    let point = |index| pool.on(index, |validator| validator.next_fetch(0, answer.question)).ok();
    let verdict = pool.on(leader, accept).map_err(gone)?;
    let reached = point(leader);
    for index in (0..pool.size()).filter(|&index| index != leader) {
        // What it made of the answer shows in where it stands.
        let _ = pool.on(index, accept);
        if point(index) != reached {
            pool.retire(index);
        }
    }
    verdict.map_err(|why| format!("its answer is refused: {why}"))
}

/// Runs what may take many milliseconds, such as checking a large snapshot, beside the threads that serve.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> Result<R, String> + Send + 'static) -> Result<R, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

fn trapped(error: wasmtime::Error) -> String {
    format!("a fresh instance trapped: {error:#}")
}

/// What the origin sends, unless it is silent for too long.
async fn in_time<T>(limit: Duration, answer: impl Future<Output = reqwest::Result<T>>) -> Result<T, String> {
    match timeout(limit, answer).await {
        Ok(answer) => answer.map_err(|error| crate::forward::chain(&error)),
        Err(_) => Err(format!("it is silent for {} ms", limit.as_millis())),
    }
}

/// A question asked now. Without random numbers none is: an answer to a nonce that can be guessed proves nothing.
#[expect(clippy::disallowed_methods, reason = "the feed client's random source")]
fn question() -> Result<Question, String> {
    let mut random = [0; 8];
    let mut half = || {
        getrandom::fill(&mut random).map_err(|error| format!("the system has no random numbers: {error}"))?;
        Ok::<u64, String>(u64::from_be_bytes(random))
    };
    Ok(Question { nonce: (half()?, half()?), asked_at_ms: now_ms() })
}

/// For the pause after a failure. Without a random source it is the shortest one.
#[expect(clippy::disallowed_methods, reason = "the feed client's random source")]
fn random_byte() -> u8 {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    byte[0]
}
