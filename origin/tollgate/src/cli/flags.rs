//! Command-line flags for settings, generated from the table of settings.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use tollgate_config::{DefaultValue, FormerName, GROUPS, Secrecy, Setting, all};

/// Settings given as flags: those of every command if `COMMON`, otherwise those of `serve` only.
/// Secrets have no flags, because every user of the machine can read command lines.
#[derive(Debug, Default)]
pub(super) struct SettingFlags<const COMMON: bool>(Vec<(String, String)>);

impl<const COMMON: bool> SettingFlags<COMMON> {
    /// Names and values of the given settings.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        self.0.clone()
    }

    /// Settings that have such flags.
    fn table() -> impl Iterator<Item = &'static Setting> {
        all().filter(|setting| setting.is_common == COMMON && setting.secrecy != Secrecy::Secret)
    }
}

impl<const COMMON: bool> FromArgMatches for SettingFlags<COMMON> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let former_name = |setting: &Setting| setting.former.map(|former| former.name);
        let names = Self::table().flat_map(|setting| [Some(setting.name), former_name(setting)]).flatten();
        let value = |name: &str| Some((name.to_owned(), matches.get_one::<String>(name)?.clone()));
        Ok(SettingFlags(names.filter_map(value).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<const COMMON: bool> Args for SettingFlags<COMMON> {
    fn augment_args(command: Command) -> Command {
        let mut command = command;
        for group in GROUPS {
            for setting in group.settings.iter().filter(|setting| Self::table().any(|own| own.name == setting.name)) {
                command = command.arg(flag(setting).help_heading(group.heading).global(COMMON));
                if let Some(former) = setting.former {
                    command = command.arg(deprecated_flag(former).global(COMMON));
                }
            }
        }
        if COMMON { command } else { command.after_help(help_of_secrets()) }
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(setting: &'static Setting) -> Arg {
    let default = default_text(setting);
    let (meaning, allowed, example, name) = (setting.meaning, setting.allowed_values, setting.example, setting.name);
    Arg::new(name)
        .long(setting.flag)
        .value_name("VALUE")
        .help(format!("{meaning}: {allowed} [default: {default}]"))
        .long_help(format!("{meaning}: {allowed}, e.g. {example} [default: {default}] [env: {name}]"))
}

fn deprecated_flag(former: FormerName) -> Arg {
    Arg::new(former.name).long(former.flag).value_name("VALUE").hide(true)
}

/// Help about the settings that have no flags because they are secrets.
fn help_of_secrets() -> String {
    let mut text = String::from(
        "Flags override the environment, which overrides .env, then tollgate.toml (see `tollgate config sample`). Secrets have no \
         flags:\n",
    );
    for setting in all().filter(|setting| setting.secrecy == Secrecy::Secret) {
        let (name, meaning, allowed) = (setting.name, setting.meaning, setting.allowed_values);
        text.push_str(&format!("\n  {name}\n          {meaning}: {allowed} [default: {}]\n", default_text(setting)));
    }
    let files: Vec<String> = all().filter_map(Setting::file_name).collect();
    text.push_str(&format!("\nFiles that contain a secret and nothing else: {}\n", files.join(", ")));
    text
}

fn default_text(setting: &Setting) -> &'static str {
    match setting.default {
        DefaultValue::Value(text) | DefaultValue::Description(text) => text,
    }
}
