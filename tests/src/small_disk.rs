//! A file system of a few megabytes that a test can fill up.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

/// A tmpfs, unmounted when dropped.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts a tmpfs of this many mebibytes.
    ///
    /// # Errors
    /// If the process may not mount file systems.
    pub fn mount(mebibytes: u32) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = format!("size={mebibytes}m,mode=0700");
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output()?;
        ensure!(
            output.status.success(),
            "this test cannot mount a tmpfs: run it as root with CAP_SYS_ADMIN ({})",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(Self(folder))
    }

    /// Mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the file system to the last byte.
    ///
    /// # Errors
    /// If the file that fills it cannot be created.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::options().create(true).append(true).open(self.filling())?;
        for size in [64 * 1024, 512, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(())
    }

    /// Removes the file that fills it.
    ///
    /// # Errors
    /// If the file system was not filled.
    pub fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.filling())?)
    }

    fn filling(&self) -> PathBuf {
        self.path().join("filling")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazy unmount, because a server of the test may still have files open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
