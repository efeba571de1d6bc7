//! Limits in Redis, shared by several origins. Each decision is one script, so it is atomic.
//!
//! When a command fails, the connection is dropped, so that no further request waits for Redis, and
//! a background task reconnects.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, Script, ScriptInvocation};
use tokio::sync::Notify;
use tokio::time::sleep;
use tollgate_model::error_chain::with_causes;
use tollgate_model::rate_limit::Verdict;

use super::check::LimitCheck;

/// Redis responds within a fraction of a millisecond; after this time it counts as down.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(250);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Delay between attempts to connect.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Limits in a Redis server.
pub(super) struct RedisLimits {
    client: Client,
    limits: Script,
    refund: Script,
    connection: Mutex<Option<MultiplexedConnection>>,
    /// Notified when the connection was dropped.
    lost: Notify,
}

type Outcome = Result<Vec<Verdict>, (usize, Verdict)>;

impl RedisLimits {
    pub(super) fn new(url: &str) -> anyhow::Result<RedisLimits> {
        Ok(RedisLimits {
            client: Client::open(url).context("TOLLGATE_REDIS_URL")?,
            limits: Script::new(include_str!("limits.lua")),
            refund: Script::new(include_str!("refund.lua")),
            connection: Mutex::default(),
            lost: Notify::new(),
        })
    }

    /// Connects, and reconnects when the connection is lost.
    pub(super) async fn keep_connected(&self) {
        let mut is_outage_logged = false;
        loop {
            match self.connect().await {
                Ok(connection) => {
                    *self.lock() = Some(connection);
                    tracing::info!("limits are shared in Redis");
                    self.lost.notified().await;
                    // The request that dropped the connection has logged it.
                    is_outage_logged = true;
                }
                Err(error) => {
                    if !is_outage_logged {
                        let error = with_causes(&error);
                        tracing::warn!(error, "Redis cannot be reached: this origin uses local limits meanwhile");
                        is_outage_logged = true;
                    }
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.lock().is_some()
    }

    /// As [`super::memory::LocalLimits::acquire`]. None if Redis is down.
    pub(super) async fn acquire(&self, checks: &[LimitCheck]) -> Option<Outcome> {
        let answer: Vec<u64> = self.invoke(&self.limits, checks).await?;
        let outcome = parse(checks.len(), &answer);
        if outcome.is_none() {
            tracing::error!(?answer, "unexpected response from Redis");
        }
        outcome
    }

    /// As [`super::memory::LocalLimits::refund`].
    pub(super) async fn refund(&self, checks: &[LimitCheck]) -> Option<()> {
        self.invoke::<i64>(&self.refund, checks).await.map(drop)
    }

    /// As [`super::memory::LocalLimits::reset`].
    pub(super) async fn reset(&self, checks: &[LimitCheck]) -> Option<()> {
        let mut connection = self.connection()?;
        let keys: Vec<String> = checks.iter().map(key).collect();
        self.checked(redis::cmd("DEL").arg(keys).query_async::<i64>(&mut connection).await).map(drop)
    }

    /// As [`super::memory::LocalLimits::is_counted`].
    pub(super) async fn is_counted(&self, check: &LimitCheck) -> Option<bool> {
        let mut connection = self.connection()?;
        self.checked(redis::cmd("EXISTS").arg(key(check)).query_async::<bool>(&mut connection).await)
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(CONNECT_TIMEOUT));
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        self.limits.load_async(&mut connection).await?;
        self.refund.load_async(&mut connection).await?;
        Ok(connection)
    }

    async fn invoke<T: redis::FromRedisValue>(&self, script: &Script, checks: &[LimitCheck]) -> Option<T> {
        let mut connection = self.connection()?;
        let mut invocation: ScriptInvocation<'_> = script.prepare_invoke();
        for check in checks {
            let (rule, count, micros) = check.rule.script_arguments();
            invocation.key(key(check)).arg(rule).arg(count).arg(micros);
        }
        let response = invocation.invoke_async(&mut connection).await;
        self.checked(response)
    }

    /// The response of a command. If the command failed, drops the connection.
    fn checked<T>(&self, answer: Result<T, RedisError>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                // Of concurrent requests that fail, only one finds the connection and logs it.
                if self.lock().take().is_some() {
                    let error = with_causes(&error);
                    tracing::warn!(error, "Redis does not respond: this origin uses local limits meanwhile");
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

/// Connects to the Redis server at `url` as an origin does, and returns its response time: for a
/// diagnosis.
///
/// # Errors
/// When it cannot be reached, refuses the login, or does not load scripts.
pub async fn ping_redis(url: &str) -> anyhow::Result<Duration> {
    let mut connection = RedisLimits::new(url)?.connect().await?;
    let asked = std::time::Instant::now();
    redis::cmd("PING").query_async::<String>(&mut connection).await?;
    Ok(asked.elapsed())
}

/// All keys have the same hash tag, so that the keys of a script are in one slot of a cluster.
fn key(check: &LimitCheck) -> String {
    use std::fmt::Write as _;
    let mut key = format!("{{tollgate}}:{}:", check.limit.as_str());
    for byte in check.name {
        // Writing to a String cannot fail.
        let _ = write!(key, "{byte:02x}");
    }
    key
}

/// Parses the script's result: `[0, remaining, reset, …]` or `[n, reset, wait]`.
fn parse(checks: usize, answer: &[u64]) -> Option<Outcome> {
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
    fn results_of_the_script_are_parsed() {
        let passed = parse(2, &[0, 5, 100, 7, 200]).expect("an answer").expect("passed");
        assert_eq!((passed[0].remaining, passed[1].remaining), (5, 7));
        let refused = parse(2, &[2, 100, 50]).expect("an answer").expect_err("refused");
        assert_eq!((refused.0, refused.1.wait), (1, Some(Duration::from_micros(50))));
        for wrong in [&[][..], &[0, 1], &[3, 1, 1], &[1, 1]] {
            assert!(parse(2, wrong).is_none(), "{wrong:?}");
        }
    }
}
