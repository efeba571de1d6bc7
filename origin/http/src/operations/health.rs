//! Health checks: `GET /health` checks each part of the origin, `GET /health/ready` says whether a
//! load balancer should send requests, `GET /health/live` whether the process responds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use tokio::time::timeout;
use tollgate_model::KeyState;
use tollgate_services::worker_pool::WorkerLoad;
use tollgate_storage::FeedHead;

use super::state::{DatabaseStatus, Operations};

/// Longest duration of a check. Load balancers rarely wait longer.
pub(super) const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Serialize, utoipa::ToSchema)]
struct Health {
    /// `ok`, `failing`, or `draining` during shutdown.
    #[schema(value_type = String)]
    status: &'static str,
    #[schema(value_type = String)]
    version: &'static str,
    database: Database,
    clock: Clock,
    feed: Feed,
    keys: SigningKeys,
    writer: Queue,
    hashing: HashingThreads,
    /// Present only if rate limits are shared through Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<Redis>,
}

/// The database.
#[derive(Serialize, utoipa::ToSchema)]
struct Database {
    #[schema(value_type = String)]
    status: &'static str,
    /// `failing` while the database cannot be written.
    #[schema(value_type = String)]
    writes: &'static str,
    /// Response time of the check.
    latency_ms: f64,
}

/// The system clock.
#[derive(Serialize, utoipa::ToSchema)]
struct Clock {
    /// `failing` if the clock differs from the database's or jumped.
    #[schema(value_type = String)]
    status: &'static str,
}

/// The revocation feed.
#[derive(Serialize, utoipa::ToSchema)]
struct Feed {
    /// `failing` while the database is not watched for changes.
    #[schema(value_type = String)]
    status: &'static str,
    /// `failing` while snapshots cannot be published.
    #[schema(value_type = String)]
    snapshots: &'static str,
    /// The newest sequence in the database, if it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
}

/// Signing keys of tokens.
#[derive(Serialize, utoipa::ToSchema)]
struct SigningKeys {
    /// `failing` without an active key.
    #[schema(value_type = String)]
    status: &'static str,
    /// Number of active keys.
    signing: usize,
}

/// The write queue.
#[derive(Serialize, utoipa::ToSchema)]
struct Queue {
    /// `busy` while requests are refused because the queue is full.
    #[schema(value_type = String)]
    status: &'static str,
    /// Queued requests.
    queued: u64,
    /// Capacity of the queue.
    capacity: u64,
}

/// The password hashing threads.
#[derive(Serialize, utoipa::ToSchema)]
struct HashingThreads {
    /// `busy` while sign-ins are refused because the queue is full.
    #[schema(value_type = String)]
    status: &'static str,
    /// Queued hashes.
    queued: usize,
    /// Capacity of the queue.
    capacity: usize,
    /// Number of threads.
    workers: usize,
    /// Number of busy threads.
    working: usize,
}

/// Redis, through which origins share rate limits.
#[derive(Serialize, utoipa::ToSchema)]
struct Redis {
    /// `away` while this origin applies local limits.
    #[schema(value_type = String)]
    status: &'static str,
}

fn ok_or_failing(is_ok: bool) -> &'static str {
    if is_ok { "ok" } else { "failing" }
}

fn ok_or_busy(is_busy: bool) -> &'static str {
    if is_busy { "busy" } else { "ok" }
}

/// Results of the checks that decide readiness.
struct CheckResults {
    /// Head of the revocation feed; none if the database does not respond.
    head: Option<FeedHead>,
    is_writable: bool,
    is_clock_trusted: bool,
    is_watching: bool,
    can_publish: bool,
}

impl CheckResults {
    /// Runs the checks for at most [`CHECK_TIMEOUT`].
    async fn collect(operations: &Operations) -> CheckResults {
        let database = &operations.database;
        let checked = timeout(CHECK_TIMEOUT, async { tokio::join!(feed_head(database), database.is_writable()) }).await;
        let (head, is_writable) = checked.unwrap_or((None, false));
        CheckResults {
            head,
            is_writable,
            is_clock_trusted: database.is_clock_trusted(),
            is_watching: operations.feed_changes.borrow().is_watching,
            can_publish: !operations.feed.is_failing(),
        }
    }

    fn is_ready(&self) -> bool {
        self.head.is_some() && self.is_writable && self.is_clock_trusted && self.is_watching && self.can_publish
    }
}

/// Health of each part. 200 while the database can be read and written, the clock is right, changes
/// are watched and published, and there is an active signing key; else 503.
#[utoipa::path(
    get, path = "/health",
    responses(
        (status = 200, description = "Healthy", body = Health),
        (status = 503, description = "Failing", body = Health),
    ),
)]
pub(crate) async fn deep(State(operations): State<Arc<Operations>>) -> impl IntoResponse {
    let started = Instant::now();
    let results = CheckResults::collect(&operations).await;
    let latency_ms = started.elapsed().as_secs_f64() * 1000.0;
    let signing = operations.keys.current().listing().iter().filter(|key| key.state == KeyState::Active).count();
    let (queued, capacity) = (operations.writer.queued(), operations.writer.capacity());
    let is_healthy = results.is_ready() && signing > 0;
    let CheckResults { head, is_writable, is_clock_trusted, is_watching, can_publish } = results;
    let health = Health {
        status: if is_healthy && operations.draining.is_cancelled() { "draining" } else { ok_or_failing(is_healthy) },
        version: env!("CARGO_PKG_VERSION"),
        database: Database { status: ok_or_failing(head.is_some()), writes: ok_or_failing(is_writable), latency_ms },
        clock: Clock { status: ok_or_failing(is_clock_trusted) },
        feed: Feed {
            status: ok_or_failing(is_watching),
            snapshots: ok_or_failing(can_publish),
            sequence: head.map(|head| head.sequence),
        },
        keys: SigningKeys { status: ok_or_failing(signing > 0), signing },
        writer: Queue { status: ok_or_busy(queued >= capacity), queued, capacity },
        hashing: hashing_threads(&operations),
        redis: operations
            .rate_limiter
            .is_redis_connected()
            .map(|is_connected| Redis { status: if is_connected { "ok" } else { "away" } }),
    };
    let status = if is_healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}

fn hashing_threads(operations: &Operations) -> HashingThreads {
    let WorkerLoad { queued, capacity, workers, working, .. } = operations.password_hasher.load();
    HashingThreads { status: ok_or_busy(queued >= capacity), queued, capacity, workers, working }
}

/// Head of the revocation feed; none if the database does not respond.
async fn feed_head(database: &DatabaseStatus) -> Option<FeedHead> {
    let head = database.feed_head().await;
    head.inspect_err(|error| tracing::error!(%error, "the health check cannot read the database")).ok()
}

/// Liveness: the process responds.
#[utoipa::path(get, path = "/health/live", responses((status = 200, description = "Alive", body = Object)))]
pub(crate) async fn live() -> impl IntoResponse {
    Json(serde_json::json!({ "status": "ok" }))
}

/// Readiness for a load balancer: 200 while the origin can serve requests, 503 before that and from
/// the beginning of its shutdown.
#[utoipa::path(
    get, path = "/health/ready",
    responses(
        (status = 200, description = "Ready", body = Object),
        (status = 503, description = "Not ready: failing, or shutting down", body = Object),
    ),
)]
pub(crate) async fn ready(State(operations): State<Arc<Operations>>) -> impl IntoResponse {
    let status = match operations.draining.is_cancelled() {
        true => "draining",
        false => ok_or_failing(CheckResults::collect(&operations).await.is_ready()),
    };
    let code = if status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(serde_json::json!({ "status": status })))
}
