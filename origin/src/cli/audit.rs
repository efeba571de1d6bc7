//! `tollgate audit export`

use super::Session;
use crate::domain::AuditView;

#[derive(Debug, clap::Subcommand)]
pub(super) enum AuditCommand {
    /// Print the audit log, oldest first; with --json one object on each line
    Export {
        /// From this Unix second on
        #[arg(long, default_value_t = 0)]
        since: u64,
    },
}

impl AuditCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let AuditCommand::Export { since } = self;
        let mut last = 0;
        loop {
            let page = session.store.audit(last, since).await?;
            let Some(newest) = page.last() else { return Ok(()) };
            last = newest.number;
            for entry in page {
                session.output.print_line(&AuditView::from(entry), text)?;
            }
        }
    }
}

fn text(view: &AuditView) -> String {
    let name = view.name.clone().or(view.before.map(|time| format!("before {time}"))).unwrap_or_default();
    let reason = view.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    format!("{}  {}  {} {} {name}{reason}", view.at, view.actor, view.action, view.kind)
}
