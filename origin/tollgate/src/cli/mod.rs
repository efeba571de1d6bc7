//! The command line: one file a noun. Every verb but `serve`, `login`, `logout` and those of
//! `token` works on the database directly, with the same functions the server uses; a running
//! server notices.

mod audit;
mod client;
mod config;
mod edge;
mod flags;
mod input;
mod issuer;
mod key;
mod login;
mod output;
mod resource;
mod revocation;
mod revoke;
mod route;
mod scope;
mod serve;
mod snapshot;
mod status;
mod stream;
mod token;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;
use tollgate_config::{LogFormat, Settings, Sources};
use tollgate_keys::{KeyRing, MasterKey};
use tollgate_model::error_chain::with_causes;
use tollgate_model::{Actor, IssuerName};
use tollgate_storage::{Store, StoreError};

use tracing_subscriber::EnvFilter;

use self::flags::SettingFlags;
use self::output::Output;

/// OAuth 2.0 origin whose revocations reach every edge within a second
///
/// Settings come from flags, over the environment (TOLLGATE_*), over .env, over tollgate.toml.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: CommonFlags,
    #[command(flatten)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the origin
    Serve(ServeFlags),
    /// Show settings, and explain them in a settings file
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Look at tokens and check them
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Get tokens for yourself, by a browser on this or another machine
    Login(login::LoginFlags),
    /// Revoke the tokens of a login and forget them
    Logout(login::LogoutFlags),
    #[command(flatten)]
    Database(DatabaseCommand),
}

/// What `tollgate serve` takes.
#[derive(Debug, Args)]
struct ServeFlags {
    #[command(flatten)]
    start: serve::StartFlags,
    #[command(flatten)]
    settings: SettingFlags<false>,
}

/// The commands that work on the database.
#[derive(Debug, Subcommand)]
enum DatabaseCommand {
    /// Register, list, disable and enable clients
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// Register, list, disable and enable users
    #[command(subcommand)]
    User(user::UserCommand),
    /// Register, list and remove resource servers
    #[command(subcommand)]
    Resource(resource::ResourceCommand),
    /// List, set and remove what scope values of resource servers mean in words
    #[command(subcommand)]
    Scope(scope::ScopeCommand),
    /// List, rotate and revoke keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Serve other issuers beside the default one
    #[command(subcommand)]
    Issuer(issuer::IssuerCommand),
    /// Revoke a token, or the tokens of a session, subject, client, key or time
    Revoke(revoke::RevokeCommand),
    /// Lift revocations
    Reinstate(revoke::ReinstateCommand),
    /// List revocations
    #[command(subcommand)]
    Revocation(revocation::RevocationCommand),
    /// Show and export the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Register, list and remove the edges that are pushed to
    #[command(subcommand)]
    Edge(edge::EdgeCommand),
    /// Add, list and remove the rules that edges follow
    #[command(subcommand)]
    Route(route::RouteCommand),
    /// Export and inspect snapshots
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    /// Register, list and remove receivers of security events
    #[command(subcommand)]
    Stream(stream::StreamCommand),
}

/// Settings that every command takes.
#[derive(Debug, Args)]
struct CommonFlags {
    /// TOML file with settings [default: tollgate.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,
    /// The registered issuer to work on, by name [default: the default issuer]
    // A text, for `token verify` has an argument of that name, and clap keeps one value for both.
    #[arg(long, global = true, value_name = "NAME")]
    issuer: Option<String>,
    #[command(flatten)]
    settings: SettingFlags<true>,
}

/// Parses the command line, runs the command and gives the exit code: 0, 1 for a failure, 2 for
/// arguments that cannot be used.
#[must_use]
pub fn run() -> ExitCode {
    let Cli { common, output, command } = Cli::parse();
    let done = match command {
        Command::Serve(..) if common.issuer.is_some() => {
            Err(anyhow::anyhow!("serve serves all issuers: leave --issuer out"))
        }
        Command::Serve(ServeFlags { start: flags, settings }) => start(&common, settings.settings())
            .and_then(|(settings, runtime)| runtime.block_on(Box::pin(serve::run(settings, flags)))),
        Command::Token(command) => return command.run(&output),
        Command::Config(command) => command.run(&common, &output),
        Command::Login(flags) => return flags.run(&output),
        Command::Logout(flags) => return flags.run(&output),
        Command::Database(command) => start(&common, Vec::new())
            .and_then(|(settings, runtime)| runtime.block_on(Box::pin(command.run(settings, output, common.issuer)))),
    };
    exit_code(done)
}

/// Tells the person what failed, on one line.
fn exit_code(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// The settings, these flags over those of [`CommonFlags`], with the log and the runtime that they
/// make possible.
fn start(common: &CommonFlags, flags: Vec<(String, String)>) -> anyhow::Result<(Settings, Runtime)> {
    let flags = [common.settings.settings(), flags].concat();
    let sources = Sources::read(flags, common.config.as_deref())?;
    let settings = Settings::from_sources(&sources)?;
    start_log(&settings)?;
    for (name, source) in sources.unknown() {
        tracing::warn!(setting = name, %source, "unknown setting: is it misspelt?");
    }
    for deprecated in sources.deprecated() {
        let (setting, replacement, source) = (deprecated.name, deprecated.new_name, deprecated.source);
        tracing::warn!(setting, replacement, %source, "deprecated setting");
    }
    Ok((settings, Runtime::new().context("cannot start the runtime")?))
}

impl DatabaseCommand {
    async fn run(self, settings: Settings, output: Output, issuer: Option<String>) -> anyhow::Result<()> {
        let store = open(&settings).await?;
        let default = Session { settings, store, output };
        let session = match (&self, issuer) {
            (DatabaseCommand::Issuer(_), Some(_)) => {
                bail!("issuers are registered with the default one: leave --issuer out")
            }
            (_, Some(name)) => default.of_issuer(&name.parse().context("--issuer")?).await?,
            (_, None) => default,
        };
        let done = match self {
            DatabaseCommand::Client(command) => command.run(&session).await,
            DatabaseCommand::User(command) => command.run(&session).await,
            DatabaseCommand::Resource(command) => command.run(&session).await,
            DatabaseCommand::Scope(command) => command.run(&session).await,
            DatabaseCommand::Key(command) => command.run(&session).await,
            DatabaseCommand::Issuer(command) => command.run(&session).await,
            DatabaseCommand::Revoke(command) => command.run(&session).await,
            DatabaseCommand::Reinstate(command) => command.run(&session).await,
            DatabaseCommand::Revocation(command) => command.run(&session).await,
            DatabaseCommand::Audit(command) => command.run(&session).await,
            DatabaseCommand::Edge(command) => command.run(&session).await,
            DatabaseCommand::Route(command) => command.run(&session).await,
            DatabaseCommand::Snapshot(command) => command.run(&session).await,
            DatabaseCommand::Stream(command) => command.run(&session).await,
        };
        session.store.close().await;
        done
    }
}

/// Opens the database for a command; its audit entries name the person who runs it.
async fn open(settings: &Settings) -> anyhow::Result<Store> {
    Ok(Store::open(&settings.database_url).await?.with_actor(&command_line_actor()))
}

/// The audit actor of commands: the account named by the environment variable `USER`, if it is set.
fn command_line_actor() -> Actor {
    Actor::command_line(std::env::var("USER").ok().as_deref())
}

/// Logs go to standard error: standard output is for what a command was asked for.
fn start_log(settings: &Settings) -> anyhow::Result<()> {
    let filter: EnvFilter = settings.log.parse().context("TOLLGATE_LOG")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Pretty => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// A command's view of the origin, and how it tells what it did.
struct Session {
    settings: Settings,
    store: Store,
    output: Output,
}

impl Session {
    /// Whose database this is; refuses one that is not the public URL's, if that was set.
    async fn issuer(&self) -> anyhow::Result<String> {
        let stored = self.store.get_issuer().await?;
        match &self.settings.public_url {
            Some(wanted) if *wanted != stored => Err(StoreError::WrongIssuer { stored, wanted: wanted.clone() }.into()),
            _ => Ok(stored),
        }
    }

    /// The same for a registered issuer, on its database.
    async fn of_issuer(self, name: &IssuerName) -> anyhow::Result<Session> {
        let registered = self.store.list_issuers().await?;
        let issuer = registered.iter().find(|issuer| issuer.name == *name);
        let issuer = issuer.with_context(|| format!("there is no issuer {name}: see `tollgate issuer list`"))?;
        let settings = crate::issuers::settings_of(&self.settings, &self.keys().await?, issuer)?;
        self.store.close().await;
        let store = open(&settings).await?;
        Ok(Session { settings, store, output: self.output })
    }

    async fn master_key(&self) -> anyhow::Result<MasterKey> {
        crate::issuer_keys::make_first_keys(&self.store, &self.settings).await
    }

    async fn keys(&self) -> anyhow::Result<KeyRing> {
        crate::issuer_keys::open_keys(&self.store, &self.settings).await
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    /// One in 64 names in base64url begins so.
    #[test]
    fn a_name_may_begin_with_a_hyphen() {
        for command in [["key", "revoke"], ["revoke", "key"], ["revoke", "session"]] {
            let line = ["tollgate", command[0], command[1], "-jZVhR-rdd1", "--reason", "stolen"];
            assert!(super::Cli::try_parse_from(line).is_ok(), "{line:?}");
            let nameless = ["tollgate", command[0], command[1], "--reason", "stolen"];
            assert!(super::Cli::try_parse_from(nameless).is_err(), "{nameless:?}");
        }
    }
}
