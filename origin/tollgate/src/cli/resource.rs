//! `tollgate resource create|list|update|remove`

use anyhow::Context as _;
use serde_json::json;
use tollgate_model::{AccessTokenType, Audience, ClientId, Resource, TokenAlg, TokenFormat, TokenProfile, Verifier};
use tollgate_services::admin::AdminError;

use super::change::{ChangeFlags, not_applicable, print_preview};
use super::output::table;
use super::{Session, command_line_actor};

#[derive(Debug, clap::Subcommand)]
pub(super) enum ResourceCommand {
    /// Register a resource server, or replace the one with this audience
    Create {
        /// Audience (aud) of its tokens, usually its URL
        audience: Audience,
        /// Name shown to users
        #[arg(long)]
        name: String,
        #[command(flatten)]
        resource: ResourceFlags,
    },
    /// Change single members of a resource server; the others stay as they are
    Update {
        /// Audience
        audience: Audience,
        /// Name shown to users
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        resource: ResourceFlags,
        #[command(flatten)]
        change: ChangeFlags,
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
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TokenProfileFlags {
    /// What verifies its tokens: edge, generic, spring, node, python or dotnet. Sets algorithm,
    /// type and format to what this accepts without configuration
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
            claims: profile.claims.into_iter().chain(self.token_claim).collect(),
        }
    }
}

/// Members of a resource server as flags, for `create` and `update`: all are optional. A new member
/// of [`Resource`] gets its flag here, once, and a line in [`ResourceFlags::apply`].
#[derive(Debug, clap::Args)]
pub(super) struct ResourceFlags {
    /// Scope value with its description, e.g. read='Read your reports'; repeatable
    #[arg(long, value_name = "VALUE=WORDS")]
    scope: Vec<String>,
    /// Client with which it introspects tokens
    #[arg(long, value_name = "CLIENT")]
    introspected_by: Option<ClientId>,
    #[command(flatten)]
    tokens: TokenProfileFlags,
}

impl ResourceFlags {
    fn apply(&self, mut resource: Resource) -> anyhow::Result<Resource> {
        for text in &self.scope {
            let (value, words) = text.split_once('=').context("--scope must be VALUE=WORDS")?;
            resource.scopes.insert(value.to_owned(), words.to_owned());
        }
        resource.introspected_by = self.introspected_by.clone().or(resource.introspected_by);
        resource.tokens = self.tokens.clone().applied_to(resource.tokens);
        Ok(resource)
    }
}

async fn update(
    session: &Session,
    audience: &Audience,
    name: Option<String>,
    flags: &ResourceFlags,
    change: &ChangeFlags,
) -> anyhow::Result<()> {
    let registry = session.registry()?;
    let apply = |resource: &Resource| -> Result<Resource, AdminError> {
        let changed = change.apply(resource).and_then(|mut changed| {
            changed.name = name.clone().unwrap_or(changed.name);
            flags.apply(changed)
        });
        changed.map_err(|error| not_applicable(&error))
    };
    if change.dry_run {
        let resource = registry.get_resource(audience.as_str()).await?;
        let changed = registry.check_resource(apply(&resource)?).await?;
        return print_preview(&session.output, &resource, &changed);
    }
    let changed = registry.change_resource(&command_line_actor(), audience.as_str(), apply).await?;
    session.output.print(&changed, |resource| format!("changed {}", resource.audience))
}

impl ResourceCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            ResourceCommand::Create { audience, name, resource: flags } => {
                let (scopes, introspected_by, tokens) = Default::default();
                let resource = flags.apply(Resource { audience, name, scopes, introspected_by, tokens })?;
                let resource = session.registry()?.save_resource(&command_line_actor(), resource).await?;
                session.output.print(&resource, |resource| format!("registered {}", resource.audience))
            }
            ResourceCommand::Update { audience, name, resource, change } => {
                update(session, &audience, name, &resource, &change).await
            }
            ResourceCommand::List => {
                let resources = session.registry()?.list_resources().await?;
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
                session.registry()?.delete_resource(&command_line_actor(), audience.as_str()).await?;
                session
                    .output
                    .print(&json!({ "audience": audience, "removed": true }), |_| format!("removed {audience}"))
            }
        }
    }
}
