//! Finding the master key, or making it at the very first start.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tollgate_keys::{MasterKey, MasterKeyError};
use tollgate_system::files::{self, Access};
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::{SettingError, Source, Sources};

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
            Ok(text) => MasterKey::parse(&text).map_err(|error| failed(unusable(&text, error, may_make))),
            Err(error) if error.kind() == ErrorKind::NotFound && may_make => make(path).map_err(failed),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(failed("does not exist, but the database has keys that were made with it".to_owned()))
            }
            Err(error) => Err(failed(format!("cannot be read: {error}"))),
        }
    }
}

/// What is wrong with a file's text, and what to do.
fn unusable(text: &str, error: MasterKeyError, may_make: bool) -> String {
    let length = text.trim().len();
    if length >= MasterKey::TEXT_LENGTH {
        return error.to_string();
    }
    let found = match length {
        0 => "is empty".to_owned(),
        _ => format!("is cut short, {length} characters of {}", MasterKey::TEXT_LENGTH),
    };
    match may_make {
        true => format!("{found}: remove it, and a new key is made, for the database has no keys yet"),
        false => format!("{found}: restore it from a copy, for the keys in the database were made with it"),
    }
}

fn make(path: &Path) -> Result<MasterKey, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("cannot be made: {error}");
    let key = MasterKey::from_random(rng::random().map_err(|error| cannot(&error))?);
    let text = Zeroizing::new(format!("{}\n", &*key.to_text()));
    // On the disk before any key is encrypted under it.
    match files::create(path, text.as_bytes(), Access::Owner) {
        Ok(()) => {}
        // Another process was first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text =
                Zeroizing::new(std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?);
            return MasterKey::parse(&text).map_err(|error| unusable(&text, error, true));
        }
        Err(error) => return Err(cannot(&error)),
    }
    let shown = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    tracing::warn!(file = %shown.display(), "made a new master key: keep a copy, without it the keys in the database are lost");
    Ok(key)
}
