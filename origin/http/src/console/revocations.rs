//! `/admin/revocations`: lists and lifts revocations, and revokes.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_core::RevocationKind;
use tollgate_messages::Value;
use tollgate_model::{Revocation, Target, TokenId};
use tollgate_services::admin::{AdminError, RevocationRequest, parse_reason};
use tollgate_storage::RevocationFilter;

use super::admin_session::{AdminForm, AdminSession};
use super::confirm::Confirm;
use super::flash::Flash;
use super::form_error;
use super::search::{self, PAGE_SIZE, Pager};
use crate::openapi::console;
use crate::openapi::responses::{ConsolePage, FormWithErrors, HtmlPage, PageNotFound, SeeOther};
use crate::pages::error::WebError;
use crate::pages::page::Layout;
use crate::pages::time_format::{Moment, input_value, parse_input};

const PATH: &str = "/admin/revocations";
/// The kinds of revocations, each with the message that describes it.
const KINDS: [(&str, &str); 6] = [
    ("token", "revocation-token"),
    ("session", "revocation-session"),
    ("subject", "revocation-subject"),
    ("client", "revocation-client"),
    ("key", "revocation-key"),
    ("everything", "revocation-everything"),
];

#[derive(Template)]
#[template(path = "console/revocations.html")]
struct ListPage<'a> {
    layout: Layout,
    flash: Flash,
    kind: &'a str,
    name: &'a str,
    all: bool,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    number: u64,
    kind: &'static str,
    name: String,
    /// For everything: the time before which tokens were issued.
    before: Option<Moment>,
    reason: String,
    by: String,
    at: Moment,
    /// The name of a message.
    state: &'static str,
    tone: &'static str,
    can_be_lifted: bool,
}

/// The form, with what was typed.
#[derive(Template)]
#[template(path = "console/revoke.html")]
struct FormPage<'a> {
    layout: Layout,
    kind: &'a str,
    name: &'a str,
    before: &'a str,
    reason: &'a str,
    problem: &'a str,
}

/// Revocations, newest first.
#[utoipa::path(
    get, path = "/admin/revocations",
    params(console::RevocationsQuery),
    responses(HtmlPage, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn list(admin: AdminSession) -> Result<Response, WebError> {
    let now = admin.now();
    let listing = RevocationFilter {
        kind: admin.find_param("kind").and_then(RevocationKind::from_name),
        name: admin.find_param("name").map(|name| name.trim().to_owned()),
        include_inactive: admin.is_checked("all"),
        below: admin.find_param("below").and_then(|below| below.parse().ok()),
        limit: PAGE_SIZE + 1,
    };
    let (found, _) = admin.commands().list_revocations(&listing).await?;
    let number = |revocation: &Revocation| revocation.number.to_string();
    let (found, pager) = search::filtered_page(&admin, PATH, &["kind", "name", "all"], "below", found, number);
    Ok(admin.show(&ListPage {
        layout: admin.layout("revocations"),
        flash: admin.flash(),
        kind: admin.param("kind"),
        name: admin.param("name"),
        all: listing.include_inactive,
        rows: found.iter().map(|revocation| row(&admin, revocation, now)).collect(),
        pager,
    }))
}

/// The form that revokes.
#[utoipa::path(
    get, path = "/admin/new/revocation",
    params(
        ("kind" = Option<String>, Query, description = "The kind of the target"),
        ("name" = Option<String>, Query, description = "The ID of the target"),
    ),
    responses(HtmlPage, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn new(admin: AdminSession) -> Response {
    show_form(&admin, None)
}

/// Revokes, after confirmation.
#[utoipa::path(
    post, path = "/admin/new/revocation",
    request_body(content = console::RevocationForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, FormWithErrors, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn create(AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let (commands, by) = (admin.commands(), admin.actor());
    let prepared = async {
        let reason = parse_reason(admin.find_param("reason"))?;
        let target = commands.resolve_target(revocation_request(&admin)?).await?;
        commands.prepare_revocation(&by, target, reason).await
    };
    let revoke = match prepared.await {
        Ok(revoke) => revoke,
        Err(problem) => return Ok(show_form(&admin, Some(form_error(problem)?))),
    };
    if !admin.is_checked("confirmed") {
        return Ok(admin.show(&confirm(&admin, &revoke.target)));
    }
    let revoked = commands.revoke(revoke).await?;
    let message = if revoked.is_new_to_edges { "revocation-created" } else { "revocation-exists" };
    Ok(admin.redirect(PATH, &Flash::new(&admin.text(message))))
}

/// Asks for confirmation before lifting a revocation.
#[utoipa::path(
    get, path = "/admin/revocations/{number}/reinstate",
    params(("number" = String, Path, description = "The revocation's number")),
    responses(HtmlPage, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_reinstate(Path(number): Path<String>, admin: AdminSession) -> Result<Response, WebError> {
    let revocation = admin.commands().get_revocation(&number).await?;
    let about = match &revocation.target {
        Target::Before(time) => {
            let date = admin.moment(*time, *time).date;
            admin.text("revocations-before").with("date", Value::Text(date)).to_string()
        }
        target => format!("{} {}", target.kind().name(), target.name()),
    };
    let confirm = Confirm::new(&admin, "revocations", "revocation-lift-title", "revocations-lift")
        .subject("revocation-number", &revocation.number.to_string())
        .subject("revocations-target", &about)
        .subject("revocations-by", revocation.by.as_str())
        .consequence("revocation-lift-consequence")
        .dangerous()
        .asks_reason()
        .posts(&format!("{PATH}/{}/reinstate", revocation.number), PATH);
    Ok(admin.show(&confirm))
}

/// Lifts a revocation.
#[utoipa::path(
    post, path = "/admin/revocations/{number}/reinstate",
    params(("number" = String, Path, description = "The revocation's number")),
    request_body(content = console::ReasonForm, content_type = "application/x-www-form-urlencoded"),
    responses(SeeOther, PageNotFound, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn reinstate(Path(number): Path<String>, AdminForm(admin): AdminForm) -> Result<Response, WebError> {
    let reason = parse_reason(admin.find_param("reason"))?;
    let revocation = admin.commands().get_revocation(&number).await?;
    let lifted = admin.commands().reinstate(&admin.actor(), &revocation, reason).await?;
    Ok(admin.redirect(PATH, &Flash::new(&admin.text("revocation-lifted").with("number", lifted.number))))
}

/// What the form asks for: for a token its `jti` or the token itself; for everything a time.
fn revocation_request(admin: &AdminSession) -> Result<RevocationRequest, AdminError> {
    let kind = admin.param("kind");
    if kind == "everything" {
        let wrong = || AdminError::Invalid("the time must be a date and a time, in UTC".to_owned());
        let before = parse_input(admin.param("before")).ok_or_else(wrong)?;
        return Ok(RevocationRequest { before: Some(before), ..RevocationRequest::default() });
    }
    let name = admin.param("name").trim();
    if name.is_empty() {
        return Err(AdminError::Invalid("the ID is missing".to_owned()));
    }
    let name = Some(name.to_owned());
    let is_jti = admin.param("name").trim().parse::<TokenId>().is_ok();
    Ok(match kind == "token" && !is_jti {
        true => RevocationRequest { token: name, ..RevocationRequest::default() },
        false => RevocationRequest { kind: Some(kind.to_owned()), name, ..RevocationRequest::default() },
    })
}

/// Asks for confirmation before revoking. A token itself is a secret: the page carries its `jti`.
fn confirm(admin: &AdminSession, target: &Target) -> Confirm {
    let confirm = Confirm::new(admin, "revocations", "revocation-title", "console-revoke")
        .subject("revocations-kind", target.kind().name())
        .consequence(consequence(target))
        .consequence("revocation-propagation")
        .dangerous()
        .posts("/admin/new/revocation", PATH)
        .carries("kind", target.kind().name())
        .carries("reason", admin.param("reason"))
        .carries("confirmed", "yes");
    let confirm = match target {
        Target::Before(time) => {
            let time = input_value(*time);
            confirm.subject("revocations-issued-before", &format!("{time} UTC")).carries("before", &time)
        }
        target => confirm.subject("revocations-id", target.name()).carries("name", target.name()),
    };
    match admin.find_param("reason") {
        Some(reason) => confirm.subject("console-reason", reason),
        None => confirm,
    }
}

/// The message about what a revocation does.
fn consequence(target: &Target) -> &'static str {
    match target {
        Target::Token(_) => "revocation-token-consequence",
        Target::Session(_) => "revocation-session-consequence",
        Target::Subject(_) => "revocation-subject-consequence",
        Target::Client(_) => "revocation-client-consequence",
        Target::Key(_) => "revocation-key-consequence",
        Target::Before(_) => "revocation-everything-consequence",
    }
}

fn show_form(admin: &AdminSession, error: Option<(StatusCode, String)>) -> Response {
    let (status, problem) = error.unwrap_or_default();
    let now = input_value(admin.now());
    let page = FormPage {
        layout: admin.layout("revocations"),
        kind: admin.find_param("kind").unwrap_or("token"),
        // A token itself is a secret: no page shows it again.
        name: Some(admin.param("name")).filter(|name| !name.contains("eyJ")).unwrap_or_default(),
        before: admin.find_param("before").unwrap_or(&now),
        reason: admin.param("reason"),
        problem: &problem,
    };
    admin.show_with(status, &page)
}

fn row(admin: &AdminSession, revocation: &Revocation, now: u64) -> Row {
    let is_expired = revocation.void_after < now;
    let (state, tone) = match (&revocation.reinstated, is_expired) {
        (Some(_), _) => ("revocations-lifted", ""),
        (None, true) => ("revocations-expired", ""),
        (None, false) => ("revocations-active", "bad"),
    };
    let (name, before) = match &revocation.target {
        Target::Before(time) => (String::new(), Some(admin.moment(*time, now))),
        target => (target.name().to_owned(), None),
    };
    Row {
        number: revocation.number,
        kind: revocation.target.kind().name(),
        name,
        before,
        reason: revocation.reason.clone().unwrap_or_default(),
        by: revocation.by.as_str().to_owned(),
        at: admin.moment(revocation.at, now),
        state,
        tone,
        can_be_lifted: revocation.reinstated.is_none() && !is_expired,
    }
}
