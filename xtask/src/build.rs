//! Builds the native programs and the three WebAssembly artefacts. Always selects the same
//! packages: cargo unifies the features of the packages it builds together, so another selection
//! compiles dependencies a second time.

use std::{fs, process::Command};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::{
    optimise::{self, newer},
    progress, setup,
    stack::Edge,
    workspace::{Workspace, cargo},
};

/// Packages that compile for this machine.
pub(crate) const NATIVE: [&str; 6] =
    ["tollgate-core", "tollgate", "tollgate-gate", "tollgate-edge", "tollgate-tests", "xtask"];
/// OAuth clients of other projects, as programs for the tests.
pub(crate) const PUBLIC_CLIENTS: &str = "public-clients";
/// Components that wasmtime hosts.
pub(crate) const COMPONENTS: [&str; 2] = ["tollgate-component", "tollgate-spin"];

/// Runs test vectors inside wasmtime and workerd, for the suite.
const VECTOR_RUNNER: &str = "tollgate-vector-runner";

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
    let includes = |this| part == Part::All || part == this;
    if includes(Part::Native) {
        native(workspace)?;
    }
    if includes(Part::Components) {
        components(workspace)?;
    }
    if includes(Part::Worker) {
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

/// Builds the OAuth clients in Rust. In a separate call, because they enable features of
/// dependencies with which Tollgate is neither tested nor shipped.
pub(crate) fn public_clients(workspace: &Workspace) -> Result<()> {
    let mut build = cargo();
    build.args(["build"]).args(packages(&[PUBLIC_CLIENTS])).current_dir(&workspace.root);
    run(workspace, "building the public OAuth clients", "build-public-clients", &mut build)
}

/// Builds what these edges run, for trying them out. Components are not optimised, so wasm-opt is
/// not needed; they are larger and slower than those that are tested, measured and shipped.
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

/// Builds the vector runner for workerd: a module with bindings, loaded by
/// `tests/vector_runner/worker.js`.
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

/// Builds the Worker. Bindings, wasm-opt and bundler run only when cargo's WebAssembly, or the
/// tools, changed.
fn worker(workspace: &Workspace) -> Result<()> {
    let mut build = cargo();
    // As worker-build calls cargo, so that its own call finds everything built.
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
