//! The file with stored logins: readable only by its owner, replaced atomically.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tollgate_system::files::{self, Access};

/// Maximum size of the file; a larger one was not written by this program.
const MAX_BYTES: u64 = 1024 * 1024;

/// A login at an origin. No `Debug`: its tokens are secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Login {
    /// Issuer.
    pub(super) origin: String,
    pub(super) client_id: String,
    pub(super) scope: String,
    pub(super) access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<String>,
    /// Unix seconds.
    pub(super) expires_at: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Content {
    /// Latest first.
    logins: Vec<Login>,
}

pub(super) struct LoginFile {
    path: PathBuf,
    content: Content,
}

impl LoginFile {
    /// Reads `tollgate/login.json` in the user's configuration directory (XDG Base Directory).
    pub(super) fn open() -> anyhow::Result<LoginFile> {
        let absolute_path = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let folder =
            absolute_path("XDG_CONFIG_HOME").or_else(|| absolute_path("HOME").map(|home| home.join(".config")));
        let folder =
            folder.context("cannot find a folder for tokens: set XDG_CONFIG_HOME or HOME to an absolute path")?;
        LoginFile::at(folder.join("tollgate").join("login.json"))
    }

    fn at(path: PathBuf) -> anyhow::Result<LoginFile> {
        let broken = || format!("{} cannot be read; delete it to start over", path.display());
        let content = match std::fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(error).with_context(broken),
            Ok(found) if found.len() > MAX_BYTES => bail!(broken()),
            Ok(_) => serde_json::from_slice(&std::fs::read(&path).with_context(broken)?).with_context(broken)?,
        };
        Ok(LoginFile { path, content })
    }

    /// Logins, latest first.
    pub(super) fn logins(&self) -> impl Iterator<Item = &Login> {
        self.content.logins.iter()
    }

    pub(super) fn latest(&self) -> Option<&Login> {
        self.content.logins.first()
    }

    /// Stores a login, replacing an older one of the same client and origin. Returns the path of
    /// the file.
    pub(super) fn store(&self, login: &Login) -> anyhow::Result<&Path> {
        let others = self.others(login);
        self.write(&Content { logins: std::iter::once(login.clone()).chain(others).collect() })?;
        Ok(&self.path)
    }

    pub(super) fn remove(&self, login: &Login) -> anyhow::Result<()> {
        self.write(&Content { logins: self.others(login).collect() })
    }

    /// Waits for exclusive access to the file, which ends when the returned value is dropped.
    pub(super) fn lock(&self) -> anyhow::Result<File> {
        self.create_folder()?;
        let file = owner_only().open(self.path.with_extension("lock")).context("cannot lock the file with tokens")?;
        file.lock().context("cannot lock the file with tokens")?;
        Ok(file)
    }

    fn others(&self, login: &Login) -> impl Iterator<Item = Login> {
        let is_other = |other: &&Login| other.origin != login.origin || other.client_id != login.client_id;
        self.content.logins.iter().filter(is_other).cloned()
    }

    fn write(&self, content: &Content) -> anyhow::Result<()> {
        self.create_folder()?;
        files::replace(&self.path, &serde_json::to_vec_pretty(content)?, Access::Owner)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn create_folder(&self) -> anyhow::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(folder).with_context(|| format!("cannot create {}", folder.display()))
    }
}

/// Options that create files readable only by their owner.
fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(origin: &str, access_token: &str) -> Login {
        Login {
            origin: origin.to_owned(),
            client_id: "tollgate-cli".to_owned(),
            scope: String::new(),
            access_token: access_token.to_owned(),
            refresh_token: None,
            expires_at: 0,
        }
    }

    #[test]
    fn latest_login_comes_first_and_replaces_the_same_login() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tollgate").join("login.json");
        let open = || LoginFile::at(path.clone()).expect("readable");
        for (origin, token) in [("https://a.example", "1"), ("https://b.example", "2"), ("https://a.example", "3")] {
            open().store(&login(origin, token)).expect("stored");
        }
        let tokens: Vec<String> = open().logins().map(|login| login.access_token.clone()).collect();
        assert_eq!(tokens, ["3", "2"]);
        open().remove(&login("https://a.example", "")).expect("removed");
        assert_eq!(open().latest().map(|login| login.origin.clone()).as_deref(), Some("https://b.example"));
        std::fs::write(&path, "{").expect("written");
        assert!(LoginFile::at(path).is_err(), "an unreadable file is not overwritten");
    }

    #[cfg(unix)]
    #[test]
    fn file_is_readable_only_by_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tollgate").join("login.json");
        LoginFile::at(path.clone()).expect("no file yet").store(&login("https://a.example", "1")).expect("stored");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("a folder"))), (0o600, 0o700));
    }
}
