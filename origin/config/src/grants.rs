//! The settings of tokens, grants, client registration and trusted proxies.

use tollgate_model::{ClientProfile, HttpRedirects, Malformed, RefreshTokenPolicy, Verifier};

use super::checks::checked_flag;
use super::network::Network;
use super::setting::Setting;
use super::sources::{SettingError, Sources};

const DAY: u64 = 24 * 60 * 60;
/// Seconds. RFC 9700 §4.14.2 wants reuse detected; a client repeats a request at once if the
/// response is lost.
const MAX_REUSE_GRACE: u64 = 60;
/// Seconds.
const MAX_LIFETIME: u64 = 366 * DAY;

/// Schemes of widespread programs that register themselves.
const DEFAULT_SCHEMES: &str = "cursor, vscode, vscode-insiders, claude";
const MAX_SCHEMES: usize = 32;

pub(super) const SETTINGS: [Setting; 13] = [
    Setting::new("TOLLGATE_AUDIENCE", "audience", "Audience of tokens of clients without a registered audience")
        .allowed_values("1 to 255 characters without spaces", "https://api.example")
        .default_description("the public URL"),
    Setting::new(
        "TOLLGATE_VERIFIER",
        "verifier",
        "What verifies the tokens of the default audience: read at the first start on a new database",
    )
    .allowed_values("edge, generic, spring, node, python or dotnet", "generic")
    .default_description("none: as edges verify them fastest"),
    Setting::new("TOLLGATE_TOKEN_LIFETIME", "token-lifetime", "Lifetime of access tokens")
        .allowed_values("seconds, 10 to 86400", "600")
        .default("3600"),
    Setting::new(
        "TOLLGATE_STATUS_LIST",
        "status-list",
        "Whether access tokens name their status list entry (status claim)",
    )
    .allowed_values("true or false", "false")
    .default("true"),
    Setting::new(
        "TOLLGATE_REFRESH_REUSE_GRACE",
        "refresh-reuse-grace",
        "Reuse grace: how long a used refresh token returns the same successor again",
    )
    .allowed_values("seconds, 0 to 60", "5")
    .default("10")
    .formerly("TOLLGATE_REFRESH_GRACE", "refresh-grace"),
    Setting::new(
        "TOLLGATE_REFRESH_IDLE_TIMEOUT",
        "refresh-idle-timeout",
        "How long until an unused refresh token expires",
    )
    .allowed_values("seconds, 60 to a year", "86400")
    .default("1209600")
    .formerly("TOLLGATE_REFRESH_IDLE", "refresh-idle"),
    Setting::new(
        "TOLLGATE_REFRESH_LIFETIME",
        "refresh-lifetime",
        "How long until a grant ends and the user is asked again, however often it was refreshed",
    )
    .allowed_values("seconds, 60 to a year", "2592000")
    .default("7776000"),
    Setting::new(
        "TOLLGATE_DPOP_NONCE_REQUIRED",
        "dpop-nonce-required",
        "Whether DPoP proofs must carry a nonce of the origin",
    )
    .allowed_values("true or false", "true")
    .default("false")
    .formerly("TOLLGATE_DPOP_NONCE", "dpop-nonce"),
    Setting::new("TOLLGATE_REGISTRATION", "registration", "Who can register clients dynamically (RFC 7591)")
        .allowed_values("off, open, or token for holders of a token with the scope tollgate:register", "token")
        .default("off"),
    Setting::new(
        "TOLLGATE_REGISTRATION_SCHEMES",
        "registration-schemes",
        "Schemes of redirect URIs that clients may register without a domain name in them",
    )
    .allowed_values("schemes, comma-separated", "cursor, vscode")
    .default(DEFAULT_SCHEMES),
    Setting::new(
        "TOLLGATE_ALLOW_HTTP_REDIRECTS",
        "allow-http-redirects",
        "Whether http redirect URIs may lead to other hosts than the user's own; for development only",
    )
    .allowed_values("true or false", "true")
    .default("false"),
    Setting::new("TOLLGATE_PROFILE", "profile", "Security profile that every client must keep")
        .allowed_values("fapi2 for the FAPI 2.0 Security Profile", "fapi2")
        .default_description("none: each client has its own"),
    Setting::new(
        "TOLLGATE_LEGACY_GRANTS",
        "legacy-grants",
        "Grants for the migration of old applications, which RFC 9700 forbids; clients also need the registration",
    )
    .allowed_values("off, password, implicit for implicit and hybrid response types, or both with a comma", "password")
    .default("off"),
];

/// The settings of tokens and grants.
#[derive(Debug, Clone)]
pub struct GrantSettings {
    pub refresh: RefreshTokenPolicy,
    /// Whether a DPoP proof must carry a nonce of this origin (RFC 9449 §8).
    pub dpop_nonce_required: bool,
    pub registration: RegistrationMode,
    /// Private-use schemes of redirect URIs that clients may register although they contain no
    /// domain name (RFC 8252 §7.1).
    pub registration_schemes: Vec<String>,
    /// Where `http` redirect URIs may lead.
    pub http_redirects: HttpRedirects,
    /// Security profile of all clients.
    pub profile: Option<ClientProfile>,
    /// What is offered for the migration of old applications.
    pub legacy: LegacyGrants,
    /// Proxies whose forwarding and certificate headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// The header in which they forward client certificates.
    pub certificate_header: Option<String>,
}

/// What RFC 9700 advises against, for the migration of old applications. A client needs the
/// registration for it as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LegacyGrants {
    /// The resource owner password credentials grant (RFC 6749 §4.3).
    pub has_password_grant: bool,
    /// Response types with tokens: implicit and hybrid (OpenID Connect Core §3.2 and §3.3).
    pub has_front_channel_tokens: bool,
}

/// Who can register clients dynamically (RFC 7591).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RegistrationMode {
    #[default]
    Off,
    /// Anyone.
    Open,
    /// Holders of an initial access token (RFC 7591 §3): an access token for this origin with the
    /// scope `tollgate:register`.
    Token,
}

impl GrantSettings {
    pub(super) fn from_sources(sources: &Sources) -> Result<GrantSettings, SettingError> {
        let seconds = |name, min, max, default| {
            let parse = |text: &str| {
                let seconds = text.parse().ok().filter(|seconds| (min..=max).contains(seconds));
                seconds.ok_or_else(|| format!("must be seconds, {min} to {max}"))
            };
            sources.parse(name, parse).map(|seconds| seconds.unwrap_or(default))
        };
        let settings = GrantSettings {
            refresh: RefreshTokenPolicy {
                reuse_grace: seconds("TOLLGATE_REFRESH_REUSE_GRACE", 0, MAX_REUSE_GRACE, 10)?,
                idle_timeout: seconds("TOLLGATE_REFRESH_IDLE_TIMEOUT", 60, MAX_LIFETIME, 14 * DAY)?,
                lifetime: seconds("TOLLGATE_REFRESH_LIFETIME", 60, MAX_LIFETIME, 90 * DAY)?,
            },
            dpop_nonce_required: sources.parse("TOLLGATE_DPOP_NONCE_REQUIRED", checked_flag)?.unwrap_or(false),
            registration: sources.parse("TOLLGATE_REGISTRATION", checked_registration_mode)?.unwrap_or_default(),
            registration_schemes: match sources.parse("TOLLGATE_REGISTRATION_SCHEMES", checked_schemes)? {
                Some(schemes) => schemes,
                None => DEFAULT_SCHEMES.split(", ").map(str::to_owned).collect(),
            },
            http_redirects: match sources.parse("TOLLGATE_ALLOW_HTTP_REDIRECTS", checked_flag)? {
                Some(true) => HttpRedirects::AnyHost,
                _ => HttpRedirects::LoopbackOnly,
            },
            profile: sources.parse("TOLLGATE_PROFILE", |text| text.parse::<ClientProfile>())?,
            legacy: sources.parse("TOLLGATE_LEGACY_GRANTS", checked_legacy_grants)?.unwrap_or_default(),
            trusted_proxies: sources.parse("TOLLGATE_TRUSTED_PROXIES", checked_networks)?.unwrap_or_default(),
            certificate_header: sources.parse("TOLLGATE_CLIENT_CERTIFICATE_HEADER", checked_header)?,
        };
        if settings.certificate_header.is_some() && settings.trusted_proxies.is_empty() {
            let problem = "needs TOLLGATE_TRUSTED_PROXIES: anyone can send a header".to_owned();
            return Err(sources.error("TOLLGATE_CLIENT_CERTIFICATE_HEADER", problem));
        }
        settings.check_profile(sources)?;
        Ok(settings)
    }

    /// Checks that the profile allows the algorithm that this verifier needs.
    pub(super) fn check_verifier(&self, verifier: Option<Verifier>, sources: &Sources) -> Result<(), SettingError> {
        match (self.profile, verifier) {
            (Some(ClientProfile::Fapi2), Some(verifier)) if verifier != Verifier::Edge => {
                let problem = "its tokens have RS256, FAPI 2.0 allows ES256 and EdDSA; set it to edge";
                Err(contradiction(sources, "TOLLGATE_VERIFIER", problem))
            }
            _ => Ok(()),
        }
    }

    /// Checks that no other setting allows what the profile forbids.
    fn check_profile(&self, sources: &Sources) -> Result<(), SettingError> {
        if self.profile != Some(ClientProfile::Fapi2) {
            return Ok(());
        }
        if self.legacy != LegacyGrants::default() {
            let problem =
                "FAPI 2.0 allows neither the password grant nor tokens in authorization responses; set it to off";
            return Err(contradiction(sources, "TOLLGATE_LEGACY_GRANTS", problem));
        }
        if self.http_redirects == HttpRedirects::AnyHost {
            let problem = "FAPI 2.0 allows http redirect URIs on the user's own machine only; set it to false";
            return Err(contradiction(sources, "TOLLGATE_ALLOW_HTTP_REDIRECTS", problem));
        }
        Ok(())
    }
}

/// The error of a setting that allows what the profile forbids.
fn contradiction(sources: &Sources, name: &'static str, problem: &str) -> SettingError {
    sources.error(name, format!("contradicts TOLLGATE_PROFILE=fapi2: {problem}"))
}

/// Schemes as in RFC 3986 §3.1, in lower case.
fn checked_schemes(text: &str) -> Result<Vec<String>, String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let is_scheme =
        |scheme: &&str| scheme.starts_with(|char: char| char.is_ascii_lowercase()) && scheme.bytes().all(is_plain);
    let schemes: Vec<&str> = text.split(',').map(str::trim).filter(|scheme| !scheme.is_empty()).collect();
    match schemes.len() <= MAX_SCHEMES && schemes.iter().all(is_scheme) {
        true => Ok(schemes.into_iter().map(str::to_owned).collect()),
        false => Err("must be at most 32 schemes in lower case, such as cursor, separated by commas".to_owned()),
    }
}

fn checked_registration_mode(text: &str) -> Result<RegistrationMode, &'static str> {
    match text {
        "off" => Ok(RegistrationMode::Off),
        "open" => Ok(RegistrationMode::Open),
        "token" => Ok(RegistrationMode::Token),
        _ => Err("must be off, open or token"),
    }
}

fn checked_legacy_grants(text: &str) -> Result<LegacyGrants, &'static str> {
    let mut legacy = LegacyGrants::default();
    if text == "off" {
        return Ok(legacy);
    }
    for name in text.split(',') {
        match name.trim() {
            "password" => legacy.has_password_grant = true,
            "implicit" => legacy.has_front_channel_tokens = true,
            _ => return Err("must be off, password, implicit, or password,implicit"),
        }
    }
    Ok(legacy)
}

fn checked_networks(text: &str) -> Result<Vec<Network>, Malformed> {
    text.split(',').map(|network| network.trim().parse()).collect()
}

fn checked_header(text: &str) -> Result<String, &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if text.bytes().all(allowed) { Ok(text.to_ascii_lowercase()) } else { Err("must be a header name") }
}

#[cfg(test)]
mod tests {
    #[test]
    fn certificate_header_needs_trusted_proxies() {
        let from = |pairs: &[(&str, &str)]| super::super::Settings::from_pairs(pairs.iter().copied());
        assert!(from(&[("TOLLGATE_CLIENT_CERTIFICATE_HEADER", "Client-Cert")]).is_err());
        let both =
            [("TOLLGATE_CLIENT_CERTIFICATE_HEADER", "Client-Cert"), ("TOLLGATE_TRUSTED_PROXIES", "10.0.0.0/8, ::1")];
        let settings = from(&both).expect("good").grants;
        assert_eq!((settings.certificate_header.as_deref(), settings.trusted_proxies.len()), (Some("client-cert"), 2));
        for (name, value) in
            [("TOLLGATE_REFRESH_REUSE_GRACE", "61"), ("TOLLGATE_REGISTRATION", "yes"), ("TOLLGATE_LEGACY_GRANTS", "on")]
        {
            assert!(from(&[(name, value)]).is_err(), "{name}");
        }
    }

    #[test]
    fn profile_and_settings_that_contradict_it_stop_the_start() {
        let from = |pairs: &[(&str, &str)]| super::super::Settings::from_pairs(pairs.iter().copied());
        let profile = ("TOLLGATE_PROFILE", "fapi2");
        assert_eq!(from(&[profile]).expect("good").grants.profile, Some(tollgate_model::ClientProfile::Fapi2));
        assert_eq!(from(&[]).expect("good").grants.profile, None);
        assert!(from(&[("TOLLGATE_PROFILE", "fapi1")]).is_err());
        for (name, value) in [
            ("TOLLGATE_LEGACY_GRANTS", "password"),
            ("TOLLGATE_LEGACY_GRANTS", "implicit"),
            ("TOLLGATE_ALLOW_HTTP_REDIRECTS", "true"),
            ("TOLLGATE_VERIFIER", "generic"),
        ] {
            let error = from(&[profile, (name, value)]).expect_err(value).to_string();
            assert!(error.starts_with(name) && error.contains("contradicts TOLLGATE_PROFILE=fapi2"), "{error}");
            assert!(from(&[(name, value)]).is_ok());
        }
        assert!(from(&[profile, ("TOLLGATE_VERIFIER", "edge")]).is_ok());
    }
}
