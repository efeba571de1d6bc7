//! `tollgate revoke` and `tollgate reinstate`: a token, or all of a session, a subject, a client, a
//! key, or a time.

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use tollgate_core::RevocationKind;
use tollgate_model::{
    ClientId, NewReinstatement, NewRevocation, Reason, RevocationSelector, RevocationView, SecretKind, Target, TokenId,
};
use tollgate_system::clock;

use super::{Session, command_line_actor};

/// What to revoke, or whose revocation to lift.
#[derive(Debug, clap::Subcommand)]
pub(super) enum TargetCommand {
    /// One token
    Token(Named),
    /// The tokens of a session or grant so far, by its sid
    Session(Named),
    /// The tokens of a subject so far, by its sub
    Subject(Named),
    /// The tokens of a client so far, by its client_id; it may get new ones unless it is disabled
    Client(Named),
    /// Every token that a key signed or signs, by its kid
    Key(Named),
    /// Every token issued before a time
    Before(Timed),
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Its identifier; for a token its jti, or the token itself
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    name: String,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, Args)]
pub(super) struct Timed {
    /// Unix seconds, or now
    #[arg(value_name = "TIME")]
    time: String,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, Args)]
struct Why {
    /// Why, for the record and the audit log
    #[arg(long)]
    reason: Option<Reason>,
}

#[derive(Debug, clap::Args)]
pub(super) struct RevokeCommand {
    #[command(subcommand)]
    target: TargetCommand,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReinstateCommand {
    #[command(subcommand)]
    target: TargetCommand,
}

#[derive(Serialize)]
struct RevokedView {
    #[serde(flatten)]
    revocation: RevocationView,
    /// Whether it was revoked as far already, so that edges were not told anew.
    already: bool,
}

#[derive(Serialize)]
struct ReinstatedView {
    reinstated: Vec<RevocationView>,
}

impl RevokeCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let issuer = session.issuer().await?;
        let now = clock::now();
        let (target, reason) = self.target.resolve(session, &issuer, now).await?;
        let by = command_line_actor();
        let revoke = match &target {
            Target::Token(jti) => {
                let token = session.store.find_token(jti.parse()?).await?;
                let token = token.with_context(|| format!("there is no token {jti}, or it expired"))?;
                NewRevocation::token(&token, by, reason, now)
                    .with_context(|| format!("the token {jti} expired: no edge accepts it any more"))?
            }
            Target::Client(id) => {
                let id: ClientId = id.parse()?;
                if session.store.find_client(&id).await?.is_none() {
                    bail!("there is no client {id}");
                }
                NewRevocation::any(target.clone(), by, reason, now)?
            }
            _ => NewRevocation::any(target.clone(), by, reason, now)?,
        };
        let revoked = session.store.revoke(revoke).await?;
        let view = RevokedView {
            revocation: RevocationView::new(&revoked.revocation, now),
            already: !revoked.is_new_to_edges,
        };
        session.output.print(&view, |view| match view.already {
            true => format!("{target} was revoked already"),
            false => format!("revoked {target}"),
        })
    }
}

impl ReinstateCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let issuer = session.issuer().await?;
        let at = clock::now();
        let (target, reason) = self.target.resolve(session, &issuer, at).await?;
        let (selector, by) = (RevocationSelector::Target(target.clone()), command_line_actor());
        let reinstated = session.store.reinstate(NewReinstatement { selector, by, reason, at }).await?;
        if reinstated.lifted.is_empty() {
            bail!("{target} is not revoked");
        }
        let lifted = reinstated.lifted.iter().map(|revocation| RevocationView::new(revocation, at)).collect();
        session.output.print(&ReinstatedView { reinstated: lifted }, |_| format!("reinstated {target}"))
    }
}

impl TargetCommand {
    async fn resolve(self, session: &Session, issuer: &str, now: u64) -> anyhow::Result<(Target, Option<Reason>)> {
        let (kind, Named { name, why }) = match self {
            TargetCommand::Token(named) => {
                let id = token_id(session, &named.name, issuer).await?;
                (RevocationKind::Token, Named { name: id.to_string(), ..named })
            }
            TargetCommand::Session(named) => (RevocationKind::Session, named),
            TargetCommand::Subject(named) => (RevocationKind::Subject, named),
            TargetCommand::Client(named) => (RevocationKind::Client, named),
            TargetCommand::Key(named) => (RevocationKind::Key, named),
            TargetCommand::Before(Timed { time, why }) => {
                let name = if time == "now" { now.to_string() } else { time };
                (RevocationKind::Everything, Named { name, why })
            }
        };
        Ok((Target::new(kind, &name)?, why.reason))
    }
}

/// The identifier of a token that is named by it, or given itself.
async fn token_id(session: &Session, token: &str, issuer: &str) -> anyhow::Result<TokenId> {
    if !token.contains('.') && !SecretKind::Access.is_well_formed(token) {
        return Ok(token.parse()?);
    }
    let recognised = session.keys().await?.verify_token(token, issuer);
    let record =
        session.store.find_verified_token(&recognised.context("this origin did not issue that token")?).await?;
    Ok(record.context("this origin has no record of that token, or it expired")?.id)
}
