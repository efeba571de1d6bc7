//! Where logins are kept: one file of the user's own, readable by nobody else, replaced as a whole.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tollgate_system::files::{self, Access};

/// Bytes of the file at most: what is larger was not written here.
const MAX_BYTES: u64 = 1024 * 1024;

/// A login: which origin, as which client, and what it gave. No `Debug`: its tokens are secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Login {
    /// The issuer.
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
    /// The last one first.
    logins: Vec<Login>,
}

/// The file as it was read.
pub(super) struct Kept {
    path: PathBuf,
    content: Content,
}

impl Kept {
    /// Reads the file, `tollgate/login.json` in the user's folder for settings (XDG Base
    /// Directory).
    pub(super) fn open() -> anyhow::Result<Kept> {
        let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
        let folder = folder.context("neither XDG_CONFIG_HOME nor HOME says where tokens can be kept")?;
        Kept::at(folder.join("tollgate").join("login.json"))
    }

    fn at(path: PathBuf) -> anyhow::Result<Kept> {
        let broken = || format!("{} cannot be read; remove it to begin anew", path.display());
        let content = match std::fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(error).with_context(broken),
            Ok(found) if found.len() > MAX_BYTES => bail!(broken()),
            Ok(_) => serde_json::from_slice(&std::fs::read(&path).with_context(broken)?).with_context(broken)?,
        };
        Ok(Kept { path, content })
    }

    /// The logins, the last one first.
    pub(super) fn logins(&self) -> impl Iterator<Item = &Login> {
        self.content.logins.iter()
    }

    pub(super) fn last(&self) -> Option<&Login> {
        self.content.logins.first()
    }

    /// Keeps a login in place of an older one of the same client at the same origin; where it is
    /// kept.
    pub(super) fn keep(&self, login: &Login) -> anyhow::Result<&Path> {
        let others = self.others(login);
        self.write(&Content { logins: std::iter::once(login.clone()).chain(others).collect() })?;
        Ok(&self.path)
    }

    /// Forgets a login.
    pub(super) fn forget(&self, login: &Login) -> anyhow::Result<()> {
        self.write(&Content { logins: self.others(login).collect() })
    }

    /// Waits until no other process works on the file; others wait until the answer is dropped.
    pub(super) fn lock(&self) -> anyhow::Result<File> {
        self.make_folder()?;
        let file = private().open(self.path.with_extension("lock")).context("cannot lock the file with the tokens")?;
        file.lock().context("cannot lock the file with the tokens")?;
        Ok(file)
    }

    fn others(&self, login: &Login) -> impl Iterator<Item = Login> {
        let is_other = |other: &&Login| other.origin != login.origin || other.client_id != login.client_id;
        self.content.logins.iter().filter(is_other).cloned()
    }

    fn write(&self, content: &Content) -> anyhow::Result<()> {
        self.make_folder()?;
        files::replace(&self.path, &serde_json::to_vec_pretty(content)?, Access::Owner)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn make_folder(&self) -> anyhow::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(folder).with_context(|| format!("cannot make {}", folder.display()))
    }
}

/// Opens files that nobody but their owner can read.
fn private() -> OpenOptions {
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
    fn the_last_login_comes_first_and_replaces_its_like() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tollgate").join("login.json");
        let open = || Kept::at(path.clone()).expect("readable");
        for (origin, token) in [("https://a.example", "1"), ("https://b.example", "2"), ("https://a.example", "3")] {
            open().keep(&login(origin, token)).expect("kept");
        }
        let tokens: Vec<String> = open().logins().map(|login| login.access_token.clone()).collect();
        assert_eq!(tokens, ["3", "2"]);
        open().forget(&login("https://a.example", "")).expect("forgotten");
        assert_eq!(open().last().map(|login| login.origin.clone()).as_deref(), Some("https://b.example"));
        std::fs::write(&path, "{").expect("written");
        assert!(Kept::at(path).is_err(), "what cannot be read is not overwritten");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tollgate").join("login.json");
        Kept::at(path.clone()).expect("nothing yet").keep(&login("https://a.example", "1")).expect("kept");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("a folder"))), (0o600, 0o700));
    }
}
