//! Version, commit and time of what is packaged.

use std::{env, path::Path};

use anyhow::{Context, Result};

use super::run;
use crate::workspace::command;

/// End of the commit's name if tracked files differ from it.
pub(super) const MODIFIED: &str = "-modified";
/// Digits of a commit that are shown.
const SHORT_COMMIT: usize = 12;

pub(super) struct Release {
    /// Of all packages of the workspace.
    pub(super) version: &'static str,
    /// The commit, in hexadecimal; with [`MODIFIED`] if tracked files differ from it.
    pub(super) commit: String,
    /// Seconds since 1970 of the commit, or of `SOURCE_DATE_EPOCH`: the time of all files.
    pub(super) epoch: u64,
    /// The same in the form `2026-11-30T10:20:30Z`.
    pub(super) time: String,
}

impl Release {
    /// The release of a checkout. Without git, `SOURCE_DATE_EPOCH` must be set.
    pub(super) fn of_checkout(root: &Path) -> Result<Release> {
        let git = |arguments: &[&str]| {
            let output = run(command("git").arg("-C").arg(root).args(arguments)).ok()?;
            Some(String::from_utf8(output).ok()?.trim().to_owned())
        };
        let modified = match git(&["status", "--porcelain", "--untracked-files=no"]) {
            Some(changes) if !changes.is_empty() => MODIFIED,
            _ => "",
        };
        let commit = git(&["rev-parse", "HEAD"]).map_or_else(|| "unknown".to_owned(), |commit| commit + modified);
        let epoch = env::var("SOURCE_DATE_EPOCH").ok().or_else(|| git(&["log", "-1", "--format=%ct"]));
        let epoch = epoch.context("this is not a git checkout: set SOURCE_DATE_EPOCH to the time of the release")?;
        let epoch: u64 = epoch.parse().context("SOURCE_DATE_EPOCH must be seconds since 1970")?;
        let time = run(command("date").args(["--utc", "+%Y-%m-%dT%H:%M:%SZ", "--date"]).arg(format!("@{epoch}")))?;
        let time = String::from_utf8(time)?.trim().to_owned();
        Ok(Release { version: env!("CARGO_PKG_VERSION"), commit, epoch, time })
    }

    /// What `--version` prints after the program's name.
    pub(super) fn build(&self, target: &str) -> String {
        let (commit, modified) = match self.commit.strip_suffix(MODIFIED) {
            Some(commit) => (commit, MODIFIED),
            None => (self.commit.as_str(), ""),
        };
        let (short, date) = (commit.get(..SHORT_COMMIT).unwrap_or(commit), &self.time[..10]);
        format!("{} (commit {short}{modified}, build {date} {target})", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_names_commit_date_and_target() {
        let release = |commit: &str| Release {
            version: "1.2.3",
            commit: commit.to_owned(),
            epoch: 1_700_000_000,
            time: "2023-11-14T22:13:20Z".to_owned(),
        };
        let build = |commit| release(commit).build("x86_64-unknown-linux-musl");
        assert_eq!(
            build("0123456789abcdef0123456789abcdef01234567"),
            "1.2.3 (commit 0123456789ab, build 2023-11-14 x86_64-unknown-linux-musl)"
        );
        assert_eq!(
            build("0123456789abcdef0123456789abcdef01234567-modified"),
            "1.2.3 (commit 0123456789ab-modified, build 2023-11-14 x86_64-unknown-linux-musl)"
        );
        assert_eq!(build("unknown"), "1.2.3 (commit unknown, build 2023-11-14 x86_64-unknown-linux-musl)");
    }

    #[test]
    fn release_of_this_checkout_has_the_time_of_its_commit() -> Result<()> {
        let release = Release::of_checkout(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")))?;
        assert!(release.epoch > 1_700_000_000, "{}", release.epoch);
        assert!(release.time.starts_with("20") && release.time.ends_with('Z'), "{}", release.time);
        Ok(())
    }
}
