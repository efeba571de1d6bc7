//! Hosts of the vector runner (`tests/vector_runner`): wasmtime, and workerd under `wrangler dev`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use tempfile::TempDir;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::bindings::sync;
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::edge::wrangler;

use crate::environment::{free_port, required_env};

use crate::process::ChildProcess;

/// Longest wait for workerd to become ready, on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Returns the result letters for these vectors from wasmtime, compiled for the components' target.
pub fn run_in_wasmtime(lines: &str) -> Result<String> {
    let failed = |error: wasmtime::Error| anyhow!("the vector runner does not run: {error:#}");
    let engine = Engine::new(&Config::new()).map_err(failed)?;
    let program = PathBuf::from(required_env("TOLLGATE_TEST_WASM_DIR")).join("tollgate-vector-runner.wasm");
    let component = Component::from_file(&engine, program).map_err(failed)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).map_err(failed)?;
    let output = MemoryOutputPipe::new(1 << 20);
    let mut wasi = WasiCtx::builder();
    wasi.stdin(MemoryInputPipe::new(lines.to_owned())).stdout(output.clone()).inherit_stderr();
    let mut store = Store::new(&engine, State { wasi: wasi.build(), table: ResourceTable::new() });
    let command = sync::Command::instantiate(&mut store, &component, &linker).map_err(failed)?;
    let ended = command.wasi_cli_run().call_run(&mut store).map_err(failed)?;
    ensure!(ended.is_ok(), "the vector runner failed");
    Ok(String::from_utf8(output.contents().to_vec())?)
}

/// The vector runner as a Worker in workerd, under `wrangler dev`.
pub struct WorkerdRunner {
    url: String,
    http: reqwest::Client,
    _program: ChildProcess,
    _folder: TempDir,
}

impl WorkerdRunner {
    /// Starts the Worker and waits until it answers.
    pub async fn start() -> Result<Self> {
        let (port, folder) = (free_port()?, tempfile::tempdir()?);
        let built = PathBuf::from(required_env("TOLLGATE_TEST_VECTOR_RUNNER_DIR"));
        for name in ["tollgate_vector_runner.js", "tollgate_vector_runner_bg.wasm"] {
            fs::copy(built.join(name), folder.path().join(name)).with_context(|| format!("{name} is built"))?;
        }
        let worker = Path::new(env!("CARGO_MANIFEST_DIR")).join("vector_runner/worker.js");
        fs::copy(worker, folder.path().join("worker.js"))?;
        let settings = "name = \"vector-runner\"\nmain = \"worker.js\"\ncompatibility_date = \"2026-11-01\"\n";
        fs::write(folder.path().join("wrangler.toml"), settings)?;
        let mut command: Command = wrangler(port, folder.path());
        let program = ChildProcess::start(command.current_dir(folder.path()).stdout(Stdio::null()))?;
        let url = format!("http://127.0.0.1:{port}/");
        let runner = Self { url, http: reqwest::Client::new(), _program: program, _folder: folder };
        let started = Instant::now();
        while runner.run("").await.is_err() {
            if started.elapsed() > READY_TIMEOUT {
                bail!("workerd is not ready after {READY_TIMEOUT:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(runner)
    }

    /// Returns the result letters for these vectors.
    pub async fn run(&self, lines: &str) -> Result<String> {
        let answer = self.http.post(&self.url).body(lines.to_owned()).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }
}
