//! `tollgate key list|audience|snapshot`

use serde_json::{Value, json};

use super::Session;
use super::output::table;
use crate::domain::Audience;
use crate::encoding::base64url;
use crate::keys::PublicKey;

#[derive(Debug, clap::Subcommand)]
pub(super) enum KeyCommand {
    /// List the keys, without their private parts
    List,
    /// Print the secret JWK that checks HS256 tokens of an audience; whoever has it can make such tokens
    Audience {
        /// The audience
        audience: Audience,
        /// Print a JWKS that holds it, for TOLLGATE_EDGE_SECRET_KEYS
        #[arg(long)]
        jwks: bool,
    },
    /// Print the public key that edges pin, for TOLLGATE_EDGE_SNAPSHOT_KEY
    Snapshot,
}

impl KeyCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let keys = session.keys().await?;
        match self {
            KeyCommand::List => session.output.print(&keys.listing(), |listing| {
                let row = |key: &PublicKey| {
                    [key.kid.clone(), key.alg.clone(), key.purpose.clone(), key.created_at.to_string()]
                };
                table(["KID", "ALG", "PURPOSE", "CREATED"], &listing.iter().map(row).collect::<Vec<_>>())
            }),
            KeyCommand::Audience { audience, jwks } => {
                let jwk = json!(keys.audience_key(&audience).to_secret_jwk());
                // JSON for people too, but on one line, as the setting takes it.
                session.output.print(&if jwks { json!({ "keys": [jwk] }) } else { jwk }, Value::to_string)
            }
            KeyCommand::Snapshot => {
                let key = base64url(&keys.snapshot_signer().public_key());
                session.output.print(&json!({ "snapshot_key": key }), |_| key.clone())
            }
        }
    }
}
