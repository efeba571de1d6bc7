//! `tollgate config sample|show`

use serde::Serialize;
use tollgate_config::{DefaultValue, Settings, Sources, Value};

use super::CommonFlags;
use super::output::{Output, table};

#[derive(Debug, clap::Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a settings file with every setting and its documentation
    Sample,
    /// Show the value of each setting and where it is set; secrets are hidden
    Show,
}

/// The value of a setting.
#[derive(Serialize)]
struct SettingView {
    name: &'static str,
    /// The value without its secret parts; absent if neither a value nor a default value exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// `default`, or where the value is set.
    source: String,
}

impl ConfigCommand {
    pub(super) fn run(self, common: &CommonFlags, output: &Output) -> anyhow::Result<()> {
        match self {
            ConfigCommand::Sample => super::output::line(tollgate_config::sample().trim_end()),
            ConfigCommand::Show => {
                let sources = Sources::read(common.settings.settings(), common.config.as_deref())?;
                // Reports invalid values as `serve` does.
                Settings::from_sources(&sources)?;
                output.print(&setting_views(&sources), |all| text(all))
            }
        }
    }
}

fn setting_views(sources: &Sources) -> Vec<SettingView> {
    let view = |setting: &tollgate_config::Setting| match (sources.get(setting.name), setting.default) {
        (Some(value), _) => {
            let source = source(sources, setting.name, value);
            SettingView { name: setting.name, value: Some(setting.redacted(&value.text)), source }
        }
        (None, DefaultValue::Value(value)) => {
            SettingView { name: setting.name, value: Some(value.to_owned()), source: "default".to_owned() }
        }
        (None, DefaultValue::Description(_)) => {
            SettingView { name: setting.name, value: None, source: "default".to_owned() }
        }
    };
    tollgate_config::all().map(view).collect()
}

/// Where a value is set; with the name, if it is set under the deprecated name.
fn source(sources: &Sources, name: &str, value: &Value) -> String {
    match sources.deprecated().find(|deprecated| deprecated.new_name == name && *deprecated.source == value.source) {
        Some(deprecated) => format!("{} ({})", value.source, deprecated.name),
        None => value.source.to_string(),
    }
}

fn text(all: &[SettingView]) -> String {
    let value = |setting: &SettingView| match (
        &setting.value,
        tollgate_config::find(setting.name).map(|setting| setting.default),
    ) {
        (Some(value), _) => value.clone(),
        (None, Some(DefaultValue::Description(description))) => format!("({description})"),
        (None, _) => String::new(),
    };
    let row = |setting: &SettingView| [setting.name.to_owned(), value(setting), setting.source.clone()];
    table(["SETTING", "VALUE", "SOURCE"], &all.iter().map(row).collect::<Vec<_>>())
}
