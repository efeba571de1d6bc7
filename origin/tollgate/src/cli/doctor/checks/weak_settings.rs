//! Settings that work and make the deployment less safe than the defaults.

use std::net::IpAddr;

use reqwest::Url;
use tollgate_config::{RegistrationMode, Settings};
use tollgate_model::HashCost;
use tollgate_model::rate_limit::Limit;

use super::{Deployment, Finding};

/// Seconds. Status lists and edges refuse a revoked token at once; resource servers that verify by
/// themselves accept it until it expires.
const LONG_TOKEN_LIFETIME: u64 = 4 * 60 * 60;

pub(super) fn check(deployment: &Deployment) -> Vec<Finding> {
    let settings = &deployment.settings;
    let findings = [
        plain_http(&deployment.issuer),
        plain_database(settings),
        plain_redis(settings),
        limits_off(settings),
        cheap_hashes(settings),
        open_registration(settings),
        legacy_grants(settings),
        everyone_trusted(settings),
        long_tokens(settings),
        public_metrics(settings),
    ];
    Finding::or_ok(findings.into_iter().flatten().collect(), "no setting is weaker than its default")
}

fn plain_http(issuer: &str) -> Option<Finding> {
    let is_weak = issuer.starts_with("http://") && !is_local(issuer);
    is_weak.then(|| {
        Finding::fault(
            format!("the public URL {issuer} is plain http"),
            "Anyone on the way reads passwords, client secrets and tokens.",
            "Serve HTTPS (TOLLGATE_TLS_CERTIFICATE) or put a proxy with TLS in front, and set TOLLGATE_PUBLIC_URL to https://….",
        )
    })
}

fn plain_database(settings: &Settings) -> Option<Finding> {
    let url = &settings.database_url;
    let is_verified = ["sslmode=verify-full", "sslmode=verify-ca"].iter().any(|mode| url.contains(mode));
    let is_weak = !url.starts_with("sqlite:") && !is_verified && !is_local(url);
    is_weak.then(|| {
        Finding::warning(
            "the connection to PostgreSQL does not verify the server's certificate",
            "Someone in the network can pretend to be the database, and read what is sent to it.",
            "Add ?sslmode=verify-full to TOLLGATE_DATABASE_URL, unless the network is private.",
        )
    })
}

fn plain_redis(settings: &Settings) -> Option<Finding> {
    let is_weak = settings.redis_url.as_ref().is_some_and(|url| url.starts_with("redis://") && !is_local(url));
    is_weak.then(|| {
        Finding::warning(
            "the connection to Redis is not encrypted",
            "Someone in the network can read its password and reset rate limits.",
            "Use rediss:// in TOLLGATE_REDIS_URL, unless the network is private.",
        )
    })
}

fn limits_off(settings: &Settings) -> Option<Finding> {
    let off: Vec<&str> =
        Limit::ALL.into_iter().filter(|limit| settings.limits.rule(*limit).is_none()).map(Limit::as_str).collect();
    (!off.is_empty()).then(|| {
        Finding::warning(
            format!("rate limits are off: {}", off.join(", ")),
            "One sender can use up all capacity, or guess passwords as fast as they are checked.",
            "Remove TOLLGATE_LIMITS=off or the limit that is set to off, unless something in front limits requests.",
        )
    })
}

fn cheap_hashes(settings: &Settings) -> Option<Finding> {
    let (cost, recommended) = (settings.hashing.cost, HashCost::default());
    let is_weak = cost.memory() < recommended.memory() || cost.iterations() < recommended.iterations();
    is_weak.then(|| {
        Finding::warning(
            format!("password hashes take {} KiB and {} iterations", cost.memory(), cost.iterations()),
            "Passwords of a stolen database are guessed faster than with the default (OWASP's first recommendation).",
            "Raise TOLLGATE_HASH_MEMORY to 19456 and TOLLGATE_HASH_ITERATIONS to 2, or remove them.",
        )
    })
}

fn open_registration(settings: &Settings) -> Option<Finding> {
    (settings.grants.registration == RegistrationMode::Open).then(|| {
        Finding::warning(
            "anyone can register clients (TOLLGATE_REGISTRATION=open)",
            "Users can be sent to the sign-in page by applications that no operator knows.",
            "Set it to token, or to off, unless applications such as MCP clients must register by themselves.",
        )
    })
}

fn legacy_grants(settings: &Settings) -> Option<Finding> {
    let legacy = settings.grants.legacy;
    (legacy.has_password_grant || legacy.has_front_channel_tokens).then(|| {
        Finding::warning(
            "grants that RFC 9700 advises against are on (TOLLGATE_LEGACY_GRANTS)",
            "Applications see passwords, or tokens pass through browsers.",
            "Move the applications to the authorization code grant with PKCE, then remove the setting.",
        )
    })
}

fn everyone_trusted(settings: &Settings) -> Option<Finding> {
    let outside: [IpAddr; 2] = [[192, 0, 2, 77].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77].into()];
    let wide = settings.grants.trusted_proxies.iter().find(|network| outside.iter().any(|one| network.contains(*one)));
    wide.map(|network| {
        Finding::fault(
            format!("TOLLGATE_TRUSTED_PROXIES contains {network}, which includes addresses of the Internet"),
            "Clients choose the address by which they are limited and audited, and can present any client certificate.",
            "Name the addresses of your own proxies only.",
        )
    })
}

fn long_tokens(settings: &Settings) -> Option<Finding> {
    (settings.token_lifetime > LONG_TOKEN_LIFETIME).then(|| {
        Finding::warning(
            format!("access tokens live {} s", settings.token_lifetime),
            "A resource server that uses neither an edge, introspection nor status lists accepts a revoked token until then.",
            "Lower TOLLGATE_TOKEN_LIFETIME; clients with refresh tokens do not notice.",
        )
    })
}

fn public_metrics(settings: &Settings) -> Option<Finding> {
    settings.telemetry.metrics_public.then(|| {
        Finding::warning(
            "/metrics is served to clients (TOLLGATE_METRICS_PUBLIC)",
            "Anyone sees request rates, refusals and the names of edges.",
            "Use TOLLGATE_METRICS_LISTEN with an address of a private network.",
        )
    })
}

/// Whether a URL leads to this machine. A PostgreSQL URL without a host uses a local socket.
fn is_local(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    is_loopback || matches!(host, "" | "localhost") || host.ends_with(".localhost") || host.starts_with("%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_urls_are_recognized() {
        for url in
            ["http://127.0.0.1:8080", "http://[::1]", "http://localhost:1", "postgres:///tollgate", "redis://localhost"]
        {
            assert!(is_local(url), "{url}");
        }
        for url in ["http://10.0.0.1", "postgres://u:p@db/tollgate", "redis://redis:6379", "nonsense"] {
            assert!(!is_local(url), "{url}");
        }
    }
}
