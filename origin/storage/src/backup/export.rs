//! Reads one state of the database page by page, in bounded memory, while others write.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::QueryBuilder;

use crate::backup::tables::{BackupTable, BackupValue, NUMBERED_TABLES, TABLES, push_value};
use crate::database::{Either, Tx};
use crate::error::StoreError;
use crate::store::Store;
use crate::store::migrations::{applied_on_postgres, applied_on_sqlite};

/// Rows per page. The largest rows have some kilobytes.
const ROWS_PER_PAGE: i64 = 256;

/// What a backup says about its database, apart from the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupState {
    /// The issuer of the database.
    pub issuer: String,
    /// Numbers of the applied migrations.
    pub migrations: Vec<i64>,
    /// The last number of each table that the database numbers.
    pub counters: BTreeMap<String, i64>,
}

/// A page of rows of one table, in the order of its primary key.
#[derive(Debug)]
pub struct RowPage {
    pub rows: Vec<Vec<BackupValue>>,
    /// Whether it is the last one of the table.
    pub is_last: bool,
}

/// Reads one state of the database.
pub struct BackupExport {
    tx: Tx,
    state: BackupState,
    /// Index of the table that is read.
    next: usize,
    table: BackupTable,
    /// Primary key of the last row read.
    last: Option<Vec<BackupValue>>,
}

impl Store {
    /// Starts to read one state of the database.
    ///
    /// # Errors
    /// When the database fails, or has no issuer yet.
    pub async fn export(&self) -> Result<BackupExport, StoreError> {
        let mut tx = self.begin_read().await?;
        tx.allow_long_statements().await?;
        // The reader of the backup may be slow.
        tx.execute_on_postgres("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
        let issuer = tx.feed().await?.issuer;
        let migrations = tx.applied_migrations().await?;
        let mut counters = BTreeMap::new();
        for table in NUMBERED_TABLES {
            counters.insert(table.to_owned(), tx.counter(table).await?);
        }
        let table = tx.columns(TABLES[0].name).await?;
        Ok(BackupExport { tx, state: BackupState { issuer, migrations, counters }, next: 0, table, last: None })
    }
}

impl BackupExport {
    #[must_use]
    pub fn state(&self) -> &BackupState {
        &self.state
    }

    /// The table of the next page; none after the last one.
    #[must_use]
    pub fn table(&self) -> Option<&BackupTable> {
        (self.next < TABLES.len()).then_some(&self.table)
    }

    /// The next page of [`BackupExport::table`]. After the last page of a table follows the first
    /// one of the next table.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_page(&mut self) -> Result<RowPage, StoreError> {
        let Some(table) = TABLES.get(self.next) else {
            return Ok(RowPage { rows: Vec::new(), is_last: true });
        };
        let (shape, last) = (&self.table, self.last.as_ref());
        let key: Option<Vec<_>> = table.key.iter().map(|column| shape.kind_of(column)).collect();
        let key = key.ok_or_else(|| StoreError::invariant("a table has no such key"))?;
        let (key_list, select) = (format!(r#""{}""#, table.key.join(r#"", ""#)), shape.select_list());
        let read = with_connection!(&mut self.tx, connection => {
            let mut query = QueryBuilder::new(format!("SELECT {select} FROM {}", table.name));
            if let Some(last) = last {
                query.push(format_args!(" WHERE ({key_list}) > ("));
                let mut values = query.separated(", ");
                for ((_, kind), value) in key.iter().zip(last) {
                    push_value!(values, *kind, value);
                }
                query.push(")");
            }
            query.push(format_args!(" ORDER BY {key_list} LIMIT ")).push_bind(ROWS_PER_PAGE);
            let rows = query.build().fetch_all(connection).await?;
            rows.iter().map(|row| shape.read_row(row)).collect::<Result<Vec<_>, _>>()?
        });
        let is_last = (read.len() as i64) < ROWS_PER_PAGE;
        self.last = read.last().map(|row| key.iter().filter_map(|(index, _)| row.get(*index).cloned()).collect());
        if is_last {
            self.next += 1;
            self.last = None;
            if let Some(table) = TABLES.get(self.next) {
                self.table = self.tx.columns(table.name).await?;
            }
        }
        Ok(RowPage { rows: read, is_last })
    }
}

impl Tx {
    pub(crate) async fn applied_migrations(&mut self) -> Result<Vec<i64>, StoreError> {
        let applied = match self {
            Either::Sqlite(transaction) => supervised!(transaction, connection => applied_on_sqlite(connection).await?),
            Either::Postgres(transaction) => {
                supervised!(transaction, connection => applied_on_postgres(connection).await?)
            }
        };
        Ok(applied.into_iter().map(|(version, _)| version).collect())
    }

    /// The last number that the database gave to a row of this table.
    async fn counter(&mut self, table: &'static str) -> Result<i64, StoreError> {
        let sql = match self {
            Either::Sqlite(_) => "SELECT (SELECT seq FROM sqlite_sequence WHERE name = $1)",
            Either::Postgres(_) => "SELECT pg_sequence_last_value(pg_get_serial_sequence($1, 'number')::regclass)",
        };
        let last: Option<i64> = with_connection!(&mut *self, connection => {
            sqlx::query_scalar(sql).bind(table).fetch_one(connection).await?
        });
        Ok(last.unwrap_or(0))
    }
}
