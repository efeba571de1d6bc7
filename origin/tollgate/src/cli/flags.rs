//! The flags of settings, made of the table that explains them.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use tollgate_config::{Default as Usual, GROUPS, Secrecy, Setting, all};

/// The settings that were given as flags: those of every command if `COMMON`, else those of `serve` alone. A setting whose value is a
/// secret has no flag, for everybody on the machine can read command lines.
#[derive(Debug, Default)]
pub(super) struct SettingFlags<const COMMON: bool>(Vec<(String, String)>);

impl<const COMMON: bool> SettingFlags<COMMON> {
    /// Names and values.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        self.0.clone()
    }

    fn own() -> impl Iterator<Item = &'static Setting> {
        all().filter(|setting| setting.common == COMMON && setting.secrecy != Secrecy::Secret)
    }
}

impl<const COMMON: bool> FromArgMatches for SettingFlags<COMMON> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: &Setting| {
            let value = matches.get_one::<String>(setting.name)?;
            Some((setting.name.to_owned(), value.clone()))
        };
        Ok(SettingFlags(Self::own().filter_map(given).collect()))
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
            for setting in group.settings.iter().filter(|setting| Self::own().any(|own| own.name == setting.name)) {
                command = command.arg(flag(setting).help_heading(group.heading).global(COMMON));
            }
        }
        if COMMON { command } else { command.after_help(without_flags()) }
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(setting: &'static Setting) -> Arg {
    let usual = usual(setting);
    let (meaning, unit, example, name) = (setting.meaning, setting.unit, setting.example, setting.name);
    Arg::new(name)
        .long(setting.flag)
        .value_name("VALUE")
        .help(format!("{meaning}: {unit} [default: {usual}]"))
        .long_help(format!("{meaning}: {unit}, e.g. {example} [default: {usual}] [env: {name}]"))
}

/// The settings that have no flag, explained.
fn without_flags() -> String {
    let mut text = String::from(
        "Settings come from flags, over the environment, over .env, over tollgate.toml (see `tollgate config sample`). Secrets have \
         no flags:\n",
    );
    for setting in all().filter(|setting| setting.secrecy == Secrecy::Secret) {
        let (name, meaning, unit) = (setting.name, setting.meaning, setting.unit);
        text.push_str(&format!("\n  {name}\n          {meaning}: {unit} [default: {}]\n", usual(setting)));
    }
    text
}

fn usual(setting: &Setting) -> &'static str {
    match setting.default {
        Usual::Value(text) | Usual::Words(text) => text,
    }
}
