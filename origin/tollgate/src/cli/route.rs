//! `tollgate route add|list|remove`

use serde_json::json;
use tollgate_model::{OnStale, Route, RouteView, Scope};

use super::output::table;
use super::{Session, command_line_actor};

#[derive(Debug, clap::Subcommand)]
pub(super) enum RouteCommand {
    /// Add a rule; the longest matching path applies, and a rule for the method before one for all
    /// methods
    Add {
        /// Path: an exact path, or everything below it if it ends with /*
        #[arg(long)]
        path: String,
        /// Method of the rule; repeatable [default: all]
        #[arg(long, value_name = "METHOD")]
        method: Vec<String>,
        /// Scope value that the token must have; repeatable, or separate values by spaces
        #[arg(long)]
        scope: Vec<String>,
        /// Allow requests without a token
        #[arg(long)]
        public: bool,
        /// What an edge does while its replica is older than the staleness bound: deny or allow
        #[arg(long, default_value = "deny")]
        on_stale: OnStale,
        /// What an edge then does with tokens issued after its replica: deny or allow
        #[arg(long, default_value = "deny")]
        on_not_covered: OnStale,
    },
    /// List the rules
    List,
    /// Remove the rule with this path and these methods
    Remove {
        /// Path of the rule
        #[arg(long)]
        path: String,
        /// Methods of the rule; repeatable
        #[arg(long, value_name = "METHOD")]
        method: Vec<String>,
    },
}

impl RouteCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            RouteCommand::Add { path, method, scope, public, on_stale, on_not_covered } => {
                let route = Route::new(&path, &method, Scope::from_arguments(&scope)?, public, on_stale)?;
                let route = route.on_not_covered(on_not_covered);
                session.registry()?.create_route(&command_line_actor(), &route).await?;
                session.output.print(&RouteView::from(&route), |_| format!("added {route}"))
            }
            RouteCommand::List => {
                let routes = session.registry()?.list_routes().await?;
                let views: Vec<RouteView> = routes.iter().map(RouteView::from).collect();
                session.output.print(&views, |views| {
                    let row = |view: &RouteView| {
                        let methods = if view.methods.is_empty() { "*".to_owned() } else { view.methods.join(",") };
                        let needs = if view.public { "(public)".to_owned() } else { view.scope.clone() };
                        [view.path.clone(), methods, needs, view.on_stale.to_owned(), view.on_not_covered.to_owned()]
                    };
                    table(
                        ["PATH", "METHODS", "SCOPE", "ON STALE", "ON NOT COVERED"],
                        &views.iter().map(row).collect::<Vec<_>>(),
                    )
                })
            }
            RouteCommand::Remove { path, method } => {
                let route = Route::new(&path, &method, Scope::default(), false, OnStale::Deny)?;
                session.registry()?.delete_route(&command_line_actor(), &route).await?;
                let view = json!({ "path": route.path(), "methods": route.methods(), "removed": true });
                session.output.print(&view, |_| format!("removed {route}"))
            }
        }
    }
}
