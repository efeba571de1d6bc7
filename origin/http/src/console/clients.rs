//! `/admin/clients`: looking for clients, registering and changing them, their secrets, and refusing them from now on.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use tollgate_model::{Audience, Client, ClientStatus, GrantType, RedirectUri, Secret};
use tollgate_system::ambient;

use super::client_form::{self, ClientForm};
use super::confirm::Confirm;
use super::operator::{Operator, Order};
use super::refused;
use super::search::{self, Pager};
use super::told::Told;
use crate::admin_api::acts::clients as acts;
use crate::openapi::console;
use crate::openapi::refusals::{ConsolePage, FormAgain, Gone, SentOn, Shown};
use crate::pages::page::{Frame, WebError};
use crate::pages::when::{When, when};

#[derive(Template)]
#[template(path = "admin/clients.html")]
struct ClientsPage<'a> {
    frame: Frame,
    told: Told,
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
    created: When,
}

#[derive(Template)]
#[template(path = "admin/client.html")]
struct ClientPage {
    frame: Frame,
    told: Told,
    id: String,
    name: String,
    disabled: Option<When>,
    created: When,
    has_secret: bool,
    secrets: Vec<SecretRow>,
    facts: Vec<(String, Vec<String>)>,
    /// Whether the client registered itself (RFC 7591).
    registered_itself: bool,
    is_admin: bool,
}

struct SecretRow {
    made: When,
    until: Option<When>,
    is_over: bool,
}

#[derive(Template)]
#[template(path = "admin/client_form.html")]
struct FormPage<'a> {
    frame: Frame,
    form: &'a ClientForm,
    /// The client that is changed; empty for a new one.
    changes: &'a str,
    problem: &'a str,
}

/// Clients, the newest first.
#[utoipa::path(
    get, path = "/admin/clients", params(console::SearchQuery),
    responses(Shown, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn list(operator: Operator) -> Result<Response, WebError> {
    let now = ambient::now();
    let found = acts::page(operator.app(), &search::asked(&operator)).await?;
    let (found, pager) = search::page(&operator, "/admin/clients", found, |client| client.id.to_string());
    Ok(operator.show(&ClientsPage {
        frame: operator.frame("clients"),
        told: operator.told(),
        search: operator.text("search"),
        clients: found.iter().map(|client| row(client, now)).collect(),
        pager,
    }))
}

/// The form for a new client.
#[utoipa::path(get, path = "/admin/new/client", responses(Shown, ConsolePage), security(("session" = [])))]
pub(crate) async fn new(operator: Operator) -> Result<Response, WebError> {
    Ok(show_form(&operator, &ClientForm::empty(), "", None))
}

/// Registers a client.
#[utoipa::path(
    post, path = "/admin/new/client",
    request_body(content = console::ClientForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, FormAgain, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn create(Order(operator): Order) -> Result<Response, WebError> {
    let form = ClientForm::of(&operator);
    let made = async {
        let (id, metadata) = (form.id()?, form.metadata()?);
        if metadata.scope.is_admin() && !operator.ticked("confirmed") {
            return Ok(None);
        }
        acts::register(operator.app(), &operator.actor(), id, metadata).await.map(Some)
    };
    match made.await {
        Ok(None) => Ok(operator.show(&admin_scope(&operator, &form, "/admin/new/client", "Register the client"))),
        Ok(Some((client, secret))) => {
            let told = Told::done(&format!("The client {} is registered.", client.metadata.name));
            Ok(operator.done(&format!("/admin/clients/{}", client.id), &with_secret(told, secret.as_ref())))
        }
        Err(problem) => Ok(show_form(&operator, &form, "", Some(refused(problem)?))),
    }
}

/// One client.
#[utoipa::path(
    get, path = "/admin/clients/{id}",
    params(("id" = String, Path, description = "The client's id")),
    responses(Shown, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn show(Path(id): Path<String>, operator: Operator) -> Result<Response, WebError> {
    let (client, now) = (acts::find(operator.app(), &id).await?, ambient::now());
    let secret = |secret: &tollgate_model::StoredSecret| SecretRow {
        made: when(secret.created_at, now),
        until: secret.expires_at.map(|at| when(at, now)),
        is_over: secret.expires_at.is_some_and(|at| at <= now),
    };
    Ok(operator.show(&ClientPage {
        frame: operator.frame("clients"),
        told: operator.told(),
        id: client.id.to_string(),
        name: client.metadata.name.clone(),
        disabled: match client.status {
            ClientStatus::Active => None,
            ClientStatus::Disabled { at } => Some(when(at, now)),
        },
        created: when(client.created_at, now),
        has_secret: acts::has_secret(&client),
        secrets: client.secrets.iter().map(secret).collect(),
        facts: facts(&client, operator.app().default_audience.as_str()),
        registered_itself: client.registration.is_some(),
        is_admin: client.metadata.scope.is_admin(),
    }))
}

/// The form that changes a client.
#[utoipa::path(
    get, path = "/admin/clients/{id}/edit",
    params(("id" = String, Path, description = "The client's id")),
    responses(Shown, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn edit(Path(id): Path<String>, operator: Operator) -> Result<Response, WebError> {
    let client = acts::find(operator.app(), &id).await?;
    Ok(show_form(&operator, &ClientForm::from_client(&client), client.id.as_str(), None))
}

/// Replaces all that is registered of a client.
#[utoipa::path(
    post, path = "/admin/clients/{id}/edit",
    params(("id" = String, Path, description = "The client's id")),
    request_body(content = console::ClientForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, Gone, FormAgain, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn update(Path(id): Path<String>, Order(operator): Order) -> Result<Response, WebError> {
    let client = acts::find(operator.app(), &id).await?;
    let form = ClientForm::of(&operator);
    let path = format!("/admin/clients/{}", client.id);
    let changed = async {
        let metadata = form.metadata()?;
        let becomes_admin = metadata.scope.is_admin() && !client.metadata.scope.is_admin();
        if becomes_admin && !operator.ticked("confirmed") {
            return Ok(None);
        }
        acts::update(operator.app(), &operator.actor(), &client, &metadata).await.map(Some)
    };
    match changed.await {
        Ok(None) => Ok(operator.show(&admin_scope(&operator, &form, &format!("{path}/edit"), "Change the client"))),
        Ok(Some(client)) => {
            let told = Told::done(&format!("The client {} is changed.", client.metadata.name));
            Ok(operator.done(&path, &told))
        }
        Err(problem) => Ok(show_form(&operator, &form, client.id.as_str(), Some(refused(problem)?))),
    }
}

/// Asks whether a client is to have another secret.
#[utoipa::path(
    get, path = "/admin/clients/{id}/secret",
    params(("id" = String, Path, description = "The client's id")),
    responses(Shown, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_secret(Path(id): Path<String>, operator: Operator) -> Result<Response, WebError> {
    let client = acts::find(operator.app(), &id).await?;
    let path = format!("/admin/clients/{}", client.id);
    let confirm = Confirm::new(&operator, "clients", "Give the client another secret?", "Make a new secret")
        .about("Client", &client.metadata.name)
        .about("Client id", client.id.as_str())
        .says("A new secret is made and shown once. The one in use stays good for a day, so that the client can change over; older ones end at once.")
        .posts(&format!("{path}/secret"), &path);
    Ok(operator.show(&confirm))
}

/// Gives a client another secret.
#[utoipa::path(
    post, path = "/admin/clients/{id}/secret",
    params(("id" = String, Path, description = "The client's id")),
    request_body(content = console::BareForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, Gone, FormAgain, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn rotate_secret(Path(id): Path<String>, Order(operator): Order) -> Result<Response, WebError> {
    let client = acts::find(operator.app(), &id).await?;
    let (client, secret) = acts::rotate_secret(operator.app(), &operator.actor(), &client).await?;
    let told = Told::done("The client has a new secret. The one before stays good for a day.");
    Ok(operator.done(&format!("/admin/clients/{}", client.id), &with_secret(told, Some(&secret))))
}

/// Asks whether a client is to be disabled.
#[utoipa::path(
    get, path = "/admin/clients/{id}/disable",
    params(("id" = String, Path, description = "The client's id")),
    responses(Shown, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_disable(Path(id): Path<String>, operator: Operator) -> Result<Response, WebError> {
    let client = acts::find(operator.app(), &id).await?;
    let path = format!("/admin/clients/{}", client.id);
    let confirm = Confirm::new(&operator, "clients", "Disable the client?", "Disable the client")
        .about("Client", &client.metadata.name)
        .about("Client id", client.id.as_str())
        .says("From now on it gets no token and may ask about none.")
        .says("Its tokens are revoked, and what users gave it ends: the tokens are refused at every edge at once. Enabling it again does not bring them back.")
        .dangerous()
        .posts(&format!("{path}/disable"), &path);
    Ok(operator.show(&confirm))
}

/// Disables a client.
#[utoipa::path(
    post, path = "/admin/clients/{id}/disable",
    params(("id" = String, Path, description = "The client's id")),
    request_body(content = console::BareForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn disable(Path(id): Path<String>, Order(operator): Order) -> Result<Response, WebError> {
    let client = acts::find(operator.app(), &id).await?;
    let client = acts::disable(operator.app(), &operator.actor(), &client).await?;
    let told = Told::done(&format!("The client {} is disabled.", client.metadata.name));
    Ok(operator.done(&format!("/admin/clients/{}", client.id), &told))
}

/// Asks whether a client may authenticate again.
#[utoipa::path(
    get, path = "/admin/clients/{id}/enable",
    params(("id" = String, Path, description = "The client's id")),
    responses(Shown, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_enable(Path(id): Path<String>, operator: Operator) -> Result<Response, WebError> {
    let client = acts::find(operator.app(), &id).await?;
    let path = format!("/admin/clients/{}", client.id);
    let confirm = Confirm::new(&operator, "clients", "Enable the client?", "Enable the client")
        .about("Client", &client.metadata.name)
        .about("Client id", client.id.as_str())
        .says("It may get tokens again, with the secrets and keys that it has. What was revoked stays revoked.")
        .posts(&format!("{path}/enable"), &path);
    Ok(operator.show(&confirm))
}

/// Lets a client that was disabled authenticate again.
#[utoipa::path(
    post, path = "/admin/clients/{id}/enable",
    params(("id" = String, Path, description = "The client's id")),
    request_body(content = console::BareForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn enable(Path(id): Path<String>, Order(operator): Order) -> Result<Response, WebError> {
    let client = acts::find(operator.app(), &id).await?;
    let client = acts::enable(operator.app(), &operator.actor(), &client).await?;
    let told = Told::done(&format!("The client {} may authenticate again.", client.metadata.name));
    Ok(operator.done(&format!("/admin/clients/{}", client.id), &told))
}

fn show_form(operator: &Operator, form: &ClientForm, changes: &str, refused: Option<(StatusCode, String)>) -> Response {
    let (status, problem) = refused.unwrap_or_default();
    let page = FormPage { frame: operator.frame("clients"), form, changes, problem: &problem };
    operator.show_with(status, &page)
}

/// The scope `tollgate:admin` opens everything that this console does: it is asked for once more.
fn admin_scope(operator: &Operator, form: &ClientForm, action: &str, button: &str) -> Confirm {
    let confirm = Confirm::new(operator, "clients", "Let the client administrate?", button)
        .about("Client", &form.name)
        .says("Its scope has tollgate:admin. With that and this server as its audience, the client may do all that administrators do: register clients, revoke anything, and rotate keys.")
        .dangerous()
        .posts(action, "/admin/clients")
        .carries("confirmed", "yes");
    form.fields().into_iter().fold(confirm, |confirm, (name, value)| confirm.carries(name, &value))
}

fn with_secret(told: Told, secret: Option<&Secret>) -> Told {
    match secret {
        Some(secret) => told.with_secret("client_secret", secret.reveal()),
        None => told,
    }
}

/// The last part of a grant's registered name.
fn short(grant: GrantType) -> &'static str {
    grant.as_str().rsplit(':').next().unwrap_or_default()
}

fn row(client: &Client, now: u64) -> Row {
    let metadata = &client.metadata;
    Row {
        id: client.id.to_string(),
        name: metadata.name.clone(),
        owner: metadata.owner.clone().unwrap_or_default(),
        grants: metadata.grant_types.iter().map(|grant| short(*grant)).collect::<Vec<_>>().join(", "),
        scope: metadata.scope.to_string(),
        is_admin: metadata.scope.is_admin(),
        is_active: client.is_active(),
        created: when(client.created_at, now),
    }
}

/// What is registered of a client, in the order in which people ask for it; what is not registered is left out.
fn facts(client: &Client, default_audience: &str) -> Vec<(String, Vec<String>)> {
    let metadata = &client.metadata;
    let uris = |uris: &[RedirectUri]| uris.iter().map(ToString::to_string).collect::<Vec<_>>();
    let audiences: Vec<String> = match metadata.audiences.is_empty() {
        true => vec![format!("{default_audience} (the default)")],
        false => metadata.audiences.iter().map(Audience::to_string).collect(),
    };
    let own: [(&str, Vec<String>); 9] = [
        ("Owner", metadata.owner.iter().cloned().collect()),
        (
            "First party",
            vec![if metadata.first_party { "yes: its users are not asked for consent" } else { "no" }.to_owned()],
        ),
        ("Authenticates by", vec![metadata.auth_method.to_string()]),
        ("Grants", metadata.grant_types.iter().map(|grant| short(*grant).to_owned()).collect()),
        ("Redirect URIs", uris(&metadata.redirect_uris)),
        ("After a logout", uris(&metadata.post_logout_redirect_uris)),
        ("Scope", metadata.scope.values().map(str::to_owned).collect()),
        ("Audiences", audiences),
        ("Access tokens", vec![format!("{}, signed with {}", metadata.access_token_format, metadata.alg.as_str())]),
    ];
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let rest = client_form::rest(metadata).into_iter().map(|(name, value)| (name, vec![text(value)]));
    let own = own.into_iter().filter(|(_, values)| !values.is_empty());
    own.map(|(name, values)| (name.to_owned(), values)).chain(rest).collect()
}
