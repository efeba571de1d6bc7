//! `tollgate edge add|list|remove`

use anyhow::bail;
use serde::Serialize;

use super::Session;
use super::output::{OutputFlags, line, table};
use crate::ambient;
use crate::domain::{Edge, EdgeName, EdgeUrl};

#[derive(Debug, clap::Subcommand)]
pub(super) enum EdgeCommand {
    /// Register an edge, so that changes are pushed to it
    Add {
        /// What to call it
        name: EdgeName,
        /// Where it answers; pushes go to URL/_tollgate/push
        #[arg(long)]
        url: EdgeUrl,
    },
    /// List the edges and how far each has come
    List {
        #[command(flatten)]
        output: OutputFlags,
    },
    /// Push to an edge no longer
    Remove {
        /// Its name
        name: EdgeName,
    },
}

#[derive(Serialize)]
struct EdgeView {
    name: String,
    url: String,
    acknowledged: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_at_ms: Option<u64>,
    /// How many changes it has not acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<u64>,
}

impl EdgeCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            EdgeCommand::Add { name, url } => {
                let edge = Edge { name, url, acknowledged: 0, acknowledged_at_ms: None, created_at: ambient::now() };
                session.store.insert_edge(&edge).await?;
                line(&format!("added {} at {}", edge.name, edge.url))
            }
            EdgeCommand::List { output } => {
                // A database that was never served from has no history to lag behind.
                let newest = session.store.head().await.ok().map(|head| head.sequence);
                let view = |edge: Edge| EdgeView {
                    name: edge.name.to_string(),
                    url: edge.url.to_string(),
                    acknowledged: edge.acknowledged,
                    acknowledged_at_ms: edge.acknowledged_at_ms,
                    lag: newest.map(|newest| newest.saturating_sub(edge.acknowledged)),
                };
                let views: Vec<EdgeView> = session.store.edges().await?.into_iter().map(view).collect();
                output.print(&views, |views| {
                    let row = |view: &EdgeView| {
                        let lag = view.lag.map_or("-".to_owned(), |lag| lag.to_string());
                        [view.name.clone(), view.url.clone(), view.acknowledged.to_string(), lag]
                    };
                    table(["EDGE", "URL", "ACKNOWLEDGED", "LAG"], &views.iter().map(row).collect::<Vec<_>>())
                })
            }
            EdgeCommand::Remove { name } => {
                if !session.store.delete_edge(&name).await? {
                    bail!("there is no edge {name}");
                }
                line(&format!("removed {name}"))
            }
        }
    }
}
