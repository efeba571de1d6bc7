//! `tollgate scope list|set|remove`: descriptions of single scope values, which are stored with
//! their resource server.

use serde::Serialize;
use serde_json::json;
use tollgate_model::{Audience, Resource};

use super::output::table;
use super::{Session, command_line_actor};

#[derive(Debug, clap::Subcommand)]
pub(super) enum ScopeCommand {
    /// List the scope values of all resource servers, or of one
    List {
        /// Audience of the resource server [default: all]
        #[arg(long)]
        audience: Option<Audience>,
    },
    /// Set the description of a scope value
    Set {
        /// Scope value, e.g. reports:read
        value: String,
        /// Audience of the resource server
        #[arg(long)]
        audience: Audience,
        /// Description on the consent page, e.g. 'Read your reports'
        #[arg(long)]
        words: String,
    },
    /// Remove a scope value and its description; the consent page then shows the value itself
    Remove {
        /// Scope value
        value: String,
        /// Audience of the resource server
        #[arg(long)]
        audience: Audience,
    },
}

#[derive(Serialize)]
struct ScopeView<'a> {
    value: &'a str,
    audience: &'a Audience,
    words: &'a str,
}

impl ScopeCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            ScopeCommand::List { audience } => list(audience, session).await,
            ScopeCommand::Set { value, audience, words } => {
                session.registry()?.set_scope_description(&command_line_actor(), &audience, &value, &words).await?;
                let view = ScopeView { value: &value, audience: &audience, words: &words };
                session.output.print(&view, |view| format!("set {} of {}", view.value, view.audience))
            }
            ScopeCommand::Remove { value, audience } => {
                session.registry()?.delete_scope_description(&command_line_actor(), audience.as_str(), &value).await?;
                let view = json!({ "value": value, "audience": audience, "removed": true });
                session.output.print(&view, |_| format!("removed {value} of {audience}"))
            }
        }
    }
}

async fn list(audience: Option<Audience>, session: &Session) -> anyhow::Result<()> {
    let resources = match audience {
        Some(audience) => vec![session.registry()?.get_resource(audience.as_str()).await?],
        None => session.registry()?.list_resources().await?,
    };
    let views: Vec<ScopeView> = resources.iter().flat_map(views).collect();
    session.output.print(&views, |views| {
        let row = |view: &ScopeView| [view.value, view.audience.as_str(), view.words].map(str::to_owned);
        table(["VALUE", "AUDIENCE", "MEANING"], &views.iter().map(row).collect::<Vec<_>>())
    })
}

fn views(resource: &Resource) -> impl Iterator<Item = ScopeView<'_>> {
    resource.scopes.iter().map(|(value, words)| ScopeView { value, audience: &resource.audience, words })
}
