//! `/admin/audit`: who did what, narrowed down, and as a file.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_model::{AuditAction, AuditEntry, AuditFilter, AuditKind, AuditView, Malformed};
use tollgate_system::ambient;

use super::operator::Operator;
use super::search::{self, Pager, ROWS};
use super::{moment, refused};
use crate::App;
use crate::admin_api::acts::audit as acts;
use crate::openapi::console;
use crate::openapi::refusals::{AuditFile, ConsolePage, Shown};
use crate::pages::page::{Frame, WebError};
use crate::pages::when::{When, when};
use crate::problem::Problem;

const PATH: &str = "/admin/audit";
/// What the list is narrowed down by.
const FILTERS: [&str; 6] = ["kind", "action", "actor", "target", "since", "until"];

#[derive(Template)]
#[template(path = "admin/audit.html")]
struct AuditPage<'a> {
    frame: Frame,
    problem: &'a str,
    /// The filter, as it was typed, in the order of [`FILTERS`].
    kind: &'a str,
    action: &'a str,
    actor: &'a str,
    target: &'a str,
    since: &'a str,
    until: &'a str,
    is_filtered: bool,
    /// The filter as an address has it, for the export.
    query: String,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    at: When,
    /// Who, in words, and as it is recorded.
    who: String,
    actor: String,
    action: String,
    kind: &'static str,
    /// What it is called, in words and as it is recorded, and where it is shown, if it is.
    called: String,
    name: String,
    link: String,
    reason: String,
}

/// Who did what, the newest first.
#[utoipa::path(
    get, path = "/admin/audit",
    params(console::AuditQuery, ("below" = Option<String>, Query, description = "Those with a lower number")),
    responses(Shown, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn list(operator: Operator) -> Result<Response, WebError> {
    let (filter, (status, problem)) = match filter(&operator) {
        Ok(filter) => (filter, (StatusCode::OK, String::new())),
        Err(problem) => (AuditFilter::default(), refused(problem)?),
    };
    let found = match problem.is_empty() {
        true => operator.app().store.audit(&filter).await?,
        false => Vec::new(),
    };
    let number = |entry: &AuditEntry| entry.number.to_string();
    let (found, pager) = search::pages(&operator, PATH, &FILTERS, "below", found, number);
    let given = FILTERS.iter().filter_map(|name| Some((*name, operator.given(name)?)));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    let rows = rows(operator.app(), found).await?;
    let [kind, action, actor, target, since, until] = FILTERS.map(|name| operator.text(name));
    let page = AuditPage {
        frame: operator.frame("audit"),
        problem: &problem,
        kind,
        action,
        actor,
        target,
        since,
        until,
        is_filtered: !query.is_empty(),
        query,
        rows,
        pager,
    };
    Ok(operator.show_with(status, &page))
}

/// All lines that the filter lets through, the oldest first, as a file.
#[utoipa::path(
    get, path = "/admin/audit/export",
    params(console::AuditQuery, ("format" = String, Query, description = "jsonl or csv")),
    responses(AuditFile, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn export(operator: Operator) -> Result<Response, WebError> {
    let unknown = |error: Malformed| Problem::bad_request(&error.to_string());
    let format = operator.text("format").parse().map_err(unknown)?;
    Ok(acts::export(operator.visit.app.clone(), filter(&operator)?, format).await?)
}

fn filter(operator: &Operator) -> Result<AuditFilter, Problem> {
    let unknown = |error: Malformed| Problem::bad_request(&error.to_string());
    let time = |name: &str| {
        let wrong = || Problem::bad_request(&format!("{name} must be a date and a time, in UTC"));
        operator.given(name).map(|text| moment::parse(text).ok_or_else(wrong)).transpose()
    };
    let text = |name: &str| operator.given(name).map(|text| text.trim().to_owned());
    Ok(AuditFilter {
        kind: operator.given("kind").map(str::parse).transpose().map_err(unknown)?,
        action: operator.given("action").map(str::parse).transpose().map_err(unknown)?,
        actor: text("actor"),
        target: text("target"),
        since: time("since")?,
        until: time("until")?,
        below: operator.given("below").and_then(|below| below.parse().ok()),
        newest_first: true,
        limit: Some(ROWS + 1),
        ..AuditFilter::default()
    })
}

/// The lines of a page, with users and clients by the names that people know them by.
async fn rows(app: &App, entries: Vec<AuditEntry>) -> Result<Vec<Row>, WebError> {
    let (now, mut names, mut rows) = (ambient::now(), BTreeMap::new(), Vec::new());
    for entry in entries {
        let at = when(entry.at, now);
        let view = AuditView::from(entry);
        let name = match view.before {
            Some(time) => format!("before {}", moment::input(time)),
            None => view.name.unwrap_or_default(),
        };
        let link = match view.kind {
            "client" => format!("/admin/clients/{}", super::in_path(&name)),
            "user" => format!("/admin/users/{}", super::in_path(&name)),
            _ => String::new(),
        };
        rows.push(Row {
            at,
            who: called(app, &mut names, &view.actor).await?,
            called: called(app, &mut names, &format!("{}:{name}", view.kind)).await?,
            actor: view.actor,
            action: view.action.replace('_', " "),
            kind: view.kind,
            name,
            link,
            reason: view.reason.unwrap_or_default(),
        });
    }
    Ok(rows)
}

/// What `user:ID` or `client:ID` is called; nothing for what is none, or is not there any more.
async fn called(app: &App, names: &mut BTreeMap<String, String>, named: &str) -> Result<String, WebError> {
    if let Some(name) = names.get(named) {
        return Ok(name.clone());
    }
    let name = match named.split_once(':') {
        Some(("user", id)) => match id.parse() {
            Ok(id) => app.store.user(&id).await?.map(|user| user.name.to_string()),
            Err(_) => None,
        },
        Some(("client", id)) => match id.parse() {
            Ok(id) => app.store.client(&id).await?.map(|client| client.metadata.name),
            Err(_) => None,
        },
        _ => None,
    };
    let name = name.unwrap_or_default();
    names.insert(named.to_owned(), name.clone());
    Ok(name)
}
