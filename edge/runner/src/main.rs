//! Command line of the wasmtime edge.

mod flags;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use flags::SettingFlags;
use std::collections::BTreeMap;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tollgate_edge::{Edge, Finding, GateKind, RelaySettings, Report, SettingError, Settings, Sources, StartError};
use tollgate_gate::verify_cli::VerifyArgs;
use tracing_subscriber::EnvFilter;

/// musl's allocator takes one lock for all threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Version, commit and build, as `cargo xtask dist` sets them.
const BUILD: &str = match option_env!("TOLLGATE_BUILD") {
    Some(build) => build,
    None => concat!(env!("CARGO_PKG_VERSION"), " (commit unknown, build unknown)"),
};

/// Tollgate edge gate on wasmtime: verifies access tokens locally and forwards allowed requests to
/// the upstream.
#[derive(Parser)]
#[command(name = "tollgate-edge", version, long_version = BUILD, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Serve requests (default)
    Serve(Box<Serve>),
    /// Follow an origin and answer edges in its place, so that a fleet is a tree
    Relay(Box<RelayArgs>),
    /// Check settings and files, and try origin, snapshot and upstreams; exit code 1 if a check
    /// fails, 2 if a setting is invalid
    Check(Box<CheckArgs>),
    /// Verify tokens inside the WebAssembly component
    Verify(Box<VerifyArgs>),
    /// Ask the edge on this machine whether its replica is fresh; exit code 1 if not
    Health(HealthArgs),
    /// Print a script that completes this command line in a shell
    Completions {
        /// Shell that reads the script
        shell: Shell,
    },
    /// Write the manual pages to a folder
    #[command(hide = true)]
    ManPages {
        /// Existing folder for the pages
        folder: PathBuf,
    },
}

/// The settings are those of `serve`. Nothing is served, and the origin notices only a fetch.
#[derive(Args)]
struct CheckArgs {
    #[command(flatten)]
    serve: Serve,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// The address is that of TOLLGATE_EDGE_LISTEN.
#[derive(Args)]
struct HealthArgs {
    /// Settings file [default: tollgate-edge.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Which component decides on requests.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Gate {
    /// The validator component; this program provides network and proxying
    #[default]
    Component,
    /// The Spin component, hosted as Spin does
    Spin,
}

/// Each setting is also read from the environment, from .env and from tollgate-edge.toml, in this
/// order. Secrets have no option, because other users can see the arguments of a process: set
/// TOLLGATE_EDGE_SECRET_KEYS and TOLLGATE_EDGE_KEY in the environment, or name files that contain
/// them in TOLLGATE_EDGE_SECRET_KEYS_FILE and TOLLGATE_EDGE_KEY_FILE.
#[derive(Args)]
struct Serve {
    /// Component that decides on requests
    #[arg(long, value_enum, default_value_t)]
    gate: Gate,
    /// Settings file [default: tollgate-edge.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: SettingFlags,
}

/// The settings of an edge that concern its listener and its origin; others have no effect. Edges
/// name the relay in TOLLGATE_EDGE_ORIGIN and the origin in TOLLGATE_EDGE_ISSUER.
#[derive(Args)]
struct RelayArgs {
    /// Settings file [default: tollgate-edge.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: SettingFlags,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match cli.command {
        None => serve(&cli.serve),
        Some(Command::Serve(args)) => serve(&args),
        Some(Command::Relay(args)) => block_on(relay(&args)),
        Some(Command::Check(args)) => check(&args),
        Some(Command::Verify(args)) => match Sources::read(BTreeMap::new(), None) {
            Ok(sources) => tollgate_edge::verify(&args, &sources),
            Err(error) => stop(&error.into()),
        },
        Some(Command::Health(args)) => block_on(health(&args)),
        Some(Command::Completions { shell }) => exit_code(print_completions(shell)),
        Some(Command::ManPages { folder }) => exit_code(write_man_pages(&folder)),
    }
}

/// Prints the script that completes this command line in `shell`.
fn print_completions(shell: Shell) -> Result<(), StartError> {
    // Into memory first: the generator panics if it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tollgate-edge", &mut script);
    match std::io::stdout().lock().write_all(&script) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(StartError::Failed(format!("cannot print the script: {error}")))
        }
        _ => Ok(()),
    }
}

fn write_man_pages(folder: &Path) -> Result<(), StartError> {
    clap_mangen::generate_to(Cli::command(), folder)
        .map_err(|error| StartError::Failed(format!("cannot write manual pages to {}: {error}", folder.display())))
}

fn serve(args: &Serve) -> ExitCode {
    block_on(run(args))
}

/// Runs `task` to its end.
fn block_on(task: impl Future<Output = Result<(), StartError>>) -> ExitCode {
    match runtime() {
        Ok(runtime) => exit_code(runtime.block_on(task)),
        Err(error) => stop(&error),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Runtime::new()
        .map_err(|error| StartError::Failed(format!("the async runtime cannot start: {error}")))
}

/// Prints an error.
fn exit_code(result: Result<(), StartError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => stop(&error),
    }
}

/// Prints the findings.
fn check(args: &CheckArgs) -> ExitCode {
    let (report, code) = match read_settings(&args.serve) {
        Ok((_, settings)) => match runtime() {
            Ok(runtime) => {
                let report = runtime.block_on(tollgate_edge::check(&settings));
                let code = if report.is_ok() { 0 } else { 1 };
                (report, code)
            }
            Err(error) => return stop(&error),
        },
        Err(error) => {
            let mut report = Report::default();
            report.add("settings", Finding::failed(error.to_string()));
            (report, 2)
        }
    };
    let text = if args.json { format!("{:#}\n", report.json()) } else { report.to_string() };
    // A reader that ends early has read what it needs.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    ExitCode::from(code)
}

/// Prints the URL that answered.
async fn health(args: &HealthArgs) -> Result<(), StartError> {
    let sources = Sources::read(BTreeMap::new(), args.config.as_deref())?;
    let url = tollgate_edge::check_health(&sources).await?;
    println!("{url}: ok");
    Ok(())
}

/// Relays until a termination signal arrives.
async fn relay(args: &RelayArgs) -> Result<(), StartError> {
    let sources = Sources::read(args.flags.0.clone(), args.config.as_deref())?;
    let relay = Edge::start_relay(RelaySettings::from_lookup(|name| sources.get(name))?).await?;
    tracing::info!(url = relay.url(), "relay started");
    run_until_terminated(|| relay.reload_files()).await;
    tracing::info!("shutting down");
    relay.shutdown().await;
    Ok(())
}

/// Serves until a termination signal arrives.
async fn run(args: &Serve) -> Result<(), StartError> {
    let (sources, settings) = read_settings(args)?;
    for deprecated in sources.deprecated() {
        tracing::warn!(setting = deprecated.name, replacement = deprecated.new_name, "deprecated setting");
    }
    let upstream = settings.upstream().to_owned();
    let edge = Edge::start(settings).await?;
    tracing::info!(url = edge.url(), upstream, "edge started");
    let reload = || match read_settings(args) {
        Ok((_, settings)) => edge.reload(&settings),
        Err(error) => tracing::error!(%error, "reload failed: the settings in use stay"),
    };
    run_until_terminated(reload).await;
    tracing::info!("shutting down");
    edge.shutdown().await;
    Ok(())
}

fn read_settings(args: &Serve) -> Result<(Sources, Settings), SettingError> {
    let sources = Sources::read(args.flags.0.clone(), args.config.as_deref())?;
    let gate = match args.gate {
        Gate::Component => GateKind::Component,
        Gate::Spin => GateKind::Spin,
    };
    let settings = Settings::from_lookup(gate, |name| sources.get(name))?;
    Ok((sources, settings))
}

/// Waits for Ctrl-C or a termination signal. Reloads at each hangup signal.
async fn run_until_terminated(reload: impl Fn()) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminated), Ok(mut hung_up)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return,
            _ = terminated.recv() => return,
            _ = hung_up.recv() => reload(),
        }
    }
}

/// Prints the error in one line. Exit code 2 for an invalid setting, else 1.
fn stop(error: &StartError) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(if matches!(error, StartError::Setting(_)) { 2 } else { 1 })
}
