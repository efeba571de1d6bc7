//! Spin's default key-value store: in memory, and written through to a folder if there is one. Bounded, for its contents
//! come from a component.

use crate::files;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a key; as hex it is a file's name.
const KEY_BYTES: usize = 100;
/// Bytes of a value: as much as one fetch from the origin.
const VALUE_BYTES: usize = tollgate_gate::MAX_FETCH_BYTES;
/// Entries in the store.
const ENTRIES: usize = 64;
/// Ending of an entry's file.
const ENDING: &str = "kv";

/// A store that a component opened; says nothing, for there is only the default one.
#[expect(unreachable_pub, reason = "the generated bindings name it as public")]
pub struct OpenStore;

/// The default store.
#[derive(Clone)]
pub(crate) struct KeyValue {
    entries: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    folder: Option<PathBuf>,
    /// Writes to the folder follow one another.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl KeyValue {
    /// Opens the store with what the folder holds; without a folder it is empty and stays in memory.
    pub(crate) async fn open(folder: Option<&Path>) -> std::io::Result<KeyValue> {
        let mut entries = BTreeMap::new();
        if let Some(folder) = folder {
            let mut files = tokio::fs::read_dir(folder).await?;
            while let Some(file) = files.next_entry().await? {
                let path = file.path();
                if let Some(key) = key_of(&path)
                    && file.metadata().await?.len() <= VALUE_BYTES as u64
                    && entries.len() < ENTRIES
                {
                    entries.insert(key, tokio::fs::read(&path).await?);
                }
            }
        }
        Ok(KeyValue {
            entries: Arc::new(Mutex::new(entries)),
            folder: folder.map(Path::to_owned),
            writing: Arc::default(),
        })
    }

    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.lock().get(key).cloned()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Sets a value. The error is a line for the component.
    pub(crate) async fn set(&self, key: String, value: Vec<u8>) -> Result<(), String> {
        let _one_at_a_time = self.writing.lock().await;
        self.write(key, value).await
    }

    /// Sets a value if the one that is there was `seen`; false if it was not. As in Spin, a key that was not there is set in
    /// any case. The error is a line for the component.
    pub(crate) async fn swap(&self, key: String, seen: Option<&[u8]>, value: Vec<u8>) -> Result<bool, String> {
        let _one_at_a_time = self.writing.lock().await;
        if seen.is_some() && self.get(&key).as_deref() != seen {
            return Ok(false);
        }
        self.write(key, value).await.map(|()| true)
    }

    async fn write(&self, key: String, value: Vec<u8>) -> Result<(), String> {
        if key.is_empty() || key.len() > KEY_BYTES || value.len() > VALUE_BYTES {
            return Err(format!("keys have 1 to {KEY_BYTES} bytes, values at most {VALUE_BYTES}"));
        }
        let full = self.lock().len() >= ENTRIES && self.get(&key).is_none();
        if full {
            return Err(format!("the store has its {ENTRIES} entries"));
        }
        if let Some(file) = self.file(&key) {
            files::replace(&file, &value).await.map_err(|error| error.to_string())?;
        }
        self.lock().insert(key, value);
        Ok(())
    }

    /// Deletes a value; one that is not there is no error.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), String> {
        let _one_at_a_time = self.writing.lock().await;
        let known = self.lock().remove(key).is_some();
        match self.file(key).filter(|_| known) {
            Some(file) => tokio::fs::remove_file(file).await.map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    fn file(&self, key: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{}.{ENDING}", hex(key))))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key as a file's name: nothing in it can lead out of the folder.
fn hex(key: &str) -> String {
    key.bytes().fold(String::new(), |mut name, byte| {
        // Writing to a String does not fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// The key that a file of the folder stands for, if it is one of the store's.
fn key_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(ENDING)?.strip_suffix('.')?;
    let pairs = name.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    String::from_utf8(pairs.collect::<Option<Vec<u8>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_set_is_there_after_a_restart() -> Result<(), Box<dyn std::error::Error>> {
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
    async fn the_store_is_bounded() -> Result<(), Box<dyn std::error::Error>> {
        let store = KeyValue::open(None).await?;
        assert!(store.set("k".repeat(KEY_BYTES + 1), Vec::new()).await.is_err());
        assert!(store.set("k".to_owned(), vec![0; VALUE_BYTES + 1]).await.is_err());
        for entry in 0..ENTRIES {
            store.set(entry.to_string(), Vec::new()).await?;
        }
        assert!(store.set("one more".to_owned(), Vec::new()).await.is_err());
        store.set("0".to_owned(), vec![1]).await?;
        Ok(())
    }

    #[tokio::test]
    async fn of_two_who_swap_what_they_saw_one_wins() -> Result<(), Box<dyn std::error::Error>> {
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
