//! Flags of all `update` commands: members to reset, values to remove, and `--dry-run`.

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tollgate_model::GrantType;
use tollgate_services::admin::AdminError;

use super::output::Output;

/// Changes that are the same for all members. They apply before the flags that set or add values.
#[derive(Debug, clap::Args)]
pub(super) struct ChangeFlags {
    /// Reset a member to its default; repeatable. Members are named as `list --json` prints them
    #[arg(long, value_name = "MEMBER")]
    clear: Vec<String>,
    /// Remove one value of a member that has several, e.g. redirect_uris=https://app.example/cb;
    /// repeatable
    #[arg(long, value_name = "MEMBER=VALUE")]
    remove: Vec<String>,
    /// Show the change without making it
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl ChangeFlags {
    /// Applies `--clear` and `--remove`.
    pub(super) fn apply<T: Serialize + DeserializeOwned>(&self, object: &T) -> anyhow::Result<T> {
        let mut members = members(object)?;
        for name in &self.clear {
            members.remove(name).with_context(|| format!("--clear {name}: it is not set"))?;
        }
        for argument in &self.remove {
            let (name, value) = argument.split_once('=').context("--remove must be MEMBER=VALUE")?;
            let member = members.get_mut(name).with_context(|| format!("--remove {argument}: {name} is not set"))?;
            let value = if name == "grant_types" { grant_type(value)?.as_str() } else { value };
            if !remove_value(member, value) {
                bail!("--remove {argument}: {name} has no such value");
            }
        }
        Ok(serde_json::from_value(Value::Object(members))?)
    }
}

/// The grant type with this registered name, or with this last part of a URN.
pub(super) fn grant_type(name: &str) -> anyhow::Result<GrantType> {
    let named = |grant: &&GrantType| {
        let last = grant.as_str().rsplit(':').next().unwrap_or_default().replace('-', "_");
        grant.as_str() == name || last == name.replace('-', "_")
    };
    GrantType::ALL.iter().find(named).copied().with_context(|| format!("grant type {name} does not exist"))
}

/// Removes a value of a list, a member of an object, or a word of a text such as `scope`. Returns
/// false if there is none.
fn remove_value(member: &mut Value, value: &str) -> bool {
    match member {
        Value::Array(values) => {
            let count = values.len();
            values.retain(|one| one.as_str() != Some(value));
            values.len() < count
        }
        Value::Object(members) => members.remove(value).is_some(),
        Value::String(text) => {
            let words: Vec<&str> = text.split(' ').filter(|word| *word != value).collect();
            let is_found = words.len() < text.split(' ').count();
            *text = words.join(" ");
            is_found
        }
        _ => false,
    }
}

fn members<T: Serialize>(object: &T) -> anyhow::Result<Map<String, Value>> {
    match serde_json::to_value(object)? {
        Value::Object(members) => Ok(members),
        _ => bail!("this object has no members"),
    }
}

/// The error of flags that cannot be applied to an object.
pub(super) fn not_applicable(error: &anyhow::Error) -> AdminError {
    AdminError::Invalid(format!("{error:#}"))
}

/// Prints the members that a change would give other values, as `--dry-run` does.
pub(super) fn print_preview<T: Serialize>(output: &Output, before: &T, after: &T) -> anyhow::Result<()> {
    let (before, after) = (members(before)?, members(after)?);
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    let changes: Map<String, Value> = names
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| (name.clone(), json!({ "before": before.get(name), "after": after.get(name) })))
        .collect();
    output.print(&json!({ "dry_run": true, "changes": changes }), |_| {
        if changes.is_empty() {
            return "nothing would change".to_owned();
        }
        let line = |(name, change): (&String, &Value)| format!("{name}: {} -> {}", change["before"], change["after"]);
        changes.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

#[cfg(test)]
mod tests {
    use tollgate_model::{AuthMethod, ClientMetadata, Scope};

    use super::*;

    fn changed(clear: &[&str], remove: &[&str]) -> anyhow::Result<ClientMetadata> {
        let metadata = ClientMetadata {
            owner: Some("Team".to_owned()),
            auth_method: AuthMethod::None,
            grant_types: vec![GrantType::AuthorizationCode, GrantType::DeviceCode],
            redirect_uris: vec!["https://a.example/cb".parse()?, "https://b.example/cb".parse()?],
            scope: Scope::parse("read write")?,
            first_party: true,
            ..ClientMetadata::default()
        };
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        ChangeFlags { clear: texts(clear), remove: texts(remove), dry_run: false }.apply(&metadata)
    }

    #[test]
    fn members_are_reset_and_values_removed() {
        let metadata = changed(
            &["owner", "first_party", "token_endpoint_auth_method"],
            &["redirect_uris=https://a.example/cb", "grant_types=device_code", "scope=write"],
        )
        .expect("applicable");
        assert_eq!(metadata.owner, None);
        assert!(!metadata.first_party);
        assert_eq!(metadata.auth_method, AuthMethod::default());
        assert_eq!(metadata.grant_types, [GrantType::AuthorizationCode]);
        assert_eq!(metadata.redirect_uris.len(), 1);
        assert_eq!(metadata.scope.as_str(), "read");
    }

    #[test]
    fn what_is_not_there_cannot_be_taken_away() {
        for (clear, remove) in [
            (&["ownr"][..], &[][..]),
            (&[], &["redirect_uris=https://c.example/cb"]),
            (&[], &["scope=admin"]),
            (&[], &["audiences=x"]),
            (&[], &["redirect_uris"]),
            (&[], &["grant_types=implicit"]),
            (&[], &["first_party=true"]),
        ] {
            assert!(changed(clear, remove).is_err(), "{clear:?} {remove:?}");
        }
    }
}
