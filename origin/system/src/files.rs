//! Writing files whole: a reader, one after a power cut included, finds the old content or the new, never half of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::rng;

/// Who may read a file that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Its owner.
    Owner,
    /// Whoever the system lets.
    System,
}

/// Makes a file. One that is there already stays as it is: the error is [`ErrorKind::AlreadyExists`].
pub fn create(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let new = Unfinished::write(path, bytes, access)?;
    // A link, unlike a renaming, takes no other's place.
    match fs::hard_link(&new.path, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
        // This file system has no links: a cut while it is written leaves a part, which its reader tells from a whole.
        Err(_) => write_new(path, bytes, access)?,
        Ok(()) => {}
    }
    sync_folder(path)
}

/// Makes a file in its place, and waits until it is on the disk.
fn write_new(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let mut open = OpenOptions::new();
    open.write(true).create_new(true);
    #[cfg(unix)]
    if access == Access::Owner {
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    }
    let mut file = open.open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // It is of no use, and was made here.
        let _ = fs::remove_file(path);
    }
    written
}

/// Puts a file in the place of one that may be there.
pub fn replace(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    // What stands behind a link is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
        // A pipe or a device has no place that another could take.
        return fs::write(&path, bytes);
    }
    let new = Unfinished::write(&path, bytes, access)?;
    fs::rename(&new.path, &path)?;
    sync_folder(&path)
}

/// A file that is written beside the one that it is to be; removed when dropped, if it is still there.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// Writes it, and waits until it is on the disk.
    fn write(path: &Path, bytes: &[u8], access: Access) -> io::Result<Unfinished> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_string_lossy();
        // Another process, in another container perhaps, may write the same at this moment.
        let random = rng::random::<8>().map_err(io::Error::other)?;
        let path = folder(path).join(format!(".{name}.{:016x}.new", u64::from_le_bytes(random)));
        write_new(&path, bytes, access)?;
        Ok(Unfinished { path })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It has its name, or it is of no use.
        let _ = fs::remove_file(&self.path);
    }
}

/// Waits until the names in a file's folder are on the disk.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder(path))?.sync_all() } else { Ok(()) }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("readable").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_made_once_and_replaced_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        create(&file, b"one", Access::Owner).expect("made");
        assert_eq!(create(&file, b"two", Access::Owner).map_err(|error| error.kind()), Err(ErrorKind::AlreadyExists));
        assert_eq!(fs::read(&file).expect("readable"), b"one");
        replace(&file, b"three", Access::System).expect("replaced");
        assert_eq!(fs::read(&file).expect("readable"), b"three");
        assert_eq!(names(folder.path()), ["file"], "nothing else is left");
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_reads_what_is_private_and_a_link_stays_one() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        create(&file, b"secret", Access::Owner).expect("made");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        symlink(&file, &link).expect("linked");
        replace(&link, b"other", Access::Owner).expect("replaced");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read(&file).expect("readable"), b"other");
    }
}
