//! How this origin is: `GET /health`, each part of it looked at now; `GET /health/ready`, whether
//! to send it requests; and `GET /health/live`, whether the process answers at all.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use tokio::time::timeout;
use tollgate_model::KeyState;
use tollgate_services::password_hashing::HashingLoad;
use tollgate_storage::FeedHead;

use crate::{App, AppState};

/// How long looking may take: whoever asks for longer than that has given up.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Serialize, utoipa::ToSchema)]
struct Health {
    /// `ok`, `failing`, or `draining` when it is about to end.
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
    /// Not there unless limits are to be shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<Redis>,
}

/// The database.
#[derive(Serialize, utoipa::ToSchema)]
struct Database {
    #[schema(value_type = String)]
    status: &'static str,
    /// `failing` while nothing can be written.
    #[schema(value_type = String)]
    writes: &'static str,
    /// How long it took to answer.
    latency_ms: f64,
}

/// The time of day.
#[derive(Serialize, utoipa::ToSchema)]
struct Clock {
    /// `failing` while it is another than the database's, or jumped.
    #[schema(value_type = String)]
    status: &'static str,
}

/// The history of revocations.
#[derive(Serialize, utoipa::ToSchema)]
struct Feed {
    /// `failing` while changes in the database are not noticed.
    #[schema(value_type = String)]
    status: &'static str,
    /// `failing` while this origin cannot publish snapshots.
    #[schema(value_type = String)]
    snapshots: &'static str,
    /// The newest sequence in the database, if it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
}

/// The keys that sign tokens.
#[derive(Serialize, utoipa::ToSchema)]
struct SigningKeys {
    /// `failing` when none can sign.
    #[schema(value_type = String)]
    status: &'static str,
    /// How many sign now.
    signing: usize,
}

/// What waits to be written.
#[derive(Serialize, utoipa::ToSchema)]
struct Queue {
    /// `busy` when requests are being told to come back.
    #[schema(value_type = String)]
    status: &'static str,
    /// How many requests wait.
    queued: u64,
    /// How many can.
    capacity: u64,
}

/// The threads that hash passwords.
#[derive(Serialize, utoipa::ToSchema)]
struct HashingThreads {
    /// `busy` when sign-ins are being told to come back.
    #[schema(value_type = String)]
    status: &'static str,
    /// How many hashes wait.
    queued: usize,
    /// How many can.
    capacity: usize,
    /// How many threads there are.
    workers: usize,
    /// How many of them are hashing.
    working: usize,
}

/// Where origins share their limits.
#[derive(Serialize, utoipa::ToSchema)]
struct Redis {
    /// `away` while this origin goes by limits of its own.
    #[schema(value_type = String)]
    status: &'static str,
}

fn word(good: bool) -> &'static str {
    if good { "ok" } else { "failing" }
}

fn busy(busy: bool) -> &'static str {
    if busy { "busy" } else { "ok" }
}

/// What decides whether this origin can do its work.
struct Condition {
    /// Where the history stands, if the database answers.
    head: Option<FeedHead>,
    takes_writes: bool,
    is_clock_right: bool,
    is_watching: bool,
    can_publish: bool,
}

impl Condition {
    /// Looks, for [`CHECK_TIMEOUT`] at most.
    async fn of(app: &App) -> Condition {
        let looked = timeout(CHECK_TIMEOUT, async { tokio::join!(head(app), app.store.is_writable()) }).await;
        let (head, takes_writes) = looked.unwrap_or((None, false));
        Condition {
            head,
            takes_writes,
            is_clock_right: app.store.read_clocks().is_trusted,
            is_watching: app.feed_changes.borrow().is_watching,
            can_publish: !app.feed.is_failing(),
        }
    }

    fn is_good(&self) -> bool {
        self.head.is_some() && self.takes_writes && self.is_clock_right && self.is_watching && self.can_publish
    }
}

/// 200 while the database answers and takes writes, the clock is right, changes are noticed and
/// published, and there are keys that sign; else 503.
#[utoipa::path(
    get, path = "/health",
    responses(
        (status = 200, description = "It can do its work", body = Health),
        (status = 503, description = "It cannot", body = Health),
    ),
)]
pub(crate) async fn deep(State(app): State<AppState>) -> impl IntoResponse {
    let started = Instant::now();
    let condition = Condition::of(&app).await;
    let latency_ms = started.elapsed().as_secs_f64() * 1000.0;
    let signing = app.keys.current().listing().iter().filter(|key| key.state == KeyState::Active).count();
    let (queued, capacity) = (app.writer.queued(), app.writer.capacity());
    let good = condition.is_good() && signing > 0;
    let Condition { head, takes_writes, is_clock_right, is_watching, can_publish } = condition;
    let health = Health {
        status: if good && app.draining.is_cancelled() { "draining" } else { word(good) },
        version: env!("CARGO_PKG_VERSION"),
        database: Database { status: word(head.is_some()), writes: word(takes_writes), latency_ms },
        clock: Clock { status: word(is_clock_right) },
        feed: Feed {
            status: word(is_watching),
            snapshots: word(can_publish),
            sequence: head.map(|head| head.sequence),
        },
        keys: SigningKeys { status: word(signing > 0), signing },
        writer: Queue { status: busy(queued >= capacity), queued, capacity },
        hashing: hashing(&app),
        redis: app.rate_limiter.is_redis_connected().map(|shares| Redis { status: if shares { "ok" } else { "away" } }),
    };
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}

fn hashing(app: &App) -> HashingThreads {
    let HashingLoad { queued, capacity, workers, working, .. } = app.password_hasher.load();
    HashingThreads { status: busy(queued >= capacity), queued, capacity, workers, working }
}

/// Where the history stands, if the database answers.
async fn head(app: &App) -> Option<FeedHead> {
    let head = app.store.get_feed_head().await;
    head.inspect_err(|error| tracing::error!(%error, "the health check cannot read the database")).ok()
}

/// Tells that the process answers.
#[utoipa::path(get, path = "/health/live", responses((status = 200, description = "It does", body = Object)))]
pub(crate) async fn live() -> impl IntoResponse {
    Json(serde_json::json!({ "status": "ok" }))
}

/// Whether a balancer should send requests here: not before it can answer them, nor once it is
/// about to end.
#[utoipa::path(
    get, path = "/health/ready",
    responses(
        (status = 200, description = "It should", body = Object),
        (status = 503, description = "It should not: the origin is about to end, or cannot do its work", body = Object),
    ),
)]
pub(crate) async fn ready(State(app): State<AppState>) -> impl IntoResponse {
    let status = match app.draining.is_cancelled() {
        true => "draining",
        false => word(Condition::of(&app).await.is_good()),
    };
    let code = if status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(serde_json::json!({ "status": status })))
}
