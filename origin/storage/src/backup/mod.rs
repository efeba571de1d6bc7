//! The content of a backup: all rows of all tables in one state of the database, as values that
//! SQLite and PostgreSQL share, so that a backup of one can be restored into the other.
//!
//! - `tables`: the tables, their columns, and values
//! - `export`: reads one state of the database, page by page, while others write
//! - `restore`: writes a backup into a database in one transaction
//!
//! Never: a backup of two states; a restored database in which something from before the restore is
//! accepted that the backup does not know.

mod export;
mod restore;
mod tables;

pub use export::{BackupExport, BackupState, RowPage};
pub use restore::{RestoreMode, RestoreTransaction, RestoredState};
pub use tables::{BackupTable, BackupValue, ColumnKind};
