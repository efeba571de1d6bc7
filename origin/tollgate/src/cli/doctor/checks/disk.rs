//! Space for a SQLite database.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tollgate_storage::sqlite_file;

use super::{Deployment, Finding};

/// MiB.
const LITTLE_SPACE: u64 = 1024;
const NO_SPACE: u64 = 64;

pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let Some(file) = sqlite_file(&deployment.settings.database_url) else {
        return vec![Finding::skipped("PostgreSQL's disk is watched at its server")];
    };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(free) = free_mib(folder.to_owned()).await else {
        return vec![Finding::skipped(format!("`df` does not report the free space of {}", folder.display()))];
    };
    let text = format!("{free} MiB are free in {}", folder.display());
    let meaning = "When the disk is full no token can be issued; nothing that was acknowledged is lost.";
    let action = "Free space, or move the database to a larger disk: expired records are deleted, so it stops growing.";
    vec![match free {
        ..NO_SPACE => Finding::fault(text, meaning, action),
        NO_SPACE..LITTLE_SPACE => Finding::warning(text, meaning, action),
        _ => Finding::ok(text),
    }]
}

/// Free space by POSIX's `df`, because the standard library has no function for it.
async fn free_mib(folder: PathBuf) -> Option<u64> {
    let mut df = Command::new("df");
    df.args(["-P", "-k"]).arg(folder).env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = df.output().await.ok().filter(|output| output.status.success())?;
    parse_df(&String::from_utf8_lossy(&output.stdout))
}

/// The column *Available* in KiB of the last line. The name of the file system may contain spaces,
/// so columns are counted from the one that ends in `%`.
fn parse_df(text: &str) -> Option<u64> {
    let columns: Vec<&str> = text.trim_end().lines().next_back()?.split_ascii_whitespace().collect();
    let percent = columns.iter().position(|column| column.ends_with('%'))?;
    let available: u64 = columns.get(percent.checked_sub(1)?)?.parse().ok()?;
    Some(available / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_parsed() {
        let text = "Filesystem     1024-blocks      Used Available Capacity Mounted on\n\
                    /dev/my disk     102400000  52400000  50000896      52% /var/lib\n";
        assert_eq!(parse_df(text), Some(48829));
        assert_eq!(parse_df(""), None);
    }
}
