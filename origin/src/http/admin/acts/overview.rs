//! How the origin is doing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{edges, keys};
use crate::ambient;
use crate::domain::EdgeView;
use crate::http::App;
use crate::http::problem::Problem;
use crate::keys::{KeyState, PublicKey};

/// How the origin is doing: what this process counted in the last hour, the edges, and the keys that sign.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Overview {
    /// The last sixty minutes of this process, the oldest first.
    pub(in crate::http) minutes: Vec<MinuteView>,
    /// Refusals of the last hour by reason.
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    pub(in crate::http) refused_by_reason: BTreeMap<&'static str, u64>,
    /// The newest sequence of the history of revocations.
    pub(in crate::http) newest_sequence: u64,
    /// The edges that are pushed to, by name.
    pub(in crate::http) edges: Vec<EdgeView>,
    /// The keys that sign now.
    pub(in crate::http) keys: Vec<PublicKey>,
}

/// What happened in a minute.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Minute)]
pub(in crate::http) struct MinuteView {
    /// The Unix second in which it began.
    pub(in crate::http) began_at: u64,
    /// Access tokens that were issued.
    pub(in crate::http) issued: u64,
    /// Requests that were refused.
    pub(in crate::http) refused: u64,
    /// Revocations, whoever made them.
    pub(in crate::http) revoked: u64,
}

/// How the origin is doing now.
pub(in crate::http) async fn read(app: &App) -> Result<Overview, Problem> {
    let hour = app.meters.last_hour(ambient::now());
    let mut refused_by_reason = BTreeMap::<&'static str, u64>::new();
    for (reason, count) in hour.iter().flat_map(|minute| &minute.refused) {
        *refused_by_reason.entry(*reason).or_default() += count;
    }
    let minute = |minute: &crate::watch::Minute| MinuteView {
        began_at: minute.began_at,
        issued: minute.issued,
        refused: minute.refused.values().sum(),
        revoked: minute.revoked,
    };
    let (newest_sequence, edges) = edges::list(app).await?;
    let signs = |key: &PublicKey| key.state == KeyState::Active && matches!(key.purpose.as_str(), "token" | "snapshot");
    let minutes = hour.iter().map(minute).collect();
    Ok(Overview { minutes, refused_by_reason, newest_sequence, edges, keys: keys::listed(app, signs).await? })
}
