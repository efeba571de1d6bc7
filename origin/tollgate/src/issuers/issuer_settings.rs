//! Settings of registered issuers: those of the default issuer with another URL, database and
//! audience.

use anyhow::{Context as _, bail};
use tollgate_config::Settings;
use tollgate_keys::KeyRing;
use tollgate_model::{Audience, Issuer, IssuerName, IssuerUrl};

/// The settings of a registered issuer. `keys` are those of the default issuer.
///
/// # Errors
/// When the database URL cannot be decrypted.
pub fn issuer_settings(default: &Settings, keys: &KeyRing, issuer: &Issuer) -> anyhow::Result<Settings> {
    let database_url = match &issuer.sealed_database {
        Some(sealed) => {
            let opened = keys.open_secret(sealed, &Issuer::secret_context(&issuer.name));
            opened.with_context(|| format!("cannot decrypt the database URL of issuer {}", issuer.name))?.to_string()
        }
        None => derived_database_url(&default.database_url, &issuer.name),
    };
    Ok(Settings { public_url: Some(issuer.url.to_string()), database_url, audience: None, ..default.clone() })
}

/// The audience of tokens for clients without registered audiences: the setting, otherwise the
/// issuer.
///
/// # Errors
/// When the issuer is too long for an audience.
pub fn default_audience(settings: &Settings, issuer: &str) -> anyhow::Result<Audience> {
    match &settings.audience {
        Some(audience) => Ok(audience.clone()),
        None => issuer.parse().context("TOLLGATE_PUBLIC_URL: cannot be used as the default audience"),
    }
}

/// Checks that neither name nor URL of a new issuer is in use.
///
/// # Errors
/// When another issuer has the name or the URL.
pub fn check_is_new(default: &str, others: &[Issuer], name: &IssuerName, url: &IssuerUrl) -> anyhow::Result<()> {
    if url.as_str() == default {
        bail!("{url} is the default issuer");
    }
    if let Some(other) = others.iter().find(|other| other.url == *url || other.name == *name) {
        bail!("issuer {} at {} exists already", other.name, other.url);
    }
    Ok(())
}

/// The default database URL of a registered issuer: a SQLite file in the same folder, named
/// `tollgate.NAME.db` for `tollgate.db`; or a schema of the same PostgreSQL database.
fn derived_database_url(default: &str, name: &IssuerName) -> String {
    let (base, options) = default.split_once('?').map_or((default, None), |(base, options)| (base, Some(options)));
    if !default.starts_with("sqlite:") {
        let schema = name.as_str().replace('-', "_");
        let prefix = options.map(|options| format!("{options}&")).unwrap_or_default();
        return format!("{base}?{prefix}options[search_path]=tollgate_{schema}");
    }
    let (folder, file) = base.rsplit_once('/').map_or(("", base), |(folder, file)| (folder, file));
    let file = match file.rsplit_once('.') {
        Some((stem, ending)) => format!("{stem}.{name}.{ending}"),
        None => format!("{file}.{name}"),
    };
    let suffix = options.map(|options| format!("?{options}")).unwrap_or_default();
    format!("{folder}/{file}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_url_is_derived_from_the_default() {
        let name: IssuerName = "two-b".parse().expect("a name");
        for (default, other) in [
            ("sqlite://tollgate.db", "sqlite://tollgate.two-b.db"),
            ("sqlite:///var/lib/tollgate/origin", "sqlite:///var/lib/tollgate/origin.two-b"),
            ("sqlite://a.b/c.db?cache=private", "sqlite://a.b/c.two-b.db?cache=private"),
            ("postgres://u@h/db", "postgres://u@h/db?options[search_path]=tollgate_two_b"),
            ("postgres://h/db?sslmode=require", "postgres://h/db?sslmode=require&options[search_path]=tollgate_two_b"),
        ] {
            assert_eq!(derived_database_url(default, &name), other);
        }
    }
}
