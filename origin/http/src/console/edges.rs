//! `/admin/edges`: the registered edges, how far they are behind, and when they were last seen.

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
    let edges = edges.iter().map(|edge| row(&admin, edge, now_ms)).collect();
    Ok(admin.show(&EdgesPage { layout: admin.layout("edges"), newest: newest.unwrap_or_default(), edges }))
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
