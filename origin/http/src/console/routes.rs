//! `/admin/routes`: lists, creates and removes the rules by which edges check requests.

use std::collections::BTreeSet;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use tollgate_model::{Malformed, OnStale, Route, RouteDocument, Scope, text};
use tollgate_services::admin::AdminError;

use super::admin_session::{AdminForm, AdminSession};
use super::confirm::Confirm;
use super::flash::Flash;
use super::form_error;
use crate::openapi::console;
use crate::openapi::responses::{ConsolePage, FormWithErrors, HtmlPage, PageNotFound, SeeOther};
use crate::pages::error::WebError;
use crate::pages::page::Layout;

const PATH: &str = "/admin/routes";
/// Members of a rule that the form has fields for.
const FIELD_MEMBERS: [&str; 7] = ["path", "methods", "hosts", "scope", "public", "on_stale", "on_not_covered"];

#[derive(Template)]
#[template(path = "console/routes.html")]
struct ListPage {
    layout: Layout,
    flash: Flash,
    routes: Vec<Row>,
}

struct Row {
    rule: RouteDocument,
    methods: String,
    hosts: String,
    /// What it requires and sets beyond the columns of the table.
    details: Vec<String>,
    /// Path, methods and hosts, as one text.
    label: String,
    /// The query that identifies it in a path.
    query: String,
}

/// The form, with what was typed.
#[derive(Template)]
#[template(path = "console/route_form.html")]
struct FormPage<'a> {
    layout: Layout,
    path: &'a str,
    methods: &'a str,
    hosts: &'a str,
    scope: &'a str,
    public: bool,
    on_stale: &'a str,
    on_not_covered: &'a str,
    more: &'a str,
    problem: &'a str,
}

/// Lists the rules.
#[utoipa::path(get, path = "/admin/routes", responses(HtmlPage, ConsolePage), security(("session" = [])))]
pub(crate) async fn list(admin: AdminSession) -> Result<Response, WebError> {
    let row = |route: &Route| {
        let joined = |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let (methods, hosts) = (joined(route.methods()), joined(route.hosts()));
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("path", route.path()).append_pair("methods", &methods);
        if !hosts.is_empty() {
            query.append_pair("hosts", &hosts);
        }
        let (rule, query) = (route.document().clone(), query.finish());
        Row { label: route.to_string(), details: rule.details(), rule, methods, hosts, query }
    };
    let routes = admin.commands().list_routes().await?;
    Ok(admin.show(&ListPage {
        layout: admin.layout("routes"),
        flash: admin.flash(),
        routes: routes.iter().map(row).collect(),
    }))
}

/// The form for a new rule.
#[utoipa::path(get, path = "/admin/new/route", responses(HtmlPage, ConsolePage), security(("session" = [])))]
pub(crate) async fn new(admin: AdminSession) -> Response {
    show_form(&admin, None)
}

/// Creates a rule.
#[utoipa::path(
    post, path = "/admin/new/route",
    request_body(content = console::RouteForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn create(AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let created = async {
        let route = parse(&admin)?;
        admin.commands().create_route(&admin.actor(), &route).await.map(|()| route)
    };
    match created.await {
        Ok(route) => {
            Ok(admin.redirect(PATH, &Flash::new(&admin.text("route-created").with("rule", route.to_string()))))
        }
        Err(problem) => Ok(show_form(&admin, Some(form_error(problem)?))),
    }
}

/// Asks for confirmation before removing a rule.
#[utoipa::path(
    get, path = "/admin/routes/remove",
    params(
        ("path" = String, Query, description = "The path as it was added"),
        ("methods" = Option<String>, Query, description = "The methods as they were added"),
        ("hosts" = Option<String>, Query, description = "The hosts as they were added"),
    ),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_remove(admin: AdminSession) -> Result<Response, WebError> {
    let route = identified(&admin)?;
    let confirm = Confirm::new(&admin, "routes", "route-remove-title", "route-remove")
        .subject("route-rule", &route.to_string())
        .consequence("route-remove-consequence")
        .dangerous()
        .posts("/admin/routes/remove", PATH)
        .carries("path", route.path())
        .carries("methods", admin.param("methods"))
        .carries("hosts", admin.param("hosts"));
    Ok(admin.show(&confirm))
}

/// Removes a rule.
#[utoipa::path(
    post, path = "/admin/routes/remove",
    request_body(content = console::RouteNameForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn remove(AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let route = identified(&admin)?;
    admin.commands().delete_route(&admin.actor(), &route).await?;
    Ok(admin.redirect(PATH, &Flash::new(&admin.text("route-removed").with("rule", route.to_string()))))
}

fn unusable(error: Malformed) -> AdminError {
    AdminError::from(error)
}

/// Names in a field, separated by spaces, commas or lines.
fn names<'a>(admin: &'a AdminSession, field: &str) -> impl Iterator<Item = &'a str> {
    admin.param(field).split([' ', ',', '\n', '\r']).filter(|name| !name.is_empty())
}

fn methods(admin: &AdminSession) -> Vec<String> {
    names(admin, "methods").map(str::to_ascii_uppercase).collect()
}

fn hosts(admin: &AdminSession) -> Vec<String> {
    names(admin, "hosts").map(str::to_ascii_lowercase).collect()
}

/// The rule of the form, checked as the admin API checks a body.
fn parse(admin: &AdminSession) -> Result<Route, AdminError> {
    let scope = admin.param("scope").split_whitespace().collect::<Vec<_>>().join(" ");
    let scope = Scope::parse(&scope).map_err(unusable)?;
    let policy = |name: &str| admin.find_param(name).map_or(Ok(OnStale::Deny), str::parse).map_err(unusable);
    let more = admin.param("more").trim();
    let more = if more.is_empty() { "{}" } else { more };
    let invalid = |error: serde_json::Error| AdminError::Invalid(error.to_string());
    let mut members: Map<String, Value> = text::json(more.as_bytes()).map_err(invalid)?;
    if let Some(name) = FIELD_MEMBERS.iter().find(|name| members.contains_key(**name)) {
        return Err(AdminError::Invalid(format!("{name} has a field of its own: remove it from the other members")));
    }
    members.insert("path".to_owned(), json!(admin.param("path").trim()));
    members.insert("methods".to_owned(), json!(methods(admin)));
    members.insert("hosts".to_owned(), json!(hosts(admin)));
    let document: RouteDocument = serde_json::from_value(Value::Object(members)).map_err(invalid)?;
    let (on_stale, on_not_covered) = (policy("on_stale")?, policy("on_not_covered")?);
    let public = admin.is_checked("public");
    Route::try_from(RouteDocument { scope, public, on_stale, on_not_covered, ..document }).map_err(unusable)
}

/// The rule that a form or address identifies by its path, methods and hosts.
fn identified(admin: &AdminSession) -> Result<Route, AdminError> {
    let (methods, hosts) = (methods(admin).into_iter().collect(), hosts(admin).into_iter().collect());
    let path = admin.param("path").to_owned();
    Route::try_from(RouteDocument { path, methods, hosts, ..RouteDocument::default() }).map_err(unusable)
}

fn show_form(admin: &AdminSession, error: Option<(StatusCode, String)>) -> Response {
    let (status, problem) = error.unwrap_or_default();
    let page = FormPage {
        layout: admin.layout("routes"),
        path: admin.param("path"),
        methods: admin.param("methods"),
        hosts: admin.param("hosts"),
        scope: admin.param("scope"),
        public: admin.is_checked("public"),
        on_stale: admin.param("on_stale"),
        on_not_covered: admin.param("on_not_covered"),
        more: admin.param("more"),
        problem: &problem,
    };
    admin.show_with(status, &page)
}
