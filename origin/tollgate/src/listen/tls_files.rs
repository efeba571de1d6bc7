//! The files with certificates: read at the start, and again when they change, so that a renewed
//! certificate is served without a restart. What is bad at the start stops it; what goes bad later
//! is told in the log, and the last good one is served on.

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
use zeroize::Zeroizing;

use super::tls::{Tls, provider};

/// How often the files are looked at. They are a few kilobytes.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes of a file at most: hundreds of certificates.
const MAX_BYTES: u64 = 1024 * 1024;

/// The files of the settings, and what stood in them.
pub(crate) struct TlsFiles {
    settings: TlsSettings,
    /// A hash of what was found when they were looked at last. Not their times: those of files that
    /// are copied, or of links that are pointed elsewhere, say little.
    found: Option<[u8; 32]>,
}

/// What stands in the files.
struct Contents {
    certificate: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
    client_authorities: Option<Zeroizing<Vec<u8>>>,
}

impl TlsFiles {
    /// Reads them for the first time.
    ///
    /// # Errors
    /// When one cannot be used. The error names it.
    pub(crate) fn open(settings: TlsSettings) -> Result<(TlsFiles, Arc<Tls>), SettingError> {
        let contents = Contents::read(&settings)?;
        let tls = contents.parse(&settings)?;
        let found = Some(contents.hash());
        Ok((TlsFiles { settings, found }, tls))
    }

    /// Has connections met by what is in the files, until `stop`.
    pub(crate) async fn follow(self, tls: Sender<Arc<Tls>>, stop: CancellationToken) {
        let mut files = self;
        loop {
            tokio::select! {
                () = sleep(LOOK_INTERVAL) => {}
                () = stop.cancelled() => return,
            }
            let looked = tokio::task::spawn_blocking(move || {
                let found = files.look();
                (files, found)
            });
            let Ok((kept, found)) = looked.await else {
                tracing::error!("certificates are not looked at any more");
                return;
            };
            files = kept;
            match found {
                None => {}
                Some(Ok(new)) => {
                    tracing::info!("new certificates are in force");
                    tls.send_replace(new);
                }
                Some(Err(error)) => tracing::error!(%error, "new certificates cannot be used; the old ones are served"),
            }
        }
    }

    /// What the files say, if it is not what they said when they were looked at last.
    fn look(&mut self) -> Option<Result<Arc<Tls>, SettingError>> {
        let read = Contents::read(&self.settings);
        let found = match &read {
            Ok(contents) => contents.hash(),
            Err(error) => Sha256::digest(error.to_string()).into(),
        };
        if self.found.replace(found) == Some(found) {
            return None;
        }
        Some(read.and_then(|contents| contents.parse(&self.settings)))
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

    fn parse(&self, settings: &TlsSettings) -> Result<Arc<Tls>, SettingError> {
        let own = self.own(settings)?;
        let authorities = match (&settings.client_authorities, &self.client_authorities) {
            (Some(file), Some(content)) => Some(authorities(file, content)?),
            _ => None,
        };
        let tls = Tls::new(own, authorities, settings.client_auth);
        tls.map(Arc::new).map_err(|problem| settings.certificate.failed(&format!("cannot be used: {problem}")))
    }

    /// The origin's certificate with its key.
    fn own(&self, settings: &TlsSettings) -> Result<CertifiedKey, SettingError> {
        let (certificate, key) = (&settings.certificate, &settings.key);
        let chain = certificates(certificate, &self.certificate)?;
        // What the parser says could quote the key.
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
    let read = opened.and_then(|opened| opened.take(MAX_BYTES + 1).read_to_end(&mut content));
    match read {
        Ok(bytes) if u64::try_from(bytes).is_ok_and(|bytes| bytes <= MAX_BYTES) => Ok(content),
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
    fn changes_are_found_once_and_bad_ones_do_no_harm() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path();
        let file = |name: &str| folder.join(name).display().to_string();
        let make = || rcgen::generate_simple_self_signed(["origin.example".to_owned()]).expect("a certificate");
        let (first, second) = (make(), make());
        write(folder, "crt", "CERTIFICATE", first.cert.der());
        write(folder, "key", "PRIVATE KEY", first.signing_key.serialized_der());
        let settings = [("TOLLGATE_TLS_CERTIFICATE", file("crt")), ("TOLLGATE_TLS_KEY", file("key"))];
        let settings = Settings::from_pairs(settings).expect("good settings").tls.expect("it is set");
        let (mut files, _) = TlsFiles::open(settings).expect("good files");
        assert!(files.look().is_none(), "nothing changed");

        write(folder, "crt", "CERTIFICATE", second.cert.der());
        let problem = files.look().and_then(Result::err).expect("the key is still the old one's").to_string();
        assert!(problem.contains("is not the key of the certificate in"), "{problem}");
        assert!(files.look().is_none(), "it is told once");
        write(folder, "key", "PRIVATE KEY", second.signing_key.serialized_der());
        assert!(files.look().is_some_and(|found| found.is_ok()), "now they fit");
        assert!(files.look().is_none());

        std::fs::remove_file(folder.join("crt")).expect("removed");
        assert!(files.look().is_some_and(|found| found.is_err()) && files.look().is_none());
        write(folder, "crt", "CERTIFICATE", second.cert.der());
        assert!(files.look().is_some_and(|found| found.is_ok()), "it is back");
    }
}
