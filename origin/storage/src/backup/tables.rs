//! The tables of the schema, their columns, and values of either database.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{ColumnIndex, Decode, Row, Type};
use tollgate_model::encoding::{base64url, from_base64url};

use crate::database::{Either, Tx};
use crate::error::StoreError;

/// A table of the schema, and the columns of its primary key.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) key: &'static [&'static str],
}

const fn table(name: &'static str, key: &'static [&'static str]) -> Table {
    Table { name, key }
}

/// Every table of a backup, each after those that it refers to.
pub(crate) static TABLES: [Table; 30] = [
    table("clients", &["id"]),
    table("client_secrets", &["client_id", "hash"]),
    table("resources", &["audience"]),
    table("users", &["id"]),
    table("browser_sessions", &["id"]),
    table("grants", &["id"]),
    table("codes", &["hash"]),
    table("device_codes", &["hash"]),
    table("authorization_requests", &["hash"]),
    table("consented_access", &["user_id", "client_id", "audience"]),
    table("pairwise_subjects", &["user_id", "subject"]),
    table("replay_keys", &["hash"]),
    table("attempts", &["name"]),
    table("keys", &["kid"]),
    table("issuing", &["one"]),
    table("feed", &["one"]),
    table("tokens", &["number"]),
    table("revocations", &["number"]),
    table("marks", &["kind", "id"]),
    table("deltas", &["sequence"]),
    table("streams", &["number"]),
    table("signals", &["sequence"]),
    table("early_acknowledgements", &["stream", "sequence"]),
    table("logouts", &["number"]),
    table("audit", &["number"]),
    table("edges", &["name"]),
    table("edge_reports", &["edge", "number", "run"]),
    table("routes", &["path", "methods", "hosts"]),
    table("issuers", &["name"]),
    table("upkeep", &["one"]),
];

/// Tables that number their rows by a counter of the database, in the column `number`.
pub(crate) const NUMBERED_TABLES: [&str; 4] = ["tokens", "streams", "logouts", "audit"];

/// The type of a column in either database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnKind {
    Integer,
    /// PostgreSQL's; SQLite and backups have 0 and 1.
    Boolean,
    Text,
    Bytes,
}

/// A value of either database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupValue {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A table with its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupTable {
    pub name: String,
    pub columns: Vec<(String, ColumnKind)>,
}

impl BackupValue {
    /// The value as JSON: a number, a text, base64url, or null.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            BackupValue::Null => Value::Null,
            BackupValue::Integer(number) => Value::from(*number),
            BackupValue::Text(text) => Value::from(text.as_str()),
            BackupValue::Bytes(bytes) => Value::from(base64url(bytes)),
        }
    }

    /// Reads the result of [`BackupValue::to_json`]; none if it is no value of a column of this
    /// kind.
    #[must_use]
    pub fn from_json(value: Value, kind: ColumnKind) -> Option<BackupValue> {
        Some(match (kind, value) {
            (_, Value::Null) => BackupValue::Null,
            (ColumnKind::Integer | ColumnKind::Boolean, Value::Number(number)) => {
                BackupValue::Integer(number.as_i64()?)
            }
            (ColumnKind::Text, Value::String(text)) => BackupValue::Text(text),
            (ColumnKind::Bytes, Value::String(text)) => BackupValue::Bytes(from_base64url(&text)?),
            _ => return None,
        })
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            BackupValue::Integer(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<String> {
        match self {
            BackupValue::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            BackupValue::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    fn read<R>(row: &R, index: usize, kind: ColumnKind) -> Result<BackupValue, sqlx::Error>
    where
        R: Row,
        usize: ColumnIndex<R>,
        i64: for<'r> Decode<'r, R::Database> + Type<R::Database>,
        String: for<'r> Decode<'r, R::Database> + Type<R::Database>,
        Vec<u8>: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    {
        Ok(match kind {
            ColumnKind::Integer | ColumnKind::Boolean => {
                row.try_get::<Option<i64>, _>(index)?.map_or(BackupValue::Null, BackupValue::Integer)
            }
            ColumnKind::Text => row.try_get::<Option<String>, _>(index)?.map_or(BackupValue::Null, BackupValue::Text),
            ColumnKind::Bytes => {
                row.try_get::<Option<Vec<u8>>, _>(index)?.map_or(BackupValue::Null, BackupValue::Bytes)
            }
        })
    }
}

/// Binds a value as the type of its column: a null has one, too.
macro_rules! push_value {
    ($row:expr, $kind:expr, $value:expr) => {
        match $kind {
            $crate::backup::tables::ColumnKind::Integer => $row.push_bind($value.integer()),
            $crate::backup::tables::ColumnKind::Boolean => $row.push_bind($value.integer().map(|number| number != 0)),
            $crate::backup::tables::ColumnKind::Text => $row.push_bind($value.text()),
            $crate::backup::tables::ColumnKind::Bytes => $row.push_bind($value.bytes()),
        }
    };
}
pub(crate) use push_value;

impl BackupTable {
    /// Reads the columns of a row that [`BackupTable::select_list`] selected.
    pub(crate) fn read_row<R>(&self, row: &R) -> Result<Vec<BackupValue>, sqlx::Error>
    where
        R: Row,
        usize: ColumnIndex<R>,
        i64: for<'r> Decode<'r, R::Database> + Type<R::Database>,
        String: for<'r> Decode<'r, R::Database> + Type<R::Database>,
        Vec<u8>: for<'r> Decode<'r, R::Database> + Type<R::Database>,
    {
        let values = self.columns.iter().enumerate().map(|(index, (_, kind))| BackupValue::read(row, index, *kind));
        values.collect()
    }

    /// The columns for `SELECT`, integers of any size and truth values as 64-bit integers.
    pub(crate) fn select_list(&self) -> String {
        let column = |(name, kind): &(String, ColumnKind)| match kind {
            ColumnKind::Integer => format!(r#"CAST("{name}" AS BIGINT)"#),
            ColumnKind::Boolean => format!(r#"CAST(CAST("{name}" AS INTEGER) AS BIGINT)"#),
            ColumnKind::Text | ColumnKind::Bytes => format!(r#""{name}""#),
        };
        self.columns.iter().map(column).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn kind_of(&self, column: &str) -> Option<(usize, ColumnKind)> {
        self.columns.iter().enumerate().find(|(_, (name, _))| name == column).map(|(index, (_, kind))| (index, *kind))
    }
}

impl Tx {
    /// The columns of a table of this database.
    pub(crate) async fn columns(&mut self, table: &'static str) -> Result<BackupTable, StoreError> {
        let (sql, is_postgres) = match self {
            Either::Sqlite(_) => ("SELECT name, type FROM pragma_table_info($1) ORDER BY cid", false),
            Either::Postgres(_) => (
                "SELECT column_name::text, data_type::text FROM information_schema.columns
                 WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position",
                true,
            ),
        };
        let rows: Vec<(String, String)> = with_connection!(&mut *self, connection => {
            sqlx::query_as(sql).bind(table).fetch_all(connection).await?
        });
        let kind = |declared: &str| match (declared, is_postgres) {
            ("INTEGER", false) | ("bigint" | "integer", true) => Some(ColumnKind::Integer),
            ("boolean", true) => Some(ColumnKind::Boolean),
            ("TEXT", false) | ("text", true) => Some(ColumnKind::Text),
            ("BLOB", false) | ("bytea", true) => Some(ColumnKind::Bytes),
            _ => None,
        };
        let columns: Option<Vec<_>> = rows.into_iter().map(|(name, declared)| Some((name, kind(&declared)?))).collect();
        match columns {
            Some(columns) if !columns.is_empty() => Ok(BackupTable { name: table.to_owned(), columns }),
            _ => Err(StoreError::invariant("a table that backups contain is missing, or has a column of another type")),
        }
    }

    /// Names of the tables of this database.
    #[cfg(test)]
    pub(crate) async fn table_names(&mut self) -> Result<Vec<String>, StoreError> {
        let sql = match self {
            Either::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
            Either::Postgres(_) => {
                "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()"
            }
        };
        Ok(with_connection!(&mut *self, connection => { sqlx::query_scalar(sql).fetch_all(connection).await? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    /// Tables without a backup: a counter of changes that only rises, and what is built again.
    const TABLES_LEFT_OUT: [&str; 2] = ["registrations", "snapshots"];

    #[tokio::test]
    async fn every_table_is_in_the_backup_or_left_out_on_purpose() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("tollgate.db").display());
        let store = Store::open(&url).await.expect("opened");
        let mut tx = store.begin_read().await.expect("begun");
        let mut names = tx.table_names().await.expect("read");
        names.sort();
        let listed = TABLES.iter().map(|table| table.name).chain(TABLES_LEFT_OUT).chain(["_sqlx_migrations"]);
        let mut listed: Vec<&str> = listed.collect();
        listed.sort_unstable();
        assert_eq!(names, listed, "add a new table to TABLES, after those that it refers to");
        for table in &TABLES {
            let columns = tx.columns(table.name).await.expect("columns of known types");
            assert!(table.key.iter().all(|key| columns.kind_of(key).is_some()), "{}", table.name);
        }
        drop(tx);
        store.close().await;
    }

    #[test]
    fn values_round_trip_as_json() {
        for (kind, value) in [
            (ColumnKind::Integer, BackupValue::Integer(i64::MAX)),
            (ColumnKind::Boolean, BackupValue::Integer(1)),
            (ColumnKind::Text, BackupValue::Text("Zoë\u{1F511}".to_owned())),
            (ColumnKind::Bytes, BackupValue::Bytes(vec![0, 255])),
            (ColumnKind::Bytes, BackupValue::Null),
        ] {
            assert_eq!(BackupValue::from_json(value.to_json(), kind), Some(value));
        }
        assert_eq!(BackupValue::from_json(Value::from(1.5), ColumnKind::Integer), None);
        assert_eq!(BackupValue::from_json(Value::from(1), ColumnKind::Text), None);
    }
}
