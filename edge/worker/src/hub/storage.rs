//! The hub's storage, which survives an eviction: the snapshot and the messages after it, in the
//! object's SQLite database; for the directory also the names of the hubs. Messages without changes
//! are not written, so an idle origin causes no writes, and freshness does not survive.

use std::collections::BTreeMap;

use worker::{Result, SqlStorage, SqlStorageValue, State};

/// A value in a Durable Object's SQLite database has at most 2 MB.
const MAX_CHUNK_BYTES: usize = 1024 * 1024;

/// The tables of a hub. All statements of one call are one transaction, because nothing is awaited
/// between them: the runtime commits when the object next awaits.
pub(super) struct Storage(SqlStorage);

/// The content of the storage.
#[derive(Default)]
pub(super) struct StoredMessages {
    pub(super) snapshot: Option<Vec<u8>>,
    /// The messages after the snapshot, in order.
    pub(super) deltas: Vec<Vec<u8>>,
    /// Time of the registration of each hub, in Unix milliseconds.
    pub(super) hubs: BTreeMap<String, u64>,
}

impl Storage {
    pub(super) fn open(state: &State) -> Result<Self> {
        let sql = state.storage().sql();
        sql.exec("CREATE TABLE IF NOT EXISTS snapshot (part INTEGER PRIMARY KEY, bytes BLOB NOT NULL)", None)?;
        sql.exec("CREATE TABLE IF NOT EXISTS deltas (number INTEGER PRIMARY KEY, message BLOB NOT NULL)", None)?;
        sql.exec("CREATE TABLE IF NOT EXISTS hubs (name TEXT PRIMARY KEY, seen_ms INTEGER NOT NULL)", None)?;
        Ok(Self(sql))
    }

    pub(super) fn load(&self) -> Result<StoredMessages> {
        let snapshot = self.column("SELECT bytes FROM snapshot ORDER BY part")?.concat();
        let deltas = self.column("SELECT message FROM deltas ORDER BY number")?;
        let snapshot = (!snapshot.is_empty()).then_some(snapshot);
        Ok(StoredMessages { snapshot, deltas, hubs: self.hubs()? })
    }

    /// Saves the registration of a hub, and deletes those from before `oldest_ms`.
    pub(super) fn save_hub(&self, name: &str, now_ms: u64, oldest_ms: u64) -> Result<()> {
        let time = |ms: u64| SqlStorageValue::Integer(i64::try_from(ms).unwrap_or(i64::MAX));
        self.0.exec("DELETE FROM hubs WHERE seen_ms < ?", vec![time(oldest_ms)])?;
        self.0.exec("INSERT OR REPLACE INTO hubs VALUES (?, ?)", vec![name.into(), time(now_ms)]).map(drop)
    }

    fn hubs(&self) -> Result<BTreeMap<String, u64>> {
        let rows = self.0.exec("SELECT name, seen_ms FROM hubs", None)?;
        let hub = |row: Result<Vec<SqlStorageValue>>| match <[SqlStorageValue; 2]>::try_from(row?) {
            Ok([SqlStorageValue::String(name), SqlStorageValue::Integer(seen_ms)]) => {
                Ok((name, seen_ms.unsigned_abs()))
            }
            _ => Err(worker::Error::from("unexpected row in the hub's storage")),
        };
        rows.raw().map(hub).collect()
    }

    pub(super) fn append(&self, message: &[u8]) -> Result<()> {
        self.insert("INSERT INTO deltas (message) VALUES (?)", message)
    }

    /// Replaces the whole content.
    pub(super) fn replace<'a>(&self, snapshot: &[u8], deltas: impl IntoIterator<Item = &'a [u8]>) -> Result<()> {
        self.0.exec("DELETE FROM snapshot", None)?;
        self.0.exec("DELETE FROM deltas", None)?;
        for chunk in snapshot.chunks(MAX_CHUNK_BYTES) {
            self.insert("INSERT INTO snapshot (bytes) VALUES (?)", chunk)?;
        }
        deltas.into_iter().try_for_each(|message| self.append(message))
    }

    fn insert(&self, statement: &str, bytes: &[u8]) -> Result<()> {
        self.0.exec(statement, vec![SqlStorageValue::Blob(bytes.to_vec())]).map(drop)
    }

    fn column(&self, query: &str) -> Result<Vec<Vec<u8>>> {
        let rows = self.0.exec(query, None)?;
        let blob = |row: Result<Vec<SqlStorageValue>>| match row?.pop() {
            Some(SqlStorageValue::Blob(bytes)) => Ok(bytes),
            _ => Err(worker::Error::from("unexpected row in the hub's storage")),
        };
        rows.raw().map(blob).collect()
    }
}
