//! Keeps the replicas of all instances in sync with the origin: long polls whose answers go to
//! every instance, back-off while the origin fails, and replacement of instances that trapped.
//! Requests never fetch. They wait for the current poll at most, and not at all while the origin
//! fails.

use crate::files;
use crate::metrics::RunnerMetrics;
use crate::origin_client::OriginClient;
use crate::pool::Pool;
use crate::response::now_ms;
use crate::{OpenError, Question, Settings, Validator};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tollgate_gate::{BackOff, EdgeReport, FOLD_TARGET};

/// The origin refuses waits above 30 seconds.
const MAX_POLL_WAIT: Duration = Duration::from_secs(20);
/// How long a request waits for the current poll before it is decided by the replica as it is.
const FETCH_WAIT: Duration = Duration::from_secs(2);
/// Minimum time between polls, for an origin that does not hold its answers.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Messages per sync. Each has up to 4096 changes, so this is more than any origin keeps.
const MAX_MESSAGES: usize = 16;
/// Time after a fetch of a snapshot from `TOLLGATE_EDGE_SNAPSHOT_URL` in which the next one comes
/// from the origin.
const SNAPSHOT_RETRY_DELAY: Duration = Duration::from_secs(10);
/// Time between two attempts to replace an instance.
const REPLACE_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Target of a fetch for the snapshot.
const SNAPSHOT_PATH: &str = "/edge/v1/snapshot";
/// File of the snapshot in the cold-start store.
const SNAPSHOT_FILE: &str = "snapshot.v1";

/// The sync of all instances' replicas.
pub(crate) struct ReplicaSync {
    pool: Arc<Pool>,
    client: OriginClient,
    /// Another place of the origin's snapshot, such as a cache or an object store.
    snapshot_url: Option<String>,
    /// When a snapshot was fetched from there last. If another one is needed soon, it was too old.
    snapshot_fetched: Mutex<Option<Instant>>,
    /// Notified when a newer snapshot would take less memory.
    fold_due: Notify,
    /// Wait of a long poll. A replica is as fresh as the time of the request, and the next answer
    /// may take as long again: a quarter of the staleness bound leaves half of it for the network.
    poll_wait_ms: u64,
    snapshot_file: Option<PathBuf>,
    /// Sent after every fetch, with its result.
    fetched: watch::Sender<BackOff>,
    /// Reported to the origin, if the edge has a key.
    metrics: Arc<RunnerMetrics>,
    is_registered: bool,
    /// Locked while instances are replaced.
    replacing: tokio::sync::Mutex<()>,
}

/// An answer of the origin.
struct Answer {
    status: u16,
    body: Vec<u8>,
    question: Question,
}

impl ReplicaSync {
    pub(crate) fn new(
        pool: Arc<Pool>,
        metrics: Arc<RunnerMetrics>,
        settings: &Settings,
    ) -> reqwest::Result<ReplicaSync> {
        Ok(ReplicaSync {
            pool,
            client: OriginClient::new(&settings.origin)?,
            snapshot_url: settings.snapshot_url.clone(),
            snapshot_fetched: Mutex::default(),
            fold_due: Notify::new(),
            poll_wait_ms: u64::try_from((settings.max_staleness / 4).min(MAX_POLL_WAIT).as_millis())
                .unwrap_or_default(),
            snapshot_file: settings.store.as_deref().map(|folder| folder.join(SNAPSHOT_FILE)),
            fetched: watch::Sender::new(BackOff::default()),
            metrics,
            is_registered: settings.is_registered,
            replacing: tokio::sync::Mutex::default(),
        })
    }

    /// Waits for the current fetch, at most [`FETCH_WAIT`]; not at all while the origin fails.
    /// After the timeout, the request is decided by the replica as it is, and so are those that
    /// wait with it or follow it.
    pub(crate) async fn wait_for_fetch(&self) {
        let mut fetched = self.fetched.subscribe();
        let may_wait = self.fetched.borrow().may_wait(now_ms());
        if may_wait && timeout(FETCH_WAIT, fetched.changed()).await.is_err() {
            self.fetched.send_modify(|back_off| back_off.record_overdue(now_ms()));
        }
    }

    /// Polls until it is dropped.
    pub(crate) async fn run(&self) {
        self.load_snapshot().await;
        tokio::join!(self.poll(), self.fold_when_due());
    }

    /// Fetches snapshots that take less memory, while polls go on, and installs them in every
    /// instance.
    async fn fold_when_due(&self) {
        loop {
            self.fold_due.notified().await;
            if let Err(error) = self.fold().await {
                tracing::warn!(%error, "a newer snapshot could not be installed");
            }
        }
    }

    async fn fold(&self) -> Result<(), String> {
        let snapshot = match self.get_published_snapshot().await {
            Some(snapshot) => snapshot,
            None => match self.client.get(SNAPSHOT_PATH, Duration::ZERO, None).await? {
                answer if answer.status == 200 => answer.body,
                answer => return Err(format!("the origin answered with status {}", answer.status)),
            },
        };
        let (pool, snapshot) = (Arc::clone(&self.pool), Arc::new(snapshot));
        let of_task = Arc::clone(&snapshot);
        run_blocking(move || warm_all(&pool, &of_task)).await?;
        self.store_snapshot(&snapshot).await;
        Ok(())
    }

    async fn poll(&self) {
        // At the start and after a failure, requests may be waiting: the origin must answer
        // immediately.
        let mut wait_ms = 0;
        loop {
            let started = Instant::now();
            match self.sync(wait_ms).await {
                Ok(()) => {
                    wait_ms = self.poll_wait_ms;
                    self.fetched.send_modify(BackOff::record_success);
                    sleep_until(started + MIN_POLL_INTERVAL).await;
                }
                Err(error) => {
                    wait_ms = 0;
                    tracing::warn!(%error, "sync with the origin failed");
                    self.fetched.send_modify(|back_off| back_off.record_failure(now_ms(), random_byte()));
                    let delay_ms = self.fetched.borrow().remaining_delay_ms(now_ms());
                    sleep(Duration::from_millis(delay_ms)).await;
                }
            }
        }
    }

    /// Polls the origin once, fetches what is still missing, and applies each answer to every
    /// instance. Then replaces instances that are out of service.
    async fn sync(&self, mut wait_ms: u64) -> Result<(), String> {
        for _ in 0..MAX_MESSAGES {
            let report = self.take_due_report().await?;
            let question = new_question()?;
            let Some((leader, target)) = self.next_fetch(wait_ms, question, report.as_ref()) else {
                break;
            };
            let answer = if target == FOLD_TARGET {
                self.fold_due.notify_one();
                Ok(Answer { status: 304, body: Vec::new(), question })
            } else {
                self.get(&target, question).await
            };
            let answer = match answer {
                Ok(answer) => Arc::new(answer),
                Err(error) => {
                    self.pool.fetch_failed(&error);
                    return Err(format!("the origin cannot be reached: {error}"));
                }
            };
            let (pool, answer_of_task) = (Arc::clone(&self.pool), Arc::clone(&answer));
            let has_more = run_blocking(move || apply_to_all(&pool, leader, &answer_of_task)).await?;
            if answer.status == 200 && target == SNAPSHOT_PATH {
                self.store_snapshot(&answer.body).await;
            }
            if !has_more {
                break;
            }
            wait_ms = 0;
        }
        self.replace_retired().await
    }

    /// The report that the next fetch sends.
    async fn take_due_report(&self) -> Result<Option<EdgeReport>, String> {
        if !self.is_registered {
            return Ok(None);
        }
        let (metrics, pool) = (Arc::clone(&self.metrics), Arc::clone(&self.pool));
        run_blocking(move || Ok(metrics.take_due_report(&pool))).await
    }

    /// The first instance in service, and the target of its next fetch.
    fn next_fetch(&self, wait_ms: u64, question: Question, report: Option<&EdgeReport>) -> Option<(usize, String)> {
        let report = report.map(EdgeReport::to_string);
        let next_fetch = |validator: &mut Validator| match &report {
            Some(report) => validator.next_fetch_reporting(wait_ms, question, report),
            None => validator.next_fetch(wait_ms, question),
        };
        (0..self.pool.size()).find_map(|index| Some((index, self.pool.on(index, next_fetch).ok()?)))
    }

    /// Replaces instances that trap, without waiting for the current poll, until it is dropped.
    pub(crate) async fn replace_trapped(&self) {
        loop {
            self.pool.has_trapped().await;
            while let Err(error) = self.replace_retired().await {
                tracing::warn!(%error, "an instance that trapped is not replaced yet");
                sleep(REPLACE_RETRY_DELAY).await;
            }
        }
    }

    /// Replaces instances that are out of service. A new instance syncs by itself before it serves.
    async fn replace_retired(&self) -> Result<(), String> {
        let _replacing = self.replacing.lock().await;
        for index in self.pool.vacant_slots() {
            let pool = Arc::clone(&self.pool);
            let opened = run_blocking(move || pool.open_warm().map_err(|error: OpenError| error.to_string()));
            let mut validator = opened.await?;
            for _ in 0..MAX_MESSAGES {
                let question = new_question()?;
                let target = validator.next_fetch(0, question).map_err(trap_error)?;
                let answer = self.get(&target, question).await?;
                if !validator.accept(answer.status, &answer.body, question).map_err(trap_error)?? {
                    break;
                }
            }
            self.pool.fill_slot(index, validator);
        }
        Ok(())
    }

    async fn get(&self, target: &str, question: Question) -> Result<Answer, String> {
        if target == SNAPSHOT_PATH
            && let Some(body) = self.get_published_snapshot().await
        {
            return Ok(Answer { status: 200, body, question });
        }
        let answer = self.client.get(target, Duration::from_millis(self.poll_wait_ms), None).await?;
        Ok(Answer { status: answer.status, body: answer.body, question })
    }

    /// The snapshot from its other place; none if it is not there, or was not new enough lately.
    async fn get_published_snapshot(&self) -> Option<Vec<u8>> {
        let url = self.snapshot_url.as_ref()?;
        let now = Instant::now();
        let last = self.snapshot_fetched.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        if last.is_some_and(|last| now < last + SNAPSHOT_RETRY_DELAY) {
            return None;
        }
        match self.client.get_url(url, Duration::ZERO, None).await {
            Ok(answer) if answer.status == 200 => Some(answer.body),
            Ok(answer) => {
                tracing::warn!(status = answer.status, "no snapshot at TOLLGATE_EDGE_SNAPSHOT_URL");
                None
            }
            Err(error) => {
                tracing::warn!(%error, "the snapshot cannot be fetched from TOLLGATE_EDGE_SNAPSHOT_URL");
                None
            }
        }
    }

    /// Installs the snapshot of the cold-start store in every instance.
    async fn load_snapshot(&self) {
        let Some(file) = &self.snapshot_file else {
            return;
        };
        let Ok(snapshot) = tokio::fs::read(file).await else {
            return;
        };
        let pool = Arc::clone(&self.pool);
        let warmed = run_blocking(move || warm_all(&pool, &snapshot));
        if let Err(error) = warmed.await {
            tracing::warn!(%error, "the stored snapshot was refused");
        }
    }

    /// Stores a snapshot for the next start. Without it, a cold start takes some milliseconds
    /// longer.
    async fn store_snapshot(&self, snapshot: &[u8]) {
        let Some(file) = &self.snapshot_file else {
            return;
        };
        if let Err(error) = files::replace(file, snapshot).await {
            tracing::warn!(%error, "the snapshot could not be stored");
        }
    }
}

/// Installs a snapshot in every instance.
fn warm_all(pool: &Pool, snapshot: &[u8]) -> Result<(), String> {
    let _lock = pool.lock_messages();
    (0..pool.size()).try_for_each(|index| pool.on(index, |validator| validator.warm(snapshot)).unwrap_or(Ok(())))
}

/// Applies the answer to the leader and then to the others. An instance whose replica then differs
/// from the leader's goes out of service. Returns true if the next fetch must follow without delay.
fn apply_to_all(pool: &Pool, leader: usize, answer: &Answer) -> Result<bool, String> {
    let _lock = pool.lock_messages();
    let leader_trapped = |_| "the instance that sent the request trapped".to_owned();
    let accept = |validator: &mut Validator| validator.accept(answer.status, &answer.body, answer.question);
    let next_fetch = |index| pool.on(index, |validator| validator.next_fetch(0, answer.question)).ok();
    let result = pool.on(leader, accept).map_err(leader_trapped)?;
    let next_of_leader = next_fetch(leader);
    for index in (0..pool.size()).filter(|&index| index != leader) {
        // The next fetch shows the sequence of the replica, whatever the instance returned.
        let _ = pool.on(index, accept);
        if next_fetch(index) != next_of_leader {
            pool.retire(index);
        }
    }
    pool.announce_sequence();
    result.map_err(|error| format!("the origin's answer was refused: {error}"))
}

/// Runs work of many milliseconds, such as checking a large snapshot, outside of the threads that
/// serve.
async fn run_blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, String> + Send + 'static,
) -> Result<R, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

fn trap_error(error: wasmtime::Error) -> String {
    format!("a new instance trapped: {error:#}")
}

/// A question with the current time and a new nonce. It fails without a random source, because an
/// answer to a predictable nonce proves no freshness.
#[expect(clippy::disallowed_methods, reason = "the feed client's random source")]
pub(crate) fn new_question() -> Result<Question, String> {
    let mut random = [0; 8];
    let mut half = || {
        getrandom::fill(&mut random).map_err(|error| format!("the system's random source failed: {error}"))?;
        Ok::<u64, String>(u64::from_be_bytes(random))
    };
    Ok(Question { nonce: (half()?, half()?), asked_at_ms: now_ms() })
}

/// Jitter for the retry delay. Without a random source, the delay is the shortest.
#[expect(clippy::disallowed_methods, reason = "the feed client's random source")]
pub(crate) fn random_byte() -> u8 {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    byte[0]
}
