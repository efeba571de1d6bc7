//! Builds the native programs and the three WebAssembly artefacts. Always the same packages in one call: cargo unites the
//! features of what it builds together, and another choice of packages would build the dependencies a second time.

use std::{fs, process::Command};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::{
    optimise::{self, newer},
    progress, setup,
    stack::Edge,
    workspace::{Workspace, cargo},
};

/// What compiles for the machine we run on.
pub(crate) const NATIVE: [&str; 6] =
    ["tollgate-core", "tollgate", "tollgate-gate", "tollgate-edge", "tollgate-tests", "xtask"];
/// Clients of others, as programs for the tests.
pub(crate) const PUBLIC_CLIENTS: &str = "public-clients";
/// The components that wasmtime hosts.
pub(crate) const COMPONENTS: [&str; 2] = ["tollgate-component", "tollgate-spin"];

/// Runs test vectors inside wasmtime and workerd, for the suite.
const VECTOR_RUNNER: &str = "tollgate-vector-runner";

/// A part that can be built alone.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Everything
    All,
    /// The programs tollgate and tollgate-edge, and the example API
    Native,
    /// The WIT component and the Spin component
    Components,
    /// The Cloudflare Worker
    Worker,
}

pub(crate) fn build(workspace: &Workspace, part: Part) -> Result<()> {
    let wants = |this| part == Part::All || part == this;
    if wants(Part::Native) {
        native(workspace)?;
    }
    if wants(Part::Components) {
        components(workspace)?;
    }
    if wants(Part::Worker) {
        worker(workspace)?;
    }
    if part == Part::All {
        vector_runner(workspace)?;
    }
    Ok(())
}

/// `-p NAME` for each.
pub(crate) fn packages(names: &[&'static str]) -> impl Iterator<Item = &'static str> {
    names.iter().flat_map(|name| ["--package", name])
}

fn native(workspace: &Workspace) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--bins", "--examples"]).args(packages(&NATIVE)).current_dir(&workspace.root);
    run(workspace, "building the native programs", "build-native", &mut build)
}

/// The OAuth clients in Rust that the suite runs. In a call of their own: their dependencies want features that ours are
/// neither tested nor shipped with.
pub(crate) fn public_clients(workspace: &Workspace) -> Result<()> {
    let mut build = cargo();
    build.args(["build"]).args(packages(&[PUBLIC_CLIENTS])).current_dir(&workspace.root);
    run(workspace, "building the public OAuth clients", "build-public-clients", &mut build)
}

/// What these edges run, as they need it to try them: components stay as the compiler leaves them, which is larger and slower than what
/// is tested, measured and shipped, and needs no optimiser.
pub(crate) fn edges(workspace: &Workspace, edges: &[Edge]) -> Result<()> {
    if edges.iter().any(|edge| *edge != Edge::Worker) {
        link_components(workspace)?;
    }
    if edges.contains(&Edge::Worker) {
        worker(workspace)?;
    }
    Ok(())
}

fn link_components(workspace: &Workspace) -> Result<()> {
    let mut build = cargo();
    build
        .args(["build", "--release", "--target", "wasm32-wasip2"])
        .args(packages(&COMPONENTS))
        .args(["--package", VECTOR_RUNNER])
        .current_dir(&workspace.root);
    run(workspace, "building the components", "build-components", &mut build)
}

fn components(workspace: &Workspace) -> Result<()> {
    link_components(workspace)?;
    for name in COMPONENTS {
        optimise::component(workspace, &workspace.wasm().join(name.replace('-', "_") + ".wasm"))?;
    }
    Ok(())
}

/// Builds the vector runner for workerd: a module with bindings, loaded by `tests/vector_runner/worker.js`.
fn vector_runner(workspace: &Workspace) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--lib", "--release", "--target", "wasm32-unknown-unknown", "--package", VECTOR_RUNNER]);
    build.env("WASM_BINDGEN_USE_JS_SYS", "1").current_dir(&workspace.root);
    run(workspace, "building the vector runner", "build-vector-runner", &mut build)?;
    let wasm = workspace.target.join("wasm32-unknown-unknown/release/tollgate_vector_runner.wasm");
    if newer(&workspace.vector_runner().join("tollgate_vector_runner_bg.wasm"), &wasm) {
        return Ok(());
    }
    let mut bind = crate::workspace::command(workspace.cargo_bin().join("wasm-bindgen"));
    bind.args(["--target", "web", "--no-typescript", "--out-dir"]).arg(workspace.vector_runner()).arg(wasm);
    run(workspace, "binding the vector runner", "bind-vector-runner", &mut bind)
}

/// Cargo knows whether the Worker's WebAssembly changed; only then are bindings, optimiser and bundler worth their seconds.
fn worker(workspace: &Workspace) -> Result<()> {
    let mut build = cargo();
    // As worker-build calls cargo, so that its own call finds everything done.
    build
        .args(["build", "--lib", "--release", "--target", "wasm32-unknown-unknown"])
        .env("WASM_BINDGEN_USE_JS_SYS", "1");
    run(workspace, "building the Worker", "build-worker", build.current_dir(workspace.worker()))?;

    let wasm = workspace.target.join("wasm32-unknown-unknown/release/tollgate_worker.wasm");
    let (index, stamp) = (workspace.worker().join("build/index.js"), workspace.target.join("worker-tools.stamp"));
    let tools =
        format!("{}\n{}", setup::WORKER_BUILD, fs::read_to_string(workspace.root.join("xtask/tools/package.json"))?);
    if newer(&index, &wasm) && fs::read_to_string(&stamp).is_ok_and(|text| text == tools) {
        return Ok(());
    }
    let mut bundle = crate::workspace::command(workspace.cargo_bin().join("worker-build"));
    let bundle = setup::with_tools(workspace, bundle.arg("--release").current_dir(workspace.worker()))?;
    run(workspace, "bundling the Worker", "bundle-worker", bundle)?;
    if !index.is_file() {
        bail!("worker-build left no edge/worker/build/index.js");
    }
    Ok(fs::write(stamp, tools)?)
}

fn run(workspace: &Workspace, what: &str, log: &str, command: &mut Command) -> Result<()> {
    progress::run(what, &workspace.cache.join("logs"), log, command)
}
