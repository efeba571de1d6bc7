//! The judge of signatures in WebAssembly (`tests/judge`): under wasmtime, and in workerd.

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

use crate::stack::{Program, free_port, given, wrangler};

/// How long workerd may take to come up on a busy machine before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// The verdicts on these lines in wasmtime, compiled for the target that the components are compiled for.
pub fn in_wasmtime(lines: &str) -> Result<String> {
    let told = |error: wasmtime::Error| anyhow!("the judge does not run: {error:#}");
    let engine = Engine::new(&Config::new()).map_err(told)?;
    let program = PathBuf::from(given("TOLLGATE_TEST_WASM_DIR")).join("tollgate-judge.wasm");
    let component = Component::from_file(&engine, program).map_err(told)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).map_err(told)?;
    let output = MemoryOutputPipe::new(1 << 20);
    let mut wasi = WasiCtx::builder();
    wasi.stdin(MemoryInputPipe::new(lines.to_owned())).stdout(output.clone()).inherit_stderr();
    let mut store = Store::new(&engine, State { wasi: wasi.build(), table: ResourceTable::new() });
    let command = sync::Command::instantiate(&mut store, &component, &linker).map_err(told)?;
    let ended = command.wasi_cli_run().call_run(&mut store).map_err(told)?;
    ensure!(ended.is_ok(), "the judge failed");
    Ok(String::from_utf8(output.contents().to_vec())?)
}

/// A Worker that judges, in workerd under `wrangler dev`.
pub struct Workerd {
    url: String,
    http: reqwest::Client,
    _program: Program,
    _folder: TempDir,
}

impl Workerd {
    /// Starts it and waits until it answers.
    pub async fn start() -> Result<Self> {
        let (port, folder) = (free_port()?, tempfile::tempdir()?);
        let built = PathBuf::from(given("TOLLGATE_TEST_JUDGE_DIR"));
        for name in ["tollgate_judge.js", "tollgate_judge_bg.wasm"] {
            fs::copy(built.join(name), folder.path().join(name)).with_context(|| format!("{name} is built"))?;
        }
        let worker = Path::new(env!("CARGO_MANIFEST_DIR")).join("judge/worker.js");
        fs::copy(worker, folder.path().join("worker.js"))?;
        let settings = "name = \"judge\"\nmain = \"worker.js\"\ncompatibility_date = \"2026-11-01\"\n";
        fs::write(folder.path().join("wrangler.toml"), settings)?;
        let mut command: Command = wrangler(port, folder.path());
        let program = Program::start(command.current_dir(folder.path()).stdout(Stdio::null()))?;
        let url = format!("http://127.0.0.1:{port}/");
        let judge = Self { url, http: reqwest::Client::new(), _program: program, _folder: folder };
        let started = Instant::now();
        while judge.judge("").await.is_err() {
            if started.elapsed() > PATIENCE {
                bail!("workerd is not ready after {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(judge)
    }

    /// The verdicts on these lines.
    pub async fn judge(&self, lines: &str) -> Result<String> {
        let answer = self.http.post(&self.url).body(lines.to_owned()).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }
}
