//! Spin's default key-value store: in memory, and written through to a folder if one is set. Its
//! size is limited, because the contents come from a component.

use crate::files;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keys are the names of files, in hexadecimal.
const MAX_KEY_BYTES: usize = 100;
const MAX_VALUE_BYTES: usize = tollgate_gate::MAX_FETCH_BYTES;
const MAX_ENTRIES: usize = 64;
const FILE_EXTENSION: &str = "kv";

/// Handle of the default store, the only one, by Spin's own interface.
#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub struct OpenStore;

/// Handle of the default store by the `wasi:keyvalue` interface.
#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub struct Bucket;

/// A value to be replaced if it is still the expected one.
#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub struct Cas {
    pub(super) key: String,
    pub(super) expected: Option<Vec<u8>>,
}

/// The default store.
#[derive(Clone)]
pub(crate) struct KeyValue {
    entries: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    folder: Option<PathBuf>,
    /// Locked for each write, because writes to the folder are asynchronous.
    write_lock: Arc<tokio::sync::Mutex<()>>,
}

impl KeyValue {
    /// Opens the store with the folder's entries; without a folder, an empty store in memory.
    pub(crate) async fn open(folder: Option<&Path>) -> std::io::Result<KeyValue> {
        let mut entries = BTreeMap::new();
        if let Some(folder) = folder {
            let mut files = tokio::fs::read_dir(folder).await?;
            while let Some(file) = files.next_entry().await? {
                let path = file.path();
                if let Some(key) = key_of(&path)
                    && file.metadata().await?.len() <= MAX_VALUE_BYTES as u64
                    && entries.len() < MAX_ENTRIES
                {
                    entries.insert(key, tokio::fs::read(&path).await?);
                }
            }
        }
        Ok(KeyValue {
            entries: Arc::new(Mutex::new(entries)),
            folder: folder.map(Path::to_owned),
            write_lock: Arc::default(),
        })
    }

    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.lock().get(key).cloned()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Sets a value. The error is one line for the component.
    pub(crate) async fn set(&self, key: String, value: Vec<u8>) -> Result<(), String> {
        let _guard = self.write_lock.lock().await;
        self.write(key, value).await
    }

    /// Sets a value if the current one is `expected`; false if it is not. As in Spin, a key that
    /// did not exist is always set. The error is one line for the component.
    pub(crate) async fn swap(&self, key: String, expected: Option<&[u8]>, value: Vec<u8>) -> Result<bool, String> {
        let _guard = self.write_lock.lock().await;
        if expected.is_some() && self.get(&key).as_deref() != expected {
            return Ok(false);
        }
        self.write(key, value).await.map(|()| true)
    }

    async fn write(&self, key: String, value: Vec<u8>) -> Result<(), String> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
            return Err(format!("a key must have 1 to {MAX_KEY_BYTES} bytes, a value at most {MAX_VALUE_BYTES}"));
        }
        let is_full = self.lock().len() >= MAX_ENTRIES && self.get(&key).is_none();
        if is_full {
            return Err(format!("the store is full: it has {MAX_ENTRIES} entries"));
        }
        if let Some(file) = self.file(&key) {
            files::replace(&file, &value).await.map_err(|error| error.to_string())?;
        }
        self.lock().insert(key, value);
        Ok(())
    }

    /// Deletes a value, if it exists.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), String> {
        let _guard = self.write_lock.lock().await;
        let existed = self.lock().remove(key).is_some();
        match self.file(key).filter(|_| existed) {
            Some(file) => tokio::fs::remove_file(file).await.map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    fn file(&self, key: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{}.{FILE_EXTENSION}", hex(key))))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key as the name of a file. Hexadecimal, so that no key can lead out of the folder.
fn hex(key: &str) -> String {
    key.bytes().fold(String::new(), |mut name, byte| {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// The key of a file in the folder, if it is an entry.
fn key_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(FILE_EXTENSION)?.strip_suffix('.')?;
    let pairs = name.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    String::from_utf8(pairs.collect::<Option<Vec<u8>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn entries_survive_a_restart() -> Result<(), Box<dyn std::error::Error>> {
        let folder = std::env::temp_dir().join(format!("tollgate-kv-{}", std::process::id()));
        tokio::fs::create_dir_all(&folder).await?;
        let store = KeyValue::open(Some(&folder)).await?;
        store.set("tollgate/../snapshot".to_owned(), vec![1, 2, 3]).await?;
        store.set("gone".to_owned(), vec![4]).await?;
        store.delete("gone").await?;
        let again = KeyValue::open(Some(&folder)).await?;
        assert_eq!(again.keys(), ["tollgate/../snapshot"]);
        assert_eq!(again.get("tollgate/../snapshot"), Some(vec![1, 2, 3]));
        tokio::fs::remove_dir_all(&folder).await?;
        Ok(())
    }

    #[tokio::test]
    async fn store_refuses_too_large_and_too_many_entries() -> Result<(), Box<dyn std::error::Error>> {
        let store = KeyValue::open(None).await?;
        assert!(store.set("k".repeat(MAX_KEY_BYTES + 1), Vec::new()).await.is_err());
        assert!(store.set("k".to_owned(), vec![0; MAX_VALUE_BYTES + 1]).await.is_err());
        for entry in 0..MAX_ENTRIES {
            store.set(entry.to_string(), Vec::new()).await?;
        }
        assert!(store.set("one more".to_owned(), Vec::new()).await.is_err());
        store.set("0".to_owned(), vec![1]).await?;
        Ok(())
    }

    #[tokio::test]
    async fn of_two_concurrent_swaps_one_succeeds() -> Result<(), Box<dyn std::error::Error>> {
        let store = KeyValue::open(None).await?;
        let key = || "turn".to_owned();
        assert_eq!(store.swap(key(), None, vec![0]).await, Ok(true));
        let seen = store.get("turn");
        let (one, other) =
            tokio::join!(store.swap(key(), seen.as_deref(), vec![1]), store.swap(key(), seen.as_deref(), vec![2]));
        assert_eq!([one, other].iter().filter(|swapped| **swapped == Ok(true)).count(), 1);
        Ok(())
    }
}
