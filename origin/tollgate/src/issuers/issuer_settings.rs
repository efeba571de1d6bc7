//! Where the database of a registered issuer is: one of its own, beside the default issuer's.

use anyhow::{Context as _, bail};
use tollgate_config::Settings;
use tollgate_keys::KeyRing;
use tollgate_model::{Audience, Issuer, IssuerName, IssuerUrl};

/// The settings with which a registered issuer is served or worked on: the default issuer's, but
/// for URL, database and audience. `keys` are the default issuer's.
///
/// # Errors
/// When its database's URL cannot be decrypted.
pub fn issuer_settings(default: &Settings, keys: &KeyRing, issuer: &Issuer) -> anyhow::Result<Settings> {
    let database_url = match &issuer.sealed_database {
        Some(sealed) => {
            let opened = keys.open_secret(sealed, &Issuer::secret_context(&issuer.name));
            opened.with_context(|| format!("the database URL of the issuer {}", issuer.name))?.to_string()
        }
        None => beside(&default.database_url, &issuer.name),
    };
    Ok(Settings { public_url: Some(issuer.url.to_string()), database_url, audience: None, ..default.clone() })
}

/// The audience of tokens of clients that have none of their own: the setting, else the issuer.
///
/// # Errors
/// When the issuer is too long to be an audience.
pub fn default_audience(settings: &Settings, issuer: &str) -> anyhow::Result<Audience> {
    match &settings.audience {
        Some(audience) => Ok(audience.clone()),
        None => issuer.parse().context("TOLLGATE_PUBLIC_URL: cannot be the default audience"),
    }
}

/// Whether another issuer may have this URL.
///
/// # Errors
/// When it is the default issuer's, or another's.
pub fn check_is_new(default: &str, others: &[Issuer], name: &IssuerName, url: &IssuerUrl) -> anyhow::Result<()> {
    if url.as_str() == default {
        bail!("{url} is the default issuer");
    }
    if let Some(other) = others.iter().find(|other| other.url == *url || other.name == *name) {
        bail!("there is an issuer {} at {} already", other.name, other.url);
    }
    Ok(())
}

/// The database of this name: a SQLite file beside the default issuer's, `tollgate.NAME.db` beside
/// `tollgate.db`; or a schema of the same PostgreSQL database.
fn beside(default: &str, name: &IssuerName) -> String {
    let (base, options) = default.split_once('?').map_or((default, None), |(base, options)| (base, Some(options)));
    if !default.starts_with("sqlite:") {
        let schema = name.as_str().replace('-', "_");
        let before = options.map(|options| format!("{options}&")).unwrap_or_default();
        return format!("{base}?{before}options[search_path]=tollgate_{schema}");
    }
    let (folder, file) = base.rsplit_once('/').map_or(("", base), |(folder, file)| (folder, file));
    let named = match file.rsplit_once('.') {
        Some((stem, ending)) => format!("{stem}.{name}.{ending}"),
        None => format!("{file}.{name}"),
    };
    let after = options.map(|options| format!("?{options}")).unwrap_or_default();
    format!("{folder}/{named}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_stands_beside_the_default_one() {
        let name: IssuerName = "two-b".parse().expect("a name");
        for (default, other) in [
            ("sqlite://tollgate.db", "sqlite://tollgate.two-b.db"),
            ("sqlite:///var/lib/tollgate/origin", "sqlite:///var/lib/tollgate/origin.two-b"),
            ("sqlite://a.b/c.db?cache=private", "sqlite://a.b/c.two-b.db?cache=private"),
            ("postgres://u@h/db", "postgres://u@h/db?options[search_path]=tollgate_two_b"),
            ("postgres://h/db?sslmode=require", "postgres://h/db?sslmode=require&options[search_path]=tollgate_two_b"),
        ] {
            assert_eq!(beside(default, &name), other);
        }
    }
}
