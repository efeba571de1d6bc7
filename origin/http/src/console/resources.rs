//! `/admin/resources`: lists, creates, edits and removes resource servers with their scope values.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_model::{AccessTokenType, ClientId, Malformed, Resource, TokenAlg, TokenFormat, TokenProfile, Verifier};
use tollgate_services::admin::{AdminError, resource_version};

use super::admin_session::{AdminForm, AdminSession};
use super::confirm::Confirm;
use super::flash::Flash;
use super::form_error;
use crate::openapi::console;
use crate::openapi::responses::{ConsolePage, FormWithErrors, HtmlPage, PageNotFound, SeeOther};
use crate::pages::error::WebError;
use crate::pages::page::Layout;

const PATH: &str = "/admin/resources";

#[derive(Template)]
#[template(path = "console/resources.html")]
struct ListPage {
    layout: Layout,
    flash: Flash,
    resources: Vec<Row>,
}

struct Row {
    audience: String,
    /// The query that identifies it in a path.
    query: String,
    name: String,
    scopes: Vec<(String, String)>,
    introspected_by: String,
}

/// The form, with what was typed.
#[derive(Template)]
#[template(path = "console/resource_form.html")]
struct FormPage<'a> {
    layout: Layout,
    is_edit: bool,
    audience: &'a str,
    name: &'a str,
    scopes: &'a str,
    introspected_by: &'a str,
    alg: String,
    token_type: String,
    token_format: String,
    token_lifetime: String,
    token_claims: String,
    /// The version of the resource server that the form shows; empty for a new one.
    version: &'a str,
    problem: &'a str,
}

impl FormPage<'_> {
    fn verifiers() -> &'static [Verifier] {
        Verifier::ALL
    }

    fn algs() -> &'static [TokenAlg] {
        &TokenAlg::OF_ACCESS_TOKENS
    }

    fn token_types() -> &'static [AccessTokenType] {
        AccessTokenType::ALL
    }

    fn token_formats() -> &'static [TokenFormat] {
        TokenFormat::ALL
    }
}

/// Resource servers.
#[utoipa::path(get, path = "/admin/resources", responses(HtmlPage, ConsolePage), security(("session" = [])))]
pub(crate) async fn list(admin: AdminSession) -> Result<Response, WebError> {
    let row = |resource: Resource| Row {
        query: url::form_urlencoded::Serializer::new(String::new())
            .append_pair("audience", resource.audience.as_str())
            .finish(),
        audience: resource.audience.to_string(),
        name: resource.name,
        scopes: resource.scopes.into_iter().collect(),
        introspected_by: resource.introspected_by.as_ref().map(ClientId::to_string).unwrap_or_default(),
    };
    let resources = admin.commands().list_resources().await?;
    Ok(admin.show(&ListPage {
        layout: admin.layout("resources"),
        flash: admin.flash(),
        resources: resources.into_iter().map(row).collect(),
    }))
}

/// The form for a new resource server.
#[utoipa::path(get, path = "/admin/new/resource", responses(HtmlPage, ConsolePage), security(("session" = [])))]
pub(crate) async fn new(admin: AdminSession) -> Response {
    show_form(&admin, false, None)
}

/// Creates a resource server.
#[utoipa::path(
    post, path = "/admin/new/resource",
    request_body(content = console::ResourceForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn create(AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let created = async {
        let resource = parse(&admin)?;
        if admin.store().find_resource(&resource.audience).await?.is_some() {
            let exists = "a resource server with this audience exists: edit it instead";
            return Err(AdminError::Conflict(exists.to_owned()));
        }
        admin.commands().save_resource(&admin.actor(), resource).await
    };
    match created.await {
        Ok(resource) => Ok(redirect(&admin, "resource-created", &resource.name)),
        Err(problem) => Ok(show_form(&admin, false, Some(form_error(problem)?))),
    }
}

/// The form that edits a resource server.
#[utoipa::path(
    get, path = "/admin/resources/edit",
    params(("audience" = String, Query, description = "Its audience")),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn edit(admin: AdminSession) -> Result<Response, WebError> {
    let resource = admin.commands().get_resource(admin.param("audience")).await?;
    let lines: Vec<String> =
        resource.scopes.iter().map(|(value, description)| format!("{value} = {description}")).collect();
    let page = FormPage {
        layout: admin.layout("resources"),
        is_edit: true,
        audience: resource.audience.as_str(),
        name: &resource.name,
        scopes: &lines.join("\n"),
        introspected_by: resource.introspected_by.as_ref().map(ClientId::as_str).unwrap_or_default(),
        alg: resource.tokens.alg.map(|alg| alg.to_string()).unwrap_or_default(),
        token_type: resource.tokens.token_type.map(|kind| kind.to_string()).unwrap_or_default(),
        token_format: resource.tokens.format.map(|format| format.to_string()).unwrap_or_default(),
        token_lifetime: resource.tokens.lifetime.map(|seconds| seconds.to_string()).unwrap_or_default(),
        token_claims: Vec::from_iter(resource.tokens.claims.iter().map(String::as_str)).join(" "),
        version: &resource_version(&resource),
        problem: "",
    };
    Ok(admin.show(&page))
}

/// Replaces a resource server.
#[utoipa::path(
    post, path = "/admin/resources/edit",
    request_body(content = console::ResourceForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, PageNotFound, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn update(AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    admin.commands().get_resource(admin.param("audience").trim()).await?;
    let changed =
        async { admin.commands().replace_resource(&admin.actor(), parse(&admin)?, admin.param("version")).await };
    match changed.await {
        Ok(resource) => Ok(redirect(&admin, "resource-updated", &resource.name)),
        Err(problem) => Ok(show_form(&admin, true, Some(form_error(problem)?))),
    }
}

/// Asks for confirmation before removing a resource server.
#[utoipa::path(
    get, path = "/admin/resources/remove",
    params(("audience" = String, Query, description = "Its audience")),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_remove(admin: AdminSession) -> Result<Response, WebError> {
    let resource = admin.commands().get_resource(admin.param("audience")).await?;
    let confirm = Confirm::new(&admin, "resources", "resource-remove-title", "console-remove")
        .subject("console-name", &resource.name)
        .subject("resource-audience", resource.audience.as_str())
        .consequence("resource-remove-consequence")
        .dangerous()
        .posts("/admin/resources/remove", PATH)
        .carries("audience", resource.audience.as_str());
    Ok(admin.show(&confirm))
}

/// Removes a resource server.
#[utoipa::path(
    post, path = "/admin/resources/remove",
    request_body(content = console::AudienceForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn remove(AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let audience = admin.param("audience");
    admin.commands().delete_resource(&admin.actor(), audience).await?;
    Ok(redirect(&admin, "resource-removed", audience))
}

/// The resource server of the form, checked as the admin API checks a body.
fn parse(admin: &AdminSession) -> Result<Resource, AdminError> {
    let unusable = |error: Malformed| AdminError::from(error);
    let pair = |line: &str| {
        let (value, description) = line.split_once('=').unwrap_or((line, ""));
        (value.trim().to_owned(), description.trim().to_owned())
    };
    let scopes: BTreeMap<String, String> =
        admin.param("scopes").lines().filter(|line| !line.trim().is_empty()).map(pair).collect();
    let introspected_by = admin.find_param("introspected_by").map(str::trim).map(str::parse::<ClientId>);
    Ok(Resource {
        audience: admin.param("audience").trim().parse().map_err(unusable)?,
        name: admin.param("name").trim().to_owned(),
        scopes,
        introspected_by: introspected_by.transpose().map_err(unusable)?,
        tokens: parse_token_profile(admin).map_err(unusable)?,
    })
}

/// The token profile of the form: a chosen preset replaces algorithm, type and format.
fn parse_token_profile(admin: &AdminSession) -> Result<TokenProfile, Malformed> {
    let selected = |name| admin.find_param(name).map(str::trim).filter(|text| !text.is_empty());
    let lifetime = selected("token_lifetime").map(str::parse::<u64>).transpose();
    let profile = TokenProfile {
        alg: selected("alg").map(str::parse).transpose()?,
        token_type: selected("token_type").map(str::parse).transpose()?,
        format: selected("token_format").map(str::parse).transpose()?,
        lifetime: lifetime.map_err(|_| Malformed::new("access_token_lifetime", "must be a number of seconds"))?,
        claims: admin.param("token_claims").split_whitespace().map(str::to_owned).collect(),
    };
    Ok(match selected("verifier").map(str::parse).transpose()? {
        Some(verifier) => profile.with_preset(verifier),
        None => profile,
    })
}

fn show_form(admin: &AdminSession, is_edit: bool, error: Option<(StatusCode, String)>) -> Response {
    let (status, problem) = error.unwrap_or_default();
    let page = FormPage {
        layout: admin.layout("resources"),
        is_edit,
        audience: admin.param("audience"),
        name: admin.param("name"),
        scopes: admin.param("scopes"),
        introspected_by: admin.param("introspected_by"),
        alg: admin.param("alg").to_owned(),
        token_type: admin.param("token_type").to_owned(),
        token_format: admin.param("token_format").to_owned(),
        token_lifetime: admin.param("token_lifetime").to_owned(),
        token_claims: admin.param("token_claims").to_owned(),
        version: admin.param("version"),
        problem: &problem,
    };
    admin.show_with(status, &page)
}

fn redirect(admin: &AdminSession, message: &str, name: &str) -> Response {
    admin.redirect(PATH, &Flash::new(&admin.text(message).with("name", name)))
}
