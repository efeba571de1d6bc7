//! `/admin/resources`: the APIs that tokens are for, and the words that users read for their scope values.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_model::{ClientId, Malformed, Resource};

use super::confirm::Confirm;
use super::operator::{Operator, Order};
use super::refused;
use super::told::Told;
use crate::admin_api::acts::resources as acts;
use crate::openapi::console;
use crate::openapi::refusals::{ConsolePage, FormAgain, Gone, SentOn, Shown};
use crate::pages::page::{Frame, WebError};
use crate::problem::Problem;

const PATH: &str = "/admin/resources";

#[derive(Template)]
#[template(path = "admin/resources.html")]
struct ListPage {
    frame: Frame,
    told: Told,
    resources: Vec<Row>,
}

struct Row {
    audience: String,
    /// The parameter that names it in an address.
    query: String,
    name: String,
    scopes: Vec<(String, String)>,
    introspected_by: String,
}

/// What stands in the form, as it was typed.
#[derive(Template)]
#[template(path = "admin/resource_form.html")]
struct FormPage<'a> {
    frame: Frame,
    /// Whether one that is there is changed.
    changes: bool,
    audience: &'a str,
    name: &'a str,
    scopes: &'a str,
    introspected_by: &'a str,
    problem: &'a str,
}

/// Resource servers.
#[utoipa::path(get, path = "/admin/resources", responses(Shown, ConsolePage), security(("session" = [])))]
pub(crate) async fn list(operator: Operator) -> Result<Response, WebError> {
    let row = |resource: Resource| Row {
        query: url::form_urlencoded::Serializer::new(String::new())
            .append_pair("audience", resource.audience.as_str())
            .finish(),
        audience: resource.audience.to_string(),
        name: resource.name,
        scopes: resource.scopes.into_iter().collect(),
        introspected_by: resource.introspected_by.as_ref().map(ClientId::to_string).unwrap_or_default(),
    };
    let resources = operator.app().store.resources().await?;
    Ok(operator.show(&ListPage {
        frame: operator.frame("resources"),
        told: operator.told(),
        resources: resources.into_iter().map(row).collect(),
    }))
}

/// The form for a new resource server.
#[utoipa::path(get, path = "/admin/new/resource", responses(Shown, ConsolePage), security(("session" = [])))]
pub(crate) async fn new(operator: Operator) -> Response {
    show_form(&operator, false, None)
}

/// Registers a resource server.
#[utoipa::path(
    post, path = "/admin/new/resource",
    request_body(content = console::ResourceForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, FormAgain, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn create(Order(operator): Order) -> Result<Response, WebError> {
    let made = async {
        let resource = read(&operator)?;
        if operator.app().store.resource(&resource.audience).await?.is_some() {
            let there = "there is a resource server of that audience already: change that one";
            return Err(Problem::new(StatusCode::CONFLICT, there));
        }
        acts::put(operator.app(), &operator.actor(), resource).await
    };
    match made.await {
        Ok(resource) => Ok(done(&operator, &resource.name, "registered")),
        Err(problem) => Ok(show_form(&operator, false, Some(refused(problem)?))),
    }
}

/// The form that changes a resource server.
#[utoipa::path(
    get, path = "/admin/resources/edit",
    params(("audience" = String, Query, description = "Its audience")),
    responses(Shown, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn edit(operator: Operator) -> Result<Response, WebError> {
    let resource = acts::find(operator.app(), operator.text("audience")).await?;
    let lines: Vec<String> = resource.scopes.iter().map(|(value, words)| format!("{value} = {words}")).collect();
    let page = FormPage {
        frame: operator.frame("resources"),
        changes: true,
        audience: resource.audience.as_str(),
        name: &resource.name,
        scopes: &lines.join("\n"),
        introspected_by: resource.introspected_by.as_ref().map(ClientId::as_str).unwrap_or_default(),
        problem: "",
    };
    Ok(operator.show(&page))
}

/// Replaces all that is registered of a resource server.
#[utoipa::path(
    post, path = "/admin/resources/edit",
    request_body(content = console::ResourceForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, Gone, FormAgain, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn update(Order(operator): Order) -> Result<Response, WebError> {
    acts::find(operator.app(), operator.text("audience").trim()).await?;
    let changed = async { acts::put(operator.app(), &operator.actor(), read(&operator)?).await };
    match changed.await {
        Ok(resource) => Ok(done(&operator, &resource.name, "changed")),
        Err(problem) => Ok(show_form(&operator, true, Some(refused(problem)?))),
    }
}

/// Asks whether a resource server is to be removed.
#[utoipa::path(
    get, path = "/admin/resources/remove",
    params(("audience" = String, Query, description = "Its audience")),
    responses(Shown, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_remove(operator: Operator) -> Result<Response, WebError> {
    let resource = acts::find(operator.app(), operator.text("audience")).await?;
    let confirm = Confirm::new(&operator, "resources", "Remove the resource server?", "Remove it")
        .about("Name", &resource.name)
        .about("Audience", resource.audience.as_str())
        .says("Users who are asked for consent read its bare scope values then, and the client that asks about its tokens for it is answered no more. Tokens stay good.")
        .dangerous()
        .posts("/admin/resources/remove", PATH)
        .carries("audience", resource.audience.as_str());
    Ok(operator.show(&confirm))
}

/// Removes a resource server.
#[utoipa::path(
    post, path = "/admin/resources/remove",
    request_body(content = console::AudienceForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn remove(Order(operator): Order) -> Result<Response, WebError> {
    let audience = operator.text("audience");
    acts::delete(operator.app(), &operator.actor(), audience).await?;
    Ok(done(&operator, audience, "removed"))
}

/// What the form says, read as the admin API reads a body.
fn read(operator: &Operator) -> Result<Resource, Problem> {
    let unusable = |error: Malformed| Problem::bad_request(&error.to_string());
    let pair = |line: &str| {
        let (value, words) = line.split_once('=').unwrap_or((line, ""));
        (value.trim().to_owned(), words.trim().to_owned())
    };
    let scopes: BTreeMap<String, String> =
        operator.text("scopes").lines().filter(|line| !line.trim().is_empty()).map(pair).collect();
    let introspected_by = operator.given("introspected_by").map(str::trim).map(str::parse::<ClientId>);
    Ok(Resource {
        audience: operator.text("audience").trim().parse().map_err(unusable)?,
        name: operator.text("name").trim().to_owned(),
        scopes,
        introspected_by: introspected_by.transpose().map_err(unusable)?,
    })
}

fn show_form(operator: &Operator, changes: bool, refused: Option<(StatusCode, String)>) -> Response {
    let (status, problem) = refused.unwrap_or_default();
    let page = FormPage {
        frame: operator.frame("resources"),
        changes,
        audience: operator.text("audience"),
        name: operator.text("name"),
        scopes: operator.text("scopes"),
        introspected_by: operator.text("introspected_by"),
        problem: &problem,
    };
    operator.show_with(status, &page)
}

fn done(operator: &Operator, name: &str, what: &str) -> Response {
    operator.done(PATH, &Told::done(&format!("The resource server {name} is {what}.")))
}
