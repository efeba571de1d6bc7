//! A fault that was found once, as a small input with the right answer: its id, where it runs, and what was answered.

use anyhow::Result;

use crate::served::{Database, Served};
use crate::stack::Origin;

/// One run of a case.
pub struct Case {
    /// The id, e.g. `O1`: `O` at the origin, `E` at the edge, `F` under faults.
    pub id: &'static str,
    place: &'static str,
    database: Option<Database>,
}

impl Case {
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
        let database = Database::postgres(&format!("case_{}", id.to_lowercase())).await?;
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
    pub async fn origin(&self, more: &[(&'static str, &str)]) -> Result<Origin> {
        let url = self.postgres_url();
        let database = url.as_deref().map(|url| ("TOLLGATE_DATABASE_URL", url));
        let all: Vec<_> = database.into_iter().chain(more.iter().copied()).collect();
        Origin::start_with(&all).await
    }

    /// An origin as a process of its own on the case's database; it does not run yet.
    ///
    /// # Errors
    /// When there is no folder or port for it.
    pub fn served(&self) -> Result<Served> {
        Served::new(self.postgres_url().map_or(Database::Sqlite, Database::Shared))
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
