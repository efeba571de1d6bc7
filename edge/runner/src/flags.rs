//! Command line options of settings, from the table of settings.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use std::collections::BTreeMap;
use tollgate_edge::{DEPRECATED_FLAGS, GATE_FLAGS, RUNNER_SETTINGS};

/// Values of the options by the names of their settings.
pub(crate) struct SettingFlags(pub(crate) BTreeMap<String, String>);

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let of_runner = RUNNER_SETTINGS.iter().map(|setting| {
            let help = help(setting.name, setting.description);
            Arg::new(setting.name).long(setting.flag).value_name(setting.value_name).help(help)
        });
        let of_gate = GATE_FLAGS.map(|(flag, value_name, name)| {
            let description = tollgate_gate::SETTINGS.iter().find(|(known, _)| *known == name);
            let help = help(name, description.map_or("", |(_, description)| *description));
            Arg::new(name).long(flag).value_name(value_name).help(help)
        });
        let deprecated = DEPRECATED_FLAGS.map(|(flag, name)| Arg::new(name).long(flag).hide(true));
        command.args(of_gate).args(of_runner).args(deprecated)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let names = RUNNER_SETTINGS.iter().map(|setting| setting.name);
        let names = names.chain(GATE_FLAGS.iter().map(|(_, _, name)| *name));
        let names = names.chain(DEPRECATED_FLAGS.iter().map(|(_, name)| *name));
        let value = |name: &str| Some((name.to_owned(), matches.get_one::<String>(name)?.clone()));
        Ok(SettingFlags(names.filter_map(value).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// `Address to listen on [TOLLGATE_EDGE_LISTEN; default: 127.0.0.1:8787]`.
fn help(name: &str, description: &str) -> String {
    let mut rest = description.chars();
    let first = rest.next().map(|first| first.to_ascii_uppercase());
    let text: String = first.into_iter().chain(rest).collect();
    match text.split_once(" [default: ") {
        Some((meaning, default)) => format!("{meaning} [{name}; default: {default}"),
        None => format!("{text} [{name}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_the_setting_and_its_default() {
        assert_eq!(help("A", "address to use [default: none]"), "Address to use [A; default: none]");
        assert_eq!(help("A", "URL of it"), "URL of it [A]");
    }

    #[test]
    fn every_setting_of_the_gate_has_an_option_unless_it_is_a_secret() {
        for (name, _) in tollgate_gate::SETTINGS {
            let is_key = name.ends_with("_KEY") || name.ends_with("_KEYS");
            let is_secret = is_key && *name != "TOLLGATE_EDGE_SNAPSHOT_KEY";
            assert_eq!(GATE_FLAGS.iter().any(|(_, _, known)| known == name), !is_secret, "{name}");
        }
    }

    #[test]
    fn every_option_sets_its_setting() {
        let command = SettingFlags::augment_args(Command::new("edge"));
        let matches = command.try_get_matches_from(["edge", "--listen", "a", "--origin", "b", "--soft-ms", "c"]);
        let flags = SettingFlags::from_arg_matches(&matches.expect("valid options")).expect("they have values").0;
        let values: Vec<_> = flags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [("TOLLGATE_EDGE_LISTEN", "a"), ("TOLLGATE_EDGE_ORIGIN", "b"), ("TOLLGATE_EDGE_SOFT_MS", "c")];
        assert_eq!(values, expected);
    }
}
