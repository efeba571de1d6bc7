//! An edge's settings, read from the environment, Worker vars or Spin variables.

use std::fmt;
use std::net::IpAddr;

use base64_simd::URL_SAFE_NO_PAD;
use tollgate_core::{EdgeKey, IdentitySigner, KeySet, MAX_LEEWAY_SECONDS, NonceKey, TableSize};

use crate::headers::TRUSTED_PROXIES;
use crate::identity::IdentityHeaders;
use crate::identity_token::IdentityTokenSettings;
use crate::proofs::PublicUrl;
use crate::setting_error::SettingError;

/// The settings of an edge.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The origin's URL, without a trailing slash.
    pub origin: String,
    /// URL of the upstream that gets allowed requests, without a trailing slash.
    pub upstream: String,
    /// Required `iss` of tokens; by default the origin's URL.
    pub issuer: String,
    /// Required `aud` of tokens; by default the audience in the snapshot.
    pub audience: Option<String>,
    /// The origin's Ed25519 snapshot keys; two during a key rotation.
    pub snapshot_keys: Vec<[u8; 32]>,
    /// HS256 keys of this edge's audience. Snapshots contain no secrets.
    pub secret_keys: KeySet,
    /// Accepted difference between the clocks of issuer and edge in seconds, 0 to 60.
    pub leeway: u64,
    /// Milliseconds until the upstream must begin its response.
    pub upstream_timeout_ms: u64,
    /// Age in milliseconds after which the replica is refreshed in the background.
    pub refresh_after_ms: u64,
    /// Age in milliseconds after which requests wait for a refresh: the bound within which a
    /// revocation takes effect.
    pub max_staleness_ms: u64,
    /// Whether tokens of type `JWT`, or without a type, are accepted as access tokens.
    pub allow_plain_jwt: bool,
    /// Number of verified tokens to cache; 0 for none.
    pub cached_tokens: usize,
    /// Whether responses have `Server-Timing`.
    pub server_timing: bool,
    /// Whether a trace begins here for requests without a valid `traceparent`.
    pub starts_traces: bool,
    /// Identity with which the edge authenticates to the origin, which then shows its progress.
    pub edge: Option<EdgeIdentity>,
    /// Names of the headers that carry the identity to the upstream.
    pub identity_headers: IdentityHeaders,
    /// What the signed identity is issued by, if the upstream gets one.
    pub identity_token: Option<IdentityTokenSettings>,
    /// Size of the precomputed tables for frequently used Ed25519 and P-256 keys.
    pub key_tables: TableSize,
    /// The URL at which clients reach the edge; by default that of each request.
    pub public_url: Option<PublicUrl>,
    /// Header in which trusted proxies forward the certificates of their clients.
    pub client_certificate_header: Option<String>,
    /// Makes the nonces that DPoP proofs must have, if they must have one.
    pub dpop_nonce_key: Option<NonceKey>,
}

/// A registered edge's name and key, from `tollgate edge add`.
#[derive(Debug, Clone)]
pub struct EdgeIdentity {
    /// The registered name.
    pub name: String,
    /// The registration's number: an edge that is removed and added again has another key.
    pub number: u64,
    /// Signs the edge's requests to the origin.
    pub key: EdgeKey,
}

/// Half a gigabyte if all cached tokens have the maximum length.
const MAX_CACHED_TOKENS: u64 = 65_536;

const ALLOW_HTTP_ORIGIN: &str = "TOLLGATE_EDGE_ALLOW_HTTP_ORIGIN";
const REFRESH_AFTER_MS: &str = "TOLLGATE_EDGE_REFRESH_AFTER_MS";
const MAX_STALENESS_MS: &str = "TOLLGATE_EDGE_MAX_STALENESS_MS";
const EDGE_KEY: &str = "TOLLGATE_EDGE_KEY";
const IDENTITY_PREFIX: &str = "TOLLGATE_EDGE_IDENTITY_PREFIX";
const IDENTITY_KEY: &str = "TOLLGATE_EDGE_IDENTITY_KEY";
const IDENTITY_AUDIENCE: &str = "TOLLGATE_EDGE_IDENTITY_AUDIENCE";
const SERVER_TIMING: &str = "TOLLGATE_EDGE_SERVER_TIMING";
const START_TRACES: &str = "TOLLGATE_EDGE_START_TRACES";
const PUBLIC_URL: &str = "TOLLGATE_EDGE_PUBLIC_URL";
const CLIENT_CERTIFICATE_HEADER: &str = "TOLLGATE_EDGE_CLIENT_CERTIFICATE_HEADER";
/// Whether DPoP proofs must have a nonce.
pub const DPOP_NONCE: &str = "TOLLGATE_EDGE_DPOP_NONCE";
/// Secret by which the nonces of DPoP proofs are made. A host may generate it.
pub const DPOP_NONCE_KEY: &str = "TOLLGATE_EDGE_DPOP_NONCE_KEY";

/// Name and description of each setting that [`Settings::from_lookup`] and
/// [`TrustedProxies::from_lookup`](crate::TrustedProxies::from_lookup) read.
pub const SETTINGS: &[(&str, &str)] = &[
    ("TOLLGATE_EDGE_ORIGIN", "URL of the origin, e.g. https://auth.example"),
    (
        ALLOW_HTTP_ORIGIN,
        "reach an origin on another machine by http, over a network that you trust: true or false [default: false]",
    ),
    ("TOLLGATE_EDGE_UPSTREAM", "URL of the upstream that gets allowed requests, e.g. http://127.0.0.1:5000"),
    (
        "TOLLGATE_EDGE_SNAPSHOT_KEY",
        "the origin's snapshot key (`tollgate key snapshot`); two, separated by a comma, during a rotation",
    ),
    ("TOLLGATE_EDGE_ISSUER", "required iss of tokens [default: the origin's URL]"),
    ("TOLLGATE_EDGE_AUDIENCE", "required aud of tokens [default: the audience in the snapshot]"),
    ("TOLLGATE_EDGE_SECRET_KEYS", "JWK set of oct keys for HS256 (`tollgate key audience AUDIENCE --jwks`)"),
    ("TOLLGATE_EDGE_LEEWAY_SECONDS", "accepted clock difference in seconds, 0 to 60 [default: 30]"),
    (REFRESH_AFTER_MS, "age after which the replica is refreshed in the background [default: 250]"),
    (
        MAX_STALENESS_MS,
        "age after which requests wait for a refresh: the bound within which revocations take effect [default: 1000]",
    ),
    ("TOLLGATE_EDGE_UPSTREAM_TIMEOUT", "seconds until the upstream must begin its response, 1 to 3600 [default: 60]"),
    ("TOLLGATE_EDGE_ALLOW_PLAIN_JWT", "accept tokens of type JWT as access tokens: true or false [default: false]"),
    ("TOLLGATE_EDGE_CACHED_TOKENS", "number of verified tokens to cache, 0 to 65536 [default: 1024]"),
    ("TOLLGATE_EDGE_KEY_TABLES", "tables for frequently used keys: none, small or large [default: small]"),
    (SERVER_TIMING, "tell clients in Server-Timing how long gate and upstream took: true or false [default: false]"),
    (START_TRACES, "begin a trace (traceparent) for requests without a valid one: true or false [default: false]"),
    (EDGE_KEY, "key with which the edge authenticates to the origin (`tollgate edge add`) [default: none]"),
    (
        IDENTITY_KEY,
        "Ed25519 key with which the edge signs a short-lived identity JWT for the upstream: 32 secret bytes in \
         base64url, or a private JWK; requires TOLLGATE_EDGE_PUBLIC_URL [default: none]",
    ),
    (IDENTITY_AUDIENCE, "aud of the identity JWT [default: the upstream's URL or name]"),
    (IDENTITY_PREFIX, "beginning of the names of identity headers for the upstream [default: X-Tollgate-]"),
    (
        TRUSTED_PROXIES,
        "proxies whose X-Forwarded-* headers are trusted: addresses or CIDR ranges, comma separated [default: none]",
    ),
    (PUBLIC_URL, "URL at which clients reach the edge, e.g. https://api.example [default: that of each request]"),
    (
        CLIENT_CERTIFICATE_HEADER,
        "header in which trusted proxies forward client certificates, and which they remove from requests [default: none]",
    ),
    (DPOP_NONCE, "require a nonce of this edge in DPoP proofs: true or false [default: false]"),
    (
        DPOP_NONCE_KEY,
        "32 random bytes in base64url by which nonces are made [default: tollgate-edge draws them at its start]",
    ),
];

/// Deprecated names of settings with their new names.
pub const DEPRECATED_SETTINGS: [(&str, &str); 2] =
    [("TOLLGATE_EDGE_SOFT_MS", REFRESH_AFTER_MS), ("TOLLGATE_EDGE_HARD_MS", MAX_STALENESS_MS)];

/// A setting under its deprecated name; displays as one line for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeprecatedSetting {
    /// The deprecated name.
    pub name: &'static str,
    /// The new name.
    pub new_name: &'static str,
}

impl fmt::Display for DeprecatedSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is deprecated: use {} instead", self.name, self.new_name)
    }
}

/// The deprecated names under which `get` has a value, for hosts to log a warning.
pub fn deprecated_settings(get: impl Fn(&str) -> Option<String>) -> impl Iterator<Item = DeprecatedSetting> {
    let is_set = move |name: &str| get(name).is_some_and(|value| !value.trim().is_empty());
    let all = DEPRECATED_SETTINGS.into_iter().map(|(name, new_name)| DeprecatedSetting { name, new_name });
    all.filter(move |setting| is_set(setting.name))
}

impl Settings {
    /// Reads the settings through `get`, which returns the value of a name. An empty value counts
    /// as unset. A deprecated name is read if the new one is unset.
    ///
    /// # Errors
    /// Names the first setting that is missing or invalid.
    pub fn from_lookup(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let get = |name: &'static str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let required = |name| get(name).ok_or(SettingError { name, problem: "is not set".into() });
        let origin = url("TOLLGATE_EDGE_ORIGIN", &required("TOLLGATE_EDGE_ORIGIN")?)?;
        if !flag(ALLOW_HTTP_ORIGIN, get(ALLOW_HTTP_ORIGIN).as_deref())? && is_remote_http(&origin) {
            let problem = format!(
                "must begin with https://, not {origin:?}: others could read what edge and origin exchange; \
                 set {ALLOW_HTTP_ORIGIN}=true if the network between them is trusted"
            );
            return Err(SettingError { name: "TOLLGATE_EDGE_ORIGIN", problem });
        }
        let [(refresh_name, refresh_after), (staleness_name, max_staleness)] =
            DEPRECATED_SETTINGS.map(|(old, new)| match get(new) {
                None => get(old).map_or((new, None), |value| (old, Some(value))),
                value => (new, value),
            });
        let refresh_after_ms = number(refresh_name, refresh_after, 250, 10..=3_600_000)?;
        let max_staleness_ms = number(staleness_name, max_staleness, 1000, 50..=86_400_000)?;
        if refresh_after_ms > max_staleness_ms {
            return Err(SettingError { name: refresh_name, problem: format!("must not be above {staleness_name}") });
        }
        let upstream_timeout =
            number("TOLLGATE_EDGE_UPSTREAM_TIMEOUT", get("TOLLGATE_EDGE_UPSTREAM_TIMEOUT"), 60, 1..=3600)?;
        let public_url = get(PUBLIC_URL).map(|value| PublicUrl::read(PUBLIC_URL, &value)).transpose()?;
        let identity_token = get(IDENTITY_KEY)
            .map(|key| identity_token(&key, get(IDENTITY_AUDIENCE), public_url.as_ref()))
            .transpose()?;
        Ok(Self {
            upstream_timeout_ms: upstream_timeout * 1000,
            upstream: url("TOLLGATE_EDGE_UPSTREAM", &required("TOLLGATE_EDGE_UPSTREAM")?)?,
            issuer: get("TOLLGATE_EDGE_ISSUER").unwrap_or_else(|| origin.clone()),
            audience: get("TOLLGATE_EDGE_AUDIENCE"),
            snapshot_keys: snapshot_keys(&required("TOLLGATE_EDGE_SNAPSHOT_KEY")?)?,
            secret_keys: secret_keys(get("TOLLGATE_EDGE_SECRET_KEYS").as_deref())?,
            leeway: number(
                "TOLLGATE_EDGE_LEEWAY_SECONDS",
                get("TOLLGATE_EDGE_LEEWAY_SECONDS"),
                30,
                0..=MAX_LEEWAY_SECONDS,
            )?,
            allow_plain_jwt: flag("TOLLGATE_EDGE_ALLOW_PLAIN_JWT", get("TOLLGATE_EDGE_ALLOW_PLAIN_JWT").as_deref())?,
            cached_tokens: number(
                "TOLLGATE_EDGE_CACHED_TOKENS",
                get("TOLLGATE_EDGE_CACHED_TOKENS"),
                1024,
                0..=MAX_CACHED_TOKENS,
            )? as usize,
            server_timing: flag(SERVER_TIMING, get(SERVER_TIMING).as_deref())?,
            starts_traces: flag(START_TRACES, get(START_TRACES).as_deref())?,
            edge: get(EDGE_KEY).as_deref().map(edge_identity).transpose()?,
            identity_headers: get(IDENTITY_PREFIX)
                .as_deref()
                .map_or(Ok(IdentityHeaders::default()), identity_headers)?,
            key_tables: key_tables(get("TOLLGATE_EDGE_KEY_TABLES").as_deref())?,
            public_url,
            identity_token,
            client_certificate_header: get(CLIENT_CERTIFICATE_HEADER).map(header_name).transpose()?,
            dpop_nonce_key: match flag(DPOP_NONCE, get(DPOP_NONCE).as_deref())? {
                true => Some(nonce_key(&required(DPOP_NONCE_KEY)?)?),
                false => None,
            },
            origin,
            refresh_after_ms,
            max_staleness_ms,
        })
    }
}

/// Checks for an http or https URL without query and fragment, and removes trailing slashes.
pub(crate) fn url(name: &'static str, value: &str) -> Result<String, SettingError> {
    let rest = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
    let is_valid = rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && !rest.contains(|c: char| c.is_whitespace() || c.is_control() || "?#@\\".contains(c))
    });
    if is_valid {
        Ok(value.trim_end_matches('/').to_owned())
    } else {
        Err(SettingError { name, problem: format!("must be a URL such as https://auth.example, not {value:?}") })
    }
}

/// Whether a URL leads by http to a machine that may be another one.
fn is_remote_http(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let is_local_name = host.eq_ignore_ascii_case("localhost") || host.ends_with(".localhost");
    !is_local_name && !host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Joins a URL and its path. Spin has two variables for them, because it allows no path in
/// `allowed_outbound_hosts`.
///
/// # Errors
/// If the URL has a path itself: Spin would refuse all calls of the component.
pub fn with_path(name: &'static str, url: &str, path: &str) -> Result<String, SettingError> {
    let (url, path) = (url.trim().trim_end_matches('/'), path.trim().trim_matches('/'));
    if let Some((_, own)) = split_path(url) {
        let problem = format!("must have no path, with which Spin refuses all calls: set {name}_PATH to {own:?}");
        return Err(SettingError { name, problem });
    }
    Ok(if path.is_empty() { url.to_owned() } else { format!("{url}/{path}") })
}

/// Splits a URL into its origin (scheme, host and port) and its path; none without a path.
pub fn split_path(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    let host = rest.strip_prefix("//")?;
    let path = scheme.len() + "://".len() + host.find('/')?;
    Some(url.split_at(path)).filter(|(_, path)| *path != "/")
}

fn snapshot_keys(value: &str) -> Result<Vec<[u8; 32]>, SettingError> {
    let name = "TOLLGATE_EDGE_SNAPSHOT_KEY";
    let problem = "must be one or two base64url Ed25519 public keys, comma separated (see `tollgate key snapshot`)";
    let keys: Option<Vec<[u8; 32]>> =
        value.split(',').map(|key| URL_SAFE_NO_PAD.decode_to_vec(key.trim()).ok()?.try_into().ok()).collect();
    keys.filter(|keys| keys.len() <= 2).ok_or(SettingError { name, problem: problem.into() })
}

fn secret_keys(value: Option<&str>) -> Result<KeySet, SettingError> {
    let Some(value) = value else { return Ok(KeySet::default()) };
    KeySet::from_jwks(value.as_bytes()).map_err(|error| SettingError {
        name: "TOLLGATE_EDGE_SECRET_KEYS",
        problem: format!("must be a JWK set: {error}"),
    })
}

fn identity_headers(prefix: &str) -> Result<IdentityHeaders, SettingError> {
    IdentityHeaders::with_prefix(prefix).map_err(|problem| SettingError { name: IDENTITY_PREFIX, problem })
}

fn identity_token(
    key: &str,
    audience: Option<String>,
    public_url: Option<&PublicUrl>,
) -> Result<IdentityTokenSettings, SettingError> {
    // The value is a secret, so the error does not contain it.
    let problem = "must be 32 secret bytes in base64url, or a private JWK of Ed25519";
    let signer = IdentitySigner::read(key).ok_or(SettingError { name: IDENTITY_KEY, problem: problem.into() })?;
    let issuer = public_url.ok_or(SettingError { name: PUBLIC_URL, problem: "is not set".into() })?;
    Ok(IdentityTokenSettings { signer, issuer: issuer.to_string(), audience })
}

fn edge_identity(value: &str) -> Result<EdgeIdentity, SettingError> {
    let parse = || {
        let mut parts = value.split(':');
        let (name, number, secret, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
            return None;
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let secret: [u8; EdgeKey::LEN] = URL_SAFE_NO_PAD.decode_to_vec(secret).ok()?.try_into().ok()?;
        let number = number.parse().ok()?;
        let identity = EdgeIdentity { name: name.to_owned(), number, key: EdgeKey::new(&secret) };
        ((1..=255).contains(&name.len()) && name.bytes().all(is_name)).then_some(identity)
    };
    // The value is a secret, so the error does not contain it.
    parse().ok_or(SettingError {
        name: EDGE_KEY,
        problem: "must be NAME:NUMBER:SECRET, as `tollgate edge add` prints".into(),
    })
}

fn header_name(value: String) -> Result<String, SettingError> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if value.bytes().all(is_name) {
        return Ok(value.to_ascii_lowercase());
    }
    let problem = format!("must be the name of a header such as Client-Cert, not {value:?}");
    Err(SettingError { name: CLIENT_CERTIFICATE_HEADER, problem })
}

fn nonce_key(value: &str) -> Result<NonceKey, SettingError> {
    let secret: Option<[u8; NonceKey::LEN]> =
        URL_SAFE_NO_PAD.decode_to_vec(value).ok().and_then(|bytes| bytes.try_into().ok());
    // The value is a secret, so the error does not contain it.
    let problem = || "must be 32 random bytes in base64url, the same for all instances of this edge".to_owned();
    secret.map(|secret| NonceKey::new(&secret)).ok_or_else(|| SettingError { name: DPOP_NONCE_KEY, problem: problem() })
}

fn key_tables(value: Option<&str>) -> Result<TableSize, SettingError> {
    let name = "TOLLGATE_EDGE_KEY_TABLES";
    let Some(value) = value else { return Ok(TableSize::Small) };
    TableSize::from_name(value)
        .ok_or_else(|| SettingError { name, problem: format!("must be none, small or large, not {value:?}") })
}

fn number(
    name: &'static str,
    value: Option<String>,
    default: u64,
    range: std::ops::RangeInclusive<u64>,
) -> Result<u64, SettingError> {
    let Some(value) = value else { return Ok(default) };
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| SettingError {
        name,
        problem: format!("must be a whole number from {} to {}, not {value:?}", range.start(), range.end()),
    })
}

fn flag(name: &'static str, value: Option<&str>) -> Result<bool, SettingError> {
    match value {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(value) => Err(SettingError { name, problem: format!("must be true or false, not {value:?}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn read(settings: &[(&str, &str)]) -> Result<Settings, String> {
        let base = [
            ("TOLLGATE_EDGE_ORIGIN", "https://auth.example/"),
            ("TOLLGATE_EDGE_UPSTREAM", "http://127.0.0.1:5000"),
            ("TOLLGATE_EDGE_SNAPSHOT_KEY", KEY),
        ];
        let find = |name: &str| {
            settings.iter().chain(&base).find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::from_lookup(find).map_err(|error| error.to_string())
    }

    #[test]
    fn optional_settings_have_defaults() {
        let settings = read(&[]).expect("good settings");
        assert_eq!(
            (settings.origin.as_str(), settings.issuer.as_str()),
            ("https://auth.example", "https://auth.example")
        );
        assert_eq!(
            (settings.leeway, settings.refresh_after_ms, settings.max_staleness_ms, settings.allow_plain_jwt),
            (30, 250, 1000, false)
        );
    }

    #[test]
    fn errors_name_the_setting() {
        let two = format!("{KEY}, {KEY}");
        assert_eq!(read(&[("TOLLGATE_EDGE_SNAPSHOT_KEY", &two)]).map(|settings| settings.snapshot_keys.len()), Ok(2));
        for (name, value) in [
            ("TOLLGATE_EDGE_ORIGIN", ""),
            ("TOLLGATE_EDGE_ORIGIN", "auth.example"),
            ("TOLLGATE_EDGE_ORIGIN", "https://a b"),
            ("TOLLGATE_EDGE_ORIGIN", "http://auth.example"),
            ("TOLLGATE_EDGE_ALLOW_HTTP_ORIGIN", "yes"),
            ("TOLLGATE_EDGE_UPSTREAM", "ftp://x"),
            ("TOLLGATE_EDGE_UPSTREAM", "http://x?y"),
            ("TOLLGATE_EDGE_UPSTREAM", "http:///x"),
            ("TOLLGATE_EDGE_SNAPSHOT_KEY", "abc"),
            ("TOLLGATE_EDGE_SNAPSHOT_KEY", ","),
            ("TOLLGATE_EDGE_SECRET_KEYS", "{}"),
            ("TOLLGATE_EDGE_LEEWAY_SECONDS", "61"),
            ("TOLLGATE_EDGE_LEEWAY_SECONDS", "-1"),
            ("TOLLGATE_EDGE_REFRESH_AFTER_MS", "2000"),
            ("TOLLGATE_EDGE_MAX_STALENESS_MS", "soon"),
            ("TOLLGATE_EDGE_SOFT_MS", "2000"),
            ("TOLLGATE_EDGE_HARD_MS", "soon"),
            ("TOLLGATE_EDGE_UPSTREAM_TIMEOUT", "0"),
            ("TOLLGATE_EDGE_ALLOW_PLAIN_JWT", "yes"),
            ("TOLLGATE_EDGE_CACHED_TOKENS", "65537"),
            ("TOLLGATE_EDGE_SERVER_TIMING", "on"),
            ("TOLLGATE_EDGE_START_TRACES", "1"),
            ("TOLLGATE_EDGE_KEY_TABLES", "huge"),
            ("TOLLGATE_EDGE_IDENTITY_KEY", "short"),
            ("TOLLGATE_EDGE_IDENTITY_PREFIX", "Auth"),
            ("TOLLGATE_EDGE_IDENTITY_PREFIX", "X-Forwarded"),
            ("TOLLGATE_EDGE_PUBLIC_URL", "api.example"),
            ("TOLLGATE_EDGE_CLIENT_CERTIFICATE_HEADER", "a b"),
            ("TOLLGATE_EDGE_DPOP_NONCE", "yes"),
            ("TOLLGATE_EDGE_KEY", "near"),
            ("TOLLGATE_EDGE_KEY", "near:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            ("TOLLGATE_EDGE_KEY", "near:x:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            ("TOLLGATE_EDGE_KEY", "near:1:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHU"),
            ("TOLLGATE_EDGE_KEY", ":1:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            ("TOLLGATE_EDGE_KEY", "a&after=9:1:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
        ] {
            let error = read(&[(name, value)]).expect_err(value);
            assert!(error.starts_with(name) && !error.contains('\n'), "{name}={value}: {error}");
        }
    }

    #[test]
    fn http_leads_to_an_origin_on_this_machine_only_unless_it_is_allowed() {
        for (origin, is_accepted) in [
            ("https://auth.example", true),
            ("http://127.0.0.1:8080", true),
            ("http://127.8.0.1/shop", true),
            ("http://[::1]:8080", true),
            ("http://localhost", true),
            ("http://LOCALHOST:8080", true),
            ("http://auth.localhost:8080", true),
            ("http://origin:8080", false),
            ("http://10.0.0.1", false),
            ("http://[fd00::1]:8080", false),
            ("http://127.0.0.1.example", false),
            ("http://localhost.example", false),
        ] {
            assert_eq!(read(&[("TOLLGATE_EDGE_ORIGIN", origin)]).is_ok(), is_accepted, "{origin}");
            let allowed = [("TOLLGATE_EDGE_ORIGIN", origin), ("TOLLGATE_EDGE_ALLOW_HTTP_ORIGIN", "true")];
            assert!(read(&allowed).is_ok(), "{origin}");
        }
        let error = read(&[("TOLLGATE_EDGE_ORIGIN", "http://origin:8080")]).expect_err("a remote origin");
        assert!(error.contains("TOLLGATE_EDGE_ALLOW_HTTP_ORIGIN=true"), "{error}");
    }

    #[test]
    fn dpop_nonces_need_a_key() {
        let on = ("TOLLGATE_EDGE_DPOP_NONCE", "true");
        assert_eq!(read(&[on]).expect_err("no key"), "TOLLGATE_EDGE_DPOP_NONCE_KEY is not set");
        let short = read(&[on, ("TOLLGATE_EDGE_DPOP_NONCE_KEY", "c2hvcnQ")]).expect_err("a short key");
        assert!(short.starts_with("TOLLGATE_EDGE_DPOP_NONCE_KEY") && !short.contains("c2hvcnQ"), "{short}");
        let with_key = read(&[on, ("TOLLGATE_EDGE_DPOP_NONCE_KEY", KEY)]).expect("good settings");
        assert!(with_key.dpop_nonce_key.is_some() && read(&[]).expect("good settings").dpop_nonce_key.is_none());
    }

    #[test]
    fn deprecated_names_are_read_and_reported() {
        let old = [("TOLLGATE_EDGE_SOFT_MS", "100"), ("TOLLGATE_EDGE_HARD_MS", "4000")];
        let new = [("TOLLGATE_EDGE_REFRESH_AFTER_MS", "200"), ("TOLLGATE_EDGE_MAX_STALENESS_MS", "5000")];
        for (settings, expected, deprecated) in [
            (old.to_vec(), (100, 4000), 2),
            (new.to_vec(), (200, 5000), 0),
            ([old, new].concat(), (200, 5000), 2),
            (vec![old[1]], (250, 4000), 1),
            (vec![("TOLLGATE_EDGE_SOFT_MS", " ")], (250, 1000), 0),
        ] {
            let read = read(&settings).expect("good settings");
            assert_eq!((read.refresh_after_ms, read.max_staleness_ms), expected, "{settings:?}");
            let get =
                |name: &str| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(deprecated_settings(get).count(), deprecated, "{settings:?}");
        }
        let first = deprecated_settings(|_| Some("1".to_owned())).next().map(|setting| setting.to_string());
        let expected = "TOLLGATE_EDGE_SOFT_MS is deprecated: use TOLLGATE_EDGE_REFRESH_AFTER_MS instead";
        assert_eq!(first.as_deref(), Some(expected));
    }

    #[test]
    fn spin_urls_have_their_path_in_a_separate_variable() {
        let name = "TOLLGATE_EDGE_ORIGIN";
        for (url, path, whole) in [
            ("https://auth.example", "", "https://auth.example"),
            ("https://auth.example/", "/", "https://auth.example"),
            ("https://auth.example:8443", "/shop", "https://auth.example:8443/shop"),
            ("https://auth.example", "shop/eu/", "https://auth.example/shop/eu"),
        ] {
            assert_eq!(with_path(name, url, path).as_deref(), Ok(whole));
            if !path.trim_matches('/').is_empty() {
                let error = with_path(name, whole, "").expect_err("a path").to_string();
                assert!(error.starts_with(name) && error.contains("TOLLGATE_EDGE_ORIGIN_PATH"), "{error}");
            }
        }
        assert_eq!(split_path("http://[::1]:80/shop"), Some(("http://[::1]:80", "/shop")));
        assert_eq!(split_path("http://[::1]:80/"), None);
    }
}
