//! Bounded reads of files, and atomic writes: a reader finds the old or the new content, also after
//! a power failure, never a part of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};

use crate::rng;

/// Who may read a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only its owner.
    Owner,
    /// Everyone whom the file mode mask of the process allows.
    Everyone,
}

/// Reads `source` to its end. One with more than `max_bytes`, such as a device without an end, is
/// [`ErrorKind::FileTooLarge`].
pub fn read_bounded(source: impl Read, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > max_bytes {
        true => Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {max_bytes} bytes"))),
        false => Ok(bytes),
    }
}

/// Reads a text as [`read_bounded`] does. One that is not UTF-8 is [`ErrorKind::InvalidData`].
pub fn read_text(source: impl Read, max_bytes: u64) -> io::Result<String> {
    let text = String::from_utf8(read_bounded(source, max_bytes)?);
    text.map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Bytes of a file with a secret, at most.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Reads a file with a secret, of at most 64 KiB.
pub fn read_secret(path: &Path) -> io::Result<String> {
    read_text(File::open(path)?, MAX_SECRET_BYTES)
}

/// Creates a file with this content. An existing file stays unchanged; the error is
/// [`ErrorKind::AlreadyExists`].
pub fn create(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let new = TemporaryFile::write(path, bytes, access)?;
    // Unlike a rename, a hard link does not replace an existing file.
    match fs::hard_link(&new.path, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
        // The file system has no hard links. A power failure during the write leaves an incomplete
        // file, which its reader must detect.
        Err(_) => write_new(path, bytes, access)?,
        Ok(()) => {}
    }
    sync_folder(path)
}

fn open_new(path: &Path, access: Access) -> io::Result<File> {
    let mut open = OpenOptions::new();
    open.write(true).create_new(true);
    #[cfg(unix)]
    if access == Access::Owner {
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    }
    open.open(path)
}

/// Creates a file at `path` and waits until it is on disk.
fn write_new(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let mut file = open_new(path, access)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // The file was created by this call and is incomplete.
        let _ = fs::remove_file(path);
    }
    written
}

/// Creates or replaces a file with this content.
pub fn replace(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    // Replaces the target of a symbolic link, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
        // A pipe or a device cannot be replaced.
        return fs::write(&path, bytes);
    }
    let new = TemporaryFile::write(&path, bytes, access)?;
    fs::rename(&new.path, &path)?;
    sync_folder(&path)
}

/// A file that is written piece by piece, and appears at its path complete or not at all.
pub struct NewFile {
    temporary: TemporaryFile,
    file: File,
    path: PathBuf,
}

impl NewFile {
    /// Begins a file at `path`, where none exists.
    pub fn create(path: &Path, access: Access) -> io::Result<NewFile> {
        if path.exists() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let temporary = TemporaryFile::name_for(path)?;
        let file = open_new(&temporary.path, access)?;
        Ok(NewFile { temporary, file, path: path.to_owned() })
    }

    /// Waits until the file is on disk, and gives it its name.
    pub fn publish(self) -> io::Result<()> {
        self.file.sync_all()?;
        match fs::hard_link(&self.temporary.path, &self.path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
            // The file system has no hard links.
            Err(_) => fs::rename(&self.temporary.path, &self.path)?,
            Ok(()) => {}
        }
        sync_folder(&self.path)
    }
}

impl io::Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A temporary file in the folder of its final path; deleted when dropped, unless it was renamed.
struct TemporaryFile {
    path: PathBuf,
}

impl TemporaryFile {
    /// Writes the temporary file and waits until it is on disk.
    fn write(path: &Path, bytes: &[u8], access: Access) -> io::Result<TemporaryFile> {
        let temporary = TemporaryFile::name_for(path)?;
        write_new(&temporary.path, bytes, access)?;
        Ok(temporary)
    }

    /// Chooses a name.
    fn name_for(path: &Path) -> io::Result<TemporaryFile> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_string_lossy();
        // Another process, possibly in another container, may write the same file now.
        let random = rng::random::<8>().map_err(io::Error::other)?;
        Ok(TemporaryFile { path: folder(path).join(format!(".{name}.{:016x}.new", u64::from_le_bytes(random))) })
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // Fails if the file was renamed.
        let _ = fs::remove_file(&self.path);
    }
}

/// Waits until the entries of the file's folder are on disk.
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
    fn source_without_an_end_is_refused() {
        let refused = |result: io::Result<Vec<u8>>| result.map_err(|error| error.kind());
        assert_eq!(refused(read_bounded(io::repeat(0), 1000)), Err(ErrorKind::FileTooLarge));
        assert_eq!(refused(read_bounded(&[1; 1001][..], 1000)), Err(ErrorKind::FileTooLarge));
        assert_eq!(refused(read_bounded(&[1; 1000][..], 1000)), Ok(vec![1; 1000]));
        assert_eq!(read_text(&[0xff][..], 1000).map_err(|error| error.kind()), Err(ErrorKind::InvalidData));
        assert_eq!(read_text("näher".as_bytes(), 6).ok().as_deref(), Some("näher"));
    }

    #[test]
    fn file_is_created_once_and_replaced_atomically() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        create(&file, b"one", Access::Owner).expect("created");
        assert_eq!(create(&file, b"two", Access::Owner).map_err(|error| error.kind()), Err(ErrorKind::AlreadyExists));
        assert_eq!(fs::read(&file).expect("readable"), b"one");
        replace(&file, b"three", Access::Everyone).expect("replaced");
        assert_eq!(fs::read(&file).expect("readable"), b"three");
        assert_eq!(names(folder.path()), ["file"], "nothing else is left");
    }

    #[test]
    fn file_written_in_pieces_appears_complete_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        let mut abandoned = NewFile::create(&file, Access::Owner).expect("begun");
        abandoned.write_all(b"a part").expect("written");
        assert!(!file.exists());
        drop(abandoned);
        assert!(names(folder.path()).is_empty(), "nothing is left");
        let mut new = NewFile::create(&file, Access::Owner).expect("begun");
        new.write_all(b"all ").and_then(|()| new.write_all(b"of it")).expect("written");
        new.publish().expect("published");
        assert_eq!(fs::read(&file).expect("readable"), b"all of it");
        assert_eq!(names(folder.path()), ["file"], "nothing else is left");
        let second = NewFile::create(&file, Access::Owner).map(drop);
        assert_eq!(second.map_err(|error| error.kind()), Err(ErrorKind::AlreadyExists));
    }

    #[cfg(unix)]
    #[test]
    fn private_file_is_readable_by_its_owner_and_links_are_kept() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        create(&file, b"secret", Access::Owner).expect("created");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        symlink(&file, &link).expect("linked");
        replace(&link, b"other", Access::Owner).expect("replaced");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read(&file).expect("readable"), b"other");
    }
}
