//! An overview of the origin: counts of this process, edges and active keys.

use std::collections::BTreeMap;

use serde::Serialize;
use tollgate_keys::PublicKey;
use tollgate_model::{EdgeView, KeyState};

use super::{AdminError, Administration};
use crate::telemetry::MinuteStats;

/// An overview of the origin.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Overview {
    /// The last sixty minutes of this process, the oldest first.
    pub minutes: Vec<MinuteView>,
    /// Refusals of the last hour by reason.
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    pub refused_by_reason: BTreeMap<&'static str, u64>,
    /// The password hashing queue.
    pub hashing: HashingView,
    /// The newest sequence number of the revocation log.
    pub newest_sequence: u64,
    /// The registered edges, by name.
    pub edges: Vec<EdgeView>,
    /// The active signing keys.
    pub keys: Vec<PublicKey>,
}

/// The password hashing queue.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Hashing)]
pub struct HashingView {
    /// Hashes that wait for a worker thread.
    pub queued: usize,
    /// Maximum waiting hashes; further ones are refused.
    pub capacity: usize,
    /// Worker threads.
    pub workers: usize,
    /// Worker threads that are hashing now.
    pub working: usize,
    /// Hashes refused since the start because the queue was full.
    pub refused: u64,
}

/// Counts of one minute.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Minute)]
pub struct MinuteView {
    /// Start of the minute, in Unix seconds.
    pub began_at: u64,
    /// Access tokens issued.
    pub issued: u64,
    /// Requests refused.
    pub refused: u64,
    /// Revocations, by this origin or another.
    pub revoked: u64,
}

impl Administration {
    /// The overview as of now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn overview(&self) -> Result<Overview, AdminError> {
        let hour = self.metrics.last_hour(self.clock.now());
        let mut refused_by_reason = BTreeMap::<&'static str, u64>::new();
        for (reason, count) in hour.iter().flat_map(|minute| &minute.refused) {
            *refused_by_reason.entry(*reason).or_default() += count;
        }
        let (newest, edges) = self.list_edges().await?;
        let newest_sequence = newest.unwrap_or_default();
        let is_signing =
            |key: &PublicKey| key.state == KeyState::Active && matches!(key.purpose.as_str(), "token" | "snapshot");
        let load = self.passwords.load();
        let hashing = HashingView {
            queued: load.queued,
            capacity: load.capacity,
            workers: load.workers,
            working: load.working,
            refused: load.refused,
        };
        let minutes = hour.iter().map(MinuteView::from).collect();
        let keys = self.list_keys(is_signing).await?;
        Ok(Overview { minutes, refused_by_reason, hashing, newest_sequence, edges, keys })
    }
}

impl From<&MinuteStats> for MinuteView {
    fn from(minute: &MinuteStats) -> MinuteView {
        MinuteView {
            began_at: minute.began_at,
            issued: minute.issued,
            refused: minute.refused.values().sum(),
            revoked: minute.revoked,
        }
    }
}
