//! Finding the master key, or making it at the very first start.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::{SettingError, Source, Sources};
use crate::ambient;
use crate::keys::MasterKey;

/// Where the master key is.
#[derive(Debug, Clone)]
pub enum MasterKeySource {
    /// In `TOLLGATE_MASTER_KEY`.
    Given(MasterKey),
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// Where the file's name stands; none for the default.
        named_by: Option<Source>,
    },
}

impl MasterKeySource {
    pub(super) fn from_sources(sources: &Sources) -> Result<MasterKeySource, SettingError> {
        let given = sources.parse("TOLLGATE_MASTER_KEY", MasterKey::parse)?;
        let named = sources.get("TOLLGATE_MASTER_KEY_FILE");
        match (given, named) {
            (Some(_), Some(value)) => Err(SettingError {
                name: "TOLLGATE_MASTER_KEY_FILE".to_owned(),
                source: Some(value.source.clone()),
                problem: "TOLLGATE_MASTER_KEY is set too: set one of them".to_owned(),
            }),
            (Some(key), None) => Ok(MasterKeySource::Given(key)),
            (None, Some(value)) => {
                Ok(MasterKeySource::File { path: value.text.clone().into(), named_by: Some(value.source.clone()) })
            }
            (None, None) => Ok(MasterKeySource::File { path: "tollgate.key".into(), named_by: None }),
        }
    }

    /// The key. A missing file is made, readable by its owner alone, if `may_make`: when the database has no keys yet. Once
    /// it has, a new master key could open none of them, and the file is merely in another place.
    ///
    /// # Errors
    /// When the file cannot be read or made, or holds no key.
    pub fn load(&self, may_make: bool) -> Result<MasterKey, SettingError> {
        let (path, named_by) = match self {
            MasterKeySource::Given(key) => return Ok(key.clone()),
            MasterKeySource::File { path, named_by } => (path, named_by),
        };
        let failed = |problem: String| SettingError {
            name: "TOLLGATE_MASTER_KEY_FILE".to_owned(),
            source: named_by.clone(),
            problem: format!("{} {problem}", path.display()),
        };
        match std::fs::read_to_string(path) {
            Ok(text) => MasterKey::parse(&text).map_err(|error| failed(error.to_string())),
            Err(error) if error.kind() == ErrorKind::NotFound && may_make => make(path).map_err(failed),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(failed("does not exist, but the database has keys that were made with it".to_owned()))
            }
            Err(error) => Err(failed(format!("cannot be read: {error}"))),
        }
    }
}

fn make(path: &Path) -> Result<MasterKey, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("cannot be made: {error}");
    let key = MasterKey::from_random(ambient::random().map_err(|error| cannot(&error))?);
    let mut open = std::fs::OpenOptions::new();
    open.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    let mut file = open.open(path).map_err(|error| cannot(&error))?;
    file.write_all(format!("{}\n", &*key.to_text()).as_bytes()).map_err(|error| cannot(&error))?;
    // On the disk before any key is encrypted under it.
    file.sync_all().map_err(|error| cannot(&error))?;
    let shown = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    tracing::warn!(file = %shown.display(), "made a new master key: keep a copy, without it the keys in the database are lost");
    Ok(key)
}
