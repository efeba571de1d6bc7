//! Import of users and clients from other systems: parses their exports, says what maps and what
//! does not, and registers all or none of them.

mod clients;
mod users;

pub use clients::ClientFormat;
pub use users::UserFormat;

use serde::Serialize;
use serde_json::{Map, Value};
use tollgate_model::Actor;

use super::{AdminError, Registry};

/// Rows of one file. A larger one must be split: all are registered in one transaction.
const MAX_ROWS: usize = 100_000;

/// How an import proceeds.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportOptions {
    /// Changes nothing.
    pub dry_run: bool,
    /// Registers the rows without problems. Otherwise a problem in one row prevents all.
    pub skip_errors: bool,
    /// Registers clients with the scope of the admin API. Otherwise it is a problem: in the other
    /// system the value means nothing, so anyone may have registered a client with it.
    pub allows_admin: bool,
}

/// What became of an import.
#[derive(Debug, Serialize)]
pub struct ImportReport {
    /// Whether rows were registered: not in a dry run, nor with a problem that is not skipped.
    pub is_applied: bool,
    /// Rows that were registered, or would be.
    pub imported: usize,
    /// Rows with a problem.
    pub failed: usize,
    /// All rows, in the order of the file.
    pub rows: Vec<ImportedRow>,
}

/// What became of a row.
#[derive(Debug, Default, Serialize)]
pub struct ImportedRow {
    /// Position in the file, from 1.
    pub row: usize,
    /// The user name or the client id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The user id here: the `sub` of tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The id in the other system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// A new client secret, because the other system's cannot be verified here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// Why the row is not registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What of the row has no counterpart here, and what to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A row that was read: what to register, with its report.
struct Parsed<T> {
    report: ImportedRow,
    object: Option<T>,
}

impl<T> Parsed<T> {
    fn new(row: usize, name: Option<String>, result: Result<(T, Vec<String>), String>) -> Parsed<T> {
        let report = ImportedRow { row, name, ..ImportedRow::default() };
        match result {
            Ok((object, notes)) => Parsed { report: ImportedRow { notes, ..report }, object: Some(object) },
            Err(problem) => Parsed { report: ImportedRow { problem: Some(problem), ..report }, object: None },
        }
    }
}

impl ImportReport {
    fn new(rows: Vec<ImportedRow>, is_committed: bool, options: ImportOptions) -> ImportReport {
        let failed = rows.iter().filter(|row| row.problem.is_some()).count();
        let imported = if failed == 0 || options.skip_errors { rows.len() - failed } else { 0 };
        ImportReport { is_applied: is_committed && imported > 0, imported, failed, rows }
    }
}

impl ImportOptions {
    /// Whether rows are committed if this many have problems.
    fn commits(self, problems: usize) -> bool {
        !self.dry_run && (problems == 0 || self.skip_errors)
    }
}

impl Registry {
    /// Registers the users of an export.
    ///
    /// # Errors
    /// [`AdminError::Invalid`] for a file in another format, or when the database fails. Problems
    /// of single rows are in the report.
    pub async fn import_users(
        &self,
        by: &Actor,
        file: &[u8],
        format: UserFormat,
        options: ImportOptions,
    ) -> Result<ImportReport, AdminError> {
        let mut rows = users::parse(file, format, self.clock.now()).map_err(AdminError::Invalid)?;
        check_row_count(rows.len())?;
        let problems = rows.iter().filter(|row| row.object.is_none()).count();
        let users: Vec<_> = rows.iter().filter_map(|row| row.object.clone()).collect();
        let commits = |conflicts: usize| options.commits(problems + conflicts);
        let conflicts = self.store.with_actor(by).import_users(&users, commits).await?;
        let (mut position, count) = (0, conflicts.len());
        for row in rows.iter_mut().filter(|row| row.object.is_some()) {
            if conflicts.contains(&position) {
                row.report.problem = Some("a user with this name or external_id exists".to_owned());
            }
            position += 1;
        }
        let rows = rows.into_iter().map(|row| row.report).collect();
        let report = ImportReport::new(rows, options.commits(problems + count), options);
        tracing::info!(by = by.as_str(), imported = report.imported, failed = report.failed, "imported users");
        Ok(report)
    }

    /// Registers the clients of an export.
    ///
    /// # Errors
    /// As [`Registry::import_users`], or when a secret cannot be hashed.
    pub async fn import_clients(
        &self,
        by: &Actor,
        file: &[u8],
        format: ClientFormat,
        options: ImportOptions,
    ) -> Result<ImportReport, AdminError> {
        let parsed = clients::parse(file, format, options.allows_admin).map_err(AdminError::Invalid)?;
        check_row_count(parsed.len())?;
        let mut rows = Vec::with_capacity(parsed.len());
        for row in parsed {
            rows.push(self.complete_client(row).await?);
        }
        let problems = rows.iter().filter(|row| row.object.is_none()).count();
        let clients: Vec<_> = rows.iter().filter_map(|row| row.object.clone()).collect();
        let commits = |conflicts: usize| options.commits(problems + conflicts);
        let conflicts = self.store.with_actor(by).import_clients(&clients, commits).await?;
        let (mut position, is_committed) = (0, options.commits(problems + conflicts.len()));
        for row in rows.iter_mut().filter(|row| row.object.is_some()) {
            if conflicts.contains(&position) {
                row.report.problem = Some("a client with this client_id exists".to_owned());
            }
            position += 1;
        }
        let mut rows: Vec<_> = rows.into_iter().map(|row| row.report).collect();
        for row in rows.iter_mut().filter(|row| !is_committed || row.problem.is_some()) {
            // A secret of a client that does not exist.
            row.client_secret = None;
        }
        let report = ImportReport::new(rows, is_committed, options);
        tracing::info!(by = by.as_str(), imported = report.imported, failed = report.failed, "imported clients");
        Ok(report)
    }
}

fn check_row_count(rows: usize) -> Result<(), AdminError> {
    match rows {
        0 => Err(AdminError::Invalid("the file has no rows of this format".to_owned())),
        1..=MAX_ROWS => Ok(()),
        _ => Err(AdminError::Invalid(format!("the file has {rows} rows, and at most {MAX_ROWS}: split it"))),
    }
}

/// The members of a row, or why it has none.
type RowMembers = Result<Map<String, Value>, String>;

/// The objects of a file: an array, an object with an array in `member`, one object, or an object
/// on each line.
fn read_objects(file: &[u8], member: &str) -> Result<Vec<RowMembers>, String> {
    let object = |value: Value| match value {
        Value::Object(members) => Ok(members),
        _ => Err("not a JSON object".to_owned()),
    };
    match serde_json::from_slice::<Value>(file) {
        Ok(Value::Array(values)) => return Ok(values.into_iter().map(object).collect()),
        Ok(Value::Object(mut members)) => {
            return Ok(match members.remove(member) {
                Some(Value::Array(values)) => values.into_iter().map(object).collect(),
                Some(value) => return Err(format!("{member} is no list: {value}")),
                None => vec![Ok(members)],
            });
        }
        Ok(_) | Err(_) => {}
    }
    let text = std::str::from_utf8(file).map_err(|_| "the file is not UTF-8".to_owned())?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(|line| serde_json::from_str(line).map_err(|error| error.to_string()).and_then(object)).collect())
}

/// Takes a text that is not empty.
fn take_text(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn take_bool(members: &mut Map<String, Value>, name: &str) -> Option<bool> {
    members.remove(name).and_then(|value| value.as_bool())
}

/// A note about members without a counterpart here, if any has a value.
fn note_of_rest(members: &Map<String, Value>) -> Option<String> {
    let has_value = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    };
    let names: Vec<&str> =
        members.iter().filter(|(_, value)| has_value(value)).map(|(name, _)| name.as_str()).collect();
    (!names.is_empty()).then(|| format!("without a counterpart here: {}", names.join(", ")))
}
