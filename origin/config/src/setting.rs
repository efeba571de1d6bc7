//! A setting: names, documentation and secrecy. The [table](super::all) contains all of them.

/// A setting: its names and what `--help` says about it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name in the environment, `TOLLGATE_…`.
    pub name: &'static str,
    /// Its flag, without `--`; with underscores for hyphens also its key in the settings file.
    pub flag: &'static str,
    /// Its deprecated name, if it was renamed.
    pub former: Option<FormerName>,
    /// Its meaning: a sentence without a full stop.
    pub meaning: &'static str,
    /// Allowed values: form, unit and bounds.
    pub allowed_values: &'static str,
    pub default: DefaultValue,
    /// An allowed value.
    pub example: &'static str,
    pub secrecy: Secrecy,
    /// Whether every command accepts it as a flag, not only `serve`.
    pub is_common: bool,
}

/// The name of a setting before it was renamed. It works in every source until 1.0, with a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormerName {
    /// In the environment, `TOLLGATE_…`.
    pub name: &'static str,
    /// As a flag, without `--`.
    pub flag: &'static str,
}

/// What applies if a setting is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// This value, as it would be written.
    Value(&'static str),
    /// A description, for defaults that no value expresses.
    Description(&'static str),
}

/// How much of a value may be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// All of it.
    Open,
    /// A URL, without its password and query.
    Url,
    /// Nothing.
    Secret,
}

impl Setting {
    /// A setting that only `serve` accepts, with a value that may be printed.
    pub(super) const fn new(name: &'static str, flag: &'static str, meaning: &'static str) -> Setting {
        Setting {
            name,
            flag,
            former: None,
            meaning,
            allowed_values: "",
            default: DefaultValue::Description("none"),
            example: "",
            secrecy: Secrecy::Open,
            is_common: false,
        }
    }

    /// Sets the description of the allowed values, and one of them as the example.
    pub(super) const fn allowed_values(self, allowed_values: &'static str, example: &'static str) -> Setting {
        Setting { allowed_values, example, ..self }
    }

    /// Sets the default value.
    pub(super) const fn default(self, value: &'static str) -> Setting {
        Setting { default: DefaultValue::Value(value), ..self }
    }

    /// Sets the description of a default that no value expresses.
    pub(super) const fn default_description(self, description: &'static str) -> Setting {
        Setting { default: DefaultValue::Description(description), ..self }
    }

    /// Sets the deprecated name.
    pub(super) const fn formerly(self, name: &'static str, flag: &'static str) -> Setting {
        Setting { former: Some(FormerName { name, flag }), ..self }
    }

    /// Lets every command accept the setting.
    pub(super) const fn common(self) -> Setting {
        Setting { is_common: true, ..self }
    }

    /// Sets how much of a value may be printed.
    pub(super) const fn secrecy(self, secrecy: Secrecy) -> Setting {
        Setting { secrecy, ..self }
    }

    /// Its key in the settings file.
    #[must_use]
    pub fn key(&self) -> String {
        self.flag.replace('-', "_")
    }

    /// The name under which a file with the value can be set: only secrets have one, and not the
    /// master key, whose file is a setting of its own and is created at the first start.
    #[must_use]
    pub fn file_name(&self) -> Option<String> {
        let may_be_a_file = self.secrecy != Secrecy::Open && self.name != "TOLLGATE_MASTER_KEY";
        may_be_a_file.then(|| format!("{}_FILE", self.name))
    }

    /// `value` with its secret parts replaced by asterisks.
    #[must_use]
    pub fn redacted(&self, value: &str) -> String {
        match self.secrecy {
            Secrecy::Open => value.to_owned(),
            Secrecy::Secret => "***".to_owned(),
            Secrecy::Url => redacted_url(value).unwrap_or_else(|| "***".to_owned()),
        }
    }
}

/// A URL with asterisks for its password and its query, which may contain a password, too.
fn redacted_url(value: &str) -> Option<String> {
    let mut url = url::Url::parse(value).ok()?;
    if url.password().is_some() {
        url.set_password(Some("***")).ok()?;
    }
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    Some(url.to_string())
}

/// Settings under one heading.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    pub heading: &'static str,
    pub settings: &'static [Setting],
}
