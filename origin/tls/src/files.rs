//! Certificate and key files: read at the start, and again when they change, so that a renewed
//! certificate is used without a restart. Invalid files at the start are an error; files that
//! become invalid later are logged, and the last valid ones stay in use.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio::sync::watch::Sender;
use tokio::time::sleep;
use zeroize::Zeroizing;

use crate::acceptor::{ClientAuth, Clock, Tls, provider};

/// How often the files are checked; they have a few kilobytes.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Limit for one file: room for hundreds of certificates.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Paths of the files.
#[derive(Debug, Clone)]
pub struct TlsPaths {
    /// The listener's certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities that issue client certificates.
    pub client_authorities: Option<PathBuf>,
}

/// Which of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// The listener's certificate chain.
    Certificate,
    /// Its private key.
    Key,
    /// The authorities that issue client certificates.
    ClientAuthorities,
}

/// Why a file cannot be used; displays as its path and the problem.
#[derive(Debug)]
pub struct FileError {
    /// The file.
    pub file: FileKind,
    /// The problem, as the rest of a sentence that begins with the file.
    pub problem: String,
    path: PathBuf,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.problem)
    }
}

impl std::error::Error for FileError {}

/// The configured files.
pub struct TlsFiles {
    paths: TlsPaths,
    client_auth: ClientAuth,
    clock: Clock,
    /// Hash of the contents, or of the error, at the last check. Modification times would miss
    /// copied files and changed symbolic links.
    last_hash: Option<[u8; 32]>,
}

struct Contents {
    certificate: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
    client_authorities: Option<Zeroizing<Vec<u8>>>,
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file is invalid; the error names it.
    pub fn open(paths: TlsPaths, client_auth: ClientAuth, clock: Clock) -> Result<(TlsFiles, Arc<Tls>), FileError> {
        let mut files = TlsFiles { paths, client_auth, clock, last_hash: None };
        let contents = Contents::read(&files.paths)?;
        files.last_hash = Some(contents.hash());
        let tls = files.parse(&contents)?;
        Ok((files, tls))
    }

    /// Checks the files at intervals, and when `reload` is notified, until this future is dropped.
    /// Sends new versions to `tls`.
    pub async fn watch(self, tls: Sender<Arc<Tls>>, reload: Arc<Notify>) {
        let mut files = self;
        loop {
            tokio::select! {
                () = sleep(CHECK_INTERVAL) => {}
                // Reports files also if they are the same as before.
                () = reload.notified() => files.last_hash = None,
            }
            let check = tokio::task::spawn_blocking(move || {
                let change = files.check();
                (files, change)
            });
            let Ok((returned, change)) = check.await else {
                tracing::error!("checking the certificate files failed: changes are no longer noticed");
                return;
            };
            files = returned;
            match change {
                None => {}
                Some(Ok(new)) => {
                    tracing::info!("new certificates in use");
                    tls.send_replace(new);
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "changed certificate files are invalid, the previous certificates stay in use")
                }
            }
        }
    }

    /// Reads the files; none if they are the same as at the last check.
    fn check(&mut self) -> Option<Result<Arc<Tls>, FileError>> {
        let read = Contents::read(&self.paths);
        let hash = match &read {
            Ok(contents) => contents.hash(),
            Err(error) => Sha256::digest(error.to_string()).into(),
        };
        if self.last_hash.replace(hash) == Some(hash) {
            return None;
        }
        Some(read.and_then(|contents| self.parse(&contents)))
    }

    fn parse(&self, contents: &Contents) -> Result<Arc<Tls>, FileError> {
        let own = contents.own_certificate(&self.paths)?;
        let authorities = match (&self.paths.client_authorities, &contents.client_authorities) {
            (Some(path), Some(content)) => Some(authorities(NamedFile(path, FileKind::ClientAuthorities), content)?),
            _ => None,
        };
        let tls = Tls::new(own, authorities, self.client_auth, Arc::clone(&self.clock));
        let cannot_be_used = |problem: String| self.paths.certificate().failed(&format!("cannot be used: {problem}"));
        tls.map(Arc::new).map_err(cannot_be_used)
    }
}

impl TlsPaths {
    fn certificate(&self) -> NamedFile<'_> {
        NamedFile(&self.certificate, FileKind::Certificate)
    }

    fn key(&self) -> NamedFile<'_> {
        NamedFile(&self.key, FileKind::Key)
    }
}

/// A file, for errors.
#[derive(Clone, Copy)]
struct NamedFile<'a>(&'a Path, FileKind);

impl NamedFile<'_> {
    fn failed(self, problem: &str) -> FileError {
        FileError { file: self.1, problem: problem.to_owned(), path: self.0.to_owned() }
    }
}

impl Contents {
    fn read(paths: &TlsPaths) -> Result<Contents, FileError> {
        let authorities = paths.client_authorities.as_deref();
        Ok(Contents {
            certificate: read(paths.certificate())?,
            key: read(paths.key())?,
            client_authorities: authorities
                .map(|path| read(NamedFile(path, FileKind::ClientAuthorities)))
                .transpose()?,
        })
    }

    fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for content in
            [Some(&self.certificate), Some(&self.key), self.client_authorities.as_ref()].into_iter().flatten()
        {
            hash.update(Sha256::digest(content));
        }
        hash.finalize().into()
    }

    /// The listener's certificate with its key.
    fn own_certificate(&self, paths: &TlsPaths) -> Result<CertifiedKey, FileError> {
        let (certificate, key) = (paths.certificate(), paths.key());
        let chain = certificates(certificate, &self.certificate)?;
        // The parser's error could quote the key, so it is dropped.
        let private = PrivateKeyDer::from_pem_slice(&self.key);
        let private =
            private.map_err(|_| key.failed("has no private key in it that is readable without a password"))?;
        let private = provider().key_provider.load_private_key(private);
        let private = private.map_err(|_| key.failed("has a private key of a kind that cannot be used"))?;
        let own = CertifiedKey::new(chain, private);
        match own.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(own),
            Err(Error::InconsistentKeys(_)) => {
                Err(key.failed(&format!("is not the key of the certificate in {}", paths.certificate.display())))
            }
            Err(error) => Err(certificate.failed(&format!("has a certificate that cannot be used: {error}"))),
        }
    }
}

fn read(file: NamedFile<'_>) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let mut content = Zeroizing::new(Vec::new());
    let opened = File::open(file.0);
    let read = opened.and_then(|opened| opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut content));
    match read {
        Ok(bytes) if u64::try_from(bytes).is_ok_and(|bytes| bytes <= MAX_FILE_BYTES) => Ok(content),
        Ok(_) => Err(file.failed("is larger than 1 MiB")),
        Err(error) => Err(file.failed(&format!("cannot be read: {error}"))),
    }
}

/// All certificates of a file, at least one.
fn certificates(file: NamedFile<'_>, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let found = CertificateDer::pem_slice_iter(content).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.is_empty() => Err(file.failed("has no certificate in it")),
        Ok(found) => Ok(found),
        Err(_) => Err(file.failed("is not a PEM file")),
    }
}

fn authorities(file: NamedFile<'_>, content: &[u8]) -> Result<RootCertStore, FileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, content)? {
        let added = roots.add(certificate);
        added.map_err(|error| file.failed(&format!("has a certificate that cannot be used: {error}")))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn write(folder: &Path, name: &str, label: &str, der: &[u8]) {
        let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der));
        std::fs::write(folder.join(name), pem).expect("written");
    }

    #[test]
    fn changed_files_are_reported_once() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path();
        let make = || rcgen::generate_simple_self_signed(["origin.example".to_owned()]).expect("a certificate");
        let (first, second) = (make(), make());
        write(folder, "crt", "CERTIFICATE", first.cert.der());
        write(folder, "key", "PRIVATE KEY", first.signing_key.serialized_der());
        let paths = TlsPaths { certificate: folder.join("crt"), key: folder.join("key"), client_authorities: None };
        let (mut files, _) = TlsFiles::open(paths, ClientAuth::Off, Arc::new(|| 0)).expect("good files");
        assert!(files.check().is_none(), "nothing changed");

        write(folder, "crt", "CERTIFICATE", second.cert.der());
        let problem = files.check().and_then(Result::err).expect("the key is still the old one's").to_string();
        assert!(problem.contains("is not the key of the certificate in"), "{problem}");
        assert!(files.check().is_none(), "an error is reported once");
        write(folder, "key", "PRIVATE KEY", second.signing_key.serialized_der());
        assert!(files.check().is_some_and(|change| change.is_ok()), "certificate and key match again");
        assert!(files.check().is_none());

        std::fs::remove_file(folder.join("crt")).expect("removed");
        assert!(files.check().is_some_and(|change| change.is_err()) && files.check().is_none());
        write(folder, "crt", "CERTIFICATE", second.cert.der());
        assert!(files.check().is_some_and(|change| change.is_ok()), "the file is restored");
    }
}
