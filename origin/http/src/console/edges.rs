//! `/admin/edges`: how far each registered edge has come, and when it was last heard of.

use askama::Template;
use axum::response::Response;
use tollgate_model::EdgeView;
use tollgate_system::ambient;

use super::operator::Operator;
use crate::admin_api::acts::edges as acts;
use crate::openapi::refusals::{ConsolePage, Shown};
use crate::pages::page::{Frame, WebError};
use crate::pages::when::{When, when};

#[derive(Template)]
#[template(path = "admin/edges.html")]
struct EdgesPage {
    frame: Frame,
    /// The newest sequence of the history.
    newest: u64,
    edges: Vec<Row>,
}

/// An edge, as this page and the overview show it.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) acknowledged: u64,
    pub(super) lag: u64,
    pub(super) contact: Option<When>,
    /// How that looks.
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
}

/// Milliseconds of silence after which an edge is called silent: they ask or are pushed to several times as often.
const SILENT: u64 = 60_000;

/// The edges by name.
#[utoipa::path(get, path = "/admin/edges", responses(Shown, ConsolePage), security(("session" = [])))]
pub(crate) async fn list(operator: Operator) -> Result<Response, WebError> {
    let (newest, edges) = acts::list(operator.app()).await?;
    let now_ms = ambient::now_ms();
    let edges = edges.iter().map(|edge| row(edge, now_ms)).collect();
    Ok(operator.show(&EdgesPage { frame: operator.frame("edges"), newest, edges }))
}

pub(super) fn row(edge: &EdgeView, now_ms: u64) -> Row {
    let silent = edge.last_contact_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) > SILENT);
    let lag = edge.lag.unwrap_or_default();
    let (state, tone) = match (edge.last_contact_ms, silent, lag) {
        (None, ..) => ("never heard of", "bad"),
        (Some(_), true, _) => ("silent", "bad"),
        (Some(_), false, 0) => ("up to date", "good"),
        (Some(_), false, _) => ("behind", "warn"),
    };
    Row {
        name: edge.name.clone(),
        url: edge.url.clone(),
        acknowledged: edge.acknowledged_sequence,
        lag,
        contact: edge.last_contact_ms.map(|at_ms| when(at_ms / 1000, now_ms / 1000)),
        state,
        tone,
    }
}
