//! The settings file of a first run: every setting with its documentation, those of the plan set.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tollgate_system::files::{self, Access};
use zeroize::Zeroizing;

use super::plan::Plan;

/// Old settings files of one settings file.
const MAX_OLD_FILES: u32 = 100;

/// Checks that an existing file, which stays, has everything that flags want to set.
pub(super) fn check_kept(file: &Path, plan: &Plan) -> anyhow::Result<()> {
    let missing: Vec<&str> = plan.settings.keys().map(String::as_str).collect();
    match missing.as_slice() {
        [] => Ok(()),
        missing => bail!(
            "{} exists and does not set {}: add them, or replace the file by --force",
            file.display(),
            missing.join(", ")
        ),
    }
}

/// Creates the file, which only its owner can read: a database URL may contain a password. An
/// existing file stays, unless `is_forced`; then it is kept with the ending `.old`, or
/// `.old.2` and so on.
pub(super) fn write(file: &Path, plan: &Plan, is_forced: bool) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", file.display());
    let values: Vec<(&str, &str)> = plan.settings.iter().map(|(name, value)| (&**name, &**value)).collect();
    let text = Zeroizing::new(tollgate_config::settings_file(&values));
    let present = match std::fs::read(file) {
        Ok(present) => Zeroizing::new(present),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return files::create(file, text.as_bytes(), Access::Owner).with_context(failed);
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    // A forced run that was interrupted has replaced the file already.
    if is_forced && present.as_slice() != text.as_bytes() {
        keep_old(file, &present)?;
        files::replace(file, text.as_bytes(), Access::Owner).with_context(failed)?;
    }
    Ok(())
}

/// Writes the old settings to a new file, unless a run that was interrupted did so.
fn keep_old(file: &Path, present: &[u8]) -> anyhow::Result<()> {
    for number in 1..=MAX_OLD_FILES {
        let old = old_name(file, number);
        match files::create(&old, present, Access::Owner) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if std::fs::read(&old).map(Zeroizing::new).is_ok_and(|kept| kept.as_slice() == present) {
                    return Ok(());
                }
            }
            created => return created.with_context(|| format!("cannot write {}", old.display())),
        }
    }
    bail!("{} and {} others exist: remove those not needed", old_name(file, 1).display(), MAX_OLD_FILES - 1)
}

/// `….old`, then `….old.2`.
fn old_name(file: &Path, number: u32) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".old");
    if number > 1 {
        name.push(format!(".{number}"));
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_old_settings_file_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tollgate.toml");
        for settings in ["first", "second", "second", "third"] {
            keep_old(&file, settings.as_bytes()).expect("kept");
        }
        let kept = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
        assert_eq!(kept("tollgate.toml.old"), "first");
        assert_eq!(kept("tollgate.toml.old.2"), "second");
        assert_eq!(kept("tollgate.toml.old.3"), "third");
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 3);
    }
}
