//! `tollgate config sample|show`

use serde::Serialize;
use tollgate_config::{Default, Settings, Sources};

use super::CommonFlags;
use super::output::{Output, table};

#[derive(Debug, clap::Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a settings file with every setting, explained
    Sample,
    /// Show the settings in force, and where each is from; secrets are not shown
    Show,
}

/// A setting in force.
#[derive(Serialize)]
struct InForce {
    name: &'static str,
    /// Its value as it may be shown; not there when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// `default`, or where it stands.
    source: String,
}

impl ConfigCommand {
    pub(super) fn run(self, common: &CommonFlags, output: &Output) -> anyhow::Result<()> {
        match self {
            ConfigCommand::Sample => super::output::line(tollgate_config::sample().trim_end()),
            ConfigCommand::Show => {
                let sources = Sources::read(common.settings.settings(), common.config.as_deref())?;
                // Values that cannot be used are told as at a start.
                Settings::from_sources(&sources)?;
                output.print(&in_force(&sources), |all| text(all))
            }
        }
    }
}

fn in_force(sources: &Sources) -> Vec<InForce> {
    let in_force = |setting: &tollgate_config::Setting| match (sources.get(setting.name), setting.default) {
        (Some(value), _) => {
            InForce { name: setting.name, value: Some(setting.shown(&value.text)), source: value.source.to_string() }
        }
        (None, Default::Value(value)) => {
            InForce { name: setting.name, value: Some(value.to_owned()), source: "default".to_owned() }
        }
        (None, Default::Words(_)) => InForce { name: setting.name, value: None, source: "default".to_owned() },
    };
    tollgate_config::all().map(in_force).collect()
}

fn text(all: &[InForce]) -> String {
    let value =
        |setting: &InForce| match (&setting.value, tollgate_config::find(setting.name).map(|known| known.default)) {
            (Some(value), _) => value.clone(),
            (None, Some(Default::Words(words))) => format!("({words})"),
            (None, _) => String::new(),
        };
    let row = |setting: &InForce| [setting.name.to_owned(), value(setting), setting.source.clone()];
    table(["SETTING", "VALUE", "SOURCE"], &all.iter().map(row).collect::<Vec<_>>())
}
