//! Schema migrations, and which programs keep working on the schema that they leave.
//!
//! The name of a migration's file says it, and the database stores the name, so that an older
//! program can read it: `0020_expand_….sql` only adds, and every older program keeps working;
//! `0030_contract_0025_….sql` removes or renames something that programs use no more since
//! migration 25. Migrations up to 19 do not say so: programs from before them must be stopped.

use std::borrow::Cow;
use std::str::FromStr as _;
use std::sync::LazyLock;

use serde::Serialize;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, query_as, query_scalar};

use crate::error::StoreError;
use crate::store::connect::connect_to_postgres;

pub(crate) static SQLITE: LazyLock<Migrator> = LazyLock::new(|| lenient(sqlx_macros::migrate!("migrations/sqlite")));
pub(crate) static POSTGRES: LazyLock<Migrator> =
    LazyLock::new(|| lenient(sqlx_macros::migrate!("migrations/postgres")));

/// The last migration whose name does not say which programs keep working.
const LAST_UNDECLARED: i64 = 19;

/// What a migration does to the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MigrationPhase {
    /// Adds something.
    Expand,
    /// Removes or renames something.
    Contract,
}

/// A migration that this program has and the database has not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PendingMigration {
    /// The number.
    pub version: i64,
    /// The name of its file without the number.
    pub name: String,
    /// What it does.
    pub phase: MigrationPhase,
    /// Whether programs for which the present schema is the newest keep working after it.
    pub keeps_programs_running: bool,
}

/// How far the schema of a database is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MigrationStatus {
    /// Number of the newest migration that was applied; none for a new database.
    pub schema: Option<i64>,
    /// Those that are missing, in order.
    pub pending: Vec<PendingMigration>,
}

impl MigrationStatus {
    /// Reads how far the database at `url` is, and changes nothing.
    ///
    /// # Errors
    /// When it cannot be reached, or its schema is too new for this program.
    pub async fn read(url: &str) -> Result<MigrationStatus, StoreError> {
        let (applied, own) = if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url)?.read_only(true);
            if !options.get_filename().exists() {
                return Ok(status(&[], &SQLITE));
            }
            let mut connection = SqliteConnection::connect_with(&options).await?;
            let applied = applied_on_sqlite(&mut connection).await?;
            connection.close().await?;
            (applied, &*SQLITE)
        } else {
            let mut connection = connect_to_postgres(&PgConnectOptions::from_str(url)?).await?;
            let applied = applied_on_postgres(&mut connection).await?;
            connection.close().await?;
            (applied, &*POSTGRES)
        };
        check_compatible(&applied, own)?;
        Ok(status(&applied, own))
    }

    /// Whether running programs must be stopped before the pending migrations are applied.
    #[must_use]
    pub fn must_stop_programs(&self) -> bool {
        self.schema.is_some() && self.pending.iter().any(|migration| !migration.keeps_programs_running)
    }
}

/// A migration on record: number and name.
type Applied = (i64, String);

/// Migrations that a newer program applied are judged by [`check_compatible`].
fn lenient(mut migrator: Migrator) -> Migrator {
    migrator.set_ignore_missing(true);
    migrator
}

pub(crate) async fn applied_on_sqlite(connection: &mut SqliteConnection) -> Result<Vec<Applied>, StoreError> {
    let is_there = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
    if query_scalar::<_, i64>(is_there).fetch_one(&mut *connection).await? == 0 {
        return Ok(Vec::new());
    }
    let applied = "SELECT version, description FROM _sqlx_migrations ORDER BY version";
    Ok(query_as(applied).fetch_all(connection).await?)
}

pub(crate) async fn applied_on_postgres(connection: &mut PgConnection) -> Result<Vec<Applied>, StoreError> {
    // The table of this schema, not one of another schema on the search path.
    let is_there = "SELECT count(*) FROM information_schema.tables
        WHERE table_schema = current_schema() AND table_name = '_sqlx_migrations'";
    if query_scalar::<_, i64>(is_there).fetch_one(&mut *connection).await? == 0 {
        return Ok(Vec::new());
    }
    let applied = "SELECT version, description FROM _sqlx_migrations ORDER BY version";
    Ok(query_as(applied).fetch_all(connection).await?)
}

/// Checks that this program can work on a schema with these migrations.
///
/// # Errors
/// [`StoreError::NewerSchema`]
pub(crate) fn check_compatible(applied: &[Applied], own: &Migrator) -> Result<(), StoreError> {
    let newest = newest(own);
    let unknown = applied.iter().filter(|(version, _)| !own.version_exists(*version));
    for (version, name) in unknown {
        if !keeps_running(*version, name, newest) {
            return Err(StoreError::NewerSchema { version: *version, name: name.clone() });
        }
    }
    Ok(())
}

fn status(applied: &[Applied], own: &Migrator) -> MigrationStatus {
    let schema = applied.last().map(|(version, _)| *version);
    let missing = own.iter().filter(|migration| applied.iter().all(|(version, _)| *version != migration.version));
    let pending = missing.map(|migration| PendingMigration {
        version: migration.version,
        name: migration.description.clone().into_owned(),
        phase: parse(&migration.description).map_or(MigrationPhase::Contract, |(phase, _)| phase),
        keeps_programs_running: keeps_running(migration.version, &migration.description, schema.unwrap_or(0)),
    });
    MigrationStatus { schema, pending: pending.collect() }
}

fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Whether a program with migrations up to `newest` works after the migration `version`.
fn keeps_running(version: i64, name: &str, newest: i64) -> bool {
    version > LAST_UNDECLARED
        && match parse(name) {
            Some((MigrationPhase::Expand, _)) => true,
            Some((MigrationPhase::Contract, since)) => newest >= since,
            None => false,
        }
}

/// Reads the name of a migration: its phase, and the migration since which programs work without
/// what it removes.
fn parse(name: &str) -> Option<(MigrationPhase, i64)> {
    let name = Cow::from(name.replace('_', " "));
    let (phase, rest) = name.split_once(' ')?;
    match phase {
        "expand" => Some((MigrationPhase::Expand, 0)),
        "contract" => {
            let since = rest.split(' ').next()?.parse().ok()?;
            Some((MigrationPhase::Contract, since))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_new_migration_says_which_programs_keep_working() {
        let names = |migrator: &Migrator| -> Vec<(i64, String)> {
            migrator.iter().map(|migration| (migration.version, migration.description.to_string())).collect()
        };
        let (sqlite, postgres) = (names(&SQLITE), names(&POSTGRES));
        assert_eq!(sqlite, postgres, "both databases have the same migrations");
        for (version, name) in sqlite.iter().filter(|(version, _)| *version > LAST_UNDECLARED) {
            let parsed = parse(name);
            let is_valid = match parsed {
                Some((MigrationPhase::Expand, _)) => true,
                Some((MigrationPhase::Contract, since)) => since < *version && SQLITE.version_exists(since),
                None => false,
            };
            assert!(is_valid, "{version} {name}: call it NNNN_expand_….sql or NNNN_contract_NNNN_….sql");
        }
    }

    #[test]
    fn names_of_migrations_are_read() {
        assert_eq!(parse("expand logins by device"), Some((MigrationPhase::Expand, 0)));
        assert_eq!(parse("contract 0025 login id"), Some((MigrationPhase::Contract, 25)));
        for other in ["contract", "contract login id", "expand", "names", "prepared names", ""] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn programs_stop_only_for_what_they_still_use() {
        assert!(keeps_running(20, "expand logins by device", 1));
        assert!(keeps_running(30, "contract 0025 login id", 25));
        assert!(!keeps_running(30, "contract 0025 login id", 24));
        assert!(!keeps_running(30, "names", 29));
        assert!(!keeps_running(19, "expand something", 18), "before names said so");
    }
}
