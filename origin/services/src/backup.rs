//! Backups of an issuer's database: an encrypted file of lines of JSON, the same for SQLite and
//! PostgreSQL.
//!
//! ```text
//! {"format":1,"program":"0.1.0","made_at":…,"state":{"issuer":…,"migrations":[…],"counters":{…}},"master_key":null}
//! {"table":"clients","columns":["id",…],"kinds":["text",…]}
//! ["reports",…]
//! {"rows":1}
//! …
//! {"end":1}
//! ```
//!
//! Encryption is that of [`BackupWriter`]. Reading and writing the file block the thread: this is
//! for the command line.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tollgate_keys::{BackupCipherError, BackupPassphrase, BackupReader, BackupWriter, MasterKey};
use tollgate_model::Actor;
use tollgate_storage::{
    BackupState, BackupValue, ColumnKind, RestoreMode, RestoreTransaction, RestoredState, Store, StoreError,
};

/// Version of the format of the content.
const FORMAT: u32 = 1;
/// Longer lines are not read. The longest value, a user's claims, has some kilobytes.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;
/// Rows that are handed to the database together.
const ROWS_PER_INSERT: usize = 256;

/// Why a backup cannot be made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Cipher(#[from] BackupCipherError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the backup cannot be read or written: {0}")]
    Io(#[from] io::Error),
    #[error("the content of the backup is not as this release writes it: {0}")]
    Content(String),
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    /// Version of the program that made it.
    program: String,
    /// Unix second at which its state was read.
    made_at: u64,
    state: BackupState,
    /// Text form of the master key, if it was to be included.
    master_key: Option<String>,
}

/// Any other line.
enum Record {
    Table { name: String, columns: Vec<String>, kinds: Vec<ColumnKind> },
    Row(Vec<Value>),
    TableEnd(u64),
    End(u64),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Row(Vec<Value>),
    Table { table: String, columns: Vec<String>, kinds: Vec<ColumnKind> },
    TableEnd { rows: u64 },
    End { end: u64 },
}

/// What a backup contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupSummary {
    pub issuer: String,
    /// Version of the program that made it.
    pub program: String,
    /// Unix second at which its state was read.
    pub made_at: u64,
    /// Number of the newest migration.
    pub schema: i64,
    /// Whether the master key is included. Without it, keep the key file as well.
    pub has_master_key: bool,
    /// Number of rows of each table.
    pub tables: BTreeMap<String, u64>,
    /// Number of all rows.
    pub rows: u64,
}

impl BackupSummary {
    fn new(header: &Header) -> BackupSummary {
        BackupSummary {
            issuer: header.state.issuer.clone(),
            program: header.program.clone(),
            made_at: header.made_at,
            schema: header.state.migrations.last().copied().unwrap_or(0),
            has_master_key: header.master_key.is_some(),
            tables: BTreeMap::new(),
            rows: 0,
        }
    }

    fn add_table(&mut self, name: &str, rows: u64) {
        self.tables.insert(name.to_owned(), rows);
        self.rows += rows;
    }
}

/// Writes a backup of one state of the database, while others use it. `progress` is called before
/// each table. Returns what was written, and the sink, which the caller must make durable.
///
/// # Errors
/// When the database fails, or the sink cannot be written.
pub async fn write_backup<W: Write>(
    store: &Store,
    made_at: u64,
    sink: W,
    passphrase: &BackupPassphrase,
    master_key: Option<&MasterKey>,
    progress: impl Fn(&str),
) -> Result<(BackupSummary, W), BackupError> {
    let mut export = store.export().await?;
    let header = Header {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        made_at,
        state: export.state().clone(),
        master_key: master_key.map(|key| key.to_text().to_string()),
    };
    let mut summary = BackupSummary::new(&header);
    let mut lines = BufWriter::new(BackupWriter::new(sink, passphrase)?);
    write_line(&mut lines, &header)?;
    while let Some(table) = export.table().cloned() {
        progress(&table.name);
        let (columns, kinds): (Vec<_>, Vec<_>) =
            table.columns.iter().map(|(name, kind)| (name, wire_kind(*kind))).unzip();
        write_line(&mut lines, &json!({ "table": table.name, "columns": columns, "kinds": kinds }))?;
        let mut count = 0;
        loop {
            let page = export.next_page().await?;
            for row in &page.rows {
                write_line(&mut lines, &row.iter().map(BackupValue::to_json).collect::<Vec<_>>())?;
            }
            count += page.rows.len() as u64;
            if page.is_last {
                break;
            }
        }
        write_line(&mut lines, &json!({ "rows": count }))?;
        summary.add_table(&table.name, count);
    }
    write_line(&mut lines, &json!({ "end": summary.rows }))?;
    let sink = lines.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    Ok((summary, sink))
}

/// The kind of a column in the file: truth values are 0 and 1 there.
fn wire_kind(kind: ColumnKind) -> ColumnKind {
    match kind {
        ColumnKind::Integer | ColumnKind::Boolean => ColumnKind::Integer,
        ColumnKind::Text | ColumnKind::Bytes => kind,
    }
}

fn write_line(lines: &mut impl Write, value: &impl Serialize) -> Result<(), BackupError> {
    serde_json::to_writer(&mut *lines, value).map_err(io::Error::from)?;
    Ok(lines.write_all(b"\n")?)
}

/// A backup that is read.
struct BackupFile<R: Read> {
    lines: BufReader<BackupReader<R>>,
    header: Header,
}

impl<R: Read> BackupFile<R> {
    fn open(source: R, passphrase: &BackupPassphrase) -> Result<BackupFile<R>, BackupError> {
        let mut lines = BufReader::new(BackupReader::new(source, passphrase)?);
        let line = read_line(&mut lines)?.ok_or_else(|| content("it is empty"))?;
        let format: Value = serde_json::from_slice(&line).map_err(content)?;
        if format.get("format").and_then(Value::as_u64) != Some(FORMAT.into()) {
            return Err(content("it has another version of the format: use the release that made it"));
        }
        Ok(BackupFile { lines, header: serde_json::from_value(format).map_err(content)? })
    }

    /// The next line; an error at the end of the file.
    fn next_record(&mut self) -> Result<Record, BackupError> {
        let line = read_line(&mut self.lines)?.ok_or_else(|| content("its last line is missing"))?;
        Ok(match serde_json::from_slice(&line).map_err(content)? {
            Line::Row(values) => Record::Row(values),
            Line::Table { table, columns, kinds } if columns.len() == kinds.len() => {
                Record::Table { name: table, columns, kinds }
            }
            Line::Table { table, .. } => return Err(content(format!("the columns of {table}"))),
            Line::TableEnd { rows } => Record::TableEnd(rows),
            Line::End { end } => Record::End(end),
        })
    }

    /// Reads to the end, and hands each table and its rows to `visitor`.
    async fn read(mut self, visitor: &mut impl Visitor) -> Result<BackupSummary, BackupError> {
        let mut summary = BackupSummary::new(&self.header);
        loop {
            let (name, columns, kinds) = match self.next_record()? {
                Record::Table { name, columns, kinds } => (name, columns, kinds),
                Record::End(rows) if rows == summary.rows => break,
                Record::End(_) | Record::TableEnd(_) | Record::Row(_) => return Err(content("lines are missing")),
            };
            visitor.begin_table(&name, &columns).await?;
            let (mut rows, mut count) = (Vec::new(), 0);
            loop {
                match self.next_record()? {
                    Record::Row(values) => rows.push(parse_row(values, &kinds).ok_or_else(|| content(&name))?),
                    Record::TableEnd(expected) if expected == count + rows.len() as u64 => break,
                    Record::TableEnd(_) | Record::Table { .. } | Record::End(_) => {
                        return Err(content(format!("rows of {name} are missing")));
                    }
                }
                if rows.len() == ROWS_PER_INSERT {
                    count += rows.len() as u64;
                    visitor.rows(&std::mem::take(&mut rows)).await?;
                }
            }
            count += rows.len() as u64;
            visitor.rows(&rows).await?;
            summary.add_table(&name, count);
        }
        match read_line(&mut self.lines)? {
            None => Ok(summary),
            Some(_) => Err(content("lines follow the last one")),
        }
    }
}

/// Receives the content of a backup.
trait Visitor {
    async fn begin_table(&mut self, name: &str, columns: &[String]) -> Result<(), BackupError>;
    async fn rows(&mut self, rows: &[Vec<BackupValue>]) -> Result<(), BackupError>;
}

/// Receives the content, and does nothing.
struct Discard;

impl Visitor for Discard {
    async fn begin_table(&mut self, _: &str, _: &[String]) -> Result<(), BackupError> {
        Ok(())
    }

    async fn rows(&mut self, _: &[Vec<BackupValue>]) -> Result<(), BackupError> {
        Ok(())
    }
}

/// Writes the content into a database.
struct Insert<'a, P> {
    transaction: &'a mut RestoreTransaction,
    progress: P,
}

impl<P: Fn(&str)> Visitor for Insert<'_, P> {
    async fn begin_table(&mut self, name: &str, columns: &[String]) -> Result<(), BackupError> {
        (self.progress)(name);
        self.transaction.begin_table(name, columns).await?;
        Ok(())
    }

    async fn rows(&mut self, rows: &[Vec<BackupValue>]) -> Result<(), BackupError> {
        Ok(self.transaction.insert(rows).await?)
    }
}

fn parse_row(values: Vec<Value>, kinds: &[ColumnKind]) -> Option<Vec<BackupValue>> {
    (values.len() == kinds.len())
        .then(|| values.into_iter().zip(kinds).map(|(value, kind)| BackupValue::from_json(value, *kind)).collect())?
}

fn read_line(lines: &mut impl io::BufRead) -> Result<Option<Vec<u8>>, BackupError> {
    let mut line = Vec::new();
    lines.take(MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(cipher_error)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(content("a line has no end")),
    }
}

/// A damaged chunk is reported as such, not as an error of reading.
fn cipher_error(error: io::Error) -> BackupError {
    match error.downcast::<BackupCipherError>() {
        Ok(cipher) => cipher.into(),
        Err(error) => error.into(),
    }
}

fn content(problem: impl std::fmt::Display) -> BackupError {
    BackupError::Content(problem.to_string())
}

/// Decrypts and checks a backup from its first to its last byte.
///
/// # Errors
/// When it is no backup, was made with another passphrase, or is damaged or truncated.
pub async fn verify_backup<R: Read>(source: R, passphrase: &BackupPassphrase) -> Result<BackupSummary, BackupError> {
    BackupFile::open(source, passphrase)?.read(&mut Discard).await
}

/// The master key in a backup, if it is included.
///
/// # Errors
/// As [`verify_backup`], for the beginning of the file.
pub fn master_key_of<R: Read>(source: R, passphrase: &BackupPassphrase) -> Result<Option<MasterKey>, BackupError> {
    let key = BackupFile::open(source, passphrase)?.header.master_key;
    key.map(|text| MasterKey::parse(&text).map_err(content)).transpose()
}

/// Restores a backup into a database, in one transaction. Check it with [`verify_backup`] first:
/// that fails without a lock. `progress` is called before each table.
///
/// # Errors
/// As [`verify_backup`]; when the database is not empty and `replace` is not set, has another
/// schema, or fails. Then it is unchanged.
pub async fn restore_backup<R: Read>(
    store: &Store,
    source: R,
    passphrase: &BackupPassphrase,
    (mode, replace): (RestoreMode, bool),
    by: &Actor,
    progress: impl Fn(&str),
) -> Result<(BackupSummary, RestoredState), BackupError> {
    let file = BackupFile::open(source, passphrase)?;
    let made_at = file.header.made_at;
    let mut transaction = store.begin_restore(&file.header.state, replace).await?;
    let summary = file.read(&mut Insert { transaction: &mut transaction, progress }).await?;
    let restored = transaction.finish(mode, made_at, by).await?;
    Ok((summary, restored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_parsed_by_the_kinds_of_their_columns() {
        let kinds = [ColumnKind::Text, ColumnKind::Integer, ColumnKind::Bytes];
        let row = |value: Value| match value {
            Value::Array(values) => parse_row(values, &kinds),
            _ => None,
        };
        let expected = [BackupValue::Text("a".to_owned()), BackupValue::Integer(1), BackupValue::Bytes(vec![0])];
        assert_eq!(row(json!(["a", 1, "AA"])), Some(expected.to_vec()));
        assert!(row(json!(["a", null, null])).is_some());
        for other in [json!(["a", 1]), json!(["a", "1", "AA"]), json!([1, 1, "AA"]), json!(["a", 1, "A"])] {
            assert_eq!(row(other.clone()), None, "{other}");
        }
    }
}
