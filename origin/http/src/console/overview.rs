//! `/admin`: how the origin is doing.

use askama::Template;
use axum::response::Response;
use tollgate_keys::PublicKey;
use tollgate_system::ambient;

use super::chart::Chart;
use super::edges;
use super::operator::Operator;
use crate::admin_api::acts::overview as acts;
use crate::admin_api::acts::overview::{HashingView, MinuteView};
use crate::openapi::refusals::{ConsolePage, Shown};
use crate::pages::page::{Frame, WebError};
use crate::pages::when::{When, when};

#[derive(Template)]
#[template(path = "admin/overview.html")]
struct OverviewPage {
    frame: Frame,
    counts: Vec<Count>,
    hashing: HashingView,
    /// How full the queue of passwords is, in percent.
    queue: usize,
    /// Refusals of the last hour by reason, the most frequent first.
    reasons: Vec<Reason>,
    edges: Vec<edges::Row>,
    keys: Vec<KeyRow>,
}

/// What was counted in the last hour.
struct Count {
    name: &'static str,
    /// Where more of it is.
    path: &'static str,
    tone: &'static str,
    sum: u64,
    chart: Chart,
}

struct Reason {
    /// The error's code.
    code: &'static str,
    count: u64,
    /// Of all refusals, in percent.
    share: u64,
}

struct KeyRow {
    alg: String,
    kid: String,
    purpose: &'static str,
    since: When,
}

/// How the origin is doing.
#[utoipa::path(get, path = "/admin", responses(Shown, ConsolePage), security(("session" = [])))]
pub(crate) async fn show(operator: Operator) -> Result<Response, WebError> {
    let overview = acts::read(operator.app()).await?;
    let (now, now_ms) = (ambient::now(), ambient::now_ms());
    let count = |name, path, tone, what, figure: fn(&MinuteView) -> u64| Count {
        name,
        path,
        tone,
        sum: overview.minutes.iter().map(figure).sum(),
        chart: Chart::of(what, overview.minutes.iter().map(figure)),
    };
    let counts = vec![
        count("Tokens issued", "/admin/clients", "", "tokens issued", |minute| minute.issued),
        count("Requests refused", "/admin/audit", "bad", "requests refused", |minute| minute.refused),
        count("Revocations", "/admin/revocations", "", "revocations", |minute| minute.revoked),
    ];
    let all: u64 = overview.refused_by_reason.values().sum();
    let mut reasons: Vec<Reason> = overview
        .refused_by_reason
        .iter()
        .map(|(code, count)| Reason { code, count: *count, share: count.saturating_mul(100) / all.max(1) })
        .collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
    Ok(operator.show(&OverviewPage {
        frame: operator.frame("overview"),
        counts,
        queue: overview.hashing.queued.saturating_mul(100) / overview.hashing.capacity.max(1),
        hashing: overview.hashing,
        reasons,
        edges: overview.edges.iter().map(|edge| edges::row(edge, now_ms)).collect(),
        keys: overview.keys.iter().map(|key| key_row(key, now)).collect(),
    }))
}

fn key_row(key: &PublicKey, now: u64) -> KeyRow {
    KeyRow {
        alg: key.alg.clone(),
        kid: key.kid.clone(),
        purpose: if key.purpose == "token" { "tokens" } else { "snapshots" },
        since: when(key.signs_from.unwrap_or(key.created_at), now),
    }
}
