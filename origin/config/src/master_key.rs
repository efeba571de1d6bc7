//! Loads the master key, or creates it at the first start.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tollgate_keys::{MasterKey, MasterKeyError};
use tollgate_system::files::{self, Access};
use tollgate_system::rng;
use zeroize::Zeroizing;

use super::sources::{SettingError, Source, Sources};

/// Where the master key is.
#[derive(Debug, Clone)]
pub enum MasterKeySource {
    /// In `TOLLGATE_MASTER_KEY`.
    Setting(MasterKey),
    /// In a file.
    File {
        path: PathBuf,
        /// Where the file is named; `None` for the default.
        named_by: Option<Source>,
    },
}

impl MasterKeySource {
    pub(super) fn from_sources(sources: &Sources) -> Result<MasterKeySource, SettingError> {
        let key = sources.parse("TOLLGATE_MASTER_KEY", MasterKey::parse)?;
        let file = sources.get("TOLLGATE_MASTER_KEY_FILE");
        match (key, file) {
            (Some(_), Some(_)) => {
                let problem = "TOLLGATE_MASTER_KEY is set, too: set only one of them".to_owned();
                Err(sources.error("TOLLGATE_MASTER_KEY_FILE", problem))
            }
            (Some(key), None) => Ok(MasterKeySource::Setting(key)),
            (None, Some(value)) => {
                Ok(MasterKeySource::File { path: value.text.clone().into(), named_by: Some(value.source.clone()) })
            }
            (None, None) => Ok(MasterKeySource::File { path: "tollgate.key".into(), named_by: None }),
        }
    }

    /// Loads the key. If the file does not exist and `may_create` is true, it is created, readable
    /// by its owner only. `may_create` must be false if the database contains keys: a new master
    /// key could not decrypt them, so the file is probably in another place.
    ///
    /// # Errors
    /// If the file cannot be read or created, or contains no key.
    pub fn load(&self, may_create: bool) -> Result<MasterKey, SettingError> {
        let (path, named_by) = match self {
            MasterKeySource::Setting(key) => return Ok(key.clone()),
            MasterKeySource::File { path, named_by } => (path, named_by),
        };
        let failed = |problem: String| SettingError {
            name: "TOLLGATE_MASTER_KEY_FILE".to_owned(),
            source: named_by.clone(),
            problem: format!("{} {problem}", path.display()),
        };
        match files::read_secret(path).map(Zeroizing::new) {
            Ok(text) => MasterKey::parse(&text).map_err(|error| failed(unusable(&text, error, may_create))),
            Err(error) if error.kind() == ErrorKind::NotFound && may_create => create(path).map_err(failed),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(failed("does not exist, but the database contains keys encrypted with it".to_owned()))
            }
            Err(error) => Err(failed(format!("cannot be read: {error}"))),
        }
    }
}

/// Says why the file's text is no key, and what to do.
fn unusable(text: &str, error: MasterKeyError, may_create: bool) -> String {
    let length = text.trim().len();
    if length >= MasterKey::TEXT_LENGTH {
        return error.to_string();
    }
    let found = match length {
        0 => "is empty".to_owned(),
        _ => format!("is incomplete: {length} of {} characters", MasterKey::TEXT_LENGTH),
    };
    match may_create {
        true => format!("{found}: remove it to create a new key, the database contains no keys yet"),
        false => format!("{found}: restore it from a backup, the keys in the database are encrypted with it"),
    }
}

fn create(path: &Path) -> Result<MasterKey, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot be created: {error}");
    let key = MasterKey::from_random(rng::random().map_err(|error| failed(&error))?);
    let text = Zeroizing::new(format!("{}\n", &*key.to_text()));
    // Durable before any key is encrypted with it.
    match files::create(path, text.as_bytes(), Access::Owner) {
        Ok(()) => {}
        // Another process created it first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = files::read_secret(path).map(Zeroizing::new);
            let text = text.map_err(|error| format!("cannot be read: {error}"))?;
            return MasterKey::parse(&text).map_err(|error| unusable(&text, error, true));
        }
        Err(error) => return Err(failed(&error)),
    }
    let shown = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    tracing::warn!(file = %shown.display(), "created a new master key: keep a backup, without it the keys in the database are lost");
    Ok(key)
}
