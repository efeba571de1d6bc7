//! Benchmarks in wasmtime: revocation lookups compiled to WebAssembly, the component that edges
//! run, and lanes. `cargo xtask bench` builds and runs it.

mod component;

use std::path::Path;
use std::{env, fs};

use anyhow::{Result, anyhow, bail, ensure};
use tollgate_bench::figures::{Figure, Part};
use tollgate_bench::lookup_cost::{LookupCosts, figures};
use tollgate_bench::population::Population;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// Folder of the snapshot in the guest.
const GUEST_FOLDER: &str = "/parts";

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [word, guest, folder, arguments @ ..] = arguments.as_slice()
        && word == "lane"
    {
        return lane(Path::new(guest), Path::new(folder), arguments);
    }
    if let [word, program, folder] = arguments.as_slice()
        && word == "component"
    {
        return component::lane(Path::new(program), Path::new(folder));
    }
    let [folder, programs, quick @ ..] = arguments.as_slice() else {
        bail!("usage: tollgate-bench-wasm [lane GUEST|component PROGRAM] FOLDER … (started by `cargo xtask bench`)");
    };
    let population = Population::large(quick == ["--quick"]);
    measure(Path::new(folder), Path::new(programs), population)?.finish(Path::new(folder), "3-wasm")
}

/// Measures with the large snapshot that `tollgate-bench revocation` wrote to `folder`.
fn measure(folder: &Path, programs: &Path, population: Population) -> Result<Part> {
    let guest = programs.join("tollgate-bench.wasm");
    let costs: LookupCosts = serde_json::from_str(&lookups(&guest, folder, population)?)?;
    let mut part = Part::new(
        "Revocation lookup, in WebAssembly",
        "The same source as natively, compiled to wasm32-wasip2 like the components, in wasmtime with the edge's settings \
         (interruption by epochs). The last figure is for the edge's component: instantiate it, pass the snapshot and a \
         heartbeat, verify a first token.",
    );
    part.figures = figures(&costs, "in wasmtime");
    let snapshot = fs::read(folder.join("large.snapshot"))?;
    let first_answer = component::first_answer_ms(&programs.join("tollgate_component.wasm"), &snapshot)?;
    part.figures.push(Figure::new("edge component, from instantiation to first answer", first_answer, "ms"));
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

/// Runs the lookups of `tollgate-bench` in wasmtime and returns their output.
fn lookups(guest: &Path, folder: &Path, population: Population) -> Result<String> {
    let output = MemoryOutputPipe::new(1 << 16);
    let snapshot = format!("{GUEST_FOLDER}/large.snapshot");
    let Population { live, revoked } = population;
    let mut wasi = WasiCtx::builder();
    wasi.args(&["tollgate-bench", "query", &snapshot, &live.to_string(), &revoked.to_string()]);
    wasi.stdout(output.clone()).inherit_stderr();
    run(guest, folder, &mut wasi)?;
    Ok(String::from_utf8(output.contents().to_vec())?)
}

/// Runs a lane with this program's standard input and output. It can read the files of `folder`.
fn lane(guest: &Path, folder: &Path, arguments: &[String]) -> Result<()> {
    let mut wasi = WasiCtx::builder();
    wasi.arg("lane").inherit_stdio();
    for argument in arguments {
        wasi.arg(argument.replace("FOLDER", GUEST_FOLDER));
    }
    run(guest, folder, &mut wasi)
}

/// Runs a guest with the edge's settings.
fn run(guest: &Path, folder: &Path, wasi: &mut WasiCtxBuilder) -> Result<()> {
    let failed = |error: wasmtime::Error| anyhow!("cannot run the guest: {error:#}");
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config).map_err(failed)?;
    let component = Component::from_file(&engine, guest).map_err(failed)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).map_err(failed)?;
    wasi.preopened_dir(folder, GUEST_FOLDER, FsPerms::ReadOnly).map_err(failed)?;
    let mut store = Store::new(&engine, State { wasi: wasi.build(), table: ResourceTable::new() });
    store.set_epoch_deadline(u64::MAX / 2);
    let command = Command::instantiate(&mut store, &component, &linker).map_err(failed)?;
    let ended = command.wasi_cli_run().call_run(&mut store).map_err(failed)?;
    ensure!(ended.is_ok(), "the guest failed");
    Ok(())
}
