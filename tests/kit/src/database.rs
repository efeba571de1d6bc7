//! Databases of the tests: SQLite files, and PostgreSQL databases on the shared test server.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

use crate::environment::required_env;

/// A test's database.
pub enum TestDatabase {
    /// A file in the test's temporary folder.
    Sqlite,
    /// A PostgreSQL database of this name, deleted by [`TestDatabase::delete`].
    Postgres(String),
    /// The database of another origin, at this URL. The other origin deletes it.
    Shared(String),
}

impl TestDatabase {
    /// Creates a database on the PostgreSQL server that the tests share.
    pub async fn postgres(name: &str) -> Result<Self> {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        let number = CREATED.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}_{}_{number}", std::process::id());
        server().await?.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        Ok(Self::Postgres(name))
    }

    /// URL of the database. `folder`: the test's temporary folder, for SQLite.
    pub fn url(&self, folder: &Path) -> Result<String> {
        match self {
            Self::Sqlite => Ok(format!("sqlite://{}", folder.join("origin.db").display())),
            Self::Postgres(name) => {
                let server = required_env("TOLLGATE_TEST_POSTGRES_URL");
                let (server, _) = server.rsplit_once('/').context("a URL that ends with a database name")?;
                Ok(format!("{server}/{name}"))
            }
            Self::Shared(url) => Ok(url.clone()),
        }
    }

    /// Deletes the database and closes all connections to it.
    pub async fn delete(&self) -> Result<()> {
        if let Self::Postgres(name) = self {
            server().await?.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await?;
        }
        Ok(())
    }
}

async fn server() -> Result<PgConnection> {
    Ok(PgConnectOptions::from_str(&required_env("TOLLGATE_TEST_POSTGRES_URL"))?.connect().await?)
}
