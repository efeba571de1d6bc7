//! Making, listing and lifting revocations.

use axum::http::StatusCode;
use tollgate_core::RevocationKind;
use tollgate_model::{
    Actor, Malformed, NewReinstatement, NewRevocation, Reason, Revocation, RevocationSelector, Target, TokenId,
};
use tollgate_storage::{MAX_REVOCATIONS_PAGE, RevocationFilter, RevokeOutcome};
use tollgate_system::clock;

use crate::App;
use crate::problem::Problem;

/// What is to be revoked, as people say it: a kind with a name, a token itself, or everything before a Unix second.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    pub(crate) kind: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) before: Option<u64>,
}

const KINDS: &str = "kind must be token, session, subject, client or key; for everything give before";

/// What a wish means.
pub(crate) async fn target(app: &App, wish: Wish) -> Result<Target, Problem> {
    match (wish.kind.as_deref(), wish.name, wish.token, wish.before) {
        (None | Some("token"), None, Some(token), None) => {
            let recognised = app.keys.verify_token(&token, &app.issuer).await?;
            let recognised = recognised.ok_or_else(|| Problem::bad_request("token is not one of this origin's"))?;
            let token = app.store.find_verified_token(&recognised).await?.ok_or_else(unknown_token)?;
            Ok(Target::Token(token.id.to_string()))
        }
        (None | Some("everything"), None, None, Some(time)) => Ok(Target::Before(time)),
        (Some(kind), Some(name), None, None) if kind != "everything" => {
            let kind = RevocationKind::from_name(kind).ok_or_else(|| Problem::bad_request(KINDS))?;
            Target::new(kind, &name).map_err(unusable)
        }
        _ => Err(Problem::bad_request("give kind and name, or token, or before, and one of these alone")),
    }
}

/// A revocation of this target, if it would strike anything.
pub(crate) async fn prepare(
    app: &App,
    by: &Actor,
    target: Target,
    reason: Option<Reason>,
) -> Result<NewRevocation, Problem> {
    let (by, now) = (by.clone(), clock::now());
    let Target::Token(jti) = &target else {
        return NewRevocation::any(target, by, reason, now).map_err(unusable);
    };
    // A name that nobody has is more likely a slip than a wish.
    let id: TokenId = jti.parse().map_err(|_| unknown_token())?;
    let token = app.store.find_token(id).await?.ok_or_else(unknown_token)?;
    NewRevocation::token(&token, by, reason, now).ok_or_else(unknown_token)
}

fn unknown_token() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no such token, or it expired")
}

/// Revokes.
pub(crate) async fn revoke(app: &App, revoke: NewRevocation) -> Result<RevokeOutcome, Problem> {
    let revoked = app.writer.revoke(revoke).await?;
    let revocation = &revoked.revocation;
    tracing::info!(number = revocation.number, by = revocation.by.as_str(), target = %revocation.target, "revoked");
    Ok(revoked)
}

/// Revocations, the newest first, and what to give as `below` for the next page if there is one.
pub(crate) async fn page(app: &App, listing: &RevocationFilter) -> Result<(Vec<Revocation>, Option<u64>), Problem> {
    if !(1..=MAX_REVOCATIONS_PAGE).contains(&listing.limit) {
        return Err(Problem::bad_request("limit must be 1 to 1000"));
    }
    let found = app.store.list_revocations(listing, clock::now()).await?;
    let next = found.last().filter(|_| found.len() as u64 == listing.limit).map(|revocation| revocation.number);
    Ok((found, next))
}

/// The revocation of this number.
pub(crate) async fn find(app: &App, number: &str) -> Result<Revocation, Problem> {
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "there is no revocation with that number");
    let number = number.parse().map_err(|_| unknown())?;
    app.store.find_revocation(number).await?.ok_or_else(unknown)
}

/// Lifts one revocation, and gives its record. One that is lifted already stays as it is.
pub(crate) async fn reinstate(
    app: &App,
    by: &Actor,
    revocation: &Revocation,
    reason: Option<Reason>,
) -> Result<Revocation, Problem> {
    let (number, at) = (revocation.number, clock::now());
    let wanted = NewReinstatement { selector: RevocationSelector::Number(number), by: by.clone(), reason, at };
    let lifted = app.writer.reinstate(wanted).await?.lifted;
    tracing::info!(number, by = by.as_str(), lifted = !lifted.is_empty(), "reinstated");
    match lifted.into_iter().next() {
        Some(revocation) => Ok(revocation),
        None => find(app, &number.to_string()).await,
    }
}

/// Why, if it can be recorded.
pub(crate) fn reason(text: Option<&str>) -> Result<Option<Reason>, Problem> {
    text.map(str::parse).transpose().map_err(unusable)
}

fn unusable(error: Malformed) -> Problem {
    Problem::bad_request(&error.to_string())
}
