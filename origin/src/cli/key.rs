//! `tollgate key list|audience|snapshot`

use super::Session;
use super::output::{OutputFlags, line, table};
use crate::domain::Audience;
use crate::encoding::base64url;

#[derive(Debug, clap::Subcommand)]
pub(super) enum KeyCommand {
    /// List the keys, without their private parts
    List {
        #[command(flatten)]
        output: OutputFlags,
    },
    /// Print the secret JWK that checks HS256 tokens of an audience; whoever has it can make such tokens
    Audience {
        /// The audience
        audience: Audience,
        /// Print a JWKS that holds it, for TOLLGATE_EDGE_SECRET_KEYS
        #[arg(long)]
        jwks: bool,
    },
    /// Print the public key that edges pin, for TOLLGATE_EDGE_SNAPSHOT_KEY
    Snapshot {
        #[command(flatten)]
        output: OutputFlags,
    },
}

impl KeyCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let keys = session.keys().await?;
        match self {
            KeyCommand::List { output } => output.print(&keys.listing(), |listing| {
                let row = |key: &crate::keys::PublicKey| {
                    [key.kid.clone(), key.alg.clone(), key.purpose.clone(), key.created_at.to_string()]
                };
                table(["KID", "ALG", "PURPOSE", "CREATED"], &listing.iter().map(row).collect::<Vec<_>>())
            }),
            KeyCommand::Audience { audience, jwks } => {
                let jwk = serde_json::to_string(&keys.audience_key(&audience).to_secret_jwk())?;
                line(&if jwks { format!("{{\"keys\":[{jwk}]}}") } else { jwk })
            }
            KeyCommand::Snapshot { output } => {
                let key = base64url(&keys.snapshot_signer().public_key());
                output.print(&serde_json::json!({ "snapshot_key": key }), |_| key.clone())
            }
        }
    }
}
