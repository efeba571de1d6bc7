//! `tollgate audit list|export`

use anyhow::bail;
use tollgate_model::{AuditAction, AuditFilter, AuditKind, AuditView};

use super::Session;
use super::output::line;

#[derive(Debug, clap::Subcommand)]
pub(super) enum AuditCommand {
    /// Show the newest entries, newest first
    List {
        #[command(flatten)]
        filter: FilterFlags,
        /// Maximum number of entries, up to 1000
        #[arg(long, default_value_t = 50)]
        limit: u64,
    },
    /// Print all entries, oldest first; with --json one object per line
    Export {
        #[command(flatten)]
        filter: FilterFlags,
        /// Print CSV (RFC 4180) with a heading
        #[arg(long)]
        csv: bool,
    },
}

/// Selects entries.
#[derive(Debug, clap::Args)]
pub(super) struct FilterFlags {
    /// Only entries about this kind: token, session, subject, client, key, everything, login, user,
    /// resource, route, edge, issuer or stream
    #[arg(long)]
    kind: Option<AuditKind>,
    /// Only this action, e.g. create or revoke
    #[arg(long)]
    action: Option<AuditAction>,
    /// Only this actor, e.g. cli:alice or client:reports
    #[arg(long)]
    actor: Option<String>,
    /// Only entries about the target with this name
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// From this Unix time in seconds, inclusive
    #[arg(long, value_name = "TIME")]
    since: Option<u64>,
    /// Up to this Unix time in seconds
    #[arg(long, value_name = "TIME")]
    until: Option<u64>,
}

impl From<FilterFlags> for AuditFilter {
    fn from(flags: FilterFlags) -> AuditFilter {
        let FilterFlags { kind, action, actor, target, since, until } = flags;
        AuditFilter { kind, action, actor, target, since, until, ..AuditFilter::default() }
    }
}

impl AuditCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            AuditCommand::List { filter, limit } => {
                let filter = AuditFilter { newest_first: true, limit: Some(limit.max(1)), ..filter.into() };
                let (entries, _) = session.registry()?.list_audit_entries(&filter).await?;
                let views: Vec<_> = entries.into_iter().map(AuditView::from).collect();
                let lines = |views: &Vec<AuditView>| views.iter().map(text).collect::<Vec<_>>().join("\n");
                session.output.print(&views, |views| if views.is_empty() { "none".to_owned() } else { lines(views) })
            }
            AuditCommand::Export { filter, csv } => export(session, filter.into(), csv).await,
        }
    }
}

/// Prints page by page, because the log may not fit in memory.
async fn export(session: &Session, filter: AuditFilter, csv: bool) -> anyhow::Result<()> {
    if csv && session.output.is_json() {
        bail!("use either --csv or --json");
    }
    if csv {
        line(AuditView::CSV_HEADING)?;
    }
    let (registry, mut filter) = (session.registry()?, AuditFilter { after: Some(0), ..filter });
    loop {
        let (page, next) = registry.list_audit_entries(&filter).await?;
        for view in page.into_iter().map(AuditView::from) {
            match csv {
                true => line(&view.to_csv())?,
                false => session.output.print_line(&view, text)?,
            }
        }
        let Some(last) = next else { return Ok(()) };
        filter.after = Some(last);
    }
}

fn text(view: &AuditView) -> String {
    let name = view.name.clone().or(view.before.map(|time| format!("before {time}"))).unwrap_or_default();
    let reason = view.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    format!("{}  {}  {} {} {name}{reason}", view.at, view.actor, view.action, view.kind)
}
