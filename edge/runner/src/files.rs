//! Atomic replacement of files: a reader finds the old content or the new, also after a power
//! failure.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Writes a file, replacing one that exists. Runs outside of the threads that serve, because the
/// disk takes milliseconds.
pub(crate) async fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (path, bytes) = (path.to_owned(), bytes.to_owned());
    let replaced = tokio::task::spawn_blocking(move || replace_blocking(&path, &bytes));
    replaced.await.map_err(io::Error::other)?
}

fn replace_blocking(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = TemporaryFile::write(path, bytes)?;
    fs::rename(&temporary.path, path)?;
    sync_folder(path)
}

/// The new content in a temporary file in the same folder; removed on drop unless it was renamed.
struct TemporaryFile {
    path: PathBuf,
}

impl TemporaryFile {
    /// Writes the file and waits until it is on the disk.
    fn write(path: &Path, bytes: &[u8]) -> io::Result<TemporaryFile> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_string_lossy();
        let path = folder(path).join(format!(".{name}.{}.new", std::process::id()));
        let mut file = File::create(&path)?;
        let temporary = TemporaryFile { path };
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(temporary)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // Fails if the file was renamed.
        let _ = fs::remove_file(&self.path);
    }
}

/// Waits until the folder's entries are on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder(path))?.sync_all() } else { Ok(()) }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
