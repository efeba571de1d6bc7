//! Writing files whole: a reader, one after a power cut included, finds the old content or the new, never half of it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Puts a file in the place of one that may be there, beside the threads that serve: waiting for a disk takes milliseconds.
pub(crate) async fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (path, bytes) = (path.to_owned(), bytes.to_owned());
    let replaced = tokio::task::spawn_blocking(move || replace_now(&path, &bytes));
    replaced.await.map_err(io::Error::other)?
}

fn replace_now(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = Unfinished::write(path, bytes)?;
    fs::rename(&new.path, path)?;
    sync_folder(path)
}

/// A file that is written beside the one that it is to be; removed when dropped, if it is still there.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// Writes it, and waits until it is on the disk.
    fn write(path: &Path, bytes: &[u8]) -> io::Result<Unfinished> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_string_lossy();
        let path = folder(path).join(format!(".{name}.{}.new", std::process::id()));
        let mut file = File::create(&path)?;
        let unfinished = Unfinished { path };
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(unfinished)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It has its name, or it is of no use.
        let _ = fs::remove_file(&self.path);
    }
}

/// Waits until the names in a file's folder are on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder(path))?.sync_all() } else { Ok(()) }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
