//! `tollgate user import` and `tollgate client import`

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::ValueEnum;
use tollgate_model::text::escape_invisible;
use tollgate_services::admin::{ClientFormat, ImportOptions, ImportReport, UserFormat};
use tollgate_system::files;

use super::output::table;
use super::{Session, command_line_actor};

/// Larger files must be split.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Flags of both commands.
#[derive(Debug, clap::Args)]
struct ImportFlags {
    /// The file
    file: PathBuf,
    /// Report what would be imported, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Import the rows without problems. Without this flag a problem in one row prevents all
    #[arg(long)]
    skip_errors: bool,
}

/// Flags of `tollgate user import`.
#[derive(Debug, clap::Args)]
pub(super) struct ImportUsersFlags {
    #[command(flatten)]
    import: ImportFlags,
    /// Format of the file [default: csv for a name with that ending, otherwise lines]
    #[arg(long)]
    format: Option<UserFormatFlag>,
}

/// Flags of `tollgate client import`.
#[derive(Debug, clap::Args)]
pub(super) struct ImportClientsFlags {
    #[command(flatten)]
    import: ImportFlags,
    /// Format of the file
    #[arg(long, default_value = "rfc7591")]
    format: ClientFormatFlag,
    /// Allow the scope tollgate:admin, for the admin API
    #[arg(long)]
    admin: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum UserFormatFlag {
    /// One JSON object on each line: name, password_hash, full_name, email, email_verified,
    /// claims, external_id, disabled, created_at
    Lines,
    /// CSV with a heading of the same names
    Csv,
    /// Realm export of Keycloak
    Keycloak,
    /// User export of Auth0, or a file of its bulk import
    Auth0,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ClientFormatFlag {
    /// Client metadata with client_id, and client_secret or client_secret_hash
    Rfc7591,
    /// `hydra list clients --format json`
    Hydra,
    /// Realm export of Keycloak
    Keycloak,
    /// Clients of Auth0's management API
    Auth0,
}

impl ImportUsersFlags {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let is_csv = self.import.file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        let format = match self.format {
            None if is_csv => UserFormat::Csv,
            None | Some(UserFormatFlag::Lines) => UserFormat::Lines,
            Some(UserFormatFlag::Csv) => UserFormat::Csv,
            Some(UserFormatFlag::Keycloak) => UserFormat::Keycloak,
            Some(UserFormatFlag::Auth0) => UserFormat::Auth0,
        };
        let (registry, file) = (session.registry()?, self.import.read()?);
        let report = registry.import_users(&command_line_actor(), &file, format, self.import.options()).await;
        self.import.print(session, &report.with_context(|| self.import.name())?)
    }
}

impl ImportClientsFlags {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let format = match self.format {
            ClientFormatFlag::Rfc7591 => ClientFormat::Rfc7591,
            ClientFormatFlag::Hydra => ClientFormat::Hydra,
            ClientFormatFlag::Keycloak => ClientFormat::Keycloak,
            ClientFormatFlag::Auth0 => ClientFormat::Auth0,
        };
        let (registry, file) = (session.registry()?, self.import.read()?);
        let options = ImportOptions { allows_admin: self.admin, ..self.import.options() };
        let report = registry.import_clients(&command_line_actor(), &file, format, options).await;
        self.import.print(session, &report.with_context(|| self.import.name())?)
    }
}

impl ImportFlags {
    fn options(&self) -> ImportOptions {
        ImportOptions { dry_run: self.dry_run, skip_errors: self.skip_errors, ..ImportOptions::default() }
    }

    fn name(&self) -> String {
        self.file.display().to_string()
    }

    fn read(&self) -> anyhow::Result<Vec<u8>> {
        read(&self.file).with_context(|| self.name())
    }

    /// Prints the report. An error if rows with problems prevented the import.
    fn print(&self, session: &Session, report: &ImportReport) -> anyhow::Result<()> {
        session.output.print(report, to_text)?;
        if report.failed > 0 && !self.skip_errors {
            bail!(
                "nothing was imported: {} of {} rows have problems; correct them, or import the others with --skip-errors",
                report.failed,
                report.rows.len()
            );
        }
        Ok(())
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = File::open(path).and_then(|file| files::read_bounded(file, MAX_FILE_BYTES));
    read.map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => anyhow!("has more than {MAX_FILE_BYTES} bytes: split it"),
        _ => anyhow!(error).context("cannot be read"),
    })
}

fn to_text(report: &ImportReport) -> String {
    let rows = report.rows.iter().map(|row| {
        let result = match (&row.problem, report.is_applied) {
            (Some(_), _) => "problem",
            (None, true) => "imported",
            (None, false) => "good",
        };
        let mut remarks: Vec<String> = row.problem.iter().chain(&row.notes).cloned().collect();
        remarks.extend(row.client_secret.iter().map(|secret| format!("secret: {secret}")));
        // Texts of the file: they could otherwise control the terminal.
        let [name, remarks] =
            [row.name.as_deref().unwrap_or_default(), remarks.join("; ").as_str()].map(escape_invisible);
        [row.row.to_string(), name, result.to_owned(), remarks]
    });
    let rows: Vec<[String; 4]> = rows.collect();
    let what = if report.is_applied { "imported" } else { "can be imported" };
    format!(
        "{}\n{} {what}, {} with problems",
        table(["ROW", "NAME", "RESULT", "REMARKS"], &rows),
        report.imported,
        report.failed
    )
}

#[cfg(test)]
mod tests {
    use tollgate_services::admin::ImportedRow;

    use super::*;

    #[test]
    fn texts_of_the_file_cannot_control_the_terminal() {
        let row = ImportedRow {
            row: 1,
            name: Some("eve\u{1b}[2J".to_owned()),
            notes: vec!["without a counterpart here: \u{202e}role\n2".to_owned()],
            ..ImportedRow::default()
        };
        let text = to_text(&ImportReport { is_applied: false, imported: 1, failed: 0, rows: vec![row] });
        assert!(!text.contains(['\u{1b}', '\u{202e}']) && text.contains("eve\\u{1b}[2J"), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}
