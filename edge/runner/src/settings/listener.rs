//! Settings of the listeners: TLS, the time that clients may take, and how they stop.

use super::SettingError;
use super::lookup::Lookup;
use super::parse_address;
use super::streams::StreamSettings;
use super::table::{
    ADMIN_LISTEN, BODY_TIMEOUT, HEAD_TIMEOUT, IDLE_TIMEOUT, MAX_CONNECTIONS, PROXY_PROTOCOL, SHUTDOWN_DELAY,
    SHUTDOWN_TIMEOUT, TLS_CERTIFICATE, TLS_CLIENT_AUTH, TLS_CLIENT_CA, TLS_KEY, WRITE_TIMEOUT,
};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tollgate_gate::TrustedProxies;
use tollgate_tls::{ClientAuth, FileError, FileKind, TlsPaths};

/// The listener of clients, and that of operators.
#[derive(Debug, Clone)]
pub(crate) struct ListenerSettings {
    pub(crate) max_connections: usize,
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) timeouts: ClientTimeouts,
    /// Proxies whose connections begin with a header of the PROXY protocol; none without it.
    pub(crate) proxy_protocol: Option<TrustedProxies>,
    /// Address of the listener for operators; port 0 selects a free port.
    pub(crate) admin_listen: Option<SocketAddr>,
    /// For which health reports fail before the listener stops.
    pub(crate) shutdown_delay: Duration,
    /// For running requests, when the listener stops.
    pub(crate) shutdown_timeout: Duration,
}

impl ListenerSettings {
    pub(super) fn from_lookup(get: Lookup<'_>) -> Result<ListenerSettings, SettingError> {
        let proxies =
            TrustedProxies::from_lookup(get.0).map_err(|error| SettingError::new(error.name, error.problem))?;
        let has_proxy_protocol = get.flag(PROXY_PROTOCOL)?;
        if has_proxy_protocol && proxies == TrustedProxies::default() {
            return Err(SettingError::new(
                PROXY_PROTOCOL,
                "needs TOLLGATE_EDGE_TRUSTED_PROXIES: only they are believed",
            ));
        }
        let max_connections = get.number(MAX_CONNECTIONS, 10_000, 16..=1_000_000)?;
        let admin_listen = get.text(ADMIN_LISTEN);
        Ok(ListenerSettings {
            max_connections: usize::try_from(max_connections).unwrap_or(usize::MAX),
            tls: TlsSettings::from_lookup(get)?,
            timeouts: ClientTimeouts::from_lookup(get)?,
            proxy_protocol: has_proxy_protocol.then_some(proxies),
            admin_listen: admin_listen.map(|address| parse_address(ADMIN_LISTEN, &address)).transpose()?,
            shutdown_delay: get.seconds(SHUTDOWN_DELAY, 0, 0..=3600)?,
            shutdown_timeout: get.seconds(SHUTDOWN_TIMEOUT, 10, 1..=3600)?,
        })
    }
}

/// TLS of the listener; the content of the files is not checked.
#[derive(Debug, Clone)]
pub(crate) struct TlsSettings {
    pub(crate) paths: TlsPaths,
    pub(crate) client_auth: ClientAuth,
}

impl TlsSettings {
    pub(super) fn from_lookup(get: Lookup<'_>) -> Result<Option<TlsSettings>, SettingError> {
        let client_authorities = get.text(TLS_CLIENT_CA);
        let client_auth = client_auth(get.text(TLS_CLIENT_AUTH).as_deref(), client_authorities.is_some())?;
        let (certificate, key) = match (get.text(TLS_CERTIFICATE), get.text(TLS_KEY)) {
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => return Err(SettingError::new(TLS_CERTIFICATE, format_args!("needs {TLS_KEY}"))),
            (None, Some(_)) => return Err(SettingError::new(TLS_KEY, format_args!("needs {TLS_CERTIFICATE}"))),
            (None, None) => {
                let alone = [TLS_CLIENT_CA, TLS_CLIENT_AUTH].into_iter().find(|name| get.text(name).is_some());
                return match alone.filter(|_| client_auth != ClientAuth::Off) {
                    Some(name) => Err(SettingError::new(name, format_args!("needs {TLS_CERTIFICATE}"))),
                    None => Ok(None),
                };
            }
        };
        let paths = TlsPaths {
            certificate: PathBuf::from(certificate),
            key: PathBuf::from(key),
            client_authorities: client_authorities.map(PathBuf::from),
        };
        Ok(Some(TlsSettings { paths, client_auth }))
    }

    /// The error of the setting that names the file.
    pub(crate) fn setting_error(error: &FileError) -> SettingError {
        let name = match error.file {
            FileKind::Certificate => TLS_CERTIFICATE,
            FileKind::Key => TLS_KEY,
            FileKind::ClientAuthorities => TLS_CLIENT_CA,
        };
        SettingError::new(name, format_args!("names a file that cannot be used: {error}"))
    }
}

fn client_auth(value: Option<&str>, has_authorities: bool) -> Result<ClientAuth, SettingError> {
    let needs_authorities = || SettingError::new(TLS_CLIENT_AUTH, format_args!("needs {TLS_CLIENT_CA}"));
    match value {
        None if has_authorities => Ok(ClientAuth::Authorities),
        None => Ok(ClientAuth::Off),
        Some("off") if has_authorities => {
            Err(SettingError::new(TLS_CLIENT_AUTH, format_args!("is off, but {TLS_CLIENT_CA} is set")))
        }
        Some("off") => Ok(ClientAuth::Off),
        Some("any") => Ok(ClientAuth::Any),
        Some("authorities") if has_authorities => Ok(ClientAuth::Authorities),
        Some("required") if has_authorities => Ok(ClientAuth::Required),
        Some("authorities" | "required") => Err(needs_authorities()),
        Some(value) => Err(SettingError::new(
            TLS_CLIENT_AUTH,
            format_args!("must be off, any, authorities or required, not {value:?}"),
        )),
    }
}

/// Limits on the time that clients take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientTimeouts {
    /// From the first byte of a request to the end of its head; of a new connection, from its
    /// start.
    pub(crate) head: Duration,
    /// For a request's body, extended by its bytes at a minimum rate.
    pub(crate) body: Duration,
    /// From a response to the first byte of the next request. The default is longer than the minute
    /// for which proxies keep idle connections, so that they do not send a request on a closed one.
    pub(crate) idle: Duration,
    /// Each pause in which the client reads nothing of a response.
    pub(crate) write: Duration,
    /// Between two messages of a gRPC client, whose request may stay open for hours.
    pub(crate) stream: Duration,
}

impl ClientTimeouts {
    pub(super) fn from_lookup(get: Lookup<'_>) -> Result<ClientTimeouts, SettingError> {
        Ok(ClientTimeouts {
            head: get.seconds(HEAD_TIMEOUT, 10, 1..=3600)?,
            // These defaults are those of Apache's `RequestReadTimeout`.
            body: get.seconds(BODY_TIMEOUT, 20, 1..=3600)?,
            idle: get.seconds(IDLE_TIMEOUT, 75, 1..=86_400)?,
            write: get.seconds(WRITE_TIMEOUT, 30, 1..=3600)?,
            stream: StreamSettings::from_lookup(get)?.idle_timeout,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(settings: &[(&str, &str)]) -> Result<Option<ClientAuth>, String> {
        let find = |name: &str| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let settings = TlsSettings::from_lookup(Lookup(&find)).map_err(|error| error.to_string())?;
        Ok(settings.map(|settings| settings.client_auth))
    }

    #[test]
    fn client_certificates_are_requested_as_configured() {
        let pair = [(TLS_CERTIFICATE, "tls.crt"), (TLS_KEY, "tls.key")];
        let with = |more: &[(&'static str, &'static str)]| tls(&[&pair[..], more].concat());
        assert_eq!(tls(&[]), Ok(None));
        assert_eq!(with(&[]), Ok(Some(ClientAuth::Off)));
        assert_eq!(with(&[(TLS_CLIENT_AUTH, "any")]), Ok(Some(ClientAuth::Any)));
        assert_eq!(with(&[(TLS_CLIENT_CA, "ca")]), Ok(Some(ClientAuth::Authorities)));
        assert_eq!(with(&[(TLS_CLIENT_CA, "ca"), (TLS_CLIENT_AUTH, "required")]), Ok(Some(ClientAuth::Required)));
    }

    #[test]
    fn incomplete_tls_settings_name_what_is_missing() {
        let pair = [(TLS_CERTIFICATE, "tls.crt"), (TLS_KEY, "tls.key")];
        for (settings, setting, needed) in [
            (vec![pair[0]], TLS_CERTIFICATE, TLS_KEY),
            (vec![pair[1]], TLS_KEY, TLS_CERTIFICATE),
            (vec![(TLS_CLIENT_CA, "ca")], TLS_CLIENT_CA, TLS_CERTIFICATE),
            (vec![(TLS_CLIENT_AUTH, "any")], TLS_CLIENT_AUTH, TLS_CERTIFICATE),
            (vec![pair[0], pair[1], (TLS_CLIENT_AUTH, "required")], TLS_CLIENT_AUTH, TLS_CLIENT_CA),
            (vec![pair[0], pair[1], (TLS_CLIENT_CA, "ca"), (TLS_CLIENT_AUTH, "off")], TLS_CLIENT_AUTH, TLS_CLIENT_CA),
            (vec![pair[0], pair[1], (TLS_CLIENT_AUTH, "on")], TLS_CLIENT_AUTH, "required"),
        ] {
            let error = tls(&settings).expect_err("incomplete");
            assert!(error.starts_with(setting) && error.contains(needed), "{error}");
        }
    }
}
