//! `tollgate resource create|list|remove`

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde_json::json;
use tollgate_model::{Audience, ClientId, Resource};

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
    },
    /// List the resource servers
    List,
    /// Remove a resource server
    Remove {
        /// Audience
        audience: Audience,
    },
}

impl ResourceCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            ResourceCommand::Create { audience, name, scope, introspected_by } => {
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
                let resource = Resource { audience, name, scopes, introspected_by }.checked()?;
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
