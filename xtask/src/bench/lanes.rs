//! Lanes of the token benchmark: Tollgate's checks and those of other libraries, as native
//! programs, as components for wasmtime, and as modules for Node and workerd. Builds them and
//! writes how to start each into `lanes.json`.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use serde_json::{Value, json};

use super::{program, release_folder, run};
use crate::{
    build::bindings,
    optimise, setup,
    workspace::{Workspace, cargo, command},
};

/// Packages of Tollgate's lane and of the other libraries', which have their own workspace.
const LANE: &str = "tollgate-bench-lane";
const PEERS: &str = "tollgate-bench-peers";
const COMPONENT: &str = "wasm32-wasip2";
const MODULE: &str = "wasm32-unknown-unknown";

pub(super) fn build(workspace: &Workspace) -> Result<()> {
    let peers = peers_target(workspace);
    build_one(workspace, LANE, &workspace.root, &workspace.target, &["--package", LANE])?;
    build_one(workspace, PEERS, &workspace.root.join("bench/peers"), &peers, &["--locked", "--package", PEERS])?;
    bundle(workspace, "node.mjs", &["--platform=node", NODE_REQUIRE])?;
    bundle(workspace, "worker.mjs", &["--external:*.wasm", "--external:*.txt", "--external:*.bin"])
}

/// Builds a package natively, as a component and as a module with its bindings.
fn build_one(workspace: &Workspace, name: &str, folder: &Path, target: &Path, arguments: &[&str]) -> Result<()> {
    let cargo = |task: &str| {
        let mut build = cargo();
        build.args([task, "--release"]).args(arguments).arg("--target-dir").arg(target).current_dir(folder);
        build
    };
    let aws_lc: &[&str] = if name == PEERS { &["--features", "aws-lc"] } else { &[] };
    run(workspace, &format!("building {name} (some minutes)"), cargo("build").args(aws_lc))?;
    let component = ["--bins", "--target", COMPONENT];
    run(workspace, &format!("building {name} for wasmtime"), cargo("build").args(component))?;
    optimise::component(workspace, &target.join(COMPONENT).join("release").join(format!("{name}.wasm")))?;
    let library = ["--lib", "--crate-type", "cdylib", "--target", MODULE];
    run(workspace, &format!("building {name} for V8"), cargo("rustc").args(library))?;
    module(workspace, name, &target.join(MODULE).join("release"))
}

/// Generates JavaScript bindings for a module, and optimises it.
fn module(workspace: &Workspace, name: &str, built: &Path) -> Result<()> {
    let name = name.replace('-', "_");
    bindings(workspace, "web", &built.join(format!("{name}.wasm")), &modules(workspace), &name)?;
    let file = modules(workspace).join(format!("{name}_bg.wasm"));
    let mut optimiser = command(workspace.npm_bin().join("wasm-opt"));
    optimiser.args(["-O3", "--strip-debug"]).args(optimise::FEATURES).arg(&file).arg("-o").arg(&file);
    run(workspace, &format!("optimising {name}"), setup::with_tools(workspace, &mut optimiser)?)
}

/// fast-jwt is CommonJS.
const NODE_REQUIRE: &str =
    r#"--banner:js=import { createRequire } from "node:module"; const require = createRequire(import.meta.url);"#;

fn bundle(workspace: &Workspace, name: &str, arguments: &[&str]) -> Result<()> {
    let mut bundler = command(workspace.npm_bin().join("esbuild"));
    let alias = format!("--alias:tollgate-bench-modules={}", text(modules(workspace)));
    let out = format!("--outfile={}", text(modules(workspace).join(name)));
    bundler.arg(name).args(["--bundle", "--format=esm", "--log-level=warning", &alias, &out]).args(arguments);
    bundler.env("NODE_PATH", npm(workspace).join("node_modules")).current_dir(scripts(workspace));
    run(workspace, &format!("bundling {name}"), setup::with_tools(workspace, &mut bundler)?)
}

/// Writes `lanes.json` into the folder that has the kit.
pub(super) fn start(workspace: &Workspace, parts: &Path) -> Result<()> {
    let modules = modules(workspace);
    // workerd takes what it embeds from the folder of its configuration.
    for (from, name) in
        [(scripts(workspace), "workerd.capnp"), (parts.to_owned(), "kit.json"), (parts.to_owned(), "kit.snapshot")]
    {
        fs::copy(from.join(name), modules.join(name))?;
    }
    let (kit, snapshot) = (parts.join("kit.json"), parts.join("kit.snapshot"));
    let mounted = ["FOLDER/kit.json", "FOLDER/kit.snapshot"].map(Path::new);
    let lane = |command: &Command, batch_ms: f64, warm_ms: u64| {
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        json!({ "command": words, "batch_ms": batch_ms, "warm_ms": warm_ms })
    };
    let native = |name: &str, arguments: &[&OsStr]| -> Value {
        lane(command(release_folder(workspace).join(name)).args(arguments), 2.0, 20)
    };
    let peers = |backend: &str| -> Value {
        let program = peers_target(workspace).join("release").join(PEERS);
        lane(command(program).arg(&kit).arg(backend), 2.0, 20)
    };
    let hosted = |guest: &Path, arguments: &[&Path]| -> Value {
        let mut host = program(workspace, "tollgate-bench-wasm");
        lane(host.arg("lane").arg(guest).arg(parts).args(arguments), 2.0, 20)
    };
    let component = || {
        let mut host = program(workspace, "tollgate-bench-wasm");
        lane(host.arg("component").arg(workspace.wasm().join("tollgate_component.wasm")).arg(parts), 2.0, 20)
    };
    let node = |script: &Path, arguments: &[&Path]| {
        let mut node = command(workspace.npm_bin().join("node"));
        node.arg(script).args(arguments);
        node
    };
    let peers_component = peers_target(workspace).join(COMPONENT).join("release").join(format!("{PEERS}.wasm"));
    let lanes = json!({
        "native": native(LANE, &[kit.as_os_str(), snapshot.as_os_str()]),
        "native-peers": peers("rust_crypto"),
        "native-aws-lc": peers("aws-lc"),
        "origin": native("tollgate-bench-issue", &[]),
        "wasmtime": hosted(&workspace.wasm().join(format!("{LANE}.wasm")), &mounted),
        "wasmtime-peers": hosted(&peers_component, &[mounted[0], Path::new("rust_crypto")]),
        "component": component(),
        "node": lane(&node(&modules.join("node.mjs"), &[&kit, &snapshot, &modules]), 2.0, 300),
        "workerd": lane(&node(&scripts(workspace).join("workerd.mjs"), &[&npm(workspace), &modules.join("workerd.capnp")]), 6.0, 400),
    });
    Ok(fs::write(parts.join("lanes.json"), serde_json::to_vec_pretty(&lanes)?)?)
}

fn peers_target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("bench-peers")
}

/// The modules for V8 with their bindings and bundles.
fn modules(workspace: &Workspace) -> PathBuf {
    workspace.target.join("bench-modules")
}

fn scripts(workspace: &Workspace) -> PathBuf {
    workspace.root.join("bench/js")
}

fn npm(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("npm")
}

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}
