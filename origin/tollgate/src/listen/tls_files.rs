//! Certificate and key files: read at the start, and again when they change, so that a renewed
//! certificate is used without a restart. Invalid files at the start are an error; files that
//! become invalid later are logged, and the last valid ones stay in use.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch::Sender;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_config::{NamedFile, SettingError, TlsSettings};
use tollgate_system::Clock;
use zeroize::Zeroizing;

use super::tls::{Tls, provider};

/// How often the files are checked; they have a few kilobytes.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Limit for one file: room for hundreds of certificates.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The configured files.
pub(crate) struct TlsFiles {
    settings: TlsSettings,
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
    pub(crate) fn open(settings: TlsSettings, clock: Clock) -> Result<(TlsFiles, Arc<Tls>), SettingError> {
        let contents = Contents::read(&settings)?;
        let tls = contents.parse(&settings, &clock)?;
        let last_hash = Some(contents.hash());
        Ok((TlsFiles { settings, clock, last_hash }, tls))
    }

    /// Checks the files until `stop`, and sends new versions to `tls`.
    pub(crate) async fn watch(self, tls: Sender<Arc<Tls>>, stop: CancellationToken) {
        let mut files = self;
        loop {
            tokio::select! {
                () = sleep(CHECK_INTERVAL) => {}
                () = stop.cancelled() => return,
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
    fn check(&mut self) -> Option<Result<Arc<Tls>, SettingError>> {
        let read = Contents::read(&self.settings);
        let hash = match &read {
            Ok(contents) => contents.hash(),
            Err(error) => Sha256::digest(error.to_string()).into(),
        };
        if self.last_hash.replace(hash) == Some(hash) {
            return None;
        }
        Some(read.and_then(|contents| contents.parse(&self.settings, &self.clock)))
    }
}

impl Contents {
    fn read(settings: &TlsSettings) -> Result<Contents, SettingError> {
        Ok(Contents {
            certificate: read(&settings.certificate)?,
            key: read(&settings.key)?,
            client_authorities: settings.client_authorities.as_ref().map(read).transpose()?,
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

    fn parse(&self, settings: &TlsSettings, clock: &Clock) -> Result<Arc<Tls>, SettingError> {
        let own = self.own_certificate(settings)?;
        let authorities = match (&settings.client_authorities, &self.client_authorities) {
            (Some(file), Some(content)) => Some(authorities(file, content)?),
            _ => None,
        };
        let tls = Tls::new(own, authorities, settings.client_auth, clock.clone());
        tls.map(Arc::new).map_err(|problem| settings.certificate.failed(&format!("cannot be used: {problem}")))
    }

    /// The origin's certificate with its key.
    fn own_certificate(&self, settings: &TlsSettings) -> Result<CertifiedKey, SettingError> {
        let (certificate, key) = (&settings.certificate, &settings.key);
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
                Err(key.failed(&format!("is not the key of the certificate in {}", certificate.path.display())))
            }
            Err(error) => Err(certificate.failed(&format!("has a certificate that cannot be used: {error}"))),
        }
    }
}

fn read(file: &NamedFile) -> Result<Zeroizing<Vec<u8>>, SettingError> {
    let mut content = Zeroizing::new(Vec::new());
    let opened = File::open(&file.path);
    let read = opened.and_then(|opened| opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut content));
    match read {
        Ok(bytes) if u64::try_from(bytes).is_ok_and(|bytes| bytes <= MAX_FILE_BYTES) => Ok(content),
        Ok(_) => Err(file.failed("is larger than 1 MiB")),
        Err(error) => Err(file.failed(&format!("cannot be read: {error}"))),
    }
}

/// All certificates of a file, at least one.
fn certificates(file: &NamedFile, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, SettingError> {
    let found = CertificateDer::pem_slice_iter(content).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.is_empty() => Err(file.failed("has no certificate in it")),
        Ok(found) => Ok(found),
        Err(_) => Err(file.failed("is not a PEM file")),
    }
}

fn authorities(file: &NamedFile, content: &[u8]) -> Result<RootCertStore, SettingError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, content)? {
        let added = roots.add(certificate);
        added.map_err(|error| file.failed(&format!("has a certificate that cannot be used: {error}")))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use tollgate_config::Settings;

    fn write(folder: &Path, name: &str, label: &str, der: &[u8]) {
        let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der));
        std::fs::write(folder.join(name), pem).expect("written");
    }

    #[test]
    fn changed_files_are_reported_once() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path();
        let file = |name: &str| folder.join(name).display().to_string();
        let make = || rcgen::generate_simple_self_signed(["origin.example".to_owned()]).expect("a certificate");
        let (first, second) = (make(), make());
        write(folder, "crt", "CERTIFICATE", first.cert.der());
        write(folder, "key", "PRIVATE KEY", first.signing_key.serialized_der());
        let settings = [("TOLLGATE_TLS_CERTIFICATE", file("crt")), ("TOLLGATE_TLS_KEY", file("key"))];
        let settings = Settings::from_pairs(settings).expect("good settings").tls.expect("it is set");
        let (mut files, _) = TlsFiles::open(settings, Clock::system()).expect("good files");
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
