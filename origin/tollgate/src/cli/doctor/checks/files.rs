//! Files with secrets: whether others can read them.

use std::path::Path;

use tollgate_config::{MasterKeySource, Secrecy, Source};
use tollgate_storage::sqlite_file;

use super::{Deployment, Finding};

/// Permission bits of the group and of others.
const GROUP_AND_OTHERS: u32 = 0o077;
const OTHERS: u32 = 0o007;

pub(super) fn check(deployment: &Deployment) -> Vec<Finding> {
    let settings = &deployment.settings;
    let mut findings = Vec::new();
    if let MasterKeySource::File { path, .. } = &settings.master_key {
        findings.extend(private(path, "the master key", GROUP_AND_OTHERS));
    }
    if let Some(tls) = &settings.tls {
        findings.extend(private(&tls.key.path, "the key of the TLS certificate", OTHERS));
    }
    if let Some(path) = sqlite_file(&settings.database_url) {
        findings.extend(private(&path, "the database, with hashes of passwords", GROUP_AND_OTHERS));
    }
    let file = deployment.settings_file.display().to_string();
    for setting in tollgate_config::all().filter(|setting| setting.secrecy != Secrecy::Open) {
        if let Some(Source::File(path)) = deployment.sources.get(setting.name).map(|value| &value.source)
            && *path != file
        {
            let content = format!("the secret {}", setting.name);
            findings.extend(private(Path::new(path), &content, GROUP_AND_OTHERS));
        }
    }
    let has_secrets_from = |wanted: &dyn Fn(&Source) -> bool| {
        tollgate_config::all()
            .filter(|setting| setting.secrecy != Secrecy::Open)
            .any(|setting| deployment.sources.get(setting.name).is_some_and(|value| wanted(&value.source)))
    };
    if has_secrets_from(&|source| *source == Source::File(file.clone())) {
        findings.extend(private(&deployment.settings_file, "settings that may contain passwords", GROUP_AND_OTHERS));
    }
    if has_secrets_from(&|source| *source == Source::DotEnv) {
        findings.extend(private(Path::new(".env"), "settings that may contain passwords", GROUP_AND_OTHERS));
    }
    Finding::or_ok(findings, "files with secrets are readable by their owner only")
}

/// A fault if `path` exists and `forbidden` permission bits are set. A file of another owner, as
/// container platforms mount secrets, may be readable by its group: this process is in it.
fn private(path: &Path, content: &str, forbidden: u32) -> Option<Finding> {
    let (mode, has_other_owner) = permissions(path)?;
    let forbidden = if has_other_owner { forbidden & OTHERS } else { forbidden };
    if mode & forbidden == 0 {
        return None;
    }
    Some(Finding::fault(
        format!("{} has mode {:03o}", path.display(), mode & 0o777),
        &format!("Other accounts of this machine can read or write it: it contains {content}."),
        &format!("chmod {} {}", if forbidden == OTHERS { "o=" } else { "go=" }, path.display()),
    ))
}

/// The permission bits of a file, and whether it is known to have another owner than this process.
#[cfg(unix)]
fn permissions(path: &Path) -> Option<(u32, bool)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path).ok()?;
    let has_other_owner = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() != found.uid());
    Some((found.mode(), has_other_owner))
}

/// Other systems have no permission bits.
#[cfg(not(unix))]
fn permissions(_path: &Path) -> Option<(u32, bool)> {
    None
}
