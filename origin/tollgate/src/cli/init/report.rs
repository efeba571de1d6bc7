//! What a first run prints: what it made, the secrets, and what to do next.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use tollgate_config::{MasterKeySource, Settings};

use super::carry_out::{Created, ObjectStatus};
use super::plan::Plan;
use crate::cli::output::Output;

/// The result of `tollgate init`.
#[derive(Serialize)]
pub(super) struct Report {
    settings_file: String,
    /// None if the master key is a setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    master_key_file: Option<String>,
    issuer: String,
    audience: String,
    /// What edges pin.
    snapshot_key: String,
    resource: ObjectStatus,
    admin: AdminReport,
    client: ClientReport,
    next: NextSteps,
}

#[derive(Serialize)]
struct AdminReport {
    name: String,
    status: ObjectStatus,
    /// The generated password; shown only once.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

#[derive(Serialize)]
struct ClientReport {
    client_id: String,
    status: ObjectStatus,
    /// The generated secret; shown only once.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
}

/// Commands to paste.
#[derive(Serialize)]
struct NextSteps {
    serve: String,
    token: String,
    doctor: String,
    edge: String,
    console: String,
}

impl Report {
    pub(super) fn new(plan: &Plan, settings: &Settings, created: Created, file: &Path) -> anyhow::Result<Report> {
        let Created { issuer, audience, snapshot_key, resource, client, admin } = created;
        let is_client_new = client == ObjectStatus::Created;
        let secret = if is_client_new { Some(plan.client.secret()?.reveal().to_owned()) } else { None };
        let is_password_new = admin == ObjectStatus::Created && plan.admin.is_generated;
        let client_id = plan.client.id.to_string();
        let next = NextSteps {
            serve: format!("tollgate serve --config {}", quoted(&file.display().to_string())),
            token: format!(
                "curl -u '{client_id}:{}' -d grant_type=client_credentials {issuer}/oauth/token",
                secret.as_deref().unwrap_or("SECRET")
            ),
            doctor: format!("tollgate doctor --config {}", quoted(&file.display().to_string())),
            edge: format!(
                "TOLLGATE_EDGE_ORIGIN={issuer} TOLLGATE_EDGE_SNAPSHOT_KEY={snapshot_key} \
                 TOLLGATE_EDGE_UPSTREAM=http://127.0.0.1:3000 tollgate-edge serve"
            ),
            console: format!("{issuer}/admin"),
        };
        Ok(Report {
            settings_file: file.display().to_string(),
            master_key_file: match &settings.master_key {
                MasterKeySource::File { path, .. } => Some(path.display().to_string()),
                MasterKeySource::Setting(_) => None,
            },
            issuer,
            audience: audience.to_string(),
            snapshot_key,
            resource,
            admin: AdminReport {
                name: plan.admin.name.to_string(),
                status: admin,
                password: is_password_new.then(|| plan.admin.password.reveal().to_owned()),
            },
            client: ClientReport { client_id, status: client, client_secret: secret },
            next,
        })
    }

    /// Prints to standard output. Unlike other results, this one must not get lost: a closed pipe
    /// is an error.
    pub(super) fn print(&self, output: &Output) -> anyhow::Result<()> {
        let text = if output.is_json() { serde_json::to_string_pretty(self)? } else { self.to_text() };
        let printed = writeln!(std::io::stdout().lock(), "{text}");
        printed.context("the secrets could not be printed: run `tollgate init` again")
    }

    fn to_text(&self) -> String {
        let (admin, client, next) = (&self.admin, &self.client, &self.next);
        let mut lines = vec![
            format!("settings       {}", self.settings_file),
            format!("issuer         {}", self.issuer),
            format!("tokens for     {}", self.audience),
        ];
        if let Some(file) = &self.master_key_file {
            lines.push(format!("master key     {file} (keep a backup: without it the keys in the database are lost)"));
        }
        lines.push(match (&admin.password, admin.status) {
            (Some(password), _) => format!("administrator  {}\n  password     {password}", admin.name),
            (None, ObjectStatus::Created) => format!("administrator  {} (with the password of your file)", admin.name),
            (None, ObjectStatus::Existed) => format!(
                "administrator  {0} exists already: `tollgate user password {0}` sets another password",
                admin.name
            ),
            (None, ObjectStatus::NotNeeded) => "administrator  exists already".to_owned(),
        });
        lines.push(match (&client.client_secret, client.status) {
            (Some(secret), _) => format!("client_id      {}\n  secret       {secret}", client.client_id),
            (None, ObjectStatus::NotNeeded) => "client         exists already".to_owned(),
            (None, _) => format!(
                "client_id      {0} exists already: `tollgate client rotate-secret {0}` makes another secret",
                client.client_id
            ),
        });
        if admin.password.is_some() || client.client_secret.is_some() {
            lines.push("\nThe secrets are shown only once; the database stores their hashes.".to_owned());
        }
        lines.push(format!("\nStart the origin:\n  {}", next.serve));
        lines.push(format!("Get the first token:\n  {}", next.token));
        lines.push(format!("Sign in to the console:\n  {}", next.console));
        lines.push(format!("Check the deployment:\n  {}", next.doctor));
        lines.push(format!("Protect an API at http://127.0.0.1:3000 by an edge:\n  {}", next.edge));
        lines.join("\n")
    }
}

/// A word for a POSIX shell.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@".contains(&byte);
    match !text.is_empty() && text.bytes().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_the_shell() {
        assert_eq!(quoted("/etc/tollgate/tollgate.toml"), "/etc/tollgate/tollgate.toml");
        assert_eq!(quoted("/srv/it's here"), r"'/srv/it'\''s here'");
        assert_eq!(quoted(""), "''");
    }
}
