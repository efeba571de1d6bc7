//! Questions inside wasmtime: the bench's own questions compiled to WebAssembly, a fresh instance of the component that edges
//! run, and programs that run checks on demand. Run it by `cargo xtask bench`, which builds them.

use std::path::Path;
use std::{env, fs};

use anyhow::{Result, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tollgate_bench::figures::{Figure, Part};
use tollgate_bench::measure::{percentile, seconds, sorted};
use tollgate_bench::population::{Population, signer};
use tollgate_bench::query::{Costs, figures};
use tollgate_bench::tokens::{AUDIENCE, ISSUER, NOW, Signer};
use tollgate_core::{DeltaParts, Snapshot, build_deltas};
use tollgate_edge::{Program, Validator, Verdict};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// Where the guest finds the snapshot.
const MOUNTED: &str = "/parts";
/// Fresh instances of the component.
const FRESH: usize = 21;
const SECRET: [u8; 32] = [3; 32];

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [word, guest, folder, arguments @ ..] = arguments.as_slice()
        && word == "lane"
    {
        return lane(Path::new(guest), Path::new(folder), arguments);
    }
    let [folder, programs, quick @ ..] = arguments.as_slice() else {
        bail!("it is used so: tollgate-bench-wasm [lane GUEST] FOLDER …, by `cargo xtask bench`");
    };
    let population = Population::large(quick == ["--quick"]);
    measure(Path::new(folder), Path::new(programs), population)?.finish(Path::new(folder), "3-wasm")
}

/// Measures with the large snapshot that the core's bench left in `folder`.
fn measure(folder: &Path, programs: &Path, population: Population) -> Result<Part> {
    let guest = programs.join("tollgate-bench.wasm");
    let costs: Costs = serde_json::from_str(&questions(&guest, folder, population)?)?;
    let mut part = Part::new(
        "Asking, in WebAssembly",
        "The same source as natively, compiled to wasm32-wasip2 as the components are, in wasmtime with the edge's settings \
         (interruption by epochs). The fresh component is the edge's own: instantiated, given the snapshot of so many revoked \
         tokens and a heartbeat, asked for its first verdict.",
    );
    part.figures = figures(&costs, "in wasmtime");
    let snapshot = fs::read(folder.join("large.snapshot"))?;
    let fresh = fresh_component(&programs.join("tollgate_component.wasm"), &snapshot)?;
    part.figures.push(Figure::new("the edge's component, from instantiation to its first verdict", fresh, "ms"));
    Ok(part)
}

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Runs the bench's own questions; what they printed.
fn questions(guest: &Path, folder: &Path, population: Population) -> Result<String> {
    let output = MemoryOutputPipe::new(1 << 16);
    let snapshot = format!("{MOUNTED}/large.snapshot");
    let Population { live, revoked } = population;
    let mut wasi = WasiCtx::builder();
    wasi.args(&["tollgate-bench", "query", &snapshot, &live.to_string(), &revoked.to_string()]);
    wasi.stdout(output.clone()).inherit_stderr();
    run(guest, folder, &mut wasi)?;
    Ok(String::from_utf8(output.contents().to_vec())?)
}

/// Runs a program of lines in and lines out, on our own standard input and output. Its files are those of `folder`.
fn lane(guest: &Path, folder: &Path, arguments: &[String]) -> Result<()> {
    let mut wasi = WasiCtx::builder();
    wasi.arg("lane").inherit_stdio();
    for argument in arguments {
        wasi.arg(argument.replace("FOLDER", MOUNTED));
    }
    run(guest, folder, &mut wasi)
}

/// Runs a guest with the edge's settings.
fn run(guest: &Path, folder: &Path, wasi: &mut WasiCtxBuilder) -> Result<()> {
    let of_wasmtime = |error: wasmtime::Error| anyhow!("the guest does not run: {error:#}");
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config).map_err(of_wasmtime)?;
    let component = Component::from_file(&engine, guest).map_err(of_wasmtime)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).map_err(of_wasmtime)?;
    wasi.preopened_dir(folder, MOUNTED, FsPerms::ReadOnly).map_err(of_wasmtime)?;
    let mut store = Store::new(&engine, State { wasi: wasi.build(), table: ResourceTable::new() });
    store.set_epoch_deadline(u64::MAX / 2);
    let command = Command::instantiate(&mut store, &component, &linker).map_err(of_wasmtime)?;
    let ended = command.wasi_cli_run().call_run(&mut store).map_err(of_wasmtime)?;
    ensure!(ended.is_ok(), "the guest failed");
    Ok(())
}

/// The median time from nothing but compiled code and bytes in memory to a verdict, milliseconds.
fn fresh_component(file: &Path, snapshot: &[u8]) -> Result<f64> {
    let program = Program::load(file)?;
    let signing = Signer::hs256(&SECRET)?;
    let keys = json!({ "keys": [signing.jwk] });
    let settings = [
        ("TOLLGATE_EDGE_ORIGIN", ISSUER.to_owned()),
        ("TOLLGATE_EDGE_UPSTREAM", "http://127.0.0.1:9".to_owned()),
        ("TOLLGATE_EDGE_SNAPSHOT_KEY", URL_SAFE_NO_PAD.encode(signer().public_key())),
        ("TOLLGATE_EDGE_SECRET_KEYS", keys.to_string()),
        ("TOLLGATE_EDGE_AUDIENCE", AUDIENCE.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let token = signing.token(&Population::token(1).to_string(), NOW);
    let heartbeat = heartbeat(snapshot)?;
    let mut times = Vec::with_capacity(FRESH);
    for _ in 0..FRESH {
        let (verdict, took) = seconds(|| first_verdict(&program, &settings, snapshot, &heartbeat, &token));
        let verdict = verdict?;
        ensure!(verdict.allowed, "the token is good, and yet {}", verdict.reason);
        times.push(took * 1e3);
    }
    Ok(percentile(&sorted(times), 50.0))
}

/// A signed word that nothing changed since the snapshot: without it no verdict is fresh.
fn heartbeat(snapshot: &[u8]) -> Result<Vec<u8>> {
    let snapshot = Snapshot::decode(snapshot.to_vec(), &[signer().public_key()])?;
    let parts = DeltaParts {
        issuer: ISSUER,
        after: snapshot.sequence(),
        head: snapshot.sequence(),
        as_of_ms: NOW * 1000,
        chain: snapshot.chain(),
        config: snapshot.config_digest(),
        epoch: snapshot.epoch() + 1,
        deltas: &[],
    };
    Ok(build_deltas(&parts, &signer())?)
}

fn first_verdict(
    program: &Program,
    settings: &[(String, String)],
    snapshot: &[u8],
    heartbeat: &[u8],
    token: &str,
) -> Result<Verdict> {
    let trapped = |error: wasmtime::Error| anyhow!("the component trapped: {error:#}");
    let mut validator = Validator::open(program, settings).map_err(|error| anyhow!("{error}"))?;
    validator.warm(snapshot).map_err(trapped)?.map_err(anyhow::Error::msg)?;
    validator.accept(200, heartbeat, NOW * 1000).map_err(trapped)?.map_err(anyhow::Error::msg)?;
    validator.verify(token.as_bytes(), &[], NOW).map_err(trapped)
}
