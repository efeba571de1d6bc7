//! The command line, one file per noun. All commands except `serve`, `init`, `doctor`, `bench`,
//! `health`, `migrate`, `restore`, `config`, `login`, `logout` and `token` work on the database
//! directly, with the functions that the server uses; a running server picks up their changes.

mod audit;
mod backup;
mod bench;
mod change;
mod client;
mod config;
mod doctor;
mod edge;
mod flags;
mod generated;
mod health;
mod import;
mod init;
mod input;
mod issuer;
mod key;
mod login;
mod migrate;
mod output;
mod resource;
mod revocation;
mod revoke;
mod route;
mod route_test;
mod scope;
mod serve;
mod snapshot;
mod status;
mod stream;
mod token;
mod user;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;
use tollgate_config::{GrantSettings, LogFormat, Settings, Sources};
use tollgate_keys::{KeyRing, MasterKey};
use tollgate_model::error_chain::with_causes;
use tollgate_model::{Actor, IssuerName};
use tollgate_services::admin::Registry;
use tollgate_services::password_hashing::PasswordHasher;
use tollgate_services::telemetry::LogLayer;
use tollgate_storage::{Store, StoreError, sqlite_file};
use tollgate_system::Clock;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::flags::SettingFlags;
use self::output::Output;

/// Version, commit and build, as `cargo xtask dist` sets them.
const BUILD: &str = match option_env!("TOLLGATE_BUILD") {
    Some(build) => build,
    None => concat!(env!("CARGO_PKG_VERSION"), " (commit unknown, build unknown)"),
};

/// OAuth 2.0 and OpenID Connect server whose revocations take effect at every edge within a second
///
/// Settings are read from flags, then the environment (TOLLGATE_*), then .env, then tollgate.toml;
/// the first value found applies.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, long_version = BUILD, max_term_width = 100)]
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
    /// Run the server
    Serve(ServeFlags),
    Health(health::HealthFlags),
    /// Create and verify encrypted backups of the database
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Restore a backup into an empty database; stop all origins first
    Restore(backup::RestoreFlags),
    /// Apply the migrations of this release to the database, or show which are pending
    Migrate(migrate::MigrateFlags),
    /// Set up a new origin: settings file, keys, first administrator, first client
    Init(init::InitFlags),
    Doctor(doctor::DoctorFlags),
    Bench(bench::BenchFlags),
    /// Show the settings, or print a documented settings file
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Inspect and verify tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Sign in with a browser on this or another device, and store the tokens
    Login(login::LoginFlags),
    /// Revoke the tokens of a login and delete them
    Logout(login::LogoutFlags),
    /// Print a script that completes this command line in a shell
    Completions(generated::CompletionsFlags),
    /// Write the manual pages to a folder
    #[command(hide = true)]
    ManPages(generated::ManPagesFlags),
    #[command(flatten)]
    Database(DatabaseCommand),
}

/// Flags and settings of `tollgate serve`.
#[derive(Debug, Args)]
struct ServeFlags {
    #[command(flatten)]
    start: serve::StartFlags,
    #[command(flatten)]
    settings: SettingFlags<false>,
}

/// Commands that work on the database.
#[derive(Debug, Subcommand)]
enum DatabaseCommand {
    /// Register, list, change, check, disable and enable clients
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// Create, list, change, disable and enable users
    #[command(subcommand)]
    User(user::UserCommand),
    /// Register, list, change and remove resource servers
    #[command(subcommand)]
    Resource(resource::ResourceCommand),
    /// List, set and remove the descriptions of scope values
    #[command(subcommand)]
    Scope(scope::ScopeCommand),
    /// List, rotate and revoke signing keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Add, list and remove further issuers
    #[command(subcommand)]
    Issuer(issuer::IssuerCommand),
    /// Revoke a token, or all tokens of a session, subject, client or key, or before a time
    Revoke(revoke::RevokeCommand),
    /// Lift revocations
    Reinstate(revoke::ReinstateCommand),
    /// List revocations
    #[command(subcommand)]
    Revocation(revocation::RevocationCommand),
    /// Show and export the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Register, list and remove edges
    #[command(subcommand)]
    Edge(edge::EdgeCommand),
    /// Add, list, remove and test the route rules of the edges
    #[command(subcommand)]
    Route(route::RouteCommand),
    /// Export and inspect snapshots
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    /// Register, list and remove streams of security events
    #[command(subcommand)]
    Stream(stream::StreamCommand),
}

/// Flags that every command accepts.
#[derive(Debug, Args)]
struct CommonFlags {
    /// TOML file with settings [default: tollgate.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,
    /// Name of the registered issuer to work on [default: the default issuer]
    // Not an `IssuerName`: `token verify` has an argument of the same name, and clap stores one
    // value for both.
    #[arg(long, global = true, value_name = "NAME")]
    issuer: Option<String>,
    #[command(flatten)]
    settings: SettingFlags<true>,
}

/// Parses the command line and runs the command. Exit codes: 0 for success, 1 for a failure, 2 for
/// invalid arguments, and those of `migrate --check`.
#[must_use]
pub fn run() -> ExitCode {
    let Cli { common, output, command } = Cli::parse();
    let result = match command {
        Command::Serve(..) if common.issuer.is_some() => {
            Err(anyhow::anyhow!("serve runs all issuers: remove --issuer"))
        }
        Command::Serve(ServeFlags { start: flags, settings }) => start(&common, settings.settings())
            .and_then(|(settings, runtime)| runtime.block_on(Box::pin(serve::run(settings, flags)))),
        Command::Migrate(flags) => {
            let migrated = start(&common, Vec::new())
                .and_then(|(settings, runtime)| runtime.block_on(Box::pin(flags.run(settings, output, common.issuer))));
            return migrated.unwrap_or_else(|error| exit_code(Err(error)));
        }
        Command::Health(flags) => flags.run(&common, &output),
        Command::Init(flags) => flags.run(&common, &output),
        Command::Bench(flags) => return flags.run(&output).unwrap_or_else(|error| exit_code(Err(error))),
        Command::Doctor(flags) => {
            return flags.run(&common, &output).unwrap_or_else(|error| exit_code(Err(error)));
        }
        Command::Backup(command) => start(&common, Vec::new())
            .and_then(|(settings, runtime)| runtime.block_on(Box::pin(command.run(settings, output, common.issuer)))),
        Command::Restore(flags) => start(&common, Vec::new())
            .and_then(|(settings, runtime)| runtime.block_on(Box::pin(flags.run(settings, output, common.issuer)))),
        Command::Token(command) => return command.run(&output),
        Command::Config(command) => command.run(&common, &output),
        Command::Login(flags) => return flags.run(&output),
        Command::Logout(flags) => return flags.run(&output),
        Command::Completions(flags) => flags.run(),
        Command::ManPages(flags) => flags.run(),
        Command::Database(command) => start(&common, Vec::new())
            .and_then(|(settings, runtime)| runtime.block_on(Box::pin(command.run(settings, output, common.issuer)))),
    };
    exit_code(result)
}

/// Prints an error with its causes on one line.
fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Reads the settings, from `flags` and [`CommonFlags`] first, and starts the log and the runtime.
fn start(common: &CommonFlags, flags: Vec<(String, String)>) -> anyhow::Result<(Settings, Runtime)> {
    start_from([common.settings.settings(), flags].concat(), common.config.as_deref())
}

/// Reads the settings, from `flags` first, and starts the log and the runtime.
fn start_from(flags: Vec<(String, String)>, file: Option<&Path>) -> anyhow::Result<(Settings, Runtime)> {
    let sources = Sources::read(flags, file)?;
    let settings = Settings::from_sources(&sources)?;
    start_log(&settings)?;
    for (name, source) in sources.unknown() {
        tracing::warn!(setting = name, %source, "unknown setting");
    }
    for deprecated in sources.deprecated() {
        let (setting, replacement, source) = (deprecated.name, deprecated.new_name, deprecated.source);
        tracing::warn!(setting, replacement, %source, "deprecated setting");
    }
    Ok((settings, Runtime::new().context("cannot start the asynchronous runtime")?))
}

impl DatabaseCommand {
    async fn run(self, settings: Settings, output: Output, issuer: Option<String>) -> anyhow::Result<()> {
        if matches!(self, DatabaseCommand::Issuer(_)) && issuer.is_some() {
            bail!("issuers are registered with the default issuer: remove --issuer");
        }
        let session = Session::open(settings, output, issuer).await?;
        let result = match self {
            DatabaseCommand::Client(command) => command.run(&session).await,
            DatabaseCommand::User(command) => command.run(&session).await,
            DatabaseCommand::Resource(command) => command.run(&session).await,
            DatabaseCommand::Scope(command) => command.run(&session).await,
            DatabaseCommand::Key(command) => command.run(&session).await,
            DatabaseCommand::Issuer(command) => Box::pin(command.run(&session)).await,
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
        result
    }
}

/// Opens the database; audit entries name the user who runs the command.
async fn open(settings: &Settings) -> anyhow::Result<Store> {
    Ok(Store::open(&settings.database_url).await?.with_actor(&command_line_actor()))
}

/// Warns that a command creates its SQLite database: started in another folder or without the
/// settings of the origin, it would change nothing that the origin sees.
fn warn_of_new_file(database_url: &str) {
    if let Some(file) = sqlite_file(database_url).filter(|file| !file.exists()) {
        tracing::warn!(file = %file.display(), "the database does not exist, creating it: name the settings file of the origin with --config if another database was meant");
    }
}

/// The commands on what is registered, which the admin API and the console share.
fn registry(store: &Store, settings: &Settings) -> anyhow::Result<Registry> {
    let passwords = PasswordHasher::new(&settings.hashing)?;
    let GrantSettings { http_redirects, profile, .. } = settings.grants;
    Ok(Registry { store: store.clone(), passwords, clock: Clock::system(), http_redirects, profile })
}

/// The audit actor of commands: the account named by the environment variable `USER`, if it is set.
fn command_line_actor() -> Actor {
    Actor::command_line(std::env::var("USER").ok().as_deref())
}

/// Logs to standard error; standard output is for the results of commands.
fn start_log(settings: &Settings) -> anyhow::Result<()> {
    let filter: EnvFilter = settings.log.parse().context("TOLLGATE_LOG")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Pretty => {
            log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).finish().with(LogLayer).init();
        }
        LogFormat::Json => log.json().finish().with(LogLayer).init(),
    }
    Ok(())
}

/// What a command works with: the settings, an issuer's database, and the output format.
struct Session {
    settings: Settings,
    store: Store,
    output: Output,
}

impl Session {
    /// Opens the database of the default issuer, or of the registered issuer with this name.
    async fn open(settings: Settings, output: Output, issuer: Option<String>) -> anyhow::Result<Session> {
        warn_of_new_file(&settings.database_url);
        let default = Session { store: open(&settings).await?, settings, output };
        match issuer {
            Some(name) => Box::pin(default.into_issuer(&name.parse().context("--issuer")?)).await,
            None => Ok(default),
        }
    }

    /// The issuer of this database. An error if `TOLLGATE_PUBLIC_URL` is set to another one.
    async fn issuer(&self) -> anyhow::Result<String> {
        let stored = self.store.get_issuer().await?;
        match &self.settings.public_url {
            Some(wanted) if *wanted != stored => Err(StoreError::WrongIssuer { stored, wanted: wanted.clone() }.into()),
            _ => Ok(stored),
        }
    }

    /// Switches to the database of a registered issuer.
    async fn into_issuer(self, name: &IssuerName) -> anyhow::Result<Session> {
        let settings = self.issuer_settings(name).await?;
        self.store.close().await;
        let store = open(&settings).await?;
        Ok(Session { settings, store, output: self.output })
    }

    /// The settings of a registered issuer.
    async fn issuer_settings(&self, name: &IssuerName) -> anyhow::Result<Settings> {
        let registered = self.store.list_issuers().await?;
        let issuer = registered.iter().find(|issuer| issuer.name == *name);
        let issuer = issuer.with_context(|| format!("issuer {name} does not exist: see `tollgate issuer list`"))?;
        crate::issuers::issuer_settings(&self.settings, &self.keys().await?, issuer)
    }

    /// The commands on what is registered in this database.
    fn registry(&self) -> anyhow::Result<Registry> {
        registry(&self.store, &self.settings)
    }

    async fn master_key(&self) -> anyhow::Result<MasterKey> {
        crate::issuer_keys::ensure_keys(&self.store, &self.settings, &Clock::system()).await
    }

    async fn keys(&self) -> anyhow::Result<KeyRing> {
        crate::issuer_keys::open_keys(&self.store, &self.settings).await
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn command_line_definition_is_valid() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_create_is_one_of_update() {
        for noun in ["client", "user", "resource"] {
            let mut cli = super::Cli::command();
            cli.build();
            let flags = |verb: &str| -> Vec<String> {
                let command = cli.find_subcommand(noun).and_then(|noun| noun.find_subcommand(verb)).expect(verb);
                command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned).collect()
            };
            let update = flags("update");
            // An id never changes; secrets and passwords have commands of their own.
            let create = flags("create")
                .into_iter()
                .filter(|flag| !matches!(flag.as_str(), "id" | "secret-stdin" | "password-stdin"));
            for flag in create {
                assert!(update.contains(&flag), "{noun} update --{flag}");
            }
        }
    }

    /// One of 64 base64url identifiers begins with a hyphen.
    #[test]
    fn identifiers_may_begin_with_a_hyphen() {
        for command in [["key", "revoke"], ["revoke", "key"], ["revoke", "session"]] {
            let line = ["tollgate", command[0], command[1], "-jZVhR-rdd1", "--reason", "stolen"];
            assert!(super::Cli::try_parse_from(line).is_ok(), "{line:?}");
            let without_id = ["tollgate", command[0], command[1], "--reason", "stolen"];
            assert!(super::Cli::try_parse_from(without_id).is_err(), "{without_id:?}");
        }
    }
}
