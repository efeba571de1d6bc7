//! `tollgate migrate`

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tollgate_config::Settings;
use tollgate_model::IssuerName;
use tollgate_storage::{MigrationPhase, MigrationStatus, PendingMigration, Store};

use super::output::{Output, table};
use super::{Session, open};

/// Exit code of `--check` when programs that run now keep working while and after the pending
/// migrations are applied.
const PENDING_ONLINE: u8 = 3;
/// Exit code of `--check` when programs that run now must be stopped first.
const PENDING_OFFLINE: u8 = 4;

/// Flags of `tollgate migrate`.
#[derive(Debug, clap::Args)]
pub(super) struct MigrateFlags {
    /// Only show which migrations are pending, and change nothing. Exit code 0: none; 3: running
    /// origins keep working meanwhile; 4: stop all origins on the database first
    #[arg(long)]
    check: bool,
}

/// A database, before the command.
#[derive(Serialize)]
struct DatabaseView {
    /// Name of the registered issuer; none for the default issuer.
    issuer: Option<IssuerName>,
    #[serde(flatten)]
    status: MigrationStatus,
    /// Whether running origins must be stopped before the pending migrations are applied.
    must_stop_programs: bool,
    /// Whether the pending migrations were applied.
    is_applied: bool,
}

impl MigrateFlags {
    /// Works on the default issuer's database and those of all registered issuers, or on that of
    /// `issuer`.
    pub(super) async fn run(
        self,
        settings: Settings,
        output: Output,
        issuer: Option<String>,
    ) -> anyhow::Result<ExitCode> {
        let issuer: Option<IssuerName> = issuer.map(|name| name.parse().context("--issuer")).transpose()?;
        let default = self.database(None, &settings.database_url).await?;
        let is_readable = default.is_applied || default.status.pending.is_empty();
        let mut views = Vec::new();
        if issuer.is_none() {
            views.push(default);
        } else if !is_readable {
            bail!("the default issuer's database, which lists the others, has pending migrations: apply them first");
        }
        if is_readable {
            let session = Session { store: open(&settings).await?, settings, output };
            let names: Vec<IssuerName> = match issuer {
                Some(name) => vec![name],
                None => session.store.list_issuers().await?.into_iter().map(|issuer| issuer.name).collect(),
            };
            for name in names {
                let url = session.issuer_settings(&name).await?.database_url;
                let view = self.database(Some(&name), &url).await;
                views.push(view.with_context(|| format!("database of the issuer {name}"))?);
            }
            session.store.close().await;
            session.output.print(&views, |views| to_text(views))?;
        } else {
            output.print(&views, |views| to_text(views))?;
        }
        Ok(self.exit_code(&views))
    }

    async fn database(&self, issuer: Option<&IssuerName>, url: &str) -> anyhow::Result<DatabaseView> {
        let status = MigrationStatus::read(url).await?;
        if !self.check {
            Store::open(url).await?.close().await;
        }
        let must_stop_programs = status.must_stop_programs();
        Ok(DatabaseView { issuer: issuer.cloned(), status, must_stop_programs, is_applied: !self.check })
    }

    fn exit_code(&self, views: &[DatabaseView]) -> ExitCode {
        if !self.check || views.iter().all(|view| view.status.pending.is_empty()) {
            return ExitCode::SUCCESS;
        }
        let must_stop_programs = views.iter().any(|view| view.must_stop_programs);
        ExitCode::from(if must_stop_programs { PENDING_OFFLINE } else { PENDING_ONLINE })
    }
}

fn to_text(views: &[DatabaseView]) -> String {
    views.iter().map(DatabaseView::to_text).collect::<Vec<_>>().join("\n\n")
}

impl DatabaseView {
    fn to_text(&self) -> String {
        let issuer = self.issuer.as_ref().map_or("(default)", IssuerName::as_str);
        let schema = self.status.schema;
        let schema = schema.map_or_else(|| "new database".to_owned(), |schema| format!("schema {schema}"));
        if self.status.pending.is_empty() {
            return format!("{issuer}: {schema}, no pending migrations");
        }
        let row = |migration: &PendingMigration| {
            let phase = match migration.phase {
                MigrationPhase::Expand => "expand",
                MigrationPhase::Contract => "contract",
            };
            let running = if migration.keeps_programs_running { "keep running" } else { "must be stopped first" };
            [migration.version.to_string(), migration.name.clone(), phase.to_owned(), running.to_owned()]
        };
        let rows: Vec<_> = self.status.pending.iter().map(row).collect();
        let (count, is_applied) = (rows.len(), if self.is_applied { "applied" } else { "pending" });
        format!(
            "{issuer}: {schema}, {count} migrations {is_applied}\n{}",
            table(["NUMBER", "NAME", "PHASE", "RUNNING ORIGINS"], &rows)
        )
    }
}
