//! `tollgate init`: the first run. Writes a settings file, creates the keys, the first
//! administrator, the first client and its resource server, prints their secrets once, and says
//! what to do next.
//!
//! Never: a file or an object that exists is changed (except by `--force`, which keeps the old
//! settings file), or a secret is lost. All answers and secrets are written to a plan before
//! anything is created from them, and the plan is removed after the secrets were printed; a run
//! after an interruption continues with the same plan.

mod answers;
mod carry_out;
mod plan;
mod report;
mod settings_file;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tollgate_config::{Settings, Sources};
use tollgate_model::{Audience, ClientId, UserName, Verifier};

use self::plan::PlanFile;
use self::report::Report;
use super::output::Output;
use super::{CommonFlags, start_from};

#[derive(Debug, clap::Args)]
pub(super) struct InitFlags {
    /// Folder for the settings file, the master key and a SQLite database; created if missing
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    dir: PathBuf,
    /// Address and port to listen on [default: 127.0.0.1:8080, or those of a loopback public URL]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Name of the first administrator [default: admin]
    #[arg(long, value_name = "NAME")]
    admin: Option<UserName>,
    /// File whose first line is the administrator's password [default: a random password, printed
    /// once]
    #[arg(long, value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
    /// client_id of the first client, which gets tokens by client credentials [default:
    /// first-client]
    #[arg(long, value_name = "NAME")]
    client: Option<ClientId>,
    /// URL of the first resource server: the API that access tokens are for (aud) [default: the
    /// public URL]
    #[arg(long, value_name = "URL")]
    resource: Option<Audience>,
    /// What verifies its tokens: edge, generic, spring, node, python or dotnet [default: edge]
    #[arg(long, value_name = "PRESET")]
    verifier: Option<Verifier>,
    /// Ask nothing: use the defaults for everything that no flag sets
    #[arg(long)]
    yes: bool,
    /// Start over: replace the settings file, and keep the old one with the ending .old (.old.2 …)
    #[arg(long)]
    force: bool,
}

/// What is set already: by the environment, and by a settings file that stays.
struct PresentSettings {
    sources: Sources,
    is_file_kept: bool,
}

impl InitFlags {
    pub(super) fn run(self, common: &CommonFlags, output: &Output) -> anyhow::Result<()> {
        if common.issuer.is_some() {
            bail!("init sets up the default issuer: remove --issuer, and see `tollgate issuer add` for others");
        }
        std::fs::create_dir_all(&self.dir).with_context(|| format!("cannot create {}", self.dir.display()))?;
        let folder = self.dir.canonicalize().with_context(|| format!("cannot open {}", self.dir.display()))?;
        let file = common.config.clone().unwrap_or_else(|| folder.join("tollgate.toml"));
        let plan_file = PlanFile::new(&folder);
        let plan = match plan_file.read()? {
            Some(plan) if !self.force => {
                self.check_unchanged(&plan, &common.settings.settings(), &plan_file)?;
                eprintln!("continuing the first run that was interrupted ({})", plan_file.path().display());
                plan
            }
            interrupted => {
                let present = self.present_settings(&file)?;
                let plan = self.answer(&present, &common.settings.settings(), &folder, output.is_json())?;
                if present.is_file_kept {
                    settings_file::check_kept(&file, &plan)?;
                }
                plan_file.write(plan, interrupted)?
            }
        };
        settings_file::write(&file, &plan, self.force)?;
        let (settings, runtime) = start_from(common.settings.settings(), Some(&file))?;
        let created = runtime.block_on(Box::pin(carry_out::carry_out(&plan, &settings)))?;
        Report::new(&plan, &settings, created, &file)?.print(output)?;
        std::io::stdout().flush().context("the secrets could not be printed: run `tollgate init` again")?;
        plan_file.remove()
    }

    fn present_settings(&self, file: &Path) -> anyhow::Result<PresentSettings> {
        let is_file_kept = file.exists() && !self.force;
        let sources = match is_file_kept {
            true => Sources::read(Vec::new(), Some(file))?,
            false => Sources::read_without_file()?,
        };
        // Reports invalid values before anything is asked.
        Settings::from_sources(&sources)?;
        Ok(PresentSettings { sources, is_file_kept })
    }
}
