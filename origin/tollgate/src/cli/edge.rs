//! `tollgate edge add|list|key|remove`

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::json;
use tollgate_model::encoding::base64url;
use tollgate_model::{Edge, EdgeName, EdgeUrl, EdgeView};
use tollgate_storage::StoreError;
use tollgate_system::Clock;

use super::Session;
use super::output::table;

#[derive(Debug, clap::Subcommand)]
pub(super) enum EdgeCommand {
    /// Register an edge to push changes to
    Add {
        /// Name
        name: EdgeName,
        /// Its URL; changes are pushed to URL/_tollgate/push
        #[arg(long)]
        url: EdgeUrl,
    },
    /// List the edges and their progress
    List,
    /// Print the secret key that authenticates an edge, for TOLLGATE_EDGE_KEY
    Key {
        /// Name
        name: EdgeName,
    },
    /// Remove an edge: changes are no longer pushed to it
    Remove {
        /// Name
        name: EdgeName,
    },
}

/// The newest sequence number; none before the first start of a server.
async fn newest(session: &Session) -> Result<Option<u64>, StoreError> {
    match session.store.get_feed_head().await {
        Ok(head) => Ok(Some(head.sequence)),
        Err(StoreError::NoIssuer) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A new edge with its key.
#[derive(Serialize)]
struct AddedView {
    #[serde(flatten)]
    edge: EdgeView,
    key: String,
}

/// The key with which an edge authenticates.
async fn edge_key(session: &Session, edge: &Edge) -> anyhow::Result<String> {
    let secret = session.keys().await?.edge_secret(&edge.name, edge.number());
    Ok(format!("{}:{}:{}", edge.name, edge.number(), base64url(secret.as_slice())))
}

impl EdgeCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            EdgeCommand::Add { name, url } => {
                let (acknowledged_at_ms, contacted_at_ms) = (None, None);
                let created_at = Clock::system().now();
                let edge = Edge { name, url, acknowledged: 0, acknowledged_at_ms, contacted_at_ms, created_at };
                let key = edge_key(session, &edge).await?;
                session.store.create_edge(&edge).await?;
                let added = AddedView { edge: EdgeView::new(&edge, newest(session).await?), key };
                session.output.print(&added, |added| {
                    let (EdgeView { name, url, .. }, key) = (&added.edge, &added.key);
                    format!("added {name} at {url}\nsecret setting for this edge: TOLLGATE_EDGE_KEY={key}")
                })
            }
            EdgeCommand::List => {
                let (newest, edges) = (newest(session).await?, session.store.list_edges().await?);
                let views: Vec<EdgeView> = edges.iter().map(|edge| EdgeView::new(edge, newest)).collect();
                session.output.print(&views, |views| {
                    let row = |view: &EdgeView| {
                        let lag = view.lag.map_or("-".to_owned(), |lag| lag.to_string());
                        let now_ms = Clock::system().now_ms();
                        let contact = view.last_contact_ms.map_or("never".to_owned(), |at_ms| {
                            format!("{} s ago", now_ms.saturating_sub(at_ms) / 1000)
                        });
                        [view.name.clone(), view.url.clone(), view.acknowledged_sequence.to_string(), lag, contact]
                    };
                    table(
                        ["EDGE", "URL", "ACKNOWLEDGED", "LAG", "LAST CONTACT"],
                        &views.iter().map(row).collect::<Vec<_>>(),
                    )
                })
            }
            EdgeCommand::Key { name } => {
                let edges = session.store.list_edges().await?;
                let edge = edges.iter().find(|edge| edge.name == name);
                let key = edge_key(session, edge.with_context(|| format!("edge {name} does not exist"))?).await?;
                session.output.print(&json!({ "name": name.as_str(), "key": key }), |_| key.clone())
            }
            EdgeCommand::Remove { name } => {
                if !session.store.delete_edge(&name).await? {
                    bail!("edge {name} does not exist");
                }
                session.output.print(&json!({ "name": name.as_str(), "removed": true }), |_| format!("removed {name}"))
            }
        }
    }
}
