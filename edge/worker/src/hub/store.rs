//! The hub's memory beyond an eviction: the snapshot and the messages since, in the object's SQLite. Signs of life are not
//! written, so a quiet origin costs no writes, and freshness does not outlive the hub.

use worker::{Result, SqlStorage, SqlStorageValue, State};

/// A value in a Durable Object's SQLite has 2 MB at most.
const PART_BYTES: usize = 1024 * 1024;

/// The tables. Statements of one call are one transaction, because nothing is awaited between them: the runtime commits what
/// an object wrote when it next waits.
pub(super) struct Store(SqlStorage);

/// What was stored.
pub(super) struct Stored {
    pub(super) snapshot: Option<Vec<u8>>,
    /// The messages since, in order.
    pub(super) messages: Vec<Vec<u8>>,
}

impl Store {
    pub(super) fn open(state: &State) -> Result<Self> {
        let sql = state.storage().sql();
        sql.exec("CREATE TABLE IF NOT EXISTS snapshot (part INTEGER PRIMARY KEY, bytes BLOB NOT NULL)", None)?;
        sql.exec("CREATE TABLE IF NOT EXISTS deltas (number INTEGER PRIMARY KEY, message BLOB NOT NULL)", None)?;
        Ok(Self(sql))
    }

    /// All that is stored.
    pub(super) fn load(&self) -> Result<Stored> {
        let snapshot = self.column("SELECT bytes FROM snapshot ORDER BY part")?.concat();
        let messages = self.column("SELECT message FROM deltas ORDER BY number")?;
        Ok(Stored { snapshot: (!snapshot.is_empty()).then_some(snapshot), messages })
    }

    /// Adds a message behind those stored.
    pub(super) fn append(&self, message: &[u8]) -> Result<()> {
        self.insert("INSERT INTO deltas (message) VALUES (?)", message)
    }

    /// Puts these in the place of all that is stored.
    pub(super) fn replace<'a>(&self, snapshot: &[u8], messages: impl IntoIterator<Item = &'a [u8]>) -> Result<()> {
        self.0.exec("DELETE FROM snapshot", None)?;
        self.0.exec("DELETE FROM deltas", None)?;
        for part in snapshot.chunks(PART_BYTES) {
            self.insert("INSERT INTO snapshot (bytes) VALUES (?)", part)?;
        }
        messages.into_iter().try_for_each(|message| self.append(message))
    }

    fn insert(&self, statement: &str, bytes: &[u8]) -> Result<()> {
        self.0.exec(statement, vec![SqlStorageValue::Blob(bytes.to_vec())]).map(drop)
    }

    fn column(&self, query: &str) -> Result<Vec<Vec<u8>>> {
        let rows = self.0.exec(query, None)?;
        let blob = |row: Result<Vec<SqlStorageValue>>| match row?.pop() {
            Some(SqlStorageValue::Blob(bytes)) => Ok(bytes),
            _ => Err(worker::Error::from("a row is not of this hub's making")),
        };
        rows.raw().map(blob).collect()
    }
}
