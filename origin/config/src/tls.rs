//! The settings of HTTPS: the origin's certificate, and client certificates.
//!
//! Only the names of files are read here: commands other than `serve` need neither the files nor
//! the permission to read them.

use std::path::{Path, PathBuf};

use super::setting::Setting;
use super::sources::{SettingError, Source, Sources};

const CERTIFICATE: &str = "TOLLGATE_TLS_CERTIFICATE";
const KEY: &str = "TOLLGATE_TLS_KEY";
const CLIENT_CA: &str = "TOLLGATE_TLS_CLIENT_CA";
const CLIENT_AUTH: &str = "TOLLGATE_TLS_CLIENT_AUTH";

pub(super) const SETTINGS: [Setting; 4] = [
    Setting::new(
        CERTIFICATE,
        "tls-certificate",
        "The origin's certificate chain; with it TOLLGATE_LISTEN serves HTTPS only",
    )
    .allowed_values("PEM file, read again when it changes", "/etc/tollgate/tls.crt")
    .default_description("none: HTTP"),
    Setting::new(KEY, "tls-key", "The private key of the certificate")
        .allowed_values("PEM file without a passphrase, read again when it changes", "/etc/tollgate/tls.key"),
    Setting::new(
        CLIENT_CA,
        "tls-client-ca",
        "Authorities that issue client certificates (tls_client_auth, mutual TLS)",
    )
    .allowed_values("PEM file, read again when it changes", "/etc/tollgate/clients.crt"),
    Setting::new(
        CLIENT_AUTH,
        "tls-client-auth",
        "Which clients are asked for a certificate; a client without one is served, too",
    )
    .allowed_values("off, authorities for those with one of the authorities, or any", "any")
    .default_description("authorities if TOLLGATE_TLS_CLIENT_CA is set, else off")
    .formerly("TOLLGATE_TLS_CLIENT_CERTIFICATES", "tls-client-certificates"),
];

/// The settings of HTTPS; the content of the files is not checked.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The origin's certificate chain.
    pub certificate: NamedFile,
    /// Its private key.
    pub key: NamedFile,
    /// The authorities that issue client certificates.
    pub client_authorities: Option<NamedFile>,
    pub client_auth: TlsClientAuth,
}

/// Which clients are asked for a certificate during the TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsClientAuth {
    /// None. If asked, the browser of a user who has certificates shows a dialog.
    Off,
    /// Clients with a certificate of one of the authorities, whose names are sent in the handshake.
    /// A browser without such a certificate shows no dialog.
    Authorities,
    /// All.
    Any,
}

/// A file named by a setting.
#[derive(Debug, Clone)]
pub struct NamedFile {
    /// The file.
    pub path: PathBuf,
    setting: &'static str,
    source: Source,
}

impl NamedFile {
    pub(super) fn from_sources(sources: &Sources, setting: &'static str) -> Option<NamedFile> {
        let value = sources.get(setting)?;
        Some(NamedFile { path: Path::new(&value.text).to_owned(), setting, source: value.source.clone() })
    }

    /// The error for an unusable file: it names the setting and the file.
    pub fn failed(&self, problem: &str) -> SettingError {
        self.error(format!("{} {problem}", self.path.display()))
    }

    /// The error for an unusable setting.
    pub fn error(&self, problem: String) -> SettingError {
        SettingError { name: self.setting.to_owned(), source: Some(self.source.clone()), problem }
    }
}

impl TlsSettings {
    pub(super) fn from_sources(sources: &Sources) -> Result<Option<TlsSettings>, SettingError> {
        let file = |setting| NamedFile::from_sources(sources, setting);
        let client_authorities = file(CLIENT_CA);
        let client_auth = sources.parse(CLIENT_AUTH, checked_client_auth)?;
        let (certificate, key) = match (file(CERTIFICATE), file(KEY)) {
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(alone), None) => return Err(alone.error(format!("needs {KEY}"))),
            (None, Some(alone)) => return Err(alone.error(format!("needs {CERTIFICATE}"))),
            (None, None) => {
                let alone = client_authorities
                    .or_else(|| file(CLIENT_AUTH).filter(|_| client_auth != Some(TlsClientAuth::Off)));
                let needed = |alone: NamedFile| {
                    alone.error(format!("needs {CERTIFICATE}: only with it the origin sees client certificates"))
                };
                return alone.map_or(Ok(None), |alone| Err(needed(alone)));
            }
        };
        let client_auth = match (client_auth, &client_authorities) {
            (Some(TlsClientAuth::Authorities), None) => {
                return Err(sources.error(CLIENT_AUTH, format!("needs {CLIENT_CA}")));
            }
            (Some(TlsClientAuth::Off), Some(_)) => {
                return Err(sources.error(CLIENT_AUTH, format!("is off, but {CLIENT_CA} is set")));
            }
            (Some(client_auth), _) => client_auth,
            (None, Some(_)) => TlsClientAuth::Authorities,
            (None, None) => TlsClientAuth::Off,
        };
        Ok(Some(TlsSettings { certificate, key, client_authorities, client_auth }))
    }

    /// With HTTPS, clients cannot reach an issuer whose URL is `http`.
    pub(super) fn check_issuer(public_url: Option<&str>, sources: &Sources) -> Result<(), SettingError> {
        if public_url.is_none_or(|url| url.starts_with("https://")) {
            return Ok(());
        }
        Err(sources.error("TOLLGATE_PUBLIC_URL", format!("must begin with https:// because {CERTIFICATE} is set")))
    }

    /// Whether clients can authenticate by certificates that an authority issued
    /// (`tls_client_auth`).
    #[must_use]
    pub fn has_client_authorities(&self) -> bool {
        self.client_authorities.is_some()
    }

    /// Whether any client is asked for a certificate.
    #[must_use]
    pub fn requests_client_certificates(&self) -> bool {
        self.client_auth != TlsClientAuth::Off
    }
}

fn checked_client_auth(text: &str) -> Result<TlsClientAuth, &'static str> {
    match text {
        "off" => Ok(TlsClientAuth::Off),
        "authorities" => Ok(TlsClientAuth::Authorities),
        "any" => Ok(TlsClientAuth::Any),
        _ => Err("must be off, authorities or any"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    const BOTH: [(&str, &str); 2] = [(CERTIFICATE, "tls.crt"), (KEY, "tls.key")];

    fn from(pairs: &[(&str, &str)]) -> Result<Settings, SettingError> {
        Settings::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn certificate_and_key_need_each_other() {
        assert!(from(&[]).expect("good").tls.is_none());
        let settings = from(&BOTH).expect("good");
        assert_eq!(settings.issuer(settings.listen), "https://127.0.0.1:8080");
        for (alone, other) in [(CERTIFICATE, KEY), (KEY, CERTIFICATE), (CLIENT_CA, CERTIFICATE)] {
            let error = from(&[(alone, "file")]).expect_err(alone).to_string();
            assert!(error.starts_with(&format!("{alone} (environment): needs {other}")), "{error}");
        }
        let error = from(&[BOTH[0], BOTH[1], ("TOLLGATE_PUBLIC_URL", "http://auth.example")]).expect_err("no https");
        assert!(
            error.to_string().starts_with("TOLLGATE_PUBLIC_URL (environment): must begin with https://"),
            "{error}"
        );
    }

    #[test]
    fn client_certificates_are_requested_as_set() {
        let client_auth = |more: &[(&str, &str)]| {
            let settings = from(&[&BOTH, more].concat()).map_err(|error| error.to_string())?;
            Ok::<TlsClientAuth, String>(settings.tls.expect("set").client_auth)
        };
        assert_eq!(client_auth(&[]), Ok(TlsClientAuth::Off));
        assert_eq!(client_auth(&[(CLIENT_CA, "ca.crt")]), Ok(TlsClientAuth::Authorities));
        assert_eq!(client_auth(&[(CLIENT_CA, "ca.crt"), (CLIENT_AUTH, "any")]), Ok(TlsClientAuth::Any));
        assert_eq!(client_auth(&[(CLIENT_AUTH, "any")]), Ok(TlsClientAuth::Any));
        assert_eq!(client_auth(&[(CLIENT_AUTH, "off")]), Ok(TlsClientAuth::Off));
        for wrong in [
            &[(CLIENT_AUTH, "authorities")][..],
            &[(CLIENT_AUTH, "off"), (CLIENT_CA, "ca.crt")],
            &[(CLIENT_AUTH, "yes")],
        ] {
            let error = client_auth(wrong).expect_err("invalid");
            assert!(error.starts_with(CLIENT_AUTH), "{error}");
        }
        assert!(from(&[(CLIENT_AUTH, "any")]).is_err() && from(&[(CLIENT_AUTH, "off")]).is_ok());
    }
}
