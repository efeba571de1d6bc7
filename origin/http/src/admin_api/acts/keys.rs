//! Listing, rotating and revoking the keys that sign tokens.

use axum::http::StatusCode;
use tollgate_keys::{KeyNotRevocable, PublicKey};
use tollgate_model::key_schedule::KeySpec;
use tollgate_model::{Actor, KeyPurpose, NewRevocation, Reason, Target, TokenAlg};
use tollgate_services::signing_keys::rotation::KeyRotation;
use tollgate_system::clock;

use crate::App;
use crate::problem::Problem;

/// The keys that are wanted, of all that were ever made.
pub(crate) async fn listed(app: &App, wanted: impl Fn(&PublicKey) -> bool) -> Result<Vec<PublicKey>, Problem> {
    let keys = app.keys.reload().await?;
    Ok(keys.listing().iter().filter(|key| wanted(key)).cloned().collect())
}

/// Makes the next keys, of one algorithm or of all that sign by themselves, and gives those that are on their way. With `at_once`
/// they sign as soon as they are published.
pub(crate) async fn rotate(
    app: &App,
    by: &Actor,
    alg: Option<TokenAlg>,
    at_once: bool,
) -> Result<Vec<PublicKey>, Problem> {
    let wanted = match alg {
        Some(TokenAlg::Hs256) => vec![(KeyPurpose::Derive, TokenAlg::Hs256)],
        Some(alg) => vec![(KeyPurpose::Token, alg)],
        None => [TokenAlg::EdDsa, TokenAlg::Es256, TokenAlg::Rs256].map(|alg| (KeyPurpose::Token, alg)).to_vec(),
    };
    let ahead = if at_once { 0 } else { app.key_policy.ahead };
    let mut kids = Vec::new();
    for (purpose, alg) in wanted {
        match app.keys.rotate(KeySpec { purpose, alg, ahead }, by).await? {
            KeyRotation::Changed(key) | KeyRotation::AlreadyScheduled(key) => kids.push(key.kid),
            KeyRotation::TooManyKeys | KeyRotation::NotPinned => {
                let detail = format!("too many keys for {alg} wait for their last tokens to expire");
                return Err(Problem::new(StatusCode::CONFLICT, &detail));
            }
        }
    }
    tracing::info!(by = by.as_str(), ?kids, "rotated keys");
    listed(app, |key| kids.contains(&key.kid)).await
}

/// Refuses what is no key whose revocation would strike anything.
pub(crate) async fn check_revocable(app: &App, kid: &str) -> Result<(), Problem> {
    app.keys.reload().await?.check_revocable(kid).map_err(|error| {
        let status = if error == KeyNotRevocable::Unknown { StatusCode::NOT_FOUND } else { StatusCode::CONFLICT };
        Problem::new(status, &error.to_string())
    })
}

/// Revokes a key: nothing that it signed is good any more. The next one is made by itself. Whether it was revoked already.
pub(crate) async fn revoke(app: &App, by: &Actor, kid: &str, reason: Option<Reason>) -> Result<bool, Problem> {
    check_revocable(app, kid).await?;
    let revoke = NewRevocation::any(Target::Key(kid.to_owned()), by.clone(), reason, clock::now());
    let revoke = revoke.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let already = !app.writer.revoke(revoke).await?.is_new_to_edges;
    tracing::info!(kid, by = by.as_str(), already, "revoked a key");
    Ok(already)
}
