//! How the origin is doing.

use std::collections::BTreeMap;

use serde::Serialize;
use tollgate_keys::PublicKey;
use tollgate_model::{EdgeView, KeyState};
use tollgate_system::clock;

use super::{edges, keys};
use crate::App;
use crate::problem::Problem;

/// How the origin is doing: what this process counted in the last hour, the edges, and the keys that sign.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Overview {
    /// The last sixty minutes of this process, the oldest first.
    pub(crate) minutes: Vec<MinuteView>,
    /// Refusals of the last hour by reason.
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    pub(crate) refused_by_reason: BTreeMap<&'static str, u64>,
    /// The threads that hash passwords.
    pub(crate) hashing: HashingView,
    /// The newest sequence of the history of revocations.
    pub(crate) newest_sequence: u64,
    /// The edges that are pushed to, by name.
    pub(crate) edges: Vec<EdgeView>,
    /// The keys that sign now.
    pub(crate) keys: Vec<PublicKey>,
}

/// How busy the threads are that hash passwords.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Hashing)]
pub(crate) struct HashingView {
    /// Hashes that wait for a thread.
    pub(crate) queued: usize,
    /// How many may; past that they are refused at once.
    pub(crate) capacity: usize,
    /// The threads.
    pub(crate) workers: usize,
    /// Threads that are hashing.
    pub(crate) working: usize,
    /// Hashes that were refused since the start, for the queue was full.
    pub(crate) refused: u64,
}

/// What happened in a minute.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Minute)]
pub(crate) struct MinuteView {
    /// The Unix second in which it began.
    pub(crate) began_at: u64,
    /// Access tokens that were issued.
    pub(crate) issued: u64,
    /// Requests that were refused.
    pub(crate) refused: u64,
    /// Revocations, whoever made them.
    pub(crate) revoked: u64,
}

/// How the origin is doing now.
pub(crate) async fn read(app: &App) -> Result<Overview, Problem> {
    let hour = app.metrics.last_hour(clock::now());
    let mut refused_by_reason = BTreeMap::<&'static str, u64>::new();
    for (reason, count) in hour.iter().flat_map(|minute| &minute.refused) {
        *refused_by_reason.entry(*reason).or_default() += count;
    }
    let minute = |minute: &tollgate_services::telemetry::MinuteStats| MinuteView {
        began_at: minute.began_at,
        issued: minute.issued,
        refused: minute.refused.values().sum(),
        revoked: minute.revoked,
    };
    let (newest_sequence, edges) = edges::list(app).await?;
    let signs = |key: &PublicKey| key.state == KeyState::Active && matches!(key.purpose.as_str(), "token" | "snapshot");
    let load = app.password_hasher.load();
    let hashing = HashingView {
        queued: load.queued,
        capacity: load.capacity,
        workers: load.workers,
        working: load.working,
        refused: load.refused,
    };
    let minutes = hour.iter().map(minute).collect();
    let keys = keys::listed(app, signs).await?;
    Ok(Overview { minutes, refused_by_reason, hashing, newest_sequence, edges, keys })
}
