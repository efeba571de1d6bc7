//! `tollgate resource create|list|remove`

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde_json::json;
use tollgate_model::{AccessTokenType, Audience, ClientId, Resource, TokenAlg, TokenFormat, TokenProfile, Verifier};

use super::Session;
use super::output::table;

#[derive(Debug, clap::Subcommand)]
pub(super) enum ResourceCommand {
    /// Register a resource server, or replace the one with this audience
    Create {
        /// Audience (aud) of its tokens, usually its URL
        audience: Audience,
        /// Name shown to users
        #[arg(long)]
        name: String,
        /// Scope value with its description, e.g. read='Read your reports'; repeatable
        #[arg(long, value_name = "VALUE=WORDS")]
        scope: Vec<String>,
        /// Client with which it introspects tokens
        #[arg(long, value_name = "CLIENT")]
        introspected_by: Option<ClientId>,
        #[command(flatten)]
        tokens: TokenProfileFlags,
    },
    /// List the resource servers
    List,
    /// Remove a resource server
    Remove {
        /// Audience
        audience: Audience,
    },
}

/// What access tokens look like.
#[derive(Debug, clap::Args)]
pub(super) struct TokenProfileFlags {
    /// What verifies its tokens: edge, generic, spring, node, python or dotnet. Sets algorithm, type
    /// and format to what this accepts without configuration
    #[arg(long, value_name = "PRESET")]
    verifier: Option<Verifier>,
    /// Signature algorithm of its access tokens: EdDSA, ES256, RS256 or HS256 [default: that of the
    /// client]
    #[arg(long)]
    alg: Option<TokenAlg>,
    /// Type (typ) of its access tokens: at+jwt or JWT [default: at+jwt]
    #[arg(long, value_name = "TYP")]
    token_type: Option<AccessTokenType>,
    /// Format of its access tokens: jwt or opaque [default: that of the client]
    #[arg(long, value_name = "FORM")]
    token_format: Option<TokenFormat>,
    /// Longest lifetime of its access tokens [default: that of the server]
    #[arg(long, value_name = "SECONDS")]
    token_lifetime: Option<u64>,
    /// Claim of the user that its access tokens contain; repeatable
    #[arg(long, value_name = "CLAIM")]
    token_claim: Vec<String>,
}

impl TokenProfileFlags {
    /// The profile with these changes: first the preset, then the single members.
    pub(super) fn applied_to(self, profile: TokenProfile) -> TokenProfile {
        let profile = match self.verifier {
            Some(verifier) => profile.with_preset(verifier),
            None => profile,
        };
        TokenProfile {
            alg: self.alg.or(profile.alg),
            token_type: self.token_type.or(profile.token_type),
            format: self.token_format.or(profile.format),
            lifetime: self.token_lifetime.or(profile.lifetime),
            claims: if self.token_claim.is_empty() { profile.claims } else { self.token_claim.into_iter().collect() },
        }
    }
}

impl ResourceCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            ResourceCommand::Create { audience, name, scope, introspected_by, tokens } => {
                let pair = |text: &String| {
                    let (value, words) = text.split_once('=').context("--scope must be VALUE=WORDS")?;
                    Ok((value.to_owned(), words.to_owned()))
                };
                let scopes = scope.iter().map(pair).collect::<anyhow::Result<BTreeMap<_, _>>>()?;
                if let Some(client) = &introspected_by
                    && session.store.find_client(client).await?.is_none()
                {
                    bail!("client {client} does not exist");
                }
                let tokens = tokens.applied_to(TokenProfile::default());
                let resource = Resource { audience, name, scopes, introspected_by, tokens }.checked()?;
                session.store.save_resource(&resource).await?;
                session.output.print(&resource, |resource| format!("registered {}", resource.audience))
            }
            ResourceCommand::List => {
                let resources = session.store.list_resources().await?;
                session.output.print(&resources, |resources| {
                    let row = |resource: &Resource| {
                        let scopes: Vec<&str> = resource.scopes.keys().map(String::as_str).collect();
                        let client = resource.introspected_by.as_ref().map(ClientId::to_string).unwrap_or_default();
                        [resource.audience.to_string(), resource.name.clone(), scopes.join(" "), client]
                    };
                    table(
                        ["AUDIENCE", "NAME", "SCOPES", "INTROSPECTED BY"],
                        &resources.iter().map(row).collect::<Vec<_>>(),
                    )
                })
            }
            ResourceCommand::Remove { audience } => {
                if !session.store.delete_resource(&audience).await? {
                    bail!("resource server {audience} does not exist");
                }
                session
                    .output
                    .print(&json!({ "audience": audience, "removed": true }), |_| format!("removed {audience}"))
            }
        }
    }
}
