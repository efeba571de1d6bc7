//! Command line of the wasmtime edge.

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::collections::BTreeMap;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tollgate_edge::{Edge, GateKind, Settings, Sources, StartError};
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
    /// Address to listen on [TOLLGATE_EDGE_LISTEN; default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Public URL of the origin [TOLLGATE_EDGE_ORIGIN]
    #[arg(long, value_name = "URL")]
    origin: Option<String>,
    /// URL of the upstream that gets allowed requests [TOLLGATE_EDGE_UPSTREAM]
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// The origin's snapshot key; two, separated by a comma, during a rotation
    /// [TOLLGATE_EDGE_SNAPSHOT_KEY]
    #[arg(long, value_name = "KEY")]
    snapshot_key: Option<String>,
    /// Required audience of tokens [TOLLGATE_EDGE_AUDIENCE; default: the audience in the snapshot]
    #[arg(long)]
    audience: Option<String>,
    /// Required issuer of tokens [TOLLGATE_EDGE_ISSUER; default: the origin's URL]
    #[arg(long)]
    issuer: Option<String>,
    /// Accepted clock difference in seconds, 0 to 60 [TOLLGATE_EDGE_LEEWAY_SECONDS; default: 30]
    #[arg(long, value_name = "SECONDS")]
    leeway_seconds: Option<String>,
    /// Age after which the replica is refreshed in the background [TOLLGATE_EDGE_REFRESH_AFTER_MS;
    /// default: 250]
    #[arg(long, value_name = "MS")]
    refresh_after_ms: Option<String>,
    /// Age after which requests wait for a refresh [TOLLGATE_EDGE_MAX_STALENESS_MS; default: 1000]
    #[arg(long, value_name = "MS")]
    max_staleness_ms: Option<String>,
    /// Deprecated: use --refresh-after-ms
    #[arg(long, value_name = "MS", hide = true)]
    soft_ms: Option<String>,
    /// Deprecated: use --max-staleness-ms
    #[arg(long, value_name = "MS", hide = true)]
    hard_ms: Option<String>,
    /// Accept tokens of type JWT as access tokens, true or false [TOLLGATE_EDGE_ALLOW_PLAIN_JWT;
    /// default: false]
    #[arg(long, value_name = "BOOL")]
    allow_plain_jwt: Option<String>,
    /// Number of verified tokens to cache, 0 to 65536 [TOLLGATE_EDGE_CACHED_TOKENS; default: 1024]
    #[arg(long, value_name = "COUNT")]
    cached_tokens: Option<String>,
    /// Tables for frequently used keys: none, small or large [TOLLGATE_EDGE_KEY_TABLES; default:
    /// small]
    #[arg(long, value_name = "SIZE")]
    key_tables: Option<String>,
    /// Proxies whose X-Forwarded-* headers are trusted, such as 10.0.0.0/8
    /// [TOLLGATE_EDGE_TRUSTED_PROXIES; default: none]
    #[arg(long, value_name = "ADDRESSES")]
    trusted_proxies: Option<String>,
    /// Seconds until the upstream must begin its response [TOLLGATE_EDGE_UPSTREAM_TIMEOUT; default:
    /// 60]
    #[arg(long, value_name = "SECONDS")]
    upstream_timeout: Option<String>,
    /// Maximum number of client connections [TOLLGATE_EDGE_MAX_CONNECTIONS; default: 10000, or what
    /// the system allows]
    #[arg(long, value_name = "COUNT")]
    max_connections: Option<String>,
    /// File of the component [TOLLGATE_EDGE_COMPONENT; default: in this program, or else in its
    /// folder]
    #[arg(long, value_name = "FILE")]
    component: Option<String>,
    /// Folder for the cold-start store [TOLLGATE_EDGE_STORE; default: memory only]
    #[arg(long, value_name = "FOLDER")]
    store: Option<String>,
}

impl Serve {
    /// Values of the options by the names of their settings.
    fn flags(&self) -> BTreeMap<String, String> {
        let values = [
            ("TOLLGATE_EDGE_LISTEN", &self.listen),
            ("TOLLGATE_EDGE_ORIGIN", &self.origin),
            ("TOLLGATE_EDGE_UPSTREAM", &self.upstream),
            ("TOLLGATE_EDGE_SNAPSHOT_KEY", &self.snapshot_key),
            ("TOLLGATE_EDGE_AUDIENCE", &self.audience),
            ("TOLLGATE_EDGE_ISSUER", &self.issuer),
            ("TOLLGATE_EDGE_LEEWAY_SECONDS", &self.leeway_seconds),
            ("TOLLGATE_EDGE_REFRESH_AFTER_MS", &self.refresh_after_ms),
            ("TOLLGATE_EDGE_MAX_STALENESS_MS", &self.max_staleness_ms),
            ("TOLLGATE_EDGE_SOFT_MS", &self.soft_ms),
            ("TOLLGATE_EDGE_HARD_MS", &self.hard_ms),
            ("TOLLGATE_EDGE_ALLOW_PLAIN_JWT", &self.allow_plain_jwt),
            ("TOLLGATE_EDGE_CACHED_TOKENS", &self.cached_tokens),
            ("TOLLGATE_EDGE_KEY_TABLES", &self.key_tables),
            ("TOLLGATE_EDGE_TRUSTED_PROXIES", &self.trusted_proxies),
            ("TOLLGATE_EDGE_UPSTREAM_TIMEOUT", &self.upstream_timeout),
            ("TOLLGATE_EDGE_MAX_CONNECTIONS", &self.max_connections),
            ("TOLLGATE_EDGE_COMPONENT", &self.component),
            ("TOLLGATE_EDGE_STORE", &self.store),
        ];
        values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
    }
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
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return stop(&StartError::Failed(format!("the async runtime cannot start: {error}"))),
    };
    exit_code(runtime.block_on(task))
}

/// Prints an error.
fn exit_code(result: Result<(), StartError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => stop(&error),
    }
}

/// Prints the URL that answered.
async fn health(args: &HealthArgs) -> Result<(), StartError> {
    let sources = Sources::read(BTreeMap::new(), args.config.as_deref())?;
    let url = tollgate_edge::check_health(&sources).await?;
    println!("{url}: ok");
    Ok(())
}

/// Serves until a termination signal arrives.
async fn run(args: &Serve) -> Result<(), StartError> {
    let sources = Sources::read(args.flags(), args.config.as_deref())?;
    for deprecated in sources.deprecated() {
        tracing::warn!(setting = deprecated.name, replacement = deprecated.new_name, "deprecated setting");
    }
    let gate = match args.gate {
        Gate::Component => GateKind::Component,
        Gate::Spin => GateKind::Spin,
    };
    let settings = Settings::from_lookup(gate, |name| sources.get(name))?;
    let upstream = settings.upstream().to_owned();
    let edge = Edge::start(settings).await?;
    tracing::info!(url = edge.url(), upstream, "edge started");
    termination_signal().await;
    tracing::info!("shutting down");
    edge.shutdown().await;
    Ok(())
}

/// Waits for Ctrl-C or a termination signal.
async fn termination_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

/// Prints the error in one line. Exit code 2 for an invalid setting, else 1.
fn stop(error: &StartError) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(if matches!(error, StartError::Setting(_)) { 2 } else { 1 })
}
