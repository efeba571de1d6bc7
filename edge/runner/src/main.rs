//! The command line of the wasmtime edge.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use tollgate_edge::{Edge, GateKind, Settings, Sources, StartError};
use tollgate_gate::verify_cli::VerifyArgs;
use tracing_subscriber::EnvFilter;

/// Tollgate's edge gate on wasmtime: checks tokens without a call home and passes what may pass to the upstream.
#[derive(Parser)]
#[command(name = "tollgate-edge", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Serve requests; also what happens without a subcommand
    Serve(Box<Serve>),
    /// Judge tokens inside the WebAssembly component
    Verify(Box<VerifyArgs>),
}

/// Which component decides.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Gate {
    /// The validator component; this program brings network and proxying
    #[default]
    Component,
    /// The Spin component, hosted as Spin hosts it
    Spin,
}

/// Every setting is also read from the environment, from .env and from tollgate-edge.toml, in this order. A secret key has
/// no flag, for flags can be seen by others: TOLLGATE_EDGE_SECRET_KEYS.
#[derive(Args)]
struct Serve {
    /// Which component decides
    #[arg(long, value_enum, default_value_t)]
    gate: Gate,
    /// The settings file [default: tollgate-edge.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on [TOLLGATE_EDGE_LISTEN; default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The origin's public URL [TOLLGATE_EDGE_ORIGIN]
    #[arg(long, value_name = "URL")]
    origin: Option<String>,
    /// Where allowed requests go [TOLLGATE_EDGE_UPSTREAM]
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// The origin's snapshot key; two, comma separated, while it rotates [TOLLGATE_EDGE_SNAPSHOT_KEY]
    #[arg(long, value_name = "KEY")]
    snapshot_key: Option<String>,
    /// The audience of tokens, if not the snapshot's [TOLLGATE_EDGE_AUDIENCE]
    #[arg(long)]
    audience: Option<String>,
    /// The issuer of tokens, if not the origin's URL [TOLLGATE_EDGE_ISSUER]
    #[arg(long)]
    issuer: Option<String>,
    /// Seconds that clocks may be apart, 0 to 60 [TOLLGATE_EDGE_LEEWAY_SECONDS; default: 30]
    #[arg(long, value_name = "SECONDS")]
    leeway_seconds: Option<String>,
    /// Age at which knowledge is refreshed in the background [TOLLGATE_EDGE_SOFT_MS; default: 250]
    #[arg(long, value_name = "MS")]
    soft_ms: Option<String>,
    /// Age at which a request waits for a refresh [TOLLGATE_EDGE_HARD_MS; default: 1000]
    #[arg(long, value_name = "MS")]
    hard_ms: Option<String>,
    /// Take tokens of type JWT for access tokens, true or false [TOLLGATE_EDGE_ALLOW_PLAIN_JWT]
    #[arg(long, value_name = "BOOL")]
    allow_plain_jwt: Option<String>,
    /// Tokens remembered after a full check, 0 to 65536 [TOLLGATE_EDGE_CACHED_TOKENS; default: 1024]
    #[arg(long, value_name = "COUNT")]
    cached_tokens: Option<String>,
    /// Tables for keys in frequent use: none, small or large [TOLLGATE_EDGE_KEY_TABLES; default: small]
    #[arg(long, value_name = "SIZE")]
    key_tables: Option<String>,
    /// Proxies that may say where a request came from, such as 10.0.0.0/8 [TOLLGATE_EDGE_TRUSTED_PROXIES; default: none]
    #[arg(long, value_name = "ADDRESSES")]
    trusted_proxies: Option<String>,
    /// Seconds that the upstream may take to begin its answer [TOLLGATE_EDGE_UPSTREAM_TIMEOUT; default: 60]
    #[arg(long, value_name = "SECONDS")]
    upstream_timeout: Option<String>,
    /// Clients' connections at once [TOLLGATE_EDGE_MAX_CONNECTIONS; default: 10000, or what the system allows]
    #[arg(long, value_name = "COUNT")]
    max_connections: Option<String>,
    /// The component's file [TOLLGATE_EDGE_COMPONENT; default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    component: Option<String>,
    /// Folder that keeps what a cold start needs [TOLLGATE_EDGE_STORE; default: memory only]
    #[arg(long, value_name = "FOLDER")]
    store: Option<String>,
}

impl Serve {
    /// The flags by the names of their settings.
    fn flags(&self) -> BTreeMap<String, String> {
        let given = [
            ("TOLLGATE_EDGE_LISTEN", &self.listen),
            ("TOLLGATE_EDGE_ORIGIN", &self.origin),
            ("TOLLGATE_EDGE_UPSTREAM", &self.upstream),
            ("TOLLGATE_EDGE_SNAPSHOT_KEY", &self.snapshot_key),
            ("TOLLGATE_EDGE_AUDIENCE", &self.audience),
            ("TOLLGATE_EDGE_ISSUER", &self.issuer),
            ("TOLLGATE_EDGE_LEEWAY_SECONDS", &self.leeway_seconds),
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
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
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
    }
}

fn serve(args: &Serve) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return stop(&StartError::Failed(format!("the runtime does not start: {error}"))),
    };
    match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => stop(&error),
    }
}

/// Serves until the process is told to end.
async fn run(args: &Serve) -> Result<(), StartError> {
    let sources = Sources::read(args.flags(), args.config.as_deref())?;
    let gate = match args.gate {
        Gate::Component => GateKind::Component,
        Gate::Spin => GateKind::Spin,
    };
    let settings = Settings::from_lookup(gate, |name| sources.get(name))?;
    let upstream = settings.upstream().to_owned();
    let edge = Edge::start(settings).await?;
    tracing::info!("guarding {upstream} at {}", edge.url());
    told_to_end().await;
    tracing::info!("ending");
    edge.shutdown().await;
    Ok(())
}

/// Waits for Ctrl-C or a termination signal.
async fn told_to_end() {
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

/// One line on standard error; 2 for a wrong setting, 1 for anything else.
fn stop(error: &StartError) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(if matches!(error, StartError::Setting(_)) { 2 } else { 1 })
}
