//! Measures a database for a diagnosis. Unlike [`Store::open`](crate::Store::open), creates and
//! migrates nothing.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, query_scalar};
use tollgate_system::Clock;

use crate::error::StoreError;
use crate::store::connect::connect_to_postgres;
use crate::store::open::POSTGRES_CONNECTIONS;

/// Statements whose response time is measured.
const LATENCY_SAMPLES: usize = 5;

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseInspection {
    /// Product and version.
    pub product: String,
    /// Median response time of a statement without work.
    pub latency: Duration,
    /// The PostgreSQL server; none for SQLite.
    pub server: Option<PostgresInspection>,
}

/// What a PostgreSQL server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresInspection {
    /// Milliseconds by which this machine's time of day is ahead of the server's.
    pub clock_ahead_ms: i64,
    /// Uncertainty of that difference: the response time.
    pub clock_error_ms: u64,
    /// Whether a commit survives a failure of the server's machine.
    pub has_fsync: bool,
    /// Whether the server accepts writes.
    pub is_writable: bool,
    /// Connections that the server allows to ordinary roles.
    pub max_connections: i64,
    /// Connections that are open now, to all databases of the server.
    pub open_connections: i64,
    /// Connections that one issuer of one origin opens at most.
    pub needed_connections: i64,
}

/// Reads what the database at `url` says of itself. `clock` is compared with the server's.
///
/// # Errors
/// When it cannot be reached, or the SQLite file does not exist.
pub async fn inspect_database(url: &str, clock: &Clock) -> Result<DatabaseInspection, StoreError> {
    if url.starts_with("sqlite:") {
        let options = SqliteConnectOptions::from_str(url)?.create_if_missing(false).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let version: String = query_scalar("SELECT sqlite_version()").fetch_one(&mut connection).await?;
        let mut samples = Vec::with_capacity(LATENCY_SAMPLES);
        for _ in 0..LATENCY_SAMPLES {
            let started = Instant::now();
            query_scalar::<_, i64>("SELECT count(*) FROM sqlite_master").fetch_one(&mut connection).await?;
            samples.push(started.elapsed());
        }
        connection.close().await?;
        return Ok(DatabaseInspection { product: format!("SQLite {version}"), latency: median(samples), server: None });
    }
    let mut connection = connect_to_postgres(&PgConnectOptions::from_str(url)?).await?;
    let version = show(&mut connection, "SHOW server_version").await?;
    let mut samples = Vec::with_capacity(LATENCY_SAMPLES);
    for _ in 0..LATENCY_SAMPLES {
        let started = Instant::now();
        query_scalar::<_, i32>("SELECT 1").fetch_one(&mut connection).await?;
        samples.push(started.elapsed());
    }
    let server = inspect_server(&mut connection, clock).await?;
    connection.close().await?;
    let product = format!("PostgreSQL {version}");
    Ok(DatabaseInspection { product, latency: median(samples), server: Some(server) })
}

/// The file of a SQLite URL; none for PostgreSQL or a malformed URL.
#[must_use]
pub fn sqlite_file(url: &str) -> Option<PathBuf> {
    let options = SqliteConnectOptions::from_str(url).ok().filter(|_| url.starts_with("sqlite:"))?;
    Some(options.get_filename().to_owned())
}

async fn inspect_server(connection: &mut PgConnection, clock: &Clock) -> Result<PostgresInspection, StoreError> {
    let (asked_at_ms, asked_at) = (clock.now_ms(), Instant::now());
    let clock_sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let server_ms: i64 = query_scalar(clock_sql).fetch_one(&mut *connection).await?;
    let round_trip_ms = u64::try_from(asked_at.elapsed().as_millis()).unwrap_or(u64::MAX);
    let own_ms = asked_at_ms.saturating_add(round_trip_ms / 2);
    let has_fsync = show(connection, "SHOW fsync").await? != "off";
    let is_writable = show(connection, "SHOW transaction_read_only").await? == "off"
        && !query_scalar::<_, bool>("SELECT pg_is_in_recovery()").fetch_one(&mut *connection).await?;
    let allowed = "SELECT current_setting('max_connections')::bigint
        - current_setting('superuser_reserved_connections')::bigint";
    let max_connections: i64 = query_scalar(allowed).fetch_one(&mut *connection).await?;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";
    let open_connections: i64 = query_scalar(open).fetch_one(&mut *connection).await?;
    Ok(PostgresInspection {
        clock_ahead_ms: own_ms.cast_signed().saturating_sub(server_ms),
        clock_error_ms: round_trip_ms,
        has_fsync,
        is_writable,
        max_connections,
        open_connections,
        needed_connections: i64::from(POSTGRES_CONNECTIONS),
    })
}

async fn show(connection: &mut PgConnection, statement: &'static str) -> Result<String, StoreError> {
    Ok(query_scalar(statement).fetch_one(connection).await?)
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}
