//! `/admin/keys`: which keys sign and what became of the others; replacing and revoking them.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use tollgate_keys::PublicKey;
use tollgate_model::{KeyState, TokenAlg};
use tollgate_system::ambient;

use super::confirm::Confirm;
use super::operator::{Operator, Order};
use super::refused;
use super::told::Told;
use crate::admin_api::acts::keys as acts;
use crate::admin_api::acts::revocations::reason;
use crate::openapi::console;
use crate::openapi::refusals::{ConsolePage, FormAgain, Gone, SentOn, Shown};
use crate::pages::page::{Frame, WebError};
use crate::pages::when::{When, when};
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "admin/keys.html")]
struct KeysPage {
    frame: Frame,
    told: Told,
    /// Whether those that are gone are shown, too.
    all: bool,
    keys: Vec<Row>,
}

struct Row {
    kid: String,
    alg: String,
    purpose: &'static str,
    state: &'static str,
    tone: &'static str,
    made: When,
    signs: Option<When>,
    retires: Option<When>,
    can_be_revoked: bool,
}

#[derive(Template)]
#[template(path = "admin/key_rotate.html")]
struct RotatePage<'a> {
    frame: Frame,
    /// What can be chosen, and whether it is.
    algs: [(&'static str, bool); 4],
    at_once: bool,
    /// How long after its publication a key signs, unless at once.
    ahead: String,
    problem: &'a str,
}

/// The keys.
#[utoipa::path(
    get, path = "/admin/keys",
    params(("all" = Option<String>, Query, description = "Those that are gone, too")),
    responses(Shown, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn list(operator: Operator) -> Result<Response, WebError> {
    let (all, now) = (operator.ticked("all"), ambient::now());
    let mut keys = acts::listed(operator.app(), |key| all || key.state != KeyState::Gone).await?;
    keys.sort_by_key(|key| (rank(key), key.alg.clone()));
    Ok(operator.show(&KeysPage {
        frame: operator.frame("keys"),
        told: operator.told(),
        all,
        keys: keys.iter().map(|key| row(key, now)).collect(),
    }))
}

/// The form that asks which keys are to be replaced.
#[utoipa::path(get, path = "/admin/new/key", responses(Shown, ConsolePage), security(("session" = [])))]
pub(crate) async fn ask_rotate(operator: Operator) -> Response {
    operator.show(&rotate_page(&operator, ""))
}

/// Makes the next keys.
#[utoipa::path(
    post, path = "/admin/new/key",
    request_body(content = console::RotateForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, FormAgain, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn rotate(Order(operator): Order) -> Result<Response, WebError> {
    let made = async {
        let alg = operator.given("alg").map(str::parse::<TokenAlg>).transpose();
        let alg = alg.map_err(|error| Problem::bad_request(&error.to_string()))?;
        acts::rotate(operator.app(), &operator.actor(), alg, operator.ticked("at_once")).await
    };
    match made.await {
        Ok(keys) => {
            let names: Vec<String> = keys.iter().map(|key| format!("{} {}", key.alg, key.kid)).collect();
            Ok(operator.done("/admin/keys", &Told::done(&format!("On their way: {}.", names.join(", ")))))
        }
        Err(problem) => {
            let (status, problem) = refused(problem)?;
            Ok(operator.show_with(status, &rotate_page(&operator, &problem)))
        }
    }
}

/// Asks whether a key is to be revoked.
#[utoipa::path(
    get, path = "/admin/keys/{kid}/revoke",
    params(("kid" = String, Path, description = "The key's identifier")),
    responses(Shown, Gone, FormAgain, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_revoke(Path(kid): Path<String>, operator: Operator) -> Result<Response, WebError> {
    acts::check_revocable(operator.app(), &kid).await?;
    let confirm = Confirm::new(&operator, "keys", "Revoke the key?", "Revoke the key")
        .about("Key", &kid)
        .says("Every token that it signed, and whatever else is signed with it from now on, is refused at every edge at once. Clients must get new tokens.")
        .says("Another key is made in its place by itself. Do this when the key may be in other hands; to replace one in time, make the next keys instead.")
        .dangerous()
        .asks_why()
        .posts(&format!("/admin/keys/{}/revoke", super::in_path(&kid)), "/admin/keys");
    Ok(operator.show(&confirm))
}

/// Revokes a key.
#[utoipa::path(
    post, path = "/admin/keys/{kid}/revoke",
    params(("kid" = String, Path, description = "The key's identifier")),
    request_body(content = console::ReasonForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, Gone, FormAgain, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn revoke(Path(kid): Path<String>, Order(operator): Order) -> Result<Response, WebError> {
    let reason = reason(operator.given("reason"))?;
    let already = acts::revoke(operator.app(), &operator.actor(), &kid, reason).await?;
    let what = if already { "was revoked already" } else { "is revoked: every edge refuses its tokens" };
    Ok(operator.done("/admin/keys", &Told::done(&format!("The key {kid} {what}."))))
}

fn rotate_page<'a>(operator: &'a Operator, problem: &'a str) -> RotatePage<'a> {
    RotatePage {
        frame: operator.frame("keys"),
        algs: [TokenAlg::EdDsa, TokenAlg::Es256, TokenAlg::Rs256, TokenAlg::Hs256]
            .map(|alg| (alg.as_str(), alg.as_str() == operator.text("alg"))),
        at_once: operator.ticked("at_once"),
        ahead: crate::pages::when::span(operator.app().key_policy.ahead),
        problem,
    }
}

/// The order of the list: what signs tokens before what is for something else, and what signs now before what will and what did.
fn rank(key: &PublicKey) -> (u8, u8) {
    let purpose = match key.purpose.as_str() {
        "token" => 0,
        "snapshot" => 1,
        _ => 2,
    };
    let state = match key.state {
        KeyState::Active => 0,
        KeyState::Upcoming => 1,
        KeyState::Retiring => 2,
        KeyState::Revoked => 3,
        KeyState::Gone => 4,
    };
    (purpose, state)
}

fn row(key: &PublicKey, now: u64) -> Row {
    Row {
        kid: key.kid.clone(),
        alg: key.alg.clone(),
        purpose: match key.purpose.as_str() {
            "token" => "signs tokens",
            "derive" => "makes the HS256 keys of audiences",
            "secret" => "encrypts what is kept here",
            _ => "signs snapshots for edges",
        },
        state: key.state.as_str(),
        tone: match key.state {
            KeyState::Active => "good",
            KeyState::Upcoming => "accent",
            KeyState::Retiring => "warn",
            KeyState::Revoked => "bad",
            KeyState::Gone => "",
        },
        made: when(key.created_at, now),
        signs: key.signs_from.map(|at| when(at, now)),
        retires: key.retires_at.map(|at| when(at, now)),
        can_be_revoked: key.purpose == "token" && !matches!(key.state, KeyState::Revoked | KeyState::Gone),
    }
}
