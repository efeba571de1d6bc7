//! Writes a backup into a database, in one transaction: after a failure or a kill at any moment the
//! database is as before.
//!
//! What was issued or revoked after the backup is lost, and what was used up is unused again.
//! Therefore nothing from before the restore is accepted after it, unless the operator says that
//! nothing happened since ([`RestoreMode::Moved`]):
//!
//! - all access tokens issued before the restore are revoked, by one revocation;
//! - sessions, grants with their refresh tokens, codes and requests in progress have ended;
//! - the revocation log continues at a sequence that the lost log cannot have reached, with another
//!   chain, so edges accept the next snapshot and cannot mistake it for the lost log;
//! - issuing epochs, token numbers and numbers of revocations of the lost log are not used again.

use sqlx::{AssertSqlSafe, QueryBuilder};
use tollgate_model::revocation::Reason;
use tollgate_model::{Actor, NewRevocation, Target};
use tollgate_system::rng;

use crate::backup::export::BackupState;
use crate::backup::tables::{BackupTable, BackupValue, NUMBERED_TABLES, TABLES, push_value};
use crate::database::values::to_sql;
use crate::database::{Either, Tx};
use crate::error::StoreError;
use crate::revocation::revocation_log::RevocationLog;
use crate::store::Store;

/// Rows per statement.
const ROWS_PER_STATEMENT: usize = 256;
/// Added to the time since the backup, in seconds: clocks differ.
const TIME_MARGIN: u64 = 3600;
/// More changes, epochs and tokens than an issuer makes in a second.
const CHANGES_PER_SECOND: u64 = 1_000_000;
const EPOCHS_PER_SECOND: u64 = 16;
const TOKENS_PER_SECOND: u64 = 1000;
/// A thousand status lists: token numbers are not skipped without bound, because a list for each
/// range of them exists.
const MAX_SKIPPED_TOKENS: u64 = 1 << 27;

/// What happened between the backup and the restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreMode {
    /// Unknown things: nothing from before the restore is accepted after it.
    AfterLoss,
    /// Nothing, because the origin was stopped before the backup: everything stays valid.
    Moved,
}

/// A restored database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredState {
    /// The sequence at which the revocation log continues.
    pub sequence: u64,
    /// The first issuing epoch.
    pub epoch: u32,
    /// Tokens issued before this Unix second are revoked; none if everything stays valid.
    pub revoked_before: Option<u64>,
}

/// A restore in progress. Dropping it changes nothing.
pub struct RestoreTransaction {
    store: Store,
    tx: Tx,
    counters: Vec<(&'static str, i64)>,
    /// The table that is written, with the columns of this database.
    table: Option<BackupTable>,
}

impl Store {
    /// Whether nothing was ever registered or issued here: a backup can be restored without
    /// replacing anything.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        self.begin_read().await?.is_empty().await
    }

    /// Begins to restore a backup of this state. `replace` deletes what the database has.
    ///
    /// # Errors
    /// [`StoreError::OtherSchema`] for a backup of another release, [`StoreError::NotEmpty`]
    /// without `replace`, or when the database fails.
    pub async fn begin_restore(&self, state: &BackupState, replace: bool) -> Result<RestoreTransaction, StoreError> {
        let mut tx = self.begin_write().await?;
        tx.allow_long_statements().await?;
        tx.execute_on_postgres("SET LOCAL idle_in_transaction_session_timeout = 0").await?;
        let own = tx.applied_migrations().await?;
        if own != state.migrations {
            let newest = |migrations: &[i64]| migrations.last().copied().unwrap_or(0);
            return Err(StoreError::OtherSchema { backup: newest(&state.migrations), database: newest(&own) });
        }
        if !replace && !tx.is_empty().await? {
            return Err(StoreError::NotEmpty);
        }
        tx.delete_everything().await?;
        let counter = |table: &'static str| (table, state.counters.get(table).copied().unwrap_or(0));
        let counters = NUMBERED_TABLES.map(counter).to_vec();
        Ok(RestoreTransaction { store: self.clone(), tx, counters, table: None })
    }
}

impl RestoreTransaction {
    /// Prepares for rows of this table, with the columns in this order.
    ///
    /// # Errors
    /// When the database has no such table or other columns.
    pub async fn begin_table(&mut self, name: &str, columns: &[String]) -> Result<BackupTable, StoreError> {
        let unknown = || StoreError::UnknownTable(name.to_owned());
        let table = TABLES.iter().find(|table| table.name == name).ok_or_else(unknown)?;
        let own = self.tx.columns(table.name).await?;
        let column = |column: &String| own.kind_of(column).map(|(_, kind)| (column.clone(), kind));
        let columns: Vec<_> = columns.iter().map(column).collect::<Option<_>>().ok_or_else(unknown)?;
        if columns.len() != own.columns.len() {
            return Err(unknown());
        }
        let table = BackupTable { name: own.name, columns };
        self.table = Some(table.clone());
        Ok(table)
    }

    /// Writes rows of the table of [`RestoreTransaction::begin_table`].
    ///
    /// # Errors
    /// When the database refuses a row, or fails.
    pub async fn insert(&mut self, rows: &[Vec<BackupValue>]) -> Result<(), StoreError> {
        let table = self.table.as_ref().ok_or_else(|| StoreError::invariant("rows without a table"))?;
        let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
        // PostgreSQL numbers these rows by itself otherwise.
        let overriding = match &self.tx {
            Either::Postgres(_) if NUMBERED_TABLES.contains(&table.name.as_str()) => "OVERRIDING SYSTEM VALUE ",
            _ => "",
        };
        let insert = format!(r#"INSERT INTO {} ("{}") {overriding}"#, table.name, names.join(r#"", ""#));
        for rows in rows.chunks(ROWS_PER_STATEMENT) {
            with_connection!(&mut self.tx, connection => {
                let mut query = QueryBuilder::new(insert.as_str());
                query.push_values(rows, |mut row, values| {
                    for ((_, kind), value) in table.columns.iter().zip(values) {
                        push_value!(row, *kind, value);
                    }
                });
                query.build().execute(connection).await?;
            });
        }
        Ok(())
    }

    /// Ends what must not continue, and commits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish(
        mut self,
        mode: RestoreMode,
        backup_made_at: u64,
        by: &Actor,
    ) -> Result<RestoredState, StoreError> {
        let now = self.store.clock.now();
        let age = now.saturating_sub(backup_made_at).saturating_add(TIME_MARGIN);
        for (table, last) in std::mem::take(&mut self.counters) {
            let skipped = match mode {
                RestoreMode::AfterLoss => age.saturating_mul(TOKENS_PER_SECOND).min(MAX_SKIPPED_TOKENS),
                RestoreMode::Moved => 0,
            };
            self.tx.set_counter(table, last.saturating_add(to_sql(skipped))).await?;
        }
        let revoked_before = match mode {
            RestoreMode::AfterLoss => {
                self.tx.end_all_access(now).await?;
                self.tx.skip_lost_numbers(age).await?;
                self.tx.revoke_everything(now, by).await?;
                Some(now)
            }
            RestoreMode::Moved => None,
        };
        let (sequence, epoch) = (self.tx.feed().await?.head().sequence, self.tx.epoch().await?);
        self.store.commit_and_notify(self.tx).await?;
        Ok(RestoredState { sequence, epoch, revoked_before })
    }
}

impl Tx {
    /// Whether nothing was ever registered or issued here.
    async fn is_empty(&mut self) -> Result<bool, StoreError> {
        for table in ["feed", "keys", "clients", "users", "audit"] {
            let count = AssertSqlSafe(format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1) AS found"));
            let count: i64 = with_connection!(&mut *self, connection => {
                sqlx::query_scalar(count).fetch_one(connection).await?
            });
            if count > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn delete_everything(&mut self) -> Result<(), StoreError> {
        self.execute("DELETE FROM snapshots").await?;
        for table in TABLES.iter().rev() {
            match table.name {
                "audit" => self.delete_audit_log().await?,
                name => self.execute(format!("DELETE FROM {name}")).await?,
            }
        }
        Ok(())
    }

    /// Deletes the audit log, which a trigger forbids at all other times.
    async fn delete_audit_log(&mut self) -> Result<(), StoreError> {
        const TRIGGER: &str =
            "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = 'audit_is_not_shortened'";
        if let Either::Postgres(_) = self {
            self.execute("ALTER TABLE audit DISABLE TRIGGER audit_is_only_added_to").await?;
            self.execute("DELETE FROM audit").await?;
            return self.execute("ALTER TABLE audit ENABLE TRIGGER audit_is_only_added_to").await;
        }
        let trigger: String = with_connection!(&mut *self, connection => {
            sqlx::query_scalar(TRIGGER).fetch_one(connection).await?
        });
        self.execute("DROP TRIGGER audit_is_not_shortened").await?;
        self.execute("DELETE FROM audit").await?;
        self.execute(trigger).await
    }

    async fn execute(&mut self, sql: impl Into<String>) -> Result<(), StoreError> {
        let sql: String = sql.into();
        with_connection!(&mut *self, connection => {
            sqlx::query(AssertSqlSafe(sql)).execute(connection).await?;
        });
        Ok(())
    }

    /// Sets the number after which the database continues to number the rows of a table.
    async fn set_counter(&mut self, table: &'static str, last: i64) -> Result<(), StoreError> {
        if last <= 0 {
            return Ok(());
        }
        match self {
            Either::Sqlite(transaction) => supervised!(transaction, connection => {
                sqlx::query("DELETE FROM sqlite_sequence WHERE name = $1").bind(table).execute(&mut *connection).await?;
                sqlx::query("INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)")
                    .bind(table)
                    .bind(last)
                    .execute(connection)
                    .await?;
            }),
            Either::Postgres(transaction) => supervised!(transaction, connection => {
                sqlx::query("SELECT setval(pg_get_serial_sequence($1, 'number')::regclass, $2)")
                    .bind(table)
                    .bind(last)
                    .execute(connection)
                    .await?;
            }),
        }
        Ok(())
    }

    /// Ends sessions, grants with their refresh tokens, and requests in progress.
    async fn end_all_access(&mut self, now: u64) -> Result<(), StoreError> {
        for table in ["codes", "device_codes", "authorization_requests", "browser_sessions"] {
            self.execute(format!("DELETE FROM {table}")).await?;
        }
        with_connection!(&mut *self, connection => {
            sqlx::query(
                "UPDATE grants SET ended_at = COALESCE(ended_at, $1), refresh_hash = NULL, previous_hash = NULL,
                     refresh_jkt = NULL, refresh_expires_at = NULL, refreshed_at = NULL",
            )
            .bind(to_sql(now))
            .execute(connection)
            .await?;
        });
        Ok(())
    }

    /// Continues after all sequences, epochs and numbers that the lost log can have used in `age`
    /// seconds, with another chain.
    async fn skip_lost_numbers(&mut self, age: u64) -> Result<(), StoreError> {
        let chain = rng::random::<32>().map_err(|_| StoreError::invariant("the random source failed"))?;
        let changes = to_sql(age.saturating_mul(CHANGES_PER_SECOND));
        self.execute("DELETE FROM deltas").await?;
        with_connection!(&mut *self, connection => {
            sqlx::query(
                "UPDATE feed SET sequence = sequence + $1, chain = $2, version = version + $1, snapshot = snapshot + $1,
                     revocation = revocation + $1",
            )
            .bind(changes)
            .bind(chain.as_slice())
            .execute(&mut *connection)
            .await?;
            sqlx::query("UPDATE issuing SET epoch = epoch + $1")
                .bind(to_sql(age.saturating_mul(EPOCHS_PER_SECOND)))
                .execute(connection)
                .await?;
        });
        Ok(())
    }

    /// Revokes all tokens issued before `now`.
    async fn revoke_everything(&mut self, now: u64, by: &Actor) -> Result<(), StoreError> {
        let reason: Option<Reason> = "the database was restored from a backup".parse().ok();
        let revocation = NewRevocation::any(Target::Before(now), by.clone(), reason, now);
        let revocation = revocation.map_err(StoreError::corrupt("revocations"))?;
        let closed = self.close_epoch().await?;
        let mut log = RevocationLog::open(self).await?;
        log.revoke(self, &[revocation], closed).await?;
        log.close(self).await
    }
}
