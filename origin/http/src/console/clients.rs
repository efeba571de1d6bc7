//! `/admin/clients`: lists, creates, edits, disables and enables clients, and rotates their
//! secrets.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use tollgate_model::{
    Audience, Client, ClientMetadata, ClientProfile, ClientStatus, GrantType, PkceRequirement, RedirectUri, Secret,
};
use tollgate_services::admin::{NewSecret, RefusalView, SECRET_OVERLAP, has_secret};

use super::admin_session::{AdminForm, AdminSession};
use super::client_form::{self, ClientForm};
use super::confirm::Confirm;
use super::flash::Flash;
use super::form_error;
use super::search::{self, Pager};
use crate::openapi::console;
use crate::openapi::responses::{ConsolePage, FormWithErrors, HtmlPage, PageNotFound, SeeOther};
use crate::pages::error::WebError;
use crate::pages::page::Layout;
use crate::pages::time_format::Moment;

#[derive(Template)]
#[template(path = "console/clients.html")]
struct ClientsPage<'a> {
    layout: Layout,
    flash: Flash,
    search: &'a str,
    clients: Vec<Row>,
    pager: Pager,
}

struct Row {
    id: String,
    name: String,
    owner: String,
    grants: String,
    scope: String,
    is_admin: bool,
    is_active: bool,
    created: Moment,
}

#[derive(Template)]
#[template(path = "console/client.html")]
struct ClientPage {
    layout: Layout,
    flash: Flash,
    id: String,
    name: String,
    disabled: Option<Moment>,
    created: Moment,
    has_secret: bool,
    secrets: Vec<SecretRow>,
    /// The last refused requests, newest first.
    refusals: Vec<RefusalRow>,
    facts: Vec<(String, Vec<String>)>,
    /// Names of the messages that warn of its metadata.
    warnings: Vec<&'static str>,
    /// Whether the client registered itself (RFC 7591).
    registered_itself: bool,
    is_admin: bool,
}

/// A refused request.
struct RefusalRow {
    at: Moment,
    refused: RefusalView,
}

struct SecretRow {
    created: Moment,
    expires: Option<Moment>,
    is_expired: bool,
}

#[derive(Template)]
#[template(path = "console/client_form.html")]
struct FormPage<'a> {
    layout: Layout,
    form: &'a ClientForm,
    /// The client that is edited; empty for a new one.
    client_id: &'a str,
    problem: &'a str,
}

/// Clients, the newest first.
#[utoipa::path(
    get, path = "/admin/clients", params(console::SearchQuery),
    responses(HtmlPage, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn list(admin: AdminSession) -> Result<Response, WebError> {
    let now = admin.now();
    let found = admin.commands().search_clients(&search::requested(&admin)).await?;
    let (found, pager) = search::page(&admin, "/admin/clients", found, |client| client.id.to_string());
    Ok(admin.show(&ClientsPage {
        layout: admin.layout("clients"),
        flash: admin.flash(),
        search: admin.param("search"),
        clients: found.iter().map(|client| row(&admin, client, now)).collect(),
        pager,
    }))
}

/// The form for a new client.
#[utoipa::path(get, path = "/admin/new/client", responses(HtmlPage, ConsolePage), security(("session" = [])))]
pub(crate) async fn new(admin: AdminSession) -> Result<Response, WebError> {
    Ok(show_form(&admin, &ClientForm::empty(), "", None))
}

/// Creates a client.
#[utoipa::path(
    post, path = "/admin/new/client",
    request_body(content = console::ClientForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn create(AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let form = ClientForm::from_request(&admin);
    let created = async {
        let (id, metadata) = (form.id()?, form.metadata()?);
        if metadata.scope.is_admin() && !admin.is_checked("confirmed") {
            return Ok(None);
        }
        admin.commands().create_client(&admin.actor(), id, metadata, NewSecret::Generated).await.map(Some)
    };
    match created.await {
        Ok(None) => Ok(admin.show(&confirm_admin_scope(&admin, &form, "/admin/new/client", "client-create"))),
        Ok(Some((client, secret))) => {
            let flash = Flash::new(&admin.text("client-created").with("client", &client.metadata.name));
            Ok(admin.redirect(&format!("/admin/clients/{}", client.id), &with_secret(flash, secret.as_ref())))
        }
        Err(problem) => Ok(show_form(&admin, &form, "", Some(form_error(problem)?))),
    }
}

/// One client.
#[utoipa::path(
    get, path = "/admin/clients/{id}",
    params(("id" = String, Path, description = "The client's id")),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn show(Path(id): Path<String>, admin: AdminSession) -> Result<Response, WebError> {
    let (client, now) = (admin.commands().get_client(&id).await?, admin.now());
    let secret = |secret: &tollgate_model::StoredSecret| SecretRow {
        created: admin.moment(secret.created_at, now),
        expires: secret.expires_at.map(|at| admin.moment(at, now)),
        is_expired: secret.expires_at.is_some_and(|at| at <= now),
    };
    let refusal = |refused: RefusalView| RefusalRow { at: admin.moment(refused.refused.at, now), refused };
    Ok(admin.show(&ClientPage {
        layout: admin.layout("clients"),
        flash: admin.flash(),
        id: client.id.to_string(),
        name: client.metadata.name.clone(),
        disabled: match client.status {
            ClientStatus::Active | ClientStatus::Excluded { .. } => None,
            ClientStatus::Disabled { at } => Some(admin.moment(at, now)),
        },
        created: admin.moment(client.created_at, now),
        has_secret: has_secret(&client),
        secrets: client.secrets.iter().map(secret).collect(),
        refusals: admin.commands().list_refusals(&client).into_iter().map(refusal).collect(),
        facts: facts(&admin, &client),
        warnings: warnings(&client.metadata, admin.commands().profile),
        registered_itself: client.registration.is_some(),
        is_admin: client.metadata.scope.is_admin(),
    }))
}

/// The form that edits a client.
#[utoipa::path(
    get, path = "/admin/clients/{id}/edit",
    params(("id" = String, Path, description = "The client's id")),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn edit(Path(id): Path<String>, admin: AdminSession) -> Result<Response, WebError> {
    let client = admin.commands().get_client(&id).await?;
    Ok(show_form(&admin, &ClientForm::from_client(&client), client.id.as_str(), None))
}

/// Replaces a client's metadata.
#[utoipa::path(
    post, path = "/admin/clients/{id}/edit",
    params(("id" = String, Path, description = "The client's id")),
    request_body(content = console::ClientForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, PageNotFound, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn update(Path(id): Path<String>, AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let client = admin.commands().get_client(&id).await?;
    let form = ClientForm::from_request(&admin);
    let path = format!("/admin/clients/{}", client.id);
    let changed = async {
        let metadata = form.metadata()?;
        let becomes_admin = metadata.scope.is_admin() && !client.metadata.scope.is_admin();
        if becomes_admin && !admin.is_checked("confirmed") {
            return Ok(None);
        }
        let change = |current: &ClientMetadata| form.check_version(current).map(|()| metadata.clone());
        admin.commands().change_client(&admin.actor(), &id, change).await.map(Some)
    };
    match changed.await {
        Ok(None) => Ok(admin.show(&confirm_admin_scope(&admin, &form, &format!("{path}/edit"), "console-save"))),
        Ok(Some(client)) => {
            let flash = Flash::new(&admin.text("client-updated").with("client", &client.metadata.name));
            Ok(admin.redirect(&path, &flash))
        }
        Err(problem) => Ok(show_form(&admin, &form, client.id.as_str(), Some(form_error(problem)?))),
    }
}

/// Asks for confirmation before creating a client secret.
#[utoipa::path(
    get, path = "/admin/clients/{id}/secret",
    params(("id" = String, Path, description = "The client's id")),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_secret(Path(id): Path<String>, admin: AdminSession) -> Result<Response, WebError> {
    let client = admin.commands().get_client(&id).await?;
    let path = format!("/admin/clients/{}", client.id);
    let confirm = Confirm::new(&admin, "clients", "client-secret-title", "client-secret-create")
        .subject("console-client", &client.metadata.name)
        .subject("client-id", client.id.as_str())
        .consequence("client-secret-consequence")
        .posts(&format!("{path}/secret"), &path);
    Ok(admin.show(&confirm))
}

/// Creates a client secret.
#[utoipa::path(
    post, path = "/admin/clients/{id}/secret",
    params(("id" = String, Path, description = "The client's id")),
    request_body(content = console::ConfirmForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, PageNotFound, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn rotate_secret(Path(id): Path<String>, AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let client = admin.commands().get_client(&id).await?;
    let (client, secret) = admin.commands().rotate_client_secret(&admin.actor(), &client, SECRET_OVERLAP).await?;
    let flash = Flash::new(&admin.text("client-secret-created"));
    Ok(admin.redirect(&format!("/admin/clients/{}", client.id), &with_secret(flash, secret.as_ref())))
}

/// Asks for confirmation before disabling a client.
#[utoipa::path(
    get, path = "/admin/clients/{id}/disable",
    params(("id" = String, Path, description = "The client's id")),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_disable(Path(id): Path<String>, admin: AdminSession) -> Result<Response, WebError> {
    let client = admin.commands().get_client(&id).await?;
    let path = format!("/admin/clients/{}", client.id);
    let confirm = Confirm::new(&admin, "clients", "client-disable-title", "client-disable")
        .subject("console-client", &client.metadata.name)
        .subject("client-id", client.id.as_str())
        .consequence("client-disable-consequence")
        .consequence("client-disable-revocation")
        .dangerous()
        .posts(&format!("{path}/disable"), &path);
    Ok(admin.show(&confirm))
}

/// Disables a client and revokes its tokens.
#[utoipa::path(
    post, path = "/admin/clients/{id}/disable",
    params(("id" = String, Path, description = "The client's id")),
    request_body(content = console::ConfirmForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn disable(Path(id): Path<String>, AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let client = admin.commands().get_client(&id).await?;
    let client = admin.commands().disable_client(&admin.actor(), &client).await?;
    let flash = Flash::new(&admin.text("client-disabled").with("client", &client.metadata.name));
    Ok(admin.redirect(&format!("/admin/clients/{}", client.id), &flash))
}

/// Asks for confirmation before enabling a client.
#[utoipa::path(
    get, path = "/admin/clients/{id}/enable",
    params(("id" = String, Path, description = "The client's id")),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_enable(Path(id): Path<String>, admin: AdminSession) -> Result<Response, WebError> {
    let client = admin.commands().get_client(&id).await?;
    let path = format!("/admin/clients/{}", client.id);
    let confirm = Confirm::new(&admin, "clients", "client-enable-title", "client-enable")
        .subject("console-client", &client.metadata.name)
        .subject("client-id", client.id.as_str())
        .consequence("client-enable-consequence")
        .posts(&format!("{path}/enable"), &path);
    Ok(admin.show(&confirm))
}

/// Enables a disabled client.
#[utoipa::path(
    post, path = "/admin/clients/{id}/enable",
    params(("id" = String, Path, description = "The client's id")),
    request_body(content = console::ConfirmForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn enable(Path(id): Path<String>, AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let client = admin.commands().get_client(&id).await?;
    let client = admin.commands().enable_client(&admin.actor(), &client).await?;
    let flash = Flash::new(&admin.text("client-enabled").with("client", &client.metadata.name));
    Ok(admin.redirect(&format!("/admin/clients/{}", client.id), &flash))
}

fn show_form(
    admin: &AdminSession,
    form: &ClientForm,
    client_id: &str,
    error: Option<(StatusCode, String)>,
) -> Response {
    let (status, problem) = error.unwrap_or_default();
    let page = FormPage { layout: admin.layout("clients"), form, client_id, problem: &problem };
    admin.show_with(status, &page)
}

/// Asks for confirmation before a client gets the scope `tollgate:admin`, which allows everything
/// that this console does.
fn confirm_admin_scope(admin: &AdminSession, form: &ClientForm, action: &str, button: &'static str) -> Confirm {
    let confirm = Confirm::new(admin, "clients", "client-admin-scope-title", button)
        .subject("console-client", &form.name)
        .consequence("client-admin-scope")
        .dangerous()
        .posts(action, "/admin/clients")
        .carries("confirmed", "yes");
    form.fields().into_iter().fold(confirm, |confirm, (name, value)| confirm.carries(name, &value))
}

fn with_secret(flash: Flash, secret: Option<&Secret>) -> Flash {
    match secret {
        Some(secret) => flash.with_secret("client_secret", secret.reveal()),
        None => flash,
    }
}

/// The last part of a grant type's name.
fn short_name(grant: GrantType) -> &'static str {
    grant.as_str().rsplit(':').next().unwrap_or_default()
}

fn row(admin: &AdminSession, client: &Client, now: u64) -> Row {
    let metadata = &client.metadata;
    Row {
        id: client.id.to_string(),
        name: metadata.name.clone(),
        owner: metadata.owner.clone().unwrap_or_default(),
        grants: metadata.grant_types.iter().map(|grant| short_name(*grant)).collect::<Vec<_>>().join(", "),
        scope: metadata.scope.to_string(),
        is_admin: metadata.scope.is_admin(),
        is_active: client.is_active(),
        created: admin.moment(client.created_at, now),
    }
}

/// The messages that warn of what weakens the client, or keeps it out.
fn warnings(metadata: &ClientMetadata, profile: Option<ClientProfile>) -> Vec<&'static str> {
    let applies = [
        ("client-warning-profile", metadata.clone().under(profile).is_err()),
        ("client-warning-no-pkce", metadata.pkce_requirement() == PkceRequirement::Never),
        ("client-warning-front-channel", metadata.response_types.iter().any(|named| named.is_legacy())),
        ("client-warning-password-grant", metadata.allows(GrantType::Password)),
        ("client-warning-http-redirect", metadata.all_redirect_uris().any(RedirectUri::is_insecure)),
    ];
    applies.into_iter().filter_map(|(message, applies)| applies.then_some(message)).collect()
}

/// A client's metadata as labels and values, without what is not set.
fn facts(admin: &AdminSession, client: &Client) -> Vec<(String, Vec<String>)> {
    let metadata = &client.metadata;
    let text = |id: &str| admin.text(id).to_string();
    let uris = |uris: &[RedirectUri]| uris.iter().map(ToString::to_string).collect::<Vec<_>>();
    let audiences: Vec<String> = match metadata.audiences.is_empty() {
        true => {
            let audience = admin.page.state.issuer.default_audience.as_str();
            vec![admin.text("client-audience-default").with("audience", audience).to_string()]
        }
        false => metadata.audiences.iter().map(Audience::to_string).collect(),
    };
    let access_tokens = admin
        .text("client-access-tokens-value")
        .with("format", metadata.access_token_format.to_string())
        .with("algorithm", metadata.alg.as_str())
        .to_string();
    let first_party = if metadata.first_party { "client-first-party-yes" } else { "client-first-party-no" };
    let rotation = metadata.rotate_refresh_tokens.map(|rotates| match rotates {
        true => text("client-rotation-on"),
        false => text("client-rotation-off"),
    });
    let own: [(&str, Vec<String>); 10] = [
        ("client-owner", metadata.owner.iter().cloned().collect()),
        ("client-first-party", vec![text(first_party)]),
        ("client-authentication", vec![metadata.auth_method.to_string()]),
        ("client-grants", metadata.grant_types.iter().map(|grant| short_name(*grant).to_owned()).collect()),
        ("client-rotation", rotation.into_iter().collect()),
        ("client-redirect-uris", uris(&metadata.redirect_uris)),
        ("client-logout-uris", uris(&metadata.post_logout_redirect_uris)),
        ("console-scope", metadata.scope.values().map(str::to_owned).collect()),
        ("client-audiences", audiences),
        ("client-access-tokens", vec![access_tokens]),
    ];
    let value = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let other = client_form::other_members(metadata).into_iter().map(|(name, member)| (name, vec![value(member)]));
    let own = own.into_iter().filter(|(_, values)| !values.is_empty());
    own.map(|(label, values)| (text(label), values)).chain(other).collect()
}
