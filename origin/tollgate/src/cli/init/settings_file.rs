//! The settings file of a first run: every setting with its documentation, those of the plan set.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tollgate_system::files::{self, Access};
use zeroize::Zeroizing;

use super::plan::Plan;

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
/// existing file stays, unless `is_forced`; then it is kept with the ending `.old`.
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
        let old = old_name(file);
        files::replace(&old, &present, Access::Owner).with_context(|| format!("cannot write {}", old.display()))?;
        files::replace(file, text.as_bytes(), Access::Owner).with_context(failed)?;
    }
    Ok(())
}

fn old_name(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".old");
    name.into()
}
