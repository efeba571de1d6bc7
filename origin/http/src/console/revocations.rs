//! `/admin/revocations`: what is revoked, revoking more, and lifting it.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use tollgate_core::RevocationKind;
use tollgate_model::{Revocation, Target, TokenId};
use tollgate_storage::Listing;
use tollgate_system::ambient;

use super::confirm::Confirm;
use super::moment;
use super::operator::{Operator, Order};
use super::refused;
use super::search::{self, Pager, ROWS};
use super::told::Told;
use crate::admin_api::acts::revocations as acts;
use crate::admin_api::acts::revocations::Wish;
use crate::openapi::console;
use crate::openapi::refusals::{ConsolePage, FormAgain, Gone, SentOn, Shown};
use crate::pages::page::{Frame, WebError};
use crate::pages::when::{When, when};
use crate::problem::Problem;

const PATH: &str = "/admin/revocations";
/// The kinds that can be revoked, each with what it strikes.
const KINDS: [(&str, &str); 6] = [
    ("token", "one token"),
    ("session", "a session: what a user gave a client"),
    ("subject", "a subject: the tokens of a user, or of a service, so far"),
    ("client", "a client: its tokens so far"),
    ("key", "a key: all that it signed or will sign"),
    ("everything", "everything issued before a time"),
];

#[derive(Template)]
#[template(path = "admin/revocations.html")]
struct ListPage<'a> {
    frame: Frame,
    told: Told,
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
    /// Of everything: before when.
    before: Option<When>,
    reason: String,
    by: String,
    at: When,
    /// What it is now, and how that looks.
    state: &'static str,
    tone: &'static str,
    can_be_lifted: bool,
}

/// What stands in the form, as it was typed.
#[derive(Template)]
#[template(path = "admin/revoke.html")]
struct FormPage<'a> {
    frame: Frame,
    kind: &'a str,
    name: &'a str,
    before: &'a str,
    reason: &'a str,
    problem: &'a str,
}

/// Revocations, the newest first.
#[utoipa::path(
    get, path = "/admin/revocations",
    params(console::RevocationsQuery),
    responses(Shown, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn list(operator: Operator) -> Result<Response, WebError> {
    let now = ambient::now();
    let listing = Listing {
        kind: operator.given("kind").and_then(RevocationKind::from_name),
        name: operator.given("name").map(|name| name.trim().to_owned()),
        all: operator.ticked("all"),
        below: operator.given("below").and_then(|below| below.parse().ok()),
        limit: ROWS + 1,
    };
    let (found, _) = acts::page(operator.app(), &listing).await?;
    let number = |revocation: &Revocation| revocation.number.to_string();
    let (found, pager) = search::pages(&operator, PATH, &["kind", "name", "all"], "below", found, number);
    Ok(operator.show(&ListPage {
        frame: operator.frame("revocations"),
        told: operator.told(),
        kind: operator.text("kind"),
        name: operator.text("name"),
        all: listing.all,
        rows: found.iter().map(|revocation| row(revocation, now)).collect(),
        pager,
    }))
}

/// The form that asks what is to be revoked.
#[utoipa::path(
    get, path = "/admin/new/revocation",
    params(
        ("kind" = Option<String>, Query, description = "What kind of thing"),
        ("name" = Option<String>, Query, description = "Which one"),
    ),
    responses(Shown, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn new(operator: Operator) -> Response {
    show_form(&operator, None)
}

/// Revokes, once it was asked whether that is meant.
#[utoipa::path(
    post, path = "/admin/new/revocation",
    request_body(content = console::RevocationForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, FormAgain, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn create(Order(operator): Order) -> Result<Response, WebError> {
    let (app, by) = (operator.app(), operator.actor());
    let prepared = async {
        let reason = acts::reason(operator.given("reason"))?;
        let target = acts::target(app, wish(&operator)?).await?;
        acts::prepare(app, &by, target, reason).await
    };
    let revoke = match prepared.await {
        Ok(revoke) => revoke,
        Err(problem) => return Ok(show_form(&operator, Some(refused(problem)?))),
    };
    if !operator.ticked("confirmed") {
        return Ok(operator.show(&ask(&operator, &revoke.target)));
    }
    let revoked = acts::revoke(app, revoke).await?;
    let what = if revoked.is_news { "It is revoked: every edge hears of it now." } else { "It was revoked already." };
    Ok(operator.done(PATH, &Told::done(what)))
}

/// Asks whether a revocation is to be lifted.
#[utoipa::path(
    get, path = "/admin/revocations/{number}/reinstate",
    params(("number" = String, Path, description = "The revocation's number")),
    responses(Shown, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn ask_reinstate(Path(number): Path<String>, operator: Operator) -> Result<Response, WebError> {
    let revocation = acts::find(operator.app(), &number).await?;
    let about = match &revocation.target {
        Target::Before(time) => format!("everything before {}", moment::input(*time)),
        target => format!("{} {}", target.kind().name(), target.name()),
    };
    let confirm = Confirm::new(&operator, "revocations", "Lift the revocation?", "Lift it")
        .about("Revocation", &format!("number {}", revocation.number))
        .about("It strikes", &about)
        .about("Revoked by", revocation.by.as_str())
        .says("Tokens that it struck are good again for what is left of their time, unless another revocation strikes them. A session that it ended stays ended: the user is asked anew.")
        .dangerous()
        .asks_why()
        .posts(&format!("{PATH}/{}/reinstate", revocation.number), PATH);
    Ok(operator.show(&confirm))
}

/// Lifts a revocation.
#[utoipa::path(
    post, path = "/admin/revocations/{number}/reinstate",
    params(("number" = String, Path, description = "The revocation's number")),
    request_body(content = console::ReasonForm, content_type = "application/x-www-form-urlencoded"),
    responses(SentOn, Gone, ConsolePage), security(("session" = [])),
)]
pub(crate) async fn reinstate(Path(number): Path<String>, Order(operator): Order) -> Result<Response, WebError> {
    let reason = acts::reason(operator.given("reason"))?;
    let revocation = acts::find(operator.app(), &number).await?;
    let lifted = acts::reinstate(operator.app(), &operator.actor(), &revocation, reason).await?;
    Ok(operator.done(PATH, &Told::done(&format!("The revocation {} is lifted.", lifted.number))))
}

/// What the form wishes: for a token its `jti`, or the token itself; for everything a time.
fn wish(operator: &Operator) -> Result<Wish, Problem> {
    let kind = operator.text("kind");
    if kind == "everything" {
        let wrong = || Problem::bad_request("the time must be a date and a time, in UTC");
        let before = moment::parse(operator.text("before")).ok_or_else(wrong)?;
        return Ok(Wish { before: Some(before), ..Wish::default() });
    }
    let name = operator.text("name").trim();
    if name.is_empty() {
        return Err(Problem::bad_request("say which one: its name is missing"));
    }
    let name = Some(name.to_owned());
    let is_jti = operator.text("name").trim().parse::<TokenId>().is_ok();
    Ok(match kind == "token" && !is_jti {
        true => Wish { token: name, ..Wish::default() },
        false => Wish { kind: Some(kind.to_owned()), name, ..Wish::default() },
    })
}

/// Asks whether that is meant. A token itself is a secret: the page carries its `jti`.
fn ask(operator: &Operator, target: &Target) -> Confirm {
    let confirm = Confirm::new(operator, "revocations", "Revoke it?", "Revoke")
        .about("What", target.kind().name())
        .says(strikes(target))
        .says("Every edge refuses it from the moment it hears of it, within about a second. The revocation can be lifted.")
        .dangerous()
        .posts("/admin/new/revocation", PATH)
        .carries("kind", target.kind().name())
        .carries("reason", operator.text("reason"))
        .carries("confirmed", "yes");
    let confirm = match target {
        Target::Before(time) => {
            let time = moment::input(*time);
            confirm.about("Issued before", &format!("{time} UTC")).carries("before", &time)
        }
        target => confirm.about("Which", target.name()).carries("name", target.name()),
    };
    match operator.given("reason") {
        Some(reason) => confirm.about("Why", reason),
        None => confirm,
    }
}

fn strikes(target: &Target) -> &'static str {
    match target {
        Target::Token(_) => "This one token is refused.",
        Target::Session(_) => {
            "The session ends: its refresh tokens open nothing any more, and its access tokens so far are refused."
        }
        Target::Subject(_) => {
            "Every token of this subject so far is refused, and what it gave to clients ends. Tokens issued later are good."
        }
        Target::Client(_) => {
            "Every token of this client so far is refused, and what users gave it ends. It may get new ones, unless you disable it."
        }
        Target::Key(_) => "Every token that this key signed, or signs from now on, is refused.",
        Target::Before(_) => {
            "Every token issued before this time is refused, whoever has it: every client and every user must get new ones."
        }
    }
}

fn show_form(operator: &Operator, refused: Option<(StatusCode, String)>) -> Response {
    let (status, problem) = refused.unwrap_or_default();
    let now = moment::input(ambient::now());
    let page = FormPage {
        frame: operator.frame("revocations"),
        kind: operator.given("kind").unwrap_or("token"),
        // A token itself is a secret, which no page shows again.
        name: Some(operator.text("name")).filter(|name| !name.contains("eyJ")).unwrap_or_default(),
        before: operator.given("before").unwrap_or(&now),
        reason: operator.text("reason"),
        problem: &problem,
    };
    operator.show_with(status, &page)
}

fn row(revocation: &Revocation, now: u64) -> Row {
    let is_over = revocation.void_after < now;
    let (state, tone) = match (&revocation.lifted, is_over) {
        (Some(_), _) => ("lifted", ""),
        (None, true) => ("over", ""),
        (None, false) => ("in force", "bad"),
    };
    let (name, before) = match &revocation.target {
        Target::Before(time) => (String::new(), Some(when(*time, now))),
        target => (target.name().to_owned(), None),
    };
    Row {
        number: revocation.number,
        kind: revocation.target.kind().name(),
        name,
        before,
        reason: revocation.reason.clone().unwrap_or_default(),
        by: revocation.by.as_str().to_owned(),
        at: when(revocation.at, now),
        state,
        tone,
        can_be_lifted: revocation.lifted.is_none() && !is_over,
    }
}
