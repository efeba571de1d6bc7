//! `/admin/routes`: the rules that edges follow, by path and method.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_model::{Malformed, OnStale, Route, RouteView, Scope};

use super::confirm::Confirm;
use super::operator::{Operator, Order};
use super::refused;
use super::told::Told;
use crate::admin_api::acts::routes as acts;
use crate::openapi::console;
use crate::openapi::refusals::{ConsolePage, FormAgain, Gone, SentOn, Shown};
use crate::pages::page::{Frame, WebError};
use crate::problem::Problem;

const PATH: &str = "/admin/routes";

#[derive(Template)]
#[template(path = "admin/routes.html")]
struct ListPage {
    frame: Frame,
    told: Told,
    routes: Vec<Row>,
}

struct Row {
    view: RouteView,
    methods: String,
    /// The parameters that name it in an address.
    query: String,
}

/// What stands in the form, as it was typed.
#[derive(Template)]
#[template(path = "admin/route_form.html")]
struct FormPage<'a> {
    frame: Frame,
    path: &'a str,
    methods: &'a str,
    scope: &'a str,
    public: bool,
    on_stale: &'a str,
    on_not_covered: &'a str,
    problem: &'a str,
}

/// The rules.
#[utoipa::path(get, path = "/admin/routes", responses(Shown, ConsolePage), security(("session" = [])))]
pub(crate) async fn list(operator: Operator) -> Result<Response, WebError> {
    let row = |route: &Route| {
        let view = RouteView::from(route);
        let methods = view.methods.join(" ");
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("path", &view.path)
            .append_pair("methods", &methods)
            .finish();
        Row { view, methods, query }
    };
    let routes = operator.app().store.routes().await?;
    Ok(operator.show(&ListPage {
        frame: operator.frame("routes"),
        told: operator.told(),
        routes: routes.iter().map(row).collect(),
    }))
}

/// The form for a new rule.
#[utoipa::path(get, path = "/admin/new/route", responses(Shown, ConsolePage), security(("session" = [])))]
pub(crate) async fn new(operator: Operator) -> Response {
    show_form(&operator, None)
}

/// Adds a rule.
#[utoipa::path(
    post, path = "/admin/new/route",
    request_body(content = console::RouteForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, FormAgain, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn create(Order(operator): Order) -> Result<Response, WebError> {
    let made = async {
        let route = read(&operator)?;
        acts::add(operator.app(), &operator.actor(), &route).await.map(|()| route)
    };
    match made.await {
        Ok(route) => {
            Ok(operator.done(PATH, &Told::done(&format!("The rule {route} is added: every edge hears of it now."))))
        }
        Err(problem) => Ok(show_form(&operator, Some(refused(problem)?))),
    }
}

/// Asks whether a rule is to be removed.
#[utoipa::path(
    get, path = "/admin/routes/remove",
    params(
        ("path" = String, Query, description = "The path as it was added"),
        ("methods" = Option<String>, Query, description = "The methods as they were added"),
    ),
    responses(Shown, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_remove(operator: Operator) -> Result<Response, WebError> {
    let route = named(&operator)?;
    let confirm = Confirm::new(&operator, "routes", "Remove the rule?", "Remove it")
        .about("Rule", &route.to_string())
        .says("Edges decide such requests by the next rule that fits, or, where none does, by asking for a good token of any scope.")
        .dangerous()
        .posts("/admin/routes/remove", PATH)
        .carries("path", route.path())
        .carries("methods", operator.text("methods"));
    Ok(operator.show(&confirm))
}

/// Removes a rule.
#[utoipa::path(
    post, path = "/admin/routes/remove",
    request_body(content = console::RouteNameForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn remove(Order(operator): Order) -> Result<Response, WebError> {
    let route = named(&operator)?;
    acts::delete(operator.app(), &operator.actor(), &route).await?;
    Ok(operator.done(PATH, &Told::done(&format!("The rule {route} is removed."))))
}

fn unusable(error: Malformed) -> Problem {
    Problem::bad_request(&error.to_string())
}

fn methods(operator: &Operator) -> Vec<String> {
    let typed = operator.text("methods").split([' ', ',', '\n', '\r']);
    typed.filter(|method| !method.is_empty()).map(str::to_ascii_uppercase).collect()
}

/// What the form says, read as the admin API reads a body.
fn read(operator: &Operator) -> Result<Route, Problem> {
    let scope = operator.text("scope").split_whitespace().collect::<Vec<_>>().join(" ");
    let scope = Scope::parse(&scope).map_err(unusable)?;
    let answer = |name: &str| operator.given(name).map_or(Ok(OnStale::Deny), str::parse).map_err(unusable);
    let (path, public) = (operator.text("path").trim(), operator.ticked("public"));
    let route = Route::new(path, &methods(operator), scope, public, answer("on_stale")?).map_err(unusable)?;
    Ok(route.on_not_covered(answer("on_not_covered")?))
}

/// The rule that a form or an address names by its path and methods.
fn named(operator: &Operator) -> Result<Route, Problem> {
    Route::new(operator.text("path"), &methods(operator), Scope::default(), false, OnStale::Deny).map_err(unusable)
}

fn show_form(operator: &Operator, refused: Option<(StatusCode, String)>) -> Response {
    let (status, problem) = refused.unwrap_or_default();
    let page = FormPage {
        frame: operator.frame("routes"),
        path: operator.text("path"),
        methods: operator.text("methods"),
        scope: operator.text("scope"),
        public: operator.ticked("public"),
        on_stale: operator.text("on_stale"),
        on_not_covered: operator.text("on_not_covered"),
        problem: &problem,
    };
    operator.show_with(status, &page)
}
