//! Errors of the storage.

use std::time::Duration;

use tollgate_model::Malformed;

/// The database failed, or refused a change. Details are for the log only: callers must not show
/// them to clients.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not be reached, or refused a statement.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A statement exceeded its time limit.
    #[error("the database did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The last probe could not reach the database; further probes run in the background.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database accepts no writes.
    #[error("the database is read-only")]
    ReadOnly,
    /// The server cannot be reached at startup.
    #[error("the database at {address} cannot be reached: {reason}")]
    Unreachable {
        /// Host and port, or socket.
        address: String,
        /// Error of the connection attempt.
        reason: String,
    },
    /// A schema migration failed.
    #[error("the database could not be migrated: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A newer program has changed the schema so that this one cannot work on it.
    #[error(
        "the database was migrated by a newer release (migration {version}, {name}), and this program cannot work on it: \
         run that release or a later one"
    )]
    NewerSchema {
        /// Number of the migration.
        version: i64,
        /// Its name.
        name: String,
    },
    /// A backup is restored into an empty database only.
    #[error("the database is not empty: restore into a new one, or replace its content with --force")]
    NotEmpty,
    /// The backup was made with another schema.
    #[error(
        "the backup has the schema {backup} and this program has {database}: restore it with the release that made it, \
         then upgrade with `tollgate migrate`"
    )]
    OtherSchema {
        /// Newest migration of the backup.
        backup: i64,
        /// Newest migration of the database.
        database: i64,
    },
    /// The backup has a table with other columns than the database.
    #[error("the backup has a table {0} that this release does not have in this form")]
    UnknownTable(String),
    /// The database file could not be created.
    #[error("the database file {path} could not be created: {source}")]
    File {
        /// Path of the file.
        path: String,
        /// Error of the file system.
        source: std::io::Error,
    },
    /// A row violates the rules of its table.
    #[error("the table {table} has an invalid row: {problem}")]
    Corrupt {
        /// Name of the table.
        table: &'static str,
        /// The violated rule.
        problem: String,
    },
    /// The database belongs to another issuer, and so do its tokens and revocations.
    #[error(
        "this database belongs to the issuer {stored}, not {wanted}: set TOLLGATE_PUBLIC_URL={stored} or use another database"
    )]
    WrongIssuer {
        /// Issuer of the database.
        stored: String,
        /// Configured issuer.
        wanted: String,
    },
    /// The database has no issuer yet.
    #[error("this database has no issuer yet: run `tollgate serve` first")]
    NoIssuer,
    /// The name is already taken.
    #[error("a {0} of that name already exists")]
    AlreadyExists(&'static str),
    /// Tokens are not signed with a revoked key: edges would refuse them.
    #[error("the signing key {0} is revoked: no token can be issued with it")]
    KeyRevoked(String),
    /// The subject token of a token exchange is revoked (RFC 8693).
    #[error("the subject token of the exchange is revoked")]
    SubjectTokenRevoked,
    /// The data by which the request was decided has changed; the request must be decided again.
    #[error("concurrent modification: the data changed during the request")]
    ConcurrentModification,
    /// The acting user is not an active administrator any more.
    #[error("you are no longer an administrator")]
    NotAdministrator,
    /// The caller disconnected before its code or refresh token was redeemed.
    #[error("the caller has disconnected")]
    CallerDisconnected,
    /// The user was disabled during the request.
    #[error("the user is disabled")]
    UserDisabled,
    /// Every issuing epoch that a token id can name is used up.
    #[error("no issuing epoch is left")]
    EpochsExhausted,
    /// A rule of this crate's own code was violated: a bug, logged where it was found.
    #[error("internal error in the storage: {0}")]
    Invariant(&'static str),
}

impl StoreError {
    /// Whether the database was known to be unavailable or read-only, so that no statement was
    /// sent.
    #[must_use]
    pub fn is_known_outage(&self) -> bool {
        matches!(self, StoreError::Unavailable(_) | StoreError::ReadOnly)
    }

    pub(crate) fn corrupt(table: &'static str) -> impl Fn(Malformed) -> StoreError {
        move |problem| StoreError::Corrupt { table, problem: problem.to_string() }
    }

    /// Logs a violated invariant and returns the error for it.
    pub(crate) fn invariant(rule: &'static str) -> StoreError {
        tracing::error!(rule, "a storage invariant was violated: this is a bug, please report it");
        StoreError::Invariant(rule)
    }
}
