//! The settings of HTTPS: the origin's own certificate, and which clients are asked for theirs.
//!
//! Here only names of files are read: commands that do not serve need neither the files nor the right to read them.

use std::path::{Path, PathBuf};

use super::table::Setting;
use super::{SettingError, Source, Sources};

const CERTIFICATE: &str = "TOLLGATE_TLS_CERTIFICATE";
const KEY: &str = "TOLLGATE_TLS_KEY";
const CLIENT_CA: &str = "TOLLGATE_TLS_CLIENT_CA";
const CLIENT_CERTIFICATES: &str = "TOLLGATE_TLS_CLIENT_CERTIFICATES";

pub(super) const EXPLAINED: [Setting; 4] = [
    Setting::new(
        CERTIFICATE,
        "tls-certificate",
        "The origin's certificate, followed by those between it and its authority; with it HTTPS is answered, and nothing else",
    )
    .of("PEM file, read again when it changes", "/etc/tollgate/tls.crt"),
    Setting::new(KEY, "tls-key", "The private key of the certificate")
        .of("PEM file without a password, read again when it changes", "/etc/tollgate/tls.key"),
    Setting::new(CLIENT_CA, "tls-client-ca", "The authorities that vouch for clients' certificates (tls_client_auth)")
        .of("PEM file, read again when it changes", "/etc/tollgate/clients.crt"),
    Setting::new(
        CLIENT_CERTIFICATES,
        "tls-client-certificates",
        "Which clients are asked for a certificate; who has none is served all the same",
    )
    .of("off, authorities for those with one of the authorities, or any", "any")
    .otherwise("authorities if TOLLGATE_TLS_CLIENT_CA is set, else off"),
];

/// The settings of HTTPS, checked but for what is in the files.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The origin's certificate and those between it and its authority.
    pub certificate: NamedFile,
    /// Its private key.
    pub key: NamedFile,
    /// The authorities that vouch for clients' certificates.
    pub client_authorities: Option<NamedFile>,
    /// Which clients are asked for a certificate.
    pub asks: Asks,
}

/// Which clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// None: a browser of somebody who has certificates would ask which of them to show.
    Nobody,
    /// Those that have one of the authorities, whose names they are told. A browser without such a one asks nothing.
    OfAuthorities,
    /// All.
    Everybody,
}

/// A file that a setting names.
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

    /// The file cannot be used: the error names the setting and the file.
    pub fn failed(&self, problem: &str) -> SettingError {
        self.wrong(format!("{} {problem}", self.path.display()))
    }

    /// The setting cannot be used: the error names it.
    pub fn wrong(&self, problem: String) -> SettingError {
        SettingError { name: self.setting.to_owned(), source: Some(self.source.clone()), problem }
    }
}

impl TlsSettings {
    pub(super) fn from_sources(sources: &Sources) -> Result<Option<TlsSettings>, SettingError> {
        let file = |setting| NamedFile::from_sources(sources, setting);
        let client_authorities = file(CLIENT_CA);
        let asks = sources.parse(CLIENT_CERTIFICATES, asks)?;
        let (certificate, key) = match (file(CERTIFICATE), file(KEY)) {
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(alone), None) => return Err(alone.wrong(format!("needs {KEY}"))),
            (None, Some(alone)) => return Err(alone.wrong(format!("needs {CERTIFICATE}"))),
            (None, None) => {
                let alone =
                    client_authorities.or_else(|| file(CLIENT_CERTIFICATES).filter(|_| asks != Some(Asks::Nobody)));
                let needed = |alone: NamedFile| {
                    alone.wrong(format!("needs {CERTIFICATE}: clients show certificates over TLS that ends here"))
                };
                return alone.map_or(Ok(None), |alone| Err(needed(alone)));
            }
        };
        let asks = match (asks, &client_authorities) {
            (Some(Asks::OfAuthorities), None) => {
                return Err(wrong_asking(sources, format!("needs {CLIENT_CA}")));
            }
            (Some(Asks::Nobody), Some(_)) => {
                return Err(wrong_asking(sources, format!("is off, but {CLIENT_CA} is set")));
            }
            (Some(asks), _) => asks,
            (None, Some(_)) => Asks::OfAuthorities,
            (None, None) => Asks::Nobody,
        };
        Ok(Some(TlsSettings { certificate, key, client_authorities, asks }))
    }

    /// An issuer of another scheme would have clients, links and cookies ask where nobody answers.
    pub(super) fn check_issuer(public_url: Option<&str>, sources: &Sources) -> Result<(), SettingError> {
        if public_url.is_none_or(|url| url.starts_with("https://")) {
            return Ok(());
        }
        Err(SettingError {
            name: "TOLLGATE_PUBLIC_URL".to_owned(),
            source: sources.get("TOLLGATE_PUBLIC_URL").map(|value| value.source.clone()),
            problem: format!("must begin with https://, for {CERTIFICATE} is set"),
        })
    }

    /// Whether a client can authenticate by a certificate of an authority.
    #[must_use]
    pub fn vouches(&self) -> bool {
        self.client_authorities.is_some()
    }

    /// Whether clients are asked for certificates at all.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.asks != Asks::Nobody
    }
}

fn wrong_asking(sources: &Sources, problem: String) -> SettingError {
    let source = sources.get(CLIENT_CERTIFICATES).map(|value| value.source.clone());
    SettingError { name: CLIENT_CERTIFICATES.to_owned(), source, problem }
}

fn asks(text: &str) -> Result<Asks, &'static str> {
    match text {
        "off" => Ok(Asks::Nobody),
        "authorities" => Ok(Asks::OfAuthorities),
        "any" => Ok(Asks::Everybody),
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
    fn certificate_and_key_come_together() {
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
    fn clients_are_asked_where_it_is_wanted() {
        let asks = |more: &[(&str, &str)]| {
            let settings = from(&[&BOTH, more].concat()).map_err(|error| error.to_string())?;
            Ok::<Asks, String>(settings.tls.expect("it is set").asks)
        };
        assert_eq!(asks(&[]), Ok(Asks::Nobody));
        assert_eq!(asks(&[(CLIENT_CA, "ca.crt")]), Ok(Asks::OfAuthorities));
        assert_eq!(asks(&[(CLIENT_CA, "ca.crt"), (CLIENT_CERTIFICATES, "any")]), Ok(Asks::Everybody));
        assert_eq!(asks(&[(CLIENT_CERTIFICATES, "any")]), Ok(Asks::Everybody));
        assert_eq!(asks(&[(CLIENT_CERTIFICATES, "off")]), Ok(Asks::Nobody));
        for wrong in [
            &[(CLIENT_CERTIFICATES, "authorities")][..],
            &[(CLIENT_CERTIFICATES, "off"), (CLIENT_CA, "ca.crt")],
            &[(CLIENT_CERTIFICATES, "yes")],
        ] {
            let error = asks(wrong).expect_err("it means nothing");
            assert!(error.starts_with(CLIENT_CERTIFICATES), "{error}");
        }
        assert!(from(&[(CLIENT_CERTIFICATES, "any")]).is_err() && from(&[(CLIENT_CERTIFICATES, "off")]).is_ok());
    }
}
