//! `/admin/routes`: lists, creates and removes the rules by which edges check requests.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_model::{Malformed, OnStale, Route, RouteView, Scope};
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

#[derive(Template)]
#[template(path = "console/routes.html")]
struct ListPage {
    layout: Layout,
    flash: Flash,
    routes: Vec<Row>,
}

struct Row {
    view: RouteView,
    methods: String,
    /// The path and methods, as one text.
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
    scope: &'a str,
    public: bool,
    on_stale: &'a str,
    on_not_covered: &'a str,
    problem: &'a str,
}

/// Lists the rules.
#[utoipa::path(get, path = "/admin/routes", responses(HtmlPage, ConsolePage), security(("session" = [])))]
pub(crate) async fn list(admin: AdminSession) -> Result<Response, WebError> {
    let row = |route: &Route| {
        let view = RouteView::from(route);
        let methods = view.methods.join(" ");
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("path", &view.path)
            .append_pair("methods", &methods)
            .finish();
        Row { label: route.to_string(), view, methods, query }
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
        .carries("methods", admin.param("methods"));
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

fn methods(admin: &AdminSession) -> Vec<String> {
    let typed = admin.param("methods").split([' ', ',', '\n', '\r']);
    typed.filter(|method| !method.is_empty()).map(str::to_ascii_uppercase).collect()
}

/// The rule of the form, checked as the admin API checks a body.
fn parse(admin: &AdminSession) -> Result<Route, AdminError> {
    let scope = admin.param("scope").split_whitespace().collect::<Vec<_>>().join(" ");
    let scope = Scope::parse(&scope).map_err(unusable)?;
    let policy = |name: &str| admin.find_param(name).map_or(Ok(OnStale::Deny), str::parse).map_err(unusable);
    let (path, public) = (admin.param("path").trim(), admin.is_checked("public"));
    let route = Route::new(path, &methods(admin), scope, public, policy("on_stale")?).map_err(unusable)?;
    Ok(route.on_not_covered(policy("on_not_covered")?))
}

/// The rule that a form or address identifies by its path and methods.
fn identified(admin: &AdminSession) -> Result<Route, AdminError> {
    Route::new(admin.param("path"), &methods(admin), Scope::default(), false, OnStale::Deny).map_err(unusable)
}

fn show_form(admin: &AdminSession, error: Option<(StatusCode, String)>) -> Response {
    let (status, problem) = error.unwrap_or_default();
    let page = FormPage {
        layout: admin.layout("routes"),
        path: admin.param("path"),
        methods: admin.param("methods"),
        scope: admin.param("scope"),
        public: admin.is_checked("public"),
        on_stale: admin.param("on_stale"),
        on_not_covered: admin.param("on_not_covered"),
        problem: &problem,
    };
    admin.show_with(status, &page)
}
