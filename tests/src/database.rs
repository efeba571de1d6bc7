//! Databases of the tests: SQLite files, and PostgreSQL databases on the shared test server.

use std::path::Path;
use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

use crate::environment::required_env;

/// A database of a test's own.
pub enum TestDatabase {
    /// A file in the test's folder.
    Sqlite,
    /// A database of this name, deleted by [`OriginProcess::end`].
    Postgres(String),
    /// The one at this URL, of another origin that ends it.
    Shared(String),
}

impl TestDatabase {
    /// A new database on the PostgreSQL server that the tests are given.
    pub async fn postgres(name: &str) -> Result<Self> {
        let name = format!("{name}_{}", std::process::id());
        server().await?.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        Ok(Self::Postgres(name))
    }

    /// Where it is. `folder`: the test's own.
    pub fn url(&self, folder: &Path) -> Result<String> {
        match self {
            Self::Sqlite => Ok(format!("sqlite://{}", folder.join("origin.db").display())),
            Self::Postgres(name) => {
                let server = required_env("TOLLGATE_TEST_POSTGRES_URL");
                let (server, _) = server.rsplit_once('/').context("a database's name at the end of the URL")?;
                Ok(format!("{server}/{name}"))
            }
            Self::Shared(url) => Ok(url.clone()),
        }
    }

    /// Deletes it, whoever is still connected.
    pub async fn end(&self) -> Result<()> {
        if let Self::Postgres(name) = self {
            server().await?.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await?;
        }
        Ok(())
    }
}

async fn server() -> Result<PgConnection> {
    Ok(PgConnectOptions::from_str(&required_env("TOLLGATE_TEST_POSTGRES_URL"))?.connect().await?)
}
