//! `tollgate revoke token` and `tollgate reinstate token`

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::Session;
use super::output::OutputFlags;
use crate::ambient;
use crate::domain::{Revocation, TokenId};

#[derive(Debug, clap::Subcommand)]
pub(super) enum RevokeCommand {
    /// Revoke one token
    Token {
        /// Its jti, or the token itself
        #[arg(value_name = "JTI|TOKEN")]
        token: String,
        #[command(flatten)]
        output: OutputFlags,
    },
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum ReinstateCommand {
    /// Lift one token's revocation
    Token {
        /// Its jti
        jti: String,
        #[command(flatten)]
        output: OutputFlags,
    },
}

#[derive(Serialize)]
struct Outcome<'a> {
    jti: &'a str,
    outcome: &'static str,
}

impl RevokeCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let RevokeCommand::Token { token, output } = self;
        let issuer = session.issuer().await?;
        let id = if token.contains('.') {
            let recognised = session.keys().await?.recognise(&token, &issuer);
            recognised.context("this origin did not issue that token")?
        } else {
            token.parse::<TokenId>()?
        };
        let Some(token) = session.store.token(&id).await? else {
            bail!("there is no token {id}, or it expired");
        };
        let outcome = match Revocation::of(&token, &issuer, ambient::now()) {
            None => "expired already",
            Some(revocation) if session.store.revoke(&revocation).await? => "revoked",
            Some(_) => "revoked already",
        };
        print(&output, &id, outcome)
    }
}

impl ReinstateCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let ReinstateCommand::Token { jti, output } = self;
        let id: TokenId = jti.parse()?;
        session.issuer().await?;
        if !session.store.reinstate(&id).await? {
            bail!("the token {id} is not revoked");
        }
        print(&output, &id, "reinstated")
    }
}

fn print(output: &OutputFlags, id: &TokenId, outcome: &'static str) -> anyhow::Result<()> {
    output.print(&Outcome { jti: id.as_str(), outcome }, |it| format!("{} {}", it.jti, it.outcome))
}
