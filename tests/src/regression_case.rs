//! A fault that was found once, as a small input with the right answer: its id, where it runs, and what was answered.

use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

use crate::database::TestDatabase;

use crate::origin::TestOrigin;
use crate::origin_process::OriginProcess;

/// One run of a case.
pub struct RegressionCase {
    /// The id, e.g. `O1`: `O` at the origin, `E` at the edge, `F` under faults.
    pub id: &'static str,
    place: &'static str,
    database: Option<TestDatabase>,
}

impl RegressionCase {
    /// Runs on an SQLite file of the origin's own, or needs no database.
    pub fn new(id: &'static str) -> Self {
        Self { id, place: "", database: None }
    }

    /// Runs on SQLite as one of two databases.
    pub fn sqlite(id: &'static str) -> Self {
        Self { id, place: " on SQLite", database: None }
    }

    /// Runs on a new PostgreSQL database.
    ///
    /// # Errors
    /// When the database cannot be created.
    pub async fn postgres(id: &'static str) -> Result<Self> {
        let database = TestDatabase::postgres(&format!("case_{}", id.to_lowercase())).await?;
        Ok(Self { id, place: " on PostgreSQL", database: Some(database) })
    }

    /// Whether the case runs on PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        self.database.is_some()
    }

    /// URL of the PostgreSQL database, if the case runs there.
    pub fn postgres_url(&self) -> Option<String> {
        self.database.as_ref().and_then(|database| database.url(std::path::Path::new("")).ok())
    }

    /// Starts an origin in this process, on the case's database, with these settings beside the usual ones.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn origin(&self, more: &[(&'static str, &str)]) -> Result<TestOrigin> {
        let url = self.postgres_url();
        let database = url.as_deref().map(|url| ("TOLLGATE_DATABASE_URL", url));
        let all: Vec<_> = database.into_iter().chain(more.iter().copied()).collect();
        TestOrigin::start_with(&all).await
    }

    /// Runs a statement in an origin's database, behind its back.
    ///
    /// # Errors
    /// When the database refuses it.
    pub async fn execute(&self, origin: &TestOrigin, sql: &str) -> Result<()> {
        self.connect(origin).await?.execute(sql).await
    }

    /// Holds a lock in an origin's database: on PostgreSQL that of this statement, on SQLite the write lock.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn lock(&self, origin: &TestOrigin, on_postgres: &str) -> Result<DatabaseLock> {
        let mut connection = self.connect(origin).await?;
        match &mut connection {
            DatabaseConnection::Sqlite(_) => connection.execute("BEGIN IMMEDIATE").await?,
            DatabaseConnection::Postgres(_) => connection.execute(&format!("BEGIN; {on_postgres}")).await?,
        }
        Ok(DatabaseLock(connection))
    }

    async fn connect(&self, origin: &TestOrigin) -> Result<DatabaseConnection> {
        let url =
            origin.settings.iter().find(|(name, _)| *name == "TOLLGATE_DATABASE_URL").context("a database")?.1.as_str();
        Ok(match self.is_postgres() {
            true => DatabaseConnection::Postgres(PgConnectOptions::from_str(url)?.connect().await?),
            false => DatabaseConnection::Sqlite(SqliteConnectOptions::from_str(url)?.connect().await?),
        })
    }

    /// An origin as a process of its own on the case's database; it does not run yet.
    ///
    /// # Errors
    /// When there is no folder or port for it.
    pub fn served(&self) -> Result<OriginProcess> {
        OriginProcess::new(self.postgres_url().map_or(TestDatabase::Sqlite, TestDatabase::Shared))
    }

    /// Prints what was answered, for the table of all cases.
    pub fn answered(&self, answer: impl std::fmt::Display) {
        println!("{}{}: {answer}", self.id, self.place);
    }

    /// Deletes the database.
    ///
    /// # Errors
    /// When PostgreSQL does not delete it.
    pub async fn end(self) -> Result<()> {
        match self.database {
            Some(database) => database.end().await,
            None => Ok(()),
        }
    }
}

/// A connection to an origin's database.
enum DatabaseConnection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl DatabaseConnection {
    async fn execute(&mut self, sql: &str) -> Result<()> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => connection.execute(sqlx::raw_sql(sql)).await.map(drop)?,
            Self::Postgres(connection) => connection.execute(sqlx::raw_sql(sql)).await.map(drop)?,
        }
        Ok(())
    }
}

/// A lock in an origin's database, held until it is released or dropped.
pub struct DatabaseLock(DatabaseConnection);

impl DatabaseLock {
    /// Lets others go on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release(mut self) -> Result<()> {
        self.0.execute("ROLLBACK").await
    }
}
