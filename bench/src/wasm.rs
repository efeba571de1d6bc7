//! Questions inside wasmtime: the bench's own questions compiled to WebAssembly, the component that edges run, and programs that
//! run checks on demand. Run it by `cargo xtask bench`, which builds them.

mod component;

use std::path::Path;
use std::{env, fs};

use anyhow::{Result, anyhow, bail, ensure};
use tollgate_bench::figures::{Figure, Part};
use tollgate_bench::population::Population;
use tollgate_bench::query::{Costs, figures};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// Where the guest finds the snapshot.
const MOUNTED: &str = "/parts";

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
        bail!("it is used so: tollgate-bench-wasm [lane GUEST|component PROGRAM] FOLDER …, by `cargo xtask bench`");
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
    let fresh = component::fresh(&programs.join("tollgate_component.wasm"), &snapshot)?;
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
