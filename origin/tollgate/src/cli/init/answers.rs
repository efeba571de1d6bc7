//! Where the plan of a first run comes from: flags, then what is set already, then questions on a
//! terminal, then defaults.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use tollgate_config::Settings;
use tollgate_model::user::checked_password;
use tollgate_system::files;
use zeroize::Zeroizing;

use super::plan::{Plan, PlanFile, PlannedAdmin, PlannedClient, PlannedSecret};
use super::{InitFlags, PresentSettings};

const LISTEN: &str = "TOLLGATE_LISTEN";
const PUBLIC_URL: &str = "TOLLGATE_PUBLIC_URL";
const DATABASE_URL: &str = "TOLLGATE_DATABASE_URL";
const MASTER_KEY: &str = "TOLLGATE_MASTER_KEY";
const MASTER_KEY_FILE: &str = "TOLLGATE_MASTER_KEY_FILE";
const AUDIENCE: &str = "TOLLGATE_AUDIENCE";
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
const DEFAULT_ADMIN: &str = "admin";
const DEFAULT_CLIENT: &str = "first-client";

/// Asks on the terminal, or takes the defaults.
struct Questions {
    has_terminal: bool,
}

impl InitFlags {
    /// The answers to all questions, with new secrets.
    pub(super) fn answer(
        &self,
        present: &PresentSettings,
        flags: &[(String, String)],
        folder: &Path,
        is_json: bool,
    ) -> anyhow::Result<Plan> {
        let has_terminal = !self.yes && !is_json && std::io::stdin().is_terminal();
        let questions = Questions { has_terminal };
        let mut settings = SettingAnswers { flags: self.setting_flags(flags), present, answers: BTreeMap::new() };
        let present = &present.sources;
        settings.answer(PUBLIC_URL, |check| {
            let default = self.listen.map_or_else(|| DEFAULT_LISTEN.to_owned(), |listen| listen.to_string());
            questions.ask(
                "Public URL, by which clients and edges reach the origin",
                &format!("http://{default}"),
                check,
            )
        })?;
        let loopback = settings.value(PUBLIC_URL).and_then(loopback_address).unwrap_or(DEFAULT_LISTEN).to_owned();
        settings.answer(LISTEN, |check| questions.ask("Address and port to listen on", &loopback, check))?;
        settings.answer(DATABASE_URL, |check| {
            let default = format!("sqlite://{}", escaped_path(&folder.join("tollgate.db"))?);
            questions.ask("Database, sqlite://FILE or postgres://…", &default, check)
        })?;
        if present.get(MASTER_KEY).is_none() {
            let file = folder.join("tollgate.key");
            settings.answer(MASTER_KEY_FILE, |_| utf8(&file).map(str::to_owned))?;
        }
        let public_url = settings.value(PUBLIC_URL).map_or_else(|| format!("http://{loopback}"), str::to_owned);
        let resource = match (&self.resource, present.get(AUDIENCE)) {
            (Some(audience), _) => Some(audience.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(questions.ask_for("URL of the API that access tokens are for", &public_url)?),
        };
        let resource = resource.filter(|audience| audience.as_str() != public_url);
        if let Some(audience) = &resource {
            settings.answer(AUDIENCE, |_| Ok(audience.to_string()))?;
        }
        let verifier = match self.verifier {
            Some(verifier) => verifier,
            None => {
                questions.ask_for("What verifies its tokens: edge, generic, spring, node, python or dotnet", "edge")?
            }
        };
        let (admin, client) = (self.admin_answer(&questions)?, self.client_answer(&questions)?);
        Ok(Plan { settings: settings.answers, admin, client, resource, verifier })
    }

    /// The flags that are settings.
    fn setting_flags(&self, common: &[(String, String)]) -> BTreeMap<String, String> {
        let wanted = |name: &str| [LISTEN, PUBLIC_URL, DATABASE_URL].contains(&name);
        let mut flags: BTreeMap<String, String> = common.iter().filter(|(name, _)| wanted(name)).cloned().collect();
        if let Some(listen) = self.listen {
            flags.insert(LISTEN.to_owned(), listen.to_string());
        }
        if let Some(audience) = &self.resource {
            flags.insert(AUDIENCE.to_owned(), audience.to_string());
        }
        flags
    }

    fn admin_answer(&self, questions: &Questions) -> anyhow::Result<PlannedAdmin> {
        let name = match &self.admin {
            Some(name) => name.clone(),
            None => questions.ask_for("Name of the first administrator", DEFAULT_ADMIN)?,
        };
        let is_explicit = self.admin.is_some() || name.as_str() != DEFAULT_ADMIN;
        let (password, is_generated) = match &self.admin_password_file {
            Some(file) => (read_password(file)?, false),
            None => (PlannedSecret::random::<15>()?, true),
        };
        Ok(PlannedAdmin { name, is_explicit, password, is_generated })
    }

    fn client_answer(&self, questions: &Questions) -> anyhow::Result<PlannedClient> {
        let id = match &self.client {
            Some(id) => id.clone(),
            None => questions.ask_for("client_id of the first client", DEFAULT_CLIENT)?,
        };
        let is_explicit = self.client.is_some() || id.as_str() != DEFAULT_CLIENT;
        PlannedClient::new(id, is_explicit)
    }

    /// Checks that no flag contradicts the plan of the interrupted run that is continued.
    pub(super) fn check_unchanged(
        &self,
        plan: &Plan,
        flags: &[(String, String)],
        file: &PlanFile,
    ) -> anyhow::Result<()> {
        let setting = |(name, value): (String, String)| {
            let is_other = plan.settings.get(&name).is_some_and(|planned| *planned != value);
            is_other.then(|| flag_of(&name))
        };
        let is_other_admin = self.admin.as_ref().is_some_and(|name| *name != plan.admin.name);
        let is_other_client = self.client.as_ref().is_some_and(|id| *id != plan.client.id);
        let is_other_verifier = self.verifier.is_some_and(|verifier| verifier != plan.verifier);
        let others = [
            is_other_admin.then_some("--admin".to_owned()),
            is_other_client.then_some("--client".to_owned()),
            is_other_verifier.then_some("--verifier".to_owned()),
        ];
        let other = self.setting_flags(flags).into_iter().find_map(setting).or(others.into_iter().flatten().next());
        match other {
            None => Ok(()),
            Some(flag) => bail!(
                "{flag} differs from the first run that was interrupted ({}): remove the flag to continue it, or add \
                 --force to start over",
                file.path().display()
            ),
        }
    }
}

/// The settings of the plan.
struct SettingAnswers<'a> {
    flags: BTreeMap<String, String>,
    present: &'a PresentSettings,
    answers: BTreeMap<String, String>,
}

impl SettingAnswers<'_> {
    /// Takes the flag, or what is set already, or what `ask` returns, which checks it by its
    /// argument. Nothing is asked for a settings file that stays: what it does not set has its
    /// default.
    fn answer(
        &mut self,
        name: &str,
        ask: impl FnOnce(&dyn Fn(&str) -> Result<(), String>) -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        let check = |text: &str| Settings::from_pairs([(name, text)]).map(drop).map_err(|error| error.problem);
        let flag = self.flags.get(name);
        if let Some(present) = self.present.sources.get(name) {
            if flag.is_some_and(|flag| *flag != present.text) {
                bail!(
                    "{} has another value than {name} ({}), which would apply: change one of them, or replace the \
                     settings file by --force",
                    flag_of(name),
                    present.source
                );
            }
            return Ok(());
        }
        let text = match flag {
            Some(flag) => {
                check(flag).map_err(|problem| anyhow::anyhow!("{}: {problem}", flag_of(name)))?;
                flag.clone()
            }
            None if self.present.is_file_kept => return Ok(()),
            None => ask(&check)?,
        };
        self.answers.insert(name.to_owned(), text);
        Ok(())
    }

    fn value(&self, name: &str) -> Option<&str> {
        let present = || self.present.sources.get(name).map(|value| value.text.as_str());
        self.answers.get(name).map(String::as_str).or_else(present)
    }
}

impl Questions {
    /// Asks until the answer is valid. An empty answer is the default.
    fn ask(&self, question: &str, default: &str, check: impl Fn(&str) -> Result<(), String>) -> anyhow::Result<String> {
        loop {
            let answer = if self.has_terminal { read_answer(question, default)? } else { default.to_owned() };
            match check(&answer) {
                Ok(()) => return Ok(answer),
                Err(problem) if self.has_terminal => eprintln!("  {problem}"),
                Err(problem) => bail!("{question}: {answer} {problem}"),
            }
        }
    }

    fn ask_for<T: FromStr<Err: Display>>(&self, question: &str, default: &str) -> anyhow::Result<T> {
        let parse = |text: &str| text.parse::<T>().map_err(|error| error.to_string());
        let answer = self.ask(question, default, |text| parse(text).map(drop))?;
        parse(&answer).map_err(|problem| anyhow::anyhow!("{question}: {problem}"))
    }
}

/// Shows a question on standard error, so that standard output has the result only.
fn read_answer(question: &str, default: &str) -> anyhow::Result<String> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question} [{default}]: ").and_then(|()| stderr.flush()).context("cannot ask")?;
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line).context("cannot read the answer")? == 0 {
        bail!("standard input ended: run `tollgate init` again, or with --yes for the defaults");
    }
    let answer = line.trim();
    Ok(if answer.is_empty() { default } else { answer }.to_owned())
}

fn read_password(file: &Path) -> anyhow::Result<PlannedSecret> {
    let text = files::read_secret(file).map(Zeroizing::new);
    let text = text.with_context(|| format!("--admin-password-file: cannot read {}", file.display()))?;
    let password = checked_password(text.lines().next().unwrap_or_default()).context("--admin-password-file")?;
    Ok(PlannedSecret::new(&password))
}

/// Host and port of `http://ADDRESS:PORT` on a loopback address.
fn loopback_address(url: &str) -> Option<&str> {
    let address = url.strip_prefix("http://")?;
    let parsed: std::net::SocketAddr = address.parse().ok()?;
    parsed.ip().is_loopback().then_some(address)
}

/// The path in a SQLite URL, which ends at `?` and is percent-decoded.
fn escaped_path(path: &Path) -> anyhow::Result<String> {
    Ok(utf8(path)?.replace('%', "%25").replace('?', "%3F"))
}

fn utf8(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8, and cannot be in a settings file", path.display()))
}

/// The flag of `init` for a setting.
fn flag_of(name: &str) -> String {
    match name {
        AUDIENCE => "--resource".to_owned(),
        _ => tollgate_config::find(name).map_or_else(|| name.to_owned(), |setting| format!("--{}", setting.flag)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_address_follows_a_loopback_public_url() {
        assert_eq!(loopback_address("http://127.0.0.1:9000"), Some("127.0.0.1:9000"));
        assert_eq!(loopback_address("http://[::1]:9000"), Some("[::1]:9000"));
        for other in ["https://127.0.0.1:9000", "http://10.0.0.1:9000", "http://localhost:9000", "http://127.0.0.1"] {
            assert_eq!(loopback_address(other), None, "{other}");
        }
    }
}
