//! `tollgate revocation list`

use serde::Serialize;
use tollgate_core::RevocationKind;
use tollgate_model::RevocationView;
use tollgate_storage::{MAX_REVOCATIONS_PAGE, RevocationFilter};
use tollgate_system::Clock;

use super::Session;
use super::output::table;

#[derive(Debug, clap::Subcommand)]
pub(super) enum RevocationCommand {
    /// List revocations, newest first
    List {
        /// Only this kind: token, session, subject, client, key or everything
        #[arg(long, value_parser = kind)]
        kind: Option<RevocationKind>,
        /// Only revocations of this name
        #[arg(long)]
        name: Option<String>,
        /// Include lifted and expired revocations
        #[arg(long)]
        all: bool,
        /// Maximum number
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
}

#[derive(Serialize)]
#[serde(transparent)]
struct Views(Vec<RevocationView>);

fn kind(name: &str) -> Result<RevocationKind, &'static str> {
    RevocationKind::from_name(name).ok_or("must be token, session, subject, client, key or everything")
}

impl RevocationCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let RevocationCommand::List { kind, name, all, limit } = self;
        let (registry, now) = (session.registry()?, Clock::system().now());
        let mut listing =
            RevocationFilter { kind, name, include_inactive: all, below: None, limit: MAX_REVOCATIONS_PAGE };
        let mut views = Vec::new();
        while views.len() < limit {
            let page = registry.list_revocations(&listing).await?.0;
            let Some(last) = page.last() else { break };
            listing.below = Some(last.number);
            views.extend(page.iter().take(limit - views.len()).map(|revocation| RevocationView::new(revocation, now)));
        }
        session.output.print(&Views(views), |Views(views)| table(HEADING, &views.iter().map(row).collect::<Vec<_>>()))
    }
}

const HEADING: [&str; 7] = ["ID", "KIND", "NAME", "BY", "AT", "STATE", "REASON"];

fn row(view: &RevocationView) -> [String; 7] {
    let name = view.name.clone().or(view.before.map(|time| format!("before {time}"))).unwrap_or_default();
    let state = match (&view.lifted_by, view.in_force) {
        (Some(by), _) => format!("lifted by {by}"),
        (None, true) => "in force".to_owned(),
        (None, false) => "expired".to_owned(),
    };
    let (id, at) = (view.id.to_string(), view.revoked_at.to_string());
    [id, view.kind.to_owned(), name, view.revoked_by.clone(), at, state, view.reason.clone().unwrap_or_default()]
}
