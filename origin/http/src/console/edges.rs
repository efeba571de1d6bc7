//! `/admin/edges`: the registered edges, how far they are behind, when they were last seen, and
//! what they reported of their work.

use askama::Template;
use axum::response::Response;
use tollgate_model::EdgeView;

use super::admin_session::AdminSession;
use crate::openapi::responses::{ConsolePage, HtmlPage};
use crate::pages::error::WebError;
use crate::pages::page::Layout;
use crate::pages::time_format::Moment;

#[derive(Template)]
#[template(path = "console/edges.html")]
struct EdgesPage {
    layout: Layout,
    /// The sequence number of the newest change.
    newest: u64,
    edges: Vec<Row>,
    activity: Vec<Activity>,
}

/// What an edge reported of its work.
struct Activity {
    name: String,
    passed: u64,
    refused: u64,
    /// Reasons of refusals with their counts, most frequent first.
    reasons: Vec<(&'static str, u64)>,
    cache_hits: u64,
    decided_stale: u64,
    streams_open: u64,
    streams_cut: u64,
    reported: Moment,
}

/// An edge, as this page and the overview show it.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) acknowledged: u64,
    pub(super) lag: u64,
    pub(super) last_seen: Option<Moment>,
    /// The name of a message.
    pub(super) state: &'static str,
    /// The colour of its badge.
    pub(super) tone: &'static str,
}

/// Milliseconds without contact after which an edge counts as silent. Edges poll, or are pushed to,
/// several times in this time.
const SILENCE_TIMEOUT_MS: u64 = 60_000;

/// Edges, by name.
#[utoipa::path(get, path = "/admin/edges", responses(HtmlPage, ConsolePage), security(("session" = [])))]
pub(crate) async fn list(admin: AdminSession) -> Result<Response, WebError> {
    let (newest, edges) = admin.commands().list_edges().await?;
    let now_ms = admin.commands().clock.now_ms();
    let activity = edges.iter().filter_map(|edge| activity(&admin, edge, now_ms)).collect();
    let edges = edges.iter().map(|edge| row(&admin, edge, now_ms)).collect();
    Ok(admin.show(&EdgesPage { layout: admin.layout("edges"), newest: newest.unwrap_or_default(), edges, activity }))
}

fn activity(admin: &AdminSession, edge: &EdgeView, now_ms: u64) -> Option<Activity> {
    let reported = edge.activity.as_ref()?;
    let mut reasons: Vec<_> = reported.refused_by_reason.iter().map(|(reason, count)| (*reason, *count)).collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Some(Activity {
        name: edge.name.clone(),
        passed: reported.passed,
        refused: reported.refused,
        reasons,
        cache_hits: reported.cache_hits,
        decided_stale: reported.decided_stale,
        streams_open: reported.streams_open,
        streams_cut: reported.streams_cut,
        reported: admin.moment(reported.reported_at_ms / 1000, now_ms / 1000),
    })
}

pub(super) fn row(admin: &AdminSession, edge: &EdgeView, now_ms: u64) -> Row {
    let is_silent = edge.last_contact_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) > SILENCE_TIMEOUT_MS);
    let lag = edge.lag.unwrap_or_default();
    let (state, tone) = match (edge.last_contact_ms, is_silent, lag) {
        (None, ..) => ("edges-never-seen", "bad"),
        (Some(_), true, _) => ("edges-silent", "bad"),
        (Some(_), false, 0) => ("edges-current", "good"),
        (Some(_), false, _) => ("edges-behind", "warn"),
    };
    Row {
        name: edge.name.clone(),
        url: edge.url.clone(),
        acknowledged: edge.acknowledged_sequence,
        lag,
        last_seen: edge.last_contact_ms.map(|at_ms| admin.moment(at_ms / 1000, now_ms / 1000)),
        state,
        tone,
    }
}
