//! `tollgate edge add|list|key|remove`

use serde::Serialize;
use serde_json::json;
use tollgate_model::encoding::base64url;
use tollgate_model::{Edge, EdgeActivityView, EdgeName, EdgeUrl, EdgeView};
use tollgate_system::Clock;

use super::output::table;
use super::{Session, command_line_actor};

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
    /// List the edges, their progress, and what they passed and refused
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
                let edge = session.registry()?.create_edge(&command_line_actor(), &edge).await?;
                let added = AddedView { edge, key };
                session.output.print(&added, |added| {
                    let (EdgeView { name, url, .. }, key) = (&added.edge, &added.key);
                    format!("added {name} at {url}\nsecret setting for this edge: TOLLGATE_EDGE_KEY={key}")
                })
            }
            EdgeCommand::List => {
                let views = session.registry()?.list_edges().await?.1;
                session.output.print(&views, |views| {
                    let row = |view: &EdgeView| {
                        let lag = view.lag.map_or("-".to_owned(), |lag| lag.to_string());
                        let now_ms = Clock::system().now_ms();
                        let contact = view.last_contact_ms.map_or("never".to_owned(), |at_ms| {
                            format!("{} s ago", now_ms.saturating_sub(at_ms) / 1000)
                        });
                        let reported = |count: fn(&EdgeActivityView) -> u64| {
                            view.activity.as_ref().map_or("-".to_owned(), |activity| count(activity).to_string())
                        };
                        let (passed, refused) = (reported(|view| view.passed), reported(|view| view.refused));
                        let acknowledged = view.acknowledged_sequence.to_string();
                        [view.name.clone(), view.url.clone(), acknowledged, lag, contact, passed, refused]
                    };
                    table(
                        ["EDGE", "URL", "ACKNOWLEDGED", "LAG", "LAST CONTACT", "PASSED", "REFUSED"],
                        &views.iter().map(row).collect::<Vec<_>>(),
                    )
                })
            }
            EdgeCommand::Key { name } => {
                let key = edge_key(session, &session.registry()?.get_edge(&name).await?).await?;
                session.output.print(&json!({ "name": name.as_str(), "key": key }), |_| key.clone())
            }
            EdgeCommand::Remove { name } => {
                session.registry()?.delete_edge(&command_line_actor(), &name).await?;
                session.output.print(&json!({ "name": name.as_str(), "removed": true }), |_| format!("removed {name}"))
            }
        }
    }
}
