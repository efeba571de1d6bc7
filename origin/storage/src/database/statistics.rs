//! Statistics of the database connections, for the metrics, and the log of slow statements.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{Database, Pool};
use tollgate_model::log_limit::LogLimit;
use tollgate_system::current_request::{self, Part};
use tollgate_system::histogram::{Durations, Histogram};

/// What connections of a pool are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Write,
}

impl Use {
    fn name(self) -> &'static str {
        match self {
            Use::Read => "read",
            Use::Write => "write",
        }
    }
}

/// Statistics of both pools, by [`Use`].
#[derive(Debug)]
pub(crate) struct DatabaseStatistics {
    pools: [PoolCounters; 2],
    /// Duration from which a statement is slow, in microseconds.
    slow_after: AtomicU64,
    slow_statements: AtomicU64,
    lines: Mutex<LogLimit>,
    started: Instant,
}

#[derive(Debug, Default)]
struct PoolCounters {
    waits: Histogram,
    statements: Histogram,
    failures: AtomicU64,
}

/// Statistics of a pool of connections.
#[derive(Debug, Clone, Copy)]
pub struct PoolStatistics {
    /// `read` or `write`.
    pub pool: &'static str,
    /// Open connections.
    pub open: u64,
    /// Open connections that are not in use.
    pub idle: u64,
    /// Limit of the open connections.
    pub max: u64,
    /// Waits for a connection.
    pub waits: Durations,
    /// Durations of statements.
    pub statements: Durations,
    /// Statements that failed, also because of their data.
    pub failures: u64,
}

impl Default for DatabaseStatistics {
    fn default() -> DatabaseStatistics {
        DatabaseStatistics {
            pools: Default::default(),
            slow_after: AtomicU64::new(u64::MAX),
            slow_statements: AtomicU64::new(0),
            lines: Mutex::default(),
            started: Instant::now(),
        }
    }
}

impl DatabaseStatistics {
    /// Records a connection that was asked for at `asked_at` and is available now.
    pub(crate) fn record_wait(&self, purpose: Use, asked_at: Instant) {
        let took = asked_at.elapsed();
        self.counters(purpose).waits.observe(took);
        current_request::record(Part::Queue, "database connection", asked_at, took);
    }

    /// Records a statement that ended now, and warns if it was slow.
    pub(crate) fn record_statement(&self, purpose: Use, statement: &'static str, began: Instant, is_ok: bool) {
        let took = began.elapsed();
        let counters = self.counters(purpose);
        counters.statements.observe(took);
        if !is_ok {
            counters.failures.fetch_add(1, Relaxed);
        }
        current_request::record(Part::Database, statement, began, took);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if took_us >= self.slow_after.load(Relaxed) {
            self.slow_statements.fetch_add(1, Relaxed);
            let line = self.lines.lock().unwrap_or_else(PoisonError::into_inner).acquire_line(self.started.elapsed());
            if let Some(left_out) = line {
                let took_ms = took.as_secs_f64() * 1000.0;
                tracing::warn!(statement, took_ms, pool = purpose.name(), failed = !is_ok, left_out, "slow query");
            }
        }
    }

    /// Warns in the log of each statement that takes this long; of none without a duration.
    pub(crate) fn warn_of_slow_statements(&self, from: Option<Duration>) {
        let micros = from.map_or(u64::MAX, |from| u64::try_from(from.as_micros()).unwrap_or(u64::MAX));
        self.slow_after.store(micros, Relaxed);
    }

    pub(crate) fn slow_statement_count(&self) -> u64 {
        self.slow_statements.load(Relaxed)
    }

    /// Statistics of the pool whose connections are for this.
    pub(crate) fn of_pool<D: Database>(&self, pool: &Pool<D>, purpose: Use) -> PoolStatistics {
        let counters = self.counters(purpose);
        PoolStatistics {
            pool: purpose.name(),
            open: pool.size().into(),
            idle: pool.num_idle() as u64,
            max: pool.options().get_max_connections().into(),
            waits: counters.waits.read(),
            statements: counters.statements.read(),
            failures: counters.failures.load(Relaxed),
        }
    }

    fn counters(&self, purpose: Use) -> &PoolCounters {
        let [read, write] = &self.pools;
        match purpose {
            Use::Read => read,
            Use::Write => write,
        }
    }
}
