//! `tollgate revoke token` and `tollgate reinstate token`

use anyhow::{Context as _, bail};
use serde_json::json;

use super::Session;
use crate::ambient;
use crate::domain::{Revocation, TokenId};

#[derive(Debug, clap::Subcommand)]
pub(super) enum RevokeCommand {
    /// Revoke one token
    Token {
        /// Its jti, or the token itself
        #[arg(value_name = "JTI|TOKEN")]
        token: String,
    },
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum ReinstateCommand {
    /// Lift one token's revocation
    Token {
        /// Its jti, or the token itself
        #[arg(value_name = "JTI|TOKEN")]
        token: String,
    },
}

impl RevokeCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let RevokeCommand::Token { token } = self;
        let issuer = session.issuer().await?;
        let id = token_id(session, &token, &issuer).await?;
        let Some(token) = session.store.token(&id).await? else {
            bail!("there is no token {id}, or it expired");
        };
        let Some(revocation) = Revocation::of(&token, &issuer, ambient::now()) else {
            bail!("the token {id} expired: no edge accepts it any more");
        };
        let already = !session.store.revoke(&revocation).await?;
        let told = json!({ "jti": id.as_str(), "revoked": true, "already": already });
        session
            .output
            .print(&told, |_| if already { format!("{id} was revoked already") } else { format!("revoked {id}") })
    }
}

impl ReinstateCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let ReinstateCommand::Token { token } = self;
        let issuer = session.issuer().await?;
        let id = token_id(session, &token, &issuer).await?;
        if !session.store.reinstate(&id).await? {
            bail!("the token {id} is not revoked");
        }
        session.output.print(&json!({ "jti": id.as_str(), "reinstated": true }), |_| format!("reinstated {id}"))
    }
}

/// The identifier of a token that is named by it, or given itself.
async fn token_id(session: &Session, token: &str, issuer: &str) -> anyhow::Result<TokenId> {
    if !token.contains('.') {
        return Ok(token.parse()?);
    }
    session.keys().await?.recognise(token, issuer).context("this origin did not issue that token")
}
