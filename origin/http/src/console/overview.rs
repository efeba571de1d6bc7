//! `/admin`: the activity of the last hour, and the state of edges and keys.

use askama::Template;
use axum::response::Response;
use tollgate_keys::PublicKey;
use tollgate_model::HttpRedirects;
use tollgate_services::admin::{HashingView, MinuteView};

use super::admin_session::AdminSession;
use super::chart::Chart;
use super::edges;
use crate::openapi::responses::{ConsolePage, HtmlPage};
use crate::pages::error::WebError;
use crate::pages::page::Layout;
use crate::pages::time_format::Moment;

#[derive(Template)]
#[template(path = "console/overview.html")]
struct OverviewPage {
    layout: Layout,
    /// Whether `http` redirect URIs may lead to any host.
    allows_http_redirects: bool,
    counts: Vec<Count>,
    hashing: HashingView,
    /// How full the password hashing queue is, in percent.
    queue: usize,
    /// Refusals of the last hour by reason, most frequent first.
    reasons: Vec<Reason>,
    edges: Vec<edges::Row>,
    keys: Vec<KeyRow>,
}

/// A count of the last hour.
struct Count {
    /// The name of a message.
    name: &'static str,
    /// The page with more about it.
    path: &'static str,
    tone: &'static str,
    sum: u64,
    chart: Chart,
}

struct Reason {
    /// The error code.
    code: &'static str,
    count: u64,
    /// The share of all refusals, in percent.
    share: u64,
}

struct KeyRow {
    alg: String,
    kid: String,
    /// The name of a message.
    purpose: &'static str,
    signs_from: Moment,
}

/// The overview.
#[utoipa::path(get, path = "/admin", responses(HtmlPage, ConsolePage), security(("session" = [])))]
pub(crate) async fn show(admin: AdminSession) -> Result<Response, WebError> {
    let overview = admin.commands().overview().await?;
    let (now, now_ms) = (admin.now(), admin.commands().clock.now_ms());
    let count = |name, path, tone, description, figure: fn(&MinuteView) -> u64| Count {
        name,
        path,
        tone,
        sum: overview.minutes.iter().map(figure).sum(),
        chart: Chart::new(&admin.page.messages, description, overview.minutes.iter().map(figure)),
    };
    let counts = vec![
        count("overview-issued", "/admin/clients", "", "overview-chart-issued", |minute| minute.issued),
        count("overview-refused", "/admin/audit", "bad", "overview-chart-refused", |minute| minute.refused),
        count("overview-revoked", "/admin/revocations", "", "overview-chart-revoked", |minute| minute.revoked),
    ];
    let all: u64 = overview.refused_by_reason.values().sum();
    let mut reasons: Vec<Reason> = overview
        .refused_by_reason
        .iter()
        .map(|(code, count)| Reason { code, count: *count, share: count.saturating_mul(100) / all.max(1) })
        .collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
    Ok(admin.show(&OverviewPage {
        layout: admin.layout("overview"),
        allows_http_redirects: admin.commands().http_redirects == HttpRedirects::AnyHost,
        counts,
        queue: overview.hashing.queued.saturating_mul(100) / overview.hashing.capacity.max(1),
        hashing: overview.hashing,
        reasons,
        edges: overview.edges.iter().map(|edge| edges::row(&admin, edge, now_ms)).collect(),
        keys: overview.keys.iter().map(|key| key_row(&admin, key, now)).collect(),
    }))
}

fn key_row(admin: &AdminSession, key: &PublicKey, now: u64) -> KeyRow {
    KeyRow {
        alg: key.alg.clone(),
        kid: key.kid.clone(),
        purpose: if key.purpose == "token" { "keys-purpose-token" } else { "keys-purpose-snapshot" },
        signs_from: admin.moment(key.signs_from.unwrap_or(key.created_at), now),
    }
}
