//! Builds the native programs and the three WebAssembly artefacts. Always selects the same
//! packages: cargo unifies the features of the packages it builds together, so another selection
//! compiles dependencies a second time.

use std::{fs, path::Path, process::Command};

use anyhow::Result;

use crate::{
    arguments::{Edge, Part},
    optimise::{self, newer},
    progress, setup,
    workspace::{TempFolder, Workspace, cargo, command},
};

/// Members of the workspace that are not built with [`native`]: WebAssembly, and what would enable
/// other features of its dependencies.
const NOT_NATIVE: [&str; 8] = [
    "tollgate-component",
    "tollgate-spin",
    "tollgate-worker",
    VECTOR_RUNNER,
    PUBLIC_CLIENTS,
    BINDGEN,
    "tollgate-bench",
    "tollgate-bench-lane",
];
/// OAuth clients of other projects, as programs for the tests.
pub(crate) const PUBLIC_CLIENTS: &str = "public-clients";
/// Components that wasmtime hosts.
pub(crate) const COMPONENTS: [&str; 2] = ["tollgate-component", "tollgate-spin"];

/// The Spin component as middleware.
const SPIN_MIDDLEWARE: &str = "tollgate_spin_middleware.wasm";

/// Runs test vectors inside wasmtime and workerd, for the suite.
pub(crate) const VECTOR_RUNNER: &str = "tollgate-vector-runner";
/// Generates JavaScript bindings.
pub(crate) const BINDGEN: &str = "xtask-bindgen";

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

/// `--package NAME` for each.
pub(crate) fn packages<'a>(names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    names.iter().flat_map(|name| ["--package", name])
}

/// Packages that compile for this machine, with one set of features of their dependencies.
pub(crate) fn native_packages(workspace: &Workspace) -> Vec<&str> {
    let members = workspace.members.iter().map(String::as_str);
    members.filter(|name| !NOT_NATIVE.contains(name)).collect()
}

fn native(workspace: &Workspace) -> Result<()> {
    native_targets(workspace, &["--bins", "--examples"])
}

/// Selects all native packages, which fixes the features, but compiles only what `targets` need.
fn native_targets(workspace: &Workspace, targets: &[&str]) -> Result<()> {
    let mut build = cargo();
    build.arg("build").args(targets).args(packages(&native_packages(workspace))).current_dir(&workspace.root);
    run(workspace, "building the native programs", "build-native", &mut build)
}

/// Builds the OAuth clients in Rust. In a separate call, because they enable features of
/// dependencies with which Tollgate is neither tested nor shipped.
pub(crate) fn public_clients(workspace: &Workspace) -> Result<()> {
    let mut build = cargo();
    build.args(["build"]).args(packages(&[PUBLIC_CLIENTS])).current_dir(&workspace.root);
    run(workspace, "building the public OAuth clients", "build-public-clients", &mut build)
}

/// Builds the origin, the example API and these edges, and nothing else, for trying them out.
/// Components are not optimised, so wasm-opt is not needed; they are larger and slower than those
/// that are tested, measured and shipped.
pub(crate) fn stack(workspace: &Workspace, edges: &[Edge]) -> Result<()> {
    let mut targets = vec!["--bin", "tollgate", "--example", "protected-api"];
    if edges.iter().any(|edge| *edge != Edge::Worker) {
        targets.extend(["--bin", "tollgate-edge"]);
    }
    native_targets(workspace, &targets)?;
    for edge in edges {
        match edge {
            Edge::Runner => link_components(workspace, &["tollgate-component"])?,
            Edge::Spin => link_components(workspace, &["tollgate-spin"])?,
            Edge::Worker => worker(workspace)?,
        }
    }
    Ok(())
}

fn link_components(workspace: &Workspace, names: &[&str]) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--target", "wasm32-wasip2"]).args(packages(names)).current_dir(&workspace.root);
    run(workspace, &format!("building {}", names.join(", ")), "build-components", &mut build)
}

fn components(workspace: &Workspace) -> Result<()> {
    spin_middleware(workspace)?;
    link_components(workspace, &[COMPONENTS[0], COMPONENTS[1], VECTOR_RUNNER])?;
    for name in COMPONENTS {
        optimise::component(workspace, &workspace.wasm().join(name.replace('-', "_") + ".wasm"))?;
    }
    Ok(())
}

/// Builds the Spin component as middleware, before the one for whole apps: cargo gives both the
/// same name.
fn spin_middleware(workspace: &Workspace) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--target", "wasm32-wasip2", "--package", COMPONENTS[1]]);
    build.args(["--features", "middleware"]).current_dir(&workspace.root);
    run(workspace, "building the Spin middleware", "build-spin-middleware", &mut build)?;
    let (linked, kept) = (workspace.wasm().join("tollgate_spin.wasm"), workspace.wasm().join(SPIN_MIDDLEWARE));
    // A copy with the time of the original, by which it is optimised only when that is newer.
    let (bytes, modified) = (fs::read(&linked)?, fs::metadata(&linked)?.modified()?);
    fs::write(&kept, bytes)?;
    fs::File::options().write(true).open(&kept)?.set_modified(modified)?;
    optimise::component(workspace, &kept)
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
    bindings(workspace, "web", &wasm, &workspace.vector_runner(), "tollgate_vector_runner")
}

/// Generates JavaScript bindings for `module`: `name.js` and `name_bg.wasm` in `folder`.
pub(crate) fn bindings(workspace: &Workspace, target: &str, module: &Path, folder: &Path, name: &str) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--package", BINDGEN]).current_dir(&workspace.root);
    run(workspace, "building the generator of bindings", "build-bindgen", &mut build)?;
    let mut bindgen = command(workspace.bin().join(BINDGEN));
    bindgen.arg(target).args([module, folder]).arg(name);
    run(workspace, &format!("generating bindings for {name}"), "bindgen", &mut bindgen)
}

/// Builds the Worker. Bindings, wasm-opt and bundler run only when cargo's WebAssembly, the shim or
/// the tools changed.
fn worker(workspace: &Workspace) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--lib", "--release", "--target", "wasm32-unknown-unknown", "--package", "tollgate-worker"]);
    build.env("WASM_BINDGEN_USE_JS_SYS", "1").current_dir(&workspace.root);
    run(workspace, "building the Worker", "build-worker", &mut build)?;

    let wasm = workspace.target.join("wasm32-unknown-unknown/release/tollgate_worker.wasm");
    let (bundle, stamp) = (workspace.worker().join("build"), workspace.target.join("worker.stamp"));
    let shim = fs::read_to_string(workspace.worker().join("shim.js"))?;
    let inputs = fs::read_to_string(workspace.root.join("xtask/tools/package.json"))? + &shim;
    if newer(&bundle.join("index.js"), &wasm) && fs::read_to_string(&stamp).is_ok_and(|text| text == inputs) {
        return Ok(());
    }
    let folder = TempFolder::new("worker")?;
    bindings(workspace, "worker", &wasm, &folder.0, "index")?;
    fs::write(folder.0.join("shim.js"), shim)?;

    let mut optimiser = command(workspace.npm_bin().join("wasm-opt"));
    optimiser.args(["-O3", "--debuginfo", "--enable-mutable-globals", "--enable-exception-handling"]);
    optimiser.args(optimise::FEATURES).args(["index_bg.wasm", "-o", "index_bg.wasm"]).current_dir(&folder.0);
    run(workspace, "optimising the Worker", "optimise-worker", setup::with_tools(workspace, &mut optimiser)?)?;

    let mut bundler = command(workspace.npm_bin().join("esbuild"));
    bundler.args(["shim.js", "--bundle", "--minify", "--format=esm", "--outfile=bundle.js", "--log-level=warning"]);
    bundler.args(["--external:./index_bg.wasm", "--external:cloudflare:*"]).current_dir(&folder.0);
    run(workspace, "bundling the Worker", "bundle-worker", setup::with_tools(workspace, &mut bundler)?)?;

    fs::create_dir_all(&bundle)?;
    fs::copy(folder.0.join("index_bg.wasm"), bundle.join("index_bg.wasm"))?;
    // workerd imports a module in the evaluation phase only.
    let script = fs::read_to_string(folder.0.join("bundle.js"))?.replace("import source ", "import ");
    fs::write(bundle.join("index.js"), script)?;
    Ok(fs::write(stamp, inputs)?)
}

fn run(workspace: &Workspace, what: &str, log: &str, command: &mut Command) -> Result<()> {
    progress::run(what, &workspace.cache.join("logs"), log, command)
}
