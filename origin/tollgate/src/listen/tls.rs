//! TLS as the settings configure it.

use std::sync::Arc;

use tollgate_config::{SettingError, TlsClientAuth, TlsSettings};
use tollgate_system::Clock;
use tollgate_tls::{ClientAuth, FileError, FileKind, Tls, TlsFiles, TlsPaths};

/// Reads the certificate and key files.
///
/// # Errors
/// When a file is invalid; the error names its setting.
pub(crate) fn open_tls_files(settings: &TlsSettings, clock: Clock) -> Result<(TlsFiles, Arc<Tls>), SettingError> {
    let paths = TlsPaths {
        certificate: settings.certificate.path.clone(),
        key: settings.key.path.clone(),
        client_authorities: settings.client_authorities.as_ref().map(|file| file.path.clone()),
    };
    let client_auth = match settings.client_auth {
        TlsClientAuth::Off => ClientAuth::Off,
        TlsClientAuth::Authorities => ClientAuth::Authorities,
        TlsClientAuth::Any => ClientAuth::Any,
    };
    TlsFiles::open(paths, client_auth, Arc::new(move || clock.now())).map_err(|error| setting_error(settings, &error))
}

fn setting_error(settings: &TlsSettings, error: &FileError) -> SettingError {
    let file = match (error.file, &settings.client_authorities) {
        (FileKind::Key, _) => &settings.key,
        (FileKind::ClientAuthorities, Some(authorities)) => authorities,
        _ => &settings.certificate,
    };
    file.failed(&error.problem)
}
