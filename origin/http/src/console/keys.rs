//! `/admin/keys`: lists, rotates and revokes signing keys.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use tollgate_keys::PublicKey;
use tollgate_messages::Value;
use tollgate_model::{IMPORTED_PURPOSE, KeyState, TokenAlg};
use tollgate_services::admin::{AdminError, parse_reason};

use super::admin_session::{AdminForm, AdminSession};
use super::confirm::Confirm;
use super::flash::Flash;
use super::form_error;
use crate::openapi::console;
use crate::openapi::responses::{ConsolePage, FormWithErrors, HtmlPage, PageNotFound, SeeOther};
use crate::pages::error::WebError;
use crate::pages::page::Layout;
use crate::pages::time_format::Moment;

#[derive(Template)]
#[template(path = "console/keys.html")]
struct KeysPage {
    layout: Layout,
    flash: Flash,
    /// Whether deleted keys are shown, too.
    all: bool,
    keys: Vec<Row>,
}

struct Row {
    kid: String,
    alg: String,
    /// Names of messages.
    purpose: &'static str,
    state: &'static str,
    /// The colour of the state's badge.
    tone: &'static str,
    created: Moment,
    signs_from: Option<Moment>,
    retires: Option<Moment>,
    can_be_revoked: bool,
}

#[derive(Template)]
#[template(path = "console/key_rotate.html")]
struct RotatePage<'a> {
    layout: Layout,
    /// The algorithms, and whether each is chosen.
    algs: [(&'static str, bool); 6],
    at_once: bool,
    /// When the new keys begin to sign, unless immediately.
    ahead: Value,
    problem: &'a str,
}

/// The keys.
#[utoipa::path(
    get, path = "/admin/keys",
    params(("all" = Option<String>, Query, description = "Deleted ones, too")),
    responses(HtmlPage, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn list(admin: AdminSession) -> Result<Response, WebError> {
    let (all, now) = (admin.is_checked("all"), admin.now());
    let mut keys = admin.commands().list_keys(|key| all || key.state != KeyState::Gone).await?;
    keys.sort_by_key(|key| (rank(key), key.alg.clone()));
    Ok(admin.show(&KeysPage {
        layout: admin.layout("keys"),
        flash: admin.flash(),
        all,
        keys: keys.iter().map(|key| row(&admin, key, now)).collect(),
    }))
}

/// The form that rotates keys.
#[utoipa::path(get, path = "/admin/new/key", responses(HtmlPage, ConsolePage), security(("session" = [])))]
pub(crate) async fn ask_rotate(admin: AdminSession) -> Response {
    admin.show(&rotate_page(&admin, ""))
}

/// Rotates keys: publishes the next ones.
#[utoipa::path(
    post, path = "/admin/new/key",
    request_body(content = console::RotateForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn rotate(AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let rotated = async {
        let alg = admin.find_param("alg").map(str::parse::<TokenAlg>).transpose();
        let alg = alg.map_err(|error| AdminError::Invalid(error.to_string()))?;
        admin.commands().rotate_keys(&admin.actor(), alg, admin.is_checked("at_once")).await
    };
    match rotated.await {
        Ok(keys) => {
            let names: Vec<String> = keys.iter().map(|key| format!("{} {}", key.alg, key.kid)).collect();
            let flash = Flash::new(&admin.text("keys-rotated").with("keys", names.join(", ")));
            Ok(admin.redirect("/admin/keys", &flash))
        }
        Err(problem) => {
            let (status, problem) = form_error(problem)?;
            Ok(admin.show_with(status, &rotate_page(&admin, &problem)))
        }
    }
}

/// Asks for confirmation before revoking a key.
#[utoipa::path(
    get, path = "/admin/keys/{kid}/revoke",
    params(("kid" = String, Path, description = "The key's identifier")),
    responses(HtmlPage, PageNotFound, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_revoke(Path(kid): Path<String>, admin: AdminSession) -> Result<Response, WebError> {
    admin.commands().check_key_revocable(&kid).await?;
    let confirm = Confirm::new(&admin, "keys", "keys-revoke-title", "keys-revoke")
        .subject("keys-key", &kid)
        .consequence("keys-revoke-consequence")
        .consequence("keys-revoke-replacement")
        .dangerous()
        .asks_reason()
        .posts(&format!("/admin/keys/{}/revoke", super::in_path(&kid)), "/admin/keys");
    Ok(admin.show(&confirm))
}

/// Revokes a key.
#[utoipa::path(
    post, path = "/admin/keys/{kid}/revoke",
    params(("kid" = String, Path, description = "The key's identifier")),
    request_body(content = console::ReasonForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, PageNotFound, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn revoke(Path(kid): Path<String>, AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let reason = parse_reason(admin.find_param("reason"))?;
    let already = admin.commands().revoke_key(&admin.actor(), &kid, reason).await?;
    let message = if already { "keys-revoked-already" } else { "keys-revoked-now" };
    Ok(admin.redirect("/admin/keys", &Flash::new(&admin.text(message).with("key", &kid))))
}

fn rotate_page<'a>(admin: &'a AdminSession, problem: &'a str) -> RotatePage<'a> {
    RotatePage {
        layout: admin.layout("keys"),
        algs: TokenAlg::ALL.map(|alg| (alg.as_str(), alg.as_str() == admin.param("alg"))),
        at_once: admin.is_checked("at_once"),
        ahead: admin.moment(admin.now().saturating_add(admin.commands().key_policy.ahead), admin.now()).text(),
        problem,
    }
}

/// The order of the list: token keys first, and of those active ones before upcoming and past ones.
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

fn row(admin: &AdminSession, key: &PublicKey, now: u64) -> Row {
    Row {
        kid: key.kid.clone(),
        alg: key.alg.clone(),
        purpose: match key.purpose.as_str() {
            "token" => "keys-purpose-token",
            "derive" => "keys-purpose-derive",
            "secret" => "keys-purpose-secret",
            IMPORTED_PURPOSE => "keys-purpose-verify",
            _ => "keys-purpose-snapshot",
        },
        state: match key.state {
            KeyState::Active => "keys-active",
            KeyState::Upcoming => "keys-upcoming",
            KeyState::Retiring => "keys-retiring",
            KeyState::Revoked => "keys-revoked",
            KeyState::Gone => "keys-gone",
        },
        tone: match key.state {
            KeyState::Active => "good",
            KeyState::Upcoming => "accent",
            KeyState::Retiring => "warn",
            KeyState::Revoked => "bad",
            KeyState::Gone => "",
        },
        created: admin.moment(key.created_at, now),
        signs_from: key.signs_from.map(|at| admin.moment(at, now)),
        retires: key.retires_at.map(|at| admin.moment(at, now)),
        can_be_revoked: matches!(key.purpose.as_str(), "token" | IMPORTED_PURPOSE)
            && !matches!(key.state, KeyState::Revoked | KeyState::Gone),
    }
}
