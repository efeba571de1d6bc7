//! `/consent`: a signed-in user is asked whether a client may have what it asks for.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_model::text::legible;
use tollgate_model::{Access, Actor, AuditAction, AuditKind, AuditNote, AuthorizationError, SecretHash, Step};
use tollgate_system::ambient;

use super::login::{client_of, find};
use super::page::{Frame, Part, WebError};
use super::visit::{Posted, Visit};
use crate::App;
use crate::oauth::authorization::ReturnTo;
use crate::oauth::authorize::{go_on, is_hinted, issue_code};
use crate::openapi::forms;
use crate::openapi::refusals::{SentOn, Shown};

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    frame: Frame,
    request: &'a str,
    client: &'a str,
    /// Who answers for the client; empty where nobody is named.
    owner: &'a str,
    /// Where the answer goes.
    host: &'a str,
    wishes: &'a [Wish],
    details: &'a [String],
}

/// The page to agree.
#[utoipa::path(
    get, path = "/consent",
    params(("request" = String, Query, description = "The authorization request that waits")),
    responses(Shown, SentOn, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn get(visit: Visit) -> Result<Response, WebError> {
    let handle = visit.said.get("request").ok_or_else(WebError::gone)?;
    let request = find(&visit.app, handle).await?;
    let client = client_of(&visit.app, &request).await?;
    let Some((login, user)) = visit.user().await? else {
        return go_on(&visit.app, &client, request, &visit.browser, Some(handle)).await;
    };
    let is_expected = is_hinted(&visit.app, &client, &request, &login).await?;
    if !is_expected || request.step(Some(&login), false, ambient::now()) != Ok(Step::Consent) {
        return go_on(&visit.app, &client, request, &visit.browser, Some(handle)).await;
    }
    let template = ConsentPage {
        frame: visit.frame().with(&user, ""),
        request: handle,
        client: &legible(&client.metadata.name),
        owner: &legible(client.metadata.owner.as_deref().unwrap_or_default()),
        host: &host(&request.redirect_uri),
        wishes: &wishes(&visit.app, &request.access).await?,
        details: &request.access.details.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    Ok(visit.page_with(StatusCode::OK, &template, Part::ApplicationFlow))
}

/// Agrees, or does not.
#[utoipa::path(
    post, path = "/consent",
    request_body(content = forms::ConsentForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, WebError),
    security(("session" = []), ()),
)]
pub(crate) async fn post(Posted(visit): Posted) -> Result<Response, WebError> {
    let app = &visit.app;
    let handle = visit.said.get("request").ok_or_else(WebError::gone)?;
    let request = find(app, handle).await?;
    let client = client_of(app, &request).await?;
    let allowed = visit.decision()?.ok_or_else(WebError::undecided)?;
    let Some((login, user)) = visit.user().await? else {
        return go_on(app, &client, request, &visit.browser, Some(handle)).await;
    };
    // The sign-in may have grown too old for this request meanwhile, or be another user's.
    let is_expected = is_hinted(app, &client, &request, &login).await?;
    if !is_expected || request.step(Some(&login), false, ambient::now()) == Ok(Step::SignIn) {
        return go_on(app, &client, request, &visit.browser, Some(handle)).await;
    }
    let answered = app.store.answer_request(&SecretHash::of(handle), ambient::now()).await?;
    let request = answered.ok_or_else(WebError::gone)?;
    if !allowed {
        let (action, kind) = (AuditAction::Deny, AuditKind::CLIENT);
        let by = Actor::user(&user.id);
        app.writer.note(AuditNote::new(ambient::now(), by, action, kind, client.id.as_str())).await?;
        return Ok(ReturnTo::of(&request).error(app, &AuthorizationError::Denied));
    }
    issue_code(app, &client, &request, &login, Some(&request.access)).await
}

/// The host that the answer goes to, for people; or the scheme of an app on their machine.
fn host(redirect_uri: &str) -> String {
    let url = url::Url::parse(redirect_uri).ok();
    let host = url.as_ref().map(|url| url.host_str().map_or_else(|| format!("{}:", url.scheme()), str::to_owned));
    host.unwrap_or_default()
}

/// A thing that a client asks for, in words.
pub(super) struct Wish {
    /// What it is.
    pub(super) words: String,
    /// Where: the name of the resource server; empty for what is here.
    pub(super) place: String,
}

/// What a client asks for, in words: first what it learns of the user, then what it may do at its resource servers, in their words or
/// else as the scope says it, and last how long.
pub(super) async fn wishes(app: &App, access: &Access) -> Result<Vec<Wish>, WebError> {
    let mut elsewhere: BTreeMap<String, Wish> = BTreeMap::new();
    for audience in access.audience.iter() {
        if let Some(resource) = app.store.resource(audience).await? {
            let own = |(value, words): (String, String)| (value, Wish { words, place: resource.name.clone() });
            elsewhere.extend(resource.scopes.into_iter().map(own));
        }
    }
    let here = |value: &str| Wish { words: value.to_owned(), place: String::new() };
    let mut wishes: Vec<(usize, Wish)> = Vec::new();
    for value in access.scope.values().filter(|value| *value != "offline_access") {
        let ours = WORDS.iter().position(|(known, _)| *known == value);
        wishes.push(match (elsewhere.remove(value), ours) {
            (Some(wish), _) => (WORDS.len(), wish),
            (None, Some(place)) => (place, here(WORDS[place].1)),
            (None, None) => (WORDS.len(), here(value)),
        });
    }
    if access.scope.has("offline_access") {
        wishes.push((usize::MAX, here("Go on doing so when you are away")));
    }
    // Those of one place stay in their order.
    wishes.sort_by_key(|(place, _)| *place);
    Ok(wishes.into_iter().map(|(_, wish)| wish).collect())
}

/// Scope values of this origin's own, in the order in which they are told (OpenID Connect Core §5.4).
const WORDS: [(&str, &str); 5] = [
    ("openid", "Know who you are"),
    ("profile", "See your name and profile"),
    ("email", "See your email address"),
    ("address", "See your postal address"),
    ("phone", "See your telephone number"),
];
