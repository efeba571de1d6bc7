//! A regression case: a fault found once, reproduced by a small input with the right answer.

use std::str::FromStr as _;

use anyhow::Result;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

use crate::database::TestDatabase;

use crate::origin::TestOrigin;
use crate::origin_process::OriginProcess;

/// One run of a regression case.
pub struct RegressionCase {
    /// Case id such as `O1`. `O`: at the origin; `C`: by real clients; `E`: at the edge; `F`: under
    /// faults.
    pub id: &'static str,
    place: &'static str,
    database: Option<TestDatabase>,
}

impl RegressionCase {
    /// A case that runs once, on SQLite or without a database.
    pub fn new(id: &'static str) -> Self {
        Self { id, place: "", database: None }
    }

    /// The SQLite run of a case that runs on both databases.
    pub fn sqlite(id: &'static str) -> Self {
        Self { id, place: " on SQLite", database: None }
    }

    /// The PostgreSQL run of a case that runs on both databases; creates the database.
    ///
    /// # Errors
    /// If the database cannot be created.
    pub async fn postgres(id: &'static str) -> Result<Self> {
        let database = TestDatabase::postgres(&format!("case_{}", id.to_lowercase())).await?;
        Ok(Self { id, place: " on PostgreSQL", database: Some(database) })
    }

    /// Whether this is the PostgreSQL run.
    pub fn is_postgres(&self) -> bool {
        self.database.is_some()
    }

    /// URL of the PostgreSQL database, in a PostgreSQL run.
    pub fn postgres_url(&self) -> Option<String> {
        self.database.as_ref().and_then(|database| database.url(std::path::Path::new("")).ok())
    }

    /// Starts an origin in this process on the case's database, with these additional settings.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn origin(&self, more: &[(&'static str, &str)]) -> Result<TestOrigin> {
        let url = self.postgres_url();
        let database = url.as_deref().map(|url| ("TOLLGATE_DATABASE_URL", url));
        let all: Vec<_> = database.into_iter().chain(more.iter().copied()).collect();
        TestOrigin::start_with(&all).await
    }

    /// Executes a statement directly in the origin's database.
    ///
    /// # Errors
    /// If the database returns an error.
    pub async fn execute(&self, origin: &TestOrigin, sql: &str) -> Result<()> {
        self.connect(origin).await?.execute(sql).await
    }

    /// Takes a lock in the origin's database: on PostgreSQL by `on_postgres`, on SQLite the write
    /// lock.
    ///
    /// # Errors
    /// If the lock cannot be taken.
    pub async fn lock(&self, origin: &TestOrigin, on_postgres: &str) -> Result<DatabaseLock> {
        let mut connection = self.connect(origin).await?;
        match &mut connection {
            DatabaseConnection::Sqlite(_) => connection.execute("BEGIN IMMEDIATE").await?,
            DatabaseConnection::Postgres(_) => connection.execute(&format!("BEGIN; {on_postgres}")).await?,
        }
        Ok(DatabaseLock(connection))
    }

    async fn connect(&self, origin: &TestOrigin) -> Result<DatabaseConnection> {
        let url = origin.database_url();
        Ok(match self.is_postgres() {
            true => DatabaseConnection::Postgres(PgConnectOptions::from_str(url)?.connect().await?),
            false => DatabaseConnection::Sqlite(SqliteConnectOptions::from_str(url)?.connect().await?),
        })
    }

    /// Prepares an origin in its own process on the case's database, without starting it.
    ///
    /// # Errors
    /// If there is no temporary folder or free port.
    pub fn origin_process(&self) -> Result<OriginProcess> {
        OriginProcess::new(self.postgres_url().map_or(TestDatabase::Sqlite, TestDatabase::Shared))
    }

    /// Prints what was answered, for the table of all cases.
    pub fn report(&self, answer: impl std::fmt::Display) {
        println!("{}{}: {answer}", self.id, self.place);
    }

    /// Deletes the PostgreSQL database, if there is one.
    ///
    /// # Errors
    /// If PostgreSQL does not delete it.
    pub async fn delete_database(self) -> Result<()> {
        match self.database {
            Some(database) => database.delete().await,
            None => Ok(()),
        }
    }
}

/// Connection to an origin's database.
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

/// Lock in an origin's database, held until released or dropped.
pub struct DatabaseLock(DatabaseConnection);

impl DatabaseLock {
    /// Releases the lock.
    ///
    /// # Errors
    /// If the database returns an error.
    pub async fn release(mut self) -> Result<()> {
        self.0.execute("ROLLBACK").await
    }
}
