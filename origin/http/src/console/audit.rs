//! `/admin/audit`: lists, filters and exports the audit log.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_model::{AuditAction, AuditEntry, AuditFilter, AuditKind, AuditView, Malformed};
use tollgate_services::admin::AdminError;
use tollgate_storage::Store;

use super::admin_session::AdminSession;
use super::form_error;
use super::search::{self, PAGE_SIZE, Pager};
use crate::admin_api::audit_export;
use crate::openapi::console;
use crate::openapi::responses::{AuditFile, ConsolePage, HtmlPage};
use crate::pages::error::WebError;
use crate::pages::page::Layout;
use crate::pages::time_format::{Moment, input_value, parse_input};

const PATH: &str = "/admin/audit";
/// The parameters that filter the list.
const FILTERS: [&str; 6] = ["kind", "action", "actor", "target", "since", "until"];

#[derive(Template)]
#[template(path = "console/audit.html")]
struct AuditPage<'a> {
    layout: Layout,
    problem: &'a str,
    /// The filters as typed, in the order of [`FILTERS`].
    kind: &'a str,
    action: &'a str,
    actor: &'a str,
    target: &'a str,
    since: &'a str,
    until: &'a str,
    is_filtered: bool,
    /// The filters as a query, for the export.
    query: String,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    at: Moment,
    /// The actor's name, if known, and the recorded ID.
    actor_name: String,
    actor: String,
    action: String,
    kind: &'static str,
    /// The target's name, if known, the recorded ID, and the path of its page, if it has one.
    target_name: String,
    target: String,
    link: String,
    reason: String,
}

/// The audit log, newest first.
#[utoipa::path(
    get, path = "/admin/audit",
    params(console::AuditQuery, ("below" = Option<String>, Query, description = "Entries with a lower number")),
    responses(HtmlPage, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn list(admin: AdminSession) -> Result<Response, WebError> {
    let (filter, (status, problem)) = match filter(&admin) {
        Ok(filter) => (filter, (StatusCode::OK, String::new())),
        Err(problem) => (AuditFilter::default(), form_error(problem)?),
    };
    let found = match problem.is_empty() {
        true => admin.commands().list_audit_entries(&filter).await?.0,
        false => Vec::new(),
    };
    let number = |entry: &AuditEntry| entry.number.to_string();
    let (found, pager) = search::filtered_page(&admin, PATH, &FILTERS, "below", found, number);
    let given = FILTERS.iter().filter_map(|name| Some((*name, admin.find_param(name)?)));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    let rows = rows(&admin, found).await?;
    let [kind, action, actor, target, since, until] = FILTERS.map(|name| admin.param(name));
    let page = AuditPage {
        layout: admin.layout("audit"),
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
    Ok(admin.show_with(status, &page))
}

/// All entries that match the filters, oldest first, as a file.
#[utoipa::path(
    get, path = "/admin/audit/export",
    params(console::AuditQuery, ("format" = String, Query, description = "jsonl or csv")),
    responses(AuditFile, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn export(admin: AdminSession) -> Result<Response, WebError> {
    let unknown = |error: Malformed| AdminError::from(error);
    let format = admin.param("format").parse().map_err(unknown)?;
    Ok(audit_export::export(admin.store().clone(), filter(&admin)?, format).await?)
}

fn filter(admin: &AdminSession) -> Result<AuditFilter, AdminError> {
    let unknown = |error: Malformed| AdminError::from(error);
    let time = |name: &str| {
        let wrong = || AdminError::Invalid(format!("{name} must be a date and a time, in UTC"));
        admin.find_param(name).map(|text| parse_input(text).ok_or_else(wrong)).transpose()
    };
    let trimmed = |name: &str| admin.find_param(name).map(|text| text.trim().to_owned());
    Ok(AuditFilter {
        kind: admin.find_param("kind").map(str::parse).transpose().map_err(unknown)?,
        action: admin.find_param("action").map(str::parse).transpose().map_err(unknown)?,
        actor: trimmed("actor"),
        target: trimmed("target"),
        since: time("since")?,
        until: time("until")?,
        below: admin.find_param("below").and_then(|below| below.parse().ok()),
        newest_first: true,
        limit: Some(PAGE_SIZE + 1),
        ..AuditFilter::default()
    })
}

/// The rows of a page, with the names of users and clients.
async fn rows(admin: &AdminSession, entries: Vec<AuditEntry>) -> Result<Vec<Row>, WebError> {
    let (now, mut names, mut rows) = (admin.now(), BTreeMap::new(), Vec::new());
    for entry in entries {
        let at = admin.moment(entry.at, now);
        let view = AuditView::from(entry);
        let name = match view.before {
            Some(time) => format!("< {}Z", input_value(time)),
            None => view.name.unwrap_or_default(),
        };
        let link = match view.kind {
            "client" => format!("/admin/clients/{}", super::in_path(&name)),
            "user" => format!("/admin/users/{}", super::in_path(&name)),
            _ => String::new(),
        };
        rows.push(Row {
            at,
            actor_name: find_name(admin.store(), &mut names, &view.actor).await?,
            target_name: find_name(admin.store(), &mut names, &format!("{}:{name}", view.kind)).await?,
            actor: view.actor,
            action: view.action.replace('_', " "),
            kind: view.kind,
            target: name,
            link,
            reason: view.reason.unwrap_or_default(),
        });
    }
    Ok(rows)
}

/// The name of `user:ID` or `client:ID`; empty for others, and for those that no longer exist.
async fn find_name(store: &Store, names: &mut BTreeMap<String, String>, named: &str) -> Result<String, WebError> {
    if let Some(name) = names.get(named) {
        return Ok(name.clone());
    }
    let name = match named.split_once(':') {
        Some(("user", id)) => match id.parse() {
            Ok(id) => store.find_user(&id).await?.map(|user| user.name.to_string()),
            Err(_) => None,
        },
        Some(("client", id)) => match id.parse() {
            Ok(id) => store.find_client(&id).await?.map(|client| client.metadata.name),
            Err(_) => None,
        },
        _ => None,
    };
    let name = name.unwrap_or_default();
    names.insert(named.to_owned(), name.clone());
    Ok(name)
}
