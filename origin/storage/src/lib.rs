//! Storage of the origin: one database, SQLite or PostgreSQL, chosen by URL.
//!
//! Functions take and return domain values; SQL exists in no other crate. Both databases run the
//! same statements, written in their common dialect; the few differences are marked where they
//! occur.
//!
//! Every function that changes something has committed when it returns `Ok`, and has changed
//! nothing when it returns `Err`.
//!
//! - `writer`: the write path of tokens and revocations, with group commit and its fast path
//! - `oauth`: clients, resource servers, authorization requests, grants, device codes, tokens
//! - `accounts`: users, browser sessions, and how they end
//! - `revocation`: revocations, their log, the feed and snapshots for edges, security events
//! - `cluster`: what several origins on one database share and coordinate
//! - `backup`: all rows in one state, and restoring them
//! - `store`: the handle, opening, connections and transactions, the clocks
//! - `database`: supervision of connections, bulk statements, conversion of columns

#[macro_use]
mod macros;

mod accounts;
mod audit;
mod backup;
mod cluster;
mod database;
mod error;
mod oauth;
mod revocation;
mod search;
mod store;
mod writer;

pub use accounts::backchannel_logouts::ClientSlots;
pub use accounts::termination::Termination;
pub use audit::MAX_AUDIT_PAGE;
pub use backup::{
    BackupExport, BackupState, BackupTable, BackupValue, ColumnKind, RestoreMode, RestoreTransaction, RestoredState,
    RowPage,
};
pub use cluster::change_watch::{ChangeWatch, VersionReader, Versions};
pub use cluster::keys::StoredKeys;
pub use cluster::leader_lock::{LeaderLock, LeaderRole};
pub use cluster::live_counts::LiveCounts;
pub use cluster::maintenance::SweepCounts;
pub use cluster::routes::AddRouteError;
pub use database::statistics::PoolStatistics;
pub use error::StoreError;
pub use oauth::grant_lists::GrantSummary;
pub use oauth::resources::ScopeError;
pub use revocation::feed::{FeedHead, FeedPage};
pub use revocation::revocations::{MAX_REVOCATIONS_PAGE, ReinstateOutcome, RevocationFilter, RevokeOutcome};
pub use revocation::security_events::Signal;
pub use revocation::snapshots::{MAX_SNAPSHOT_CLOCK_SKEW_MS, PublishedSnapshot, SnapshotReader, SnapshotState};
pub use revocation::status_list::RevokedNumbers;
pub use search::{MAX_SEARCH_PAGE, Search};
pub use store::Store;
pub use store::inspection::{DatabaseInspection, PostgresInspection, inspect_database, sqlite_file};
pub use store::migrations::{MigrationPhase, MigrationStatus, PendingMigration};
pub use store::trusted_time::ClockReading;
pub use writer::first_use::ReplayKey;
pub use writer::outcomes::{BatchOutcome, RedeemOutcome};
pub use writer::requests::{Batch, IssueRequest, NewRefreshToken, RedeemCredential, RedeemRequest};
pub use writer::{WriteError, Writer, WriterStatistics};
