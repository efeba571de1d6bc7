//! Limits that several origins share, in Redis: each decision is one script, so that no two origins
//! take the last one.
//!
//! While Redis does not answer, nobody waits for it: the first request that notices sets it aside,
//! and a task of its own tries to come back.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, Script, ScriptInvocation};
use tokio::sync::Notify;
use tokio::time::sleep;
use tollgate_model::error_chain::with_causes;
use tollgate_model::rate_limit::Verdict;

use super::LimitCheck;

/// How long a request waits for an answer. Redis takes a fraction of a millisecond; what takes this
/// long is away.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
/// How often coming back is tried.
const PAUSE: Duration = Duration::from_millis(500);

/// A Redis server, there or not.
pub(super) struct Redis {
    client: Client,
    limits: Script,
    give_back: Script,
    connection: Mutex<Option<MultiplexedConnection>>,
    /// Tells that there is none any more.
    lost: Notify,
}

type Answer = Result<Vec<Verdict>, (usize, Verdict)>;

impl Redis {
    pub(super) fn new(url: &str) -> anyhow::Result<Redis> {
        Ok(Redis {
            client: Client::open(url).context("TOLLGATE_REDIS_URL")?,
            limits: Script::new(include_str!("limits.lua")),
            give_back: Script::new(include_str!("refund.lua")),
            connection: Mutex::default(),
            lost: Notify::new(),
        })
    }

    /// Connects, and connects again whenever the connection is lost; for ever.
    pub(super) async fn keep_connected(&self) {
        let mut told = false;
        loop {
            match self.connect().await {
                Ok(connection) => {
                    *self.lock() = Some(connection);
                    tracing::info!("limits are shared in Redis");
                    self.lost.notified().await;
                    // Whoever lost it said so.
                    told = true;
                }
                Err(error) => {
                    if !told {
                        let error = with_causes(&error);
                        tracing::warn!(error, "Redis does not answer: this origin goes by limits of its own meanwhile");
                        told = true;
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Whether it answered when it was asked last.
    pub(super) fn is_there(&self) -> bool {
        self.lock().is_some()
    }

    /// What [`super::memory::Local::take`] gives; none while Redis is away.
    pub(super) async fn take(&self, checks: &[LimitCheck]) -> Option<Answer> {
        let answer: Vec<u64> = self.invoke(&self.limits, checks).await?;
        let read = read(checks.len(), &answer);
        if read.is_none() {
            tracing::error!(?answer, "Redis gave an answer that is none");
        }
        read
    }

    /// What [`super::memory::Local::give_back`] does.
    pub(super) async fn give_back(&self, checks: &[LimitCheck]) -> Option<()> {
        self.invoke::<i64>(&self.give_back, checks).await.map(drop)
    }

    /// What [`super::memory::Local::forget`] does.
    pub(super) async fn forget(&self, checks: &[LimitCheck]) -> Option<()> {
        let mut connection = self.connection()?;
        let keys: Vec<String> = checks.iter().map(key).collect();
        self.answered(redis::cmd("DEL").arg(keys).query_async::<i64>(&mut connection).await).map(drop)
    }

    /// What [`super::memory::Local::holds`] tells.
    pub(super) async fn holds(&self, check: &LimitCheck) -> Option<bool> {
        let mut connection = self.connection()?;
        self.answered(redis::cmd("EXISTS").arg(key(check)).query_async::<bool>(&mut connection).await)
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(PATIENCE))
            .set_connection_timeout(Some(CONNECT_PATIENCE));
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        self.limits.load_async(&mut connection).await?;
        self.give_back.load_async(&mut connection).await?;
        Ok(connection)
    }

    async fn invoke<T: redis::FromRedisValue>(&self, script: &Script, checks: &[LimitCheck]) -> Option<T> {
        let mut connection = self.connection()?;
        let mut invocation: ScriptInvocation<'_> = script.prepare_invoke();
        for check in checks {
            let (rule, count, micros) = check.rule.script_arguments();
            invocation.key(key(check)).arg(rule).arg(count).arg(micros);
        }
        let answered = invocation.invoke_async(&mut connection).await;
        self.answered(answered)
    }

    /// The answer; none, and Redis set aside, when there was none.
    fn answered<T>(&self, answer: Result<T, RedisError>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                // Many requests notice at once: one of them says so.
                if self.lock().take().is_some() {
                    let error = with_causes(&error);
                    tracing::warn!(error, "Redis is away: this origin goes by limits of its own meanwhile");
                    self.lost.notify_one();
                }
                None
            }
        }
    }

    fn connection(&self) -> Option<MultiplexedConnection> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<MultiplexedConnection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All keys have one tag, so that a script's are in one place of a cluster.
fn key(check: &LimitCheck) -> String {
    use std::fmt::Write as _;
    let mut key = format!("{{tollgate}}:{}:", check.limit.as_str());
    for byte in check.name {
        // Writing to a String cannot fail.
        let _ = write!(key, "{byte:02x}");
    }
    key
}

/// Reads what the script gives: `[0, remaining, reset, …]` or `[n, reset, wait]`.
fn read(checks: usize, answer: &[u64]) -> Option<Answer> {
    let (first, rest) = answer.split_first()?;
    match *first {
        0 if rest.len() == 2 * checks => {
            let verdict = |pair: &[u64]| Verdict::of_micros(u32::try_from(pair[0]).unwrap_or(u32::MAX), pair[1], 0);
            Some(Ok(rest.chunks_exact(2).map(verdict).collect()))
        }
        nth if nth as usize <= checks && nth > 0 && rest.len() == 2 => {
            Some(Err((nth as usize - 1, Verdict::of_micros(0, rest[0], rest[1].max(1)))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_script_are_read() {
        let passed = read(2, &[0, 5, 100, 7, 200]).expect("an answer").expect("passed");
        assert_eq!((passed[0].remaining, passed[1].remaining), (5, 7));
        let refused = read(2, &[2, 100, 50]).expect("an answer").expect_err("refused");
        assert_eq!((refused.0, refused.1.wait), (1, Some(Duration::from_micros(50))));
        for wrong in [&[][..], &[0, 1], &[3, 1, 1], &[1, 1]] {
            assert!(read(2, wrong).is_none(), "{wrong:?}");
        }
    }
}
