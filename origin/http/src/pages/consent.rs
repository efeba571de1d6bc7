//! `/consent`: asks a signed-in user whether a client may have what it requests.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_model::text::displayable;
use tollgate_model::{
    Access, Actor, AuditAction, AuditKind, AuthorizationError, AuthorizationStep, NewAuditEntry, SecretHash,
};

use super::error::WebError;
use super::login::{get_client, get_pending_request};
use super::page::{Flow, Layout, host};
use super::page_request::{CsrfCheckedForm, PageRequest};
use super::publisher::Publisher;
use crate::oauth::authorization_response::ReturnTo;
use crate::oauth::authorize::{consented_access, is_hinted, issue_code, next_page};
use crate::openapi::forms;
use crate::openapi::responses::{HtmlPage, SeeOther};

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    layout: Layout,
    /// The handle of the authorization request.
    request: &'a str,
    client: &'a str,
    publisher: Publisher,
    /// The host of the redirect URI.
    host: &'a str,
    permissions: &'a [Permission],
    /// The authorization details (RFC 9396), as JSON.
    details: &'a [String],
}

/// The consent page.
#[utoipa::path(
    get, path = "/consent",
    params(("request" = String, Query, description = "The pending authorization request")),
    responses(HtmlPage, SeeOther, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn get(page: PageRequest) -> Result<Response, WebError> {
    let handle = page.params.get("request").ok_or_else(WebError::request_expired)?;
    let request = get_pending_request(&page.state, handle).await?;
    let client = get_client(&page.state.store, &request).await?;
    let Some((login, user)) = page.user().await? else {
        return next_page(&page.state.authorization, &client, request, &page.browser, Some(handle)).await;
    };
    let is_expected = is_hinted(&page.state.authorization, &client, &request, &login).await?;
    if !is_expected || request.next_step(Some(&login), false, page.state.clock.now()) != Ok(AuthorizationStep::Consent)
    {
        return next_page(&page.state.authorization, &client, request, &page.browser, Some(handle)).await;
    }
    let template = ConsentPage {
        layout: page.layout().for_user(&user, ""),
        request: handle,
        client: &displayable(&client.metadata.name),
        publisher: Publisher::new(&client),
        host: &host(&request.redirect_uri),
        permissions: &permissions(&page, &consented_access(&request)?).await?,
        details: &request.access.details.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    Ok(page.page_with(StatusCode::OK, &template, Flow::Application))
}

/// Records the decision, and redirects to the client.
#[utoipa::path(
    post, path = "/consent",
    request_body(content = forms::ConsentForm, content_type = "application/x-www-form-urlencoded"),
    responses(HtmlPage, SeeOther, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn post(CsrfCheckedForm(page): CsrfCheckedForm) -> Result<Response, WebError> {
    let state = &page.state;
    let handle = page.params.get("request").ok_or_else(WebError::request_expired)?;
    let request = get_pending_request(state, handle).await?;
    let client = get_client(&state.store, &request).await?;
    let allowed = page.decision()?.ok_or_else(WebError::undecided)?;
    let Some((login, user)) = page.user().await? else {
        return next_page(&state.authorization, &client, request, &page.browser, Some(handle)).await;
    };
    // Meanwhile the sign-in may have become too old for this request, or another user signed in.
    let is_expected = is_hinted(&state.authorization, &client, &request, &login).await?;
    if !is_expected || request.next_step(Some(&login), false, page.state.clock.now()) == Ok(AuthorizationStep::SignIn) {
        return next_page(&state.authorization, &client, request, &page.browser, Some(handle)).await;
    }
    let answered = state.store.complete_authorization_request(&SecretHash::of(handle), page.state.clock.now()).await?;
    let request = answered.ok_or_else(WebError::request_expired)?;
    if !allowed {
        let (action, kind) = (AuditAction::Deny, AuditKind::CLIENT);
        let by = Actor::user(&user.id);
        state
            .writer
            .record_audit_note(NewAuditEntry::new(page.state.clock.now(), by, action, kind, client.id.as_str()))
            .await?;
        let (to, error) = (ReturnTo::of(&request), AuthorizationError::Denied);
        return state.authorization.responses.send_error(&client, &page.browser, &to, &error).await;
    }
    issue_code(&state.authorization, &client, &request, &page.browser, &login, Some(&consented_access(&request)?)).await
}

/// What a client asks for, as a user reads it.
pub(super) struct Permission {
    pub(super) description: String,
    /// The name of the resource server; empty for what this server has.
    pub(super) resource: String,
}

/// Describes what a client asks for: first the claims about the user, then access to resource
/// servers, in their own descriptions or else as scope values, and last how long.
pub(super) async fn permissions(page: &PageRequest, access: &Access) -> Result<Vec<Permission>, WebError> {
    let mut described: BTreeMap<String, Permission> = BTreeMap::new();
    for audience in access.audience.iter() {
        if let Some(resource) = page.state.store.find_resource(audience).await? {
            let own = |(value, description): (String, String)| {
                (value, Permission { description, resource: resource.name.clone() })
            };
            described.extend(resource.scopes.into_iter().map(own));
        }
    }
    let text = |id: &str| Permission { description: page.messages.text(id).to_string(), resource: String::new() };
    let mut permissions: Vec<(usize, Permission)> = Vec::new();
    for value in access.scope.values().filter(|value| *value != "offline_access") {
        let standard = STANDARD_SCOPES.iter().position(|(scope, _)| *scope == value);
        permissions.push(match (described.remove(value), standard) {
            (Some(permission), _) => (STANDARD_SCOPES.len(), permission),
            (None, Some(position)) => (position, text(STANDARD_SCOPES[position].1)),
            (None, None) => {
                let bare = Permission { description: value.to_owned(), resource: String::new() };
                (STANDARD_SCOPES.len(), bare)
            }
        });
    }
    if access.scope.has("offline_access") {
        permissions.push((usize::MAX, text("scope-offline-access")));
    }
    // Stable: those of one position keep the client's order.
    permissions.sort_by_key(|(position, _)| *position);
    Ok(permissions.into_iter().map(|(_, permission)| permission).collect())
}

/// OpenID Connect's scope values (Core §5.4) with their messages, in the order in which they are
/// shown.
const STANDARD_SCOPES: [(&str, &str); 6] = [
    ("openid", "scope-openid"),
    ("profile", "scope-profile"),
    ("email", "scope-email"),
    ("address", "scope-address"),
    ("phone", "scope-phone"),
    ("groups", "scope-groups"),
];
