//! An edge's settings, from whatever the platform keeps them in: environment, Worker vars, Spin variables.

use std::fmt;

use base64_simd::URL_SAFE_NO_PAD;
use tollgate_core::{EdgeKey, KeySet, MAX_LEEWAY_SECONDS, TableSize};

use crate::headers::TRUSTED_PROXIES;

/// What an edge must be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The origin's address without a trailing slash.
    pub origin: String,
    /// The address that allowed requests go to, without a trailing slash.
    pub upstream: String,
    /// `iss` of the tokens; the origin's address unless told otherwise.
    pub issuer: String,
    /// `aud` of the tokens; the snapshot's unless told otherwise.
    pub audience: Option<String>,
    /// The origin's snapshot keys, Ed25519; two while one replaces the other.
    pub snapshot_keys: Vec<[u8; 32]>,
    /// HS256 keys of this edge's audience; a snapshot holds no secrets.
    pub secret_keys: KeySet,
    /// Seconds that the clocks of issuer and edge may be apart when dates of tokens are judged, 0 to 60.
    pub leeway: u64,
    /// Milliseconds that the upstream may take to begin its answer.
    pub upstream_timeout_ms: u64,
    /// Milliseconds after which what is known is refreshed in the background.
    pub soft_ms: u64,
    /// Milliseconds after which a request waits for a refresh: the bound that is promised for a revocation to take effect.
    pub hard_ms: u64,
    /// Whether tokens of plain type `JWT` are taken for access tokens.
    pub plain_jwt: bool,
    /// Tokens that are remembered after a full check, so that the next one is short; 0 for none.
    pub cached_tokens: usize,
    /// Which edge it says and proves to be, so that the origin shows how far it has come.
    pub edge: Option<EdgeIdentity>,
    /// Memory that an Ed25519 or P-256 key in frequent use may take to be checked faster.
    pub key_tables: TableSize,
}

/// A registered edge's name and key, as `tollgate edge add` gave them.
#[derive(Debug, Clone)]
pub struct EdgeIdentity {
    /// The name that it was registered by.
    pub name: String,
    /// The registration's number: one that is removed and added again has another key.
    pub number: u64,
    /// What it proves its name with.
    pub key: EdgeKey,
}

/// The most tokens that an edge remembers: with the longest that are remembered, half a gigabyte.
const MAX_CACHED_TOKENS: u64 = 65_536;

const EDGE_KEY: &str = "TOLLGATE_EDGE_KEY";

/// The names of all settings that [`Settings::from_lookup`] asks for, with what they mean.
pub const SETTINGS: [(&str, &str); 15] = [
    ("TOLLGATE_EDGE_ORIGIN", "the origin's address, e.g. https://auth.example"),
    ("TOLLGATE_EDGE_UPSTREAM", "where allowed requests go, e.g. http://127.0.0.1:5000"),
    (
        "TOLLGATE_EDGE_SNAPSHOT_KEY",
        "the origin's snapshot key (`tollgate key snapshot`); two, comma separated, while it rotates",
    ),
    ("TOLLGATE_EDGE_ISSUER", "iss of the tokens [default: the origin's address]"),
    ("TOLLGATE_EDGE_AUDIENCE", "aud of the tokens [default: the one in the origin's snapshot]"),
    ("TOLLGATE_EDGE_SECRET_KEYS", "JWK set of oct keys for HS256 (`tollgate key audience`)"),
    ("TOLLGATE_EDGE_LEEWAY_SECONDS", "how far clocks may be apart, 0 to 60 [default: 30]"),
    ("TOLLGATE_EDGE_SOFT_MS", "age at which knowledge is refreshed in the background [default: 250]"),
    ("TOLLGATE_EDGE_HARD_MS", "age at which a request waits for a refresh, the promised bound [default: 1000]"),
    (
        "TOLLGATE_EDGE_UPSTREAM_TIMEOUT",
        "seconds that the upstream may take to begin its answer, 1 to 3600 [default: 60]",
    ),
    ("TOLLGATE_EDGE_ALLOW_PLAIN_JWT", "take tokens of type JWT for access tokens: true or false [default: false]"),
    ("TOLLGATE_EDGE_CACHED_TOKENS", "tokens remembered after a full check, 0 to 65536 [default: 1024]"),
    ("TOLLGATE_EDGE_KEY_TABLES", "tables for keys in frequent use: none, small or large [default: small]"),
    (EDGE_KEY, "key by which the edge proves its name to the origin (`tollgate edge add`) [default: none]"),
    (
        TRUSTED_PROXIES,
        "proxies in front of the edge that may say where a request came from: addresses or ranges [default: none]",
    ),
];

impl Settings {
    /// Reads the settings through `get`, which gives the value of a name. An empty value counts as unset.
    ///
    /// # Errors
    /// The first setting that is missing or cannot be used, by name.
    pub fn from_lookup(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let get = |name: &'static str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let required = |name| get(name).ok_or(SettingError { name, problem: "is not set".into() });
        let origin = address("TOLLGATE_EDGE_ORIGIN", &required("TOLLGATE_EDGE_ORIGIN")?)?;
        let soft_ms = number("TOLLGATE_EDGE_SOFT_MS", get("TOLLGATE_EDGE_SOFT_MS"), 250, 10..=3_600_000)?;
        let hard_ms = number("TOLLGATE_EDGE_HARD_MS", get("TOLLGATE_EDGE_HARD_MS"), 1000, 50..=86_400_000)?;
        if soft_ms > hard_ms {
            return Err(SettingError {
                name: "TOLLGATE_EDGE_SOFT_MS",
                problem: "must not be above TOLLGATE_EDGE_HARD_MS".into(),
            });
        }
        let upstream_timeout =
            number("TOLLGATE_EDGE_UPSTREAM_TIMEOUT", get("TOLLGATE_EDGE_UPSTREAM_TIMEOUT"), 60, 1..=3600)?;
        Ok(Self {
            upstream_timeout_ms: upstream_timeout * 1000,
            upstream: address("TOLLGATE_EDGE_UPSTREAM", &required("TOLLGATE_EDGE_UPSTREAM")?)?,
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
            plain_jwt: flag("TOLLGATE_EDGE_ALLOW_PLAIN_JWT", get("TOLLGATE_EDGE_ALLOW_PLAIN_JWT").as_deref())?,
            cached_tokens: number(
                "TOLLGATE_EDGE_CACHED_TOKENS",
                get("TOLLGATE_EDGE_CACHED_TOKENS"),
                1024,
                0..=MAX_CACHED_TOKENS,
            )? as usize,
            edge: get(EDGE_KEY).as_deref().map(edge_identity).transpose()?,
            key_tables: key_tables(get("TOLLGATE_EDGE_KEY_TABLES").as_deref())?,
            origin,
            soft_ms,
            hard_ms,
        })
    }
}

/// A setting that cannot be used, in one line that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// The setting's name.
    pub name: &'static str,
    /// What is wrong, as the rest of a sentence that begins with the name.
    pub problem: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.problem)
    }
}

impl std::error::Error for SettingError {}

/// An http or https address with nothing after the path, which may be empty.
fn address(name: &'static str, value: &str) -> Result<String, SettingError> {
    let rest = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
    let usable = rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && !rest.contains(|c: char| c.is_whitespace() || c.is_control() || "?#@\\".contains(c))
    });
    if usable {
        Ok(value.trim_end_matches('/').to_owned())
    } else {
        Err(SettingError { name, problem: format!("must be an address such as https://auth.example, not {value:?}") })
    }
}

/// An address whose path is told apart from it, as in Spin, which allows no path in `allowed_outbound_hosts`.
///
/// # Errors
/// When the address has a path itself: Spin would not let the component call it.
pub fn with_path(name: &'static str, address: &str, path: &str) -> Result<String, SettingError> {
    let (address, path) = (address.trim().trim_end_matches('/'), path.trim().trim_matches('/'));
    if let Some((_, own)) = split_path(address) {
        let problem =
            format!("must have no path in Spin, which then allows no calls at all: set {name}_PATH to {own:?}");
        return Err(SettingError { name, problem });
    }
    Ok(if path.is_empty() { address.to_owned() } else { format!("{address}/{path}") })
}

/// Scheme, host and port of an address, and the path behind them, if there is one.
pub fn split_path(address: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = address.split_once(':')?;
    let host = rest.strip_prefix("//")?;
    let path = scheme.len() + "://".len() + host.find('/')?;
    Some(address.split_at(path)).filter(|(_, path)| *path != "/")
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

fn edge_identity(value: &str) -> Result<EdgeIdentity, SettingError> {
    let read = || {
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
    // The value is a secret: the error must not show it.
    read().ok_or(SettingError {
        name: EDGE_KEY,
        problem: "must be NAME:NUMBER:SECRET, as `tollgate edge add` prints".into(),
    })
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
    fn defaults_are_there() {
        let settings = read(&[]).expect("good settings");
        assert_eq!(
            (settings.origin.as_str(), settings.issuer.as_str()),
            ("https://auth.example", "https://auth.example")
        );
        assert_eq!((settings.leeway, settings.soft_ms, settings.hard_ms, settings.plain_jwt), (30, 250, 1000, false));
    }

    #[test]
    fn a_bad_setting_is_named() {
        let two = format!("{KEY}, {KEY}");
        assert_eq!(read(&[("TOLLGATE_EDGE_SNAPSHOT_KEY", &two)]).map(|settings| settings.snapshot_keys.len()), Ok(2));
        for (name, value) in [
            ("TOLLGATE_EDGE_ORIGIN", ""),
            ("TOLLGATE_EDGE_ORIGIN", "auth.example"),
            ("TOLLGATE_EDGE_ORIGIN", "https://a b"),
            ("TOLLGATE_EDGE_UPSTREAM", "ftp://x"),
            ("TOLLGATE_EDGE_UPSTREAM", "http://x?y"),
            ("TOLLGATE_EDGE_UPSTREAM", "http:///x"),
            ("TOLLGATE_EDGE_SNAPSHOT_KEY", "abc"),
            ("TOLLGATE_EDGE_SNAPSHOT_KEY", ","),
            ("TOLLGATE_EDGE_SECRET_KEYS", "{}"),
            ("TOLLGATE_EDGE_LEEWAY_SECONDS", "61"),
            ("TOLLGATE_EDGE_LEEWAY_SECONDS", "-1"),
            ("TOLLGATE_EDGE_SOFT_MS", "2000"),
            ("TOLLGATE_EDGE_HARD_MS", "soon"),
            ("TOLLGATE_EDGE_UPSTREAM_TIMEOUT", "0"),
            ("TOLLGATE_EDGE_ALLOW_PLAIN_JWT", "yes"),
            ("TOLLGATE_EDGE_CACHED_TOKENS", "65537"),
            ("TOLLGATE_EDGE_KEY_TABLES", "huge"),
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
    fn an_address_for_spin_has_its_path_apart() {
        let name = "TOLLGATE_EDGE_ORIGIN";
        for (address, path, whole) in [
            ("https://auth.example", "", "https://auth.example"),
            ("https://auth.example/", "/", "https://auth.example"),
            ("https://auth.example:8443", "/shop", "https://auth.example:8443/shop"),
            ("https://auth.example", "shop/eu/", "https://auth.example/shop/eu"),
        ] {
            assert_eq!(with_path(name, address, path).as_deref(), Ok(whole));
            if !path.trim_matches('/').is_empty() {
                let error = with_path(name, whole, "").expect_err("a path").to_string();
                assert!(error.starts_with(name) && error.contains("TOLLGATE_EDGE_ORIGIN_PATH"), "{error}");
            }
        }
        assert_eq!(split_path("http://[::1]:80/shop"), Some(("http://[::1]:80", "/shop")));
        assert_eq!(split_path("http://[::1]:80/"), None);
    }
}
