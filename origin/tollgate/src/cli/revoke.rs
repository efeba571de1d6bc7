//! `tollgate revoke` and `tollgate reinstate`: one token, or all tokens of a session, subject,
//! client or key, or before a time.

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use tollgate_core::RevocationKind;
use tollgate_model::{NewReinstatement, Reason, RevocationSelector, RevocationView, SecretKind, Target, TokenId};
use tollgate_system::Clock;

use super::{Session, command_line_actor};

/// Target of a revocation.
#[derive(Debug, clap::Subcommand)]
pub(super) enum TargetCommand {
    /// One token
    Token(NamedTarget),
    /// Tokens issued so far in a session or grant, by sid
    Session(NamedTarget),
    /// Tokens issued so far for a subject, by sub
    Subject(NamedTarget),
    /// Tokens issued so far to a client, by client_id; it can get new ones unless it is disabled
    Client(NamedTarget),
    /// All tokens signed with a key, by kid
    Key(NamedTarget),
    /// All tokens issued before a time
    Before(TimeTarget),
}

#[derive(Debug, Args)]
pub(super) struct NamedTarget {
    /// Identifier; for a token its jti, or the token itself
    #[arg(value_name = "ID", allow_hyphen_values = true)]
    name: String,
    #[command(flatten)]
    reason: ReasonFlag,
}

#[derive(Debug, Args)]
pub(super) struct TimeTarget {
    /// Unix time in seconds, or now
    #[arg(value_name = "TIME")]
    time: String,
    #[command(flatten)]
    reason: ReasonFlag,
}

#[derive(Debug, Args)]
struct ReasonFlag {
    /// Reason, for the list of revocations and the audit log
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
    /// The target was already revoked to this extent, so edges got no update.
    already: bool,
}

#[derive(Serialize)]
struct ReinstatedView {
    reinstated: Vec<RevocationView>,
}

impl RevokeCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let issuer = session.issuer().await?;
        let now = Clock::system().now();
        let (target, reason) = self.target.resolve(session, &issuer, now).await?;
        let registry = session.registry()?;
        let revocation = registry.prepare_revocation(&command_line_actor(), target.clone(), reason).await?;
        let revoked = session.store.revoke(revocation).await?;
        let view = RevokedView {
            revocation: RevocationView::new(&revoked.revocation, now),
            already: !revoked.is_new_to_edges,
        };
        session.output.print(&view, |view| match view.already {
            true => format!("{target} was already revoked"),
            false => format!("revoked {target}"),
        })
    }
}

impl ReinstateCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let issuer = session.issuer().await?;
        let at = Clock::system().now();
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
        let (kind, NamedTarget { name, reason }) = match self {
            TargetCommand::Token(named) => {
                let id = token_id(session, &named.name, issuer).await?;
                (RevocationKind::Token, NamedTarget { name: id.to_string(), ..named })
            }
            TargetCommand::Session(named) => (RevocationKind::Session, named),
            TargetCommand::Subject(named) => (RevocationKind::Subject, named),
            TargetCommand::Client(named) => (RevocationKind::Client, named),
            TargetCommand::Key(named) => (RevocationKind::Key, named),
            TargetCommand::Before(TimeTarget { time, reason }) => {
                let name = if time == "now" { now.to_string() } else { time };
                (RevocationKind::Everything, NamedTarget { name, reason })
            }
        };
        Ok((Target::new(kind, &name)?, reason.reason))
    }
}

/// The ID of a token: given as such, or read from the verified token itself.
async fn token_id(session: &Session, token: &str, issuer: &str) -> anyhow::Result<TokenId> {
    if !token.contains('.') && !SecretKind::Access.is_well_formed(token) {
        return Ok(token.parse()?);
    }
    let verified = session.keys().await?.verify_token(token, issuer);
    let record = session.store.find_verified_token(&verified.context("this issuer did not issue the token")?).await?;
    Ok(record.context("the token does not exist, or it has expired")?.id)
}
