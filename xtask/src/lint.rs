//! Checks that run no test: the project's conventions, formatting, clippy and rustdoc, all without
//! a warning. Ordered so that the quick ones fail first.

use anyhow::Result;

use crate::{
    build::{BINDGEN, COMPONENTS, PUBLIC_CLIENTS, VECTOR_RUNNER, native_packages, packages},
    conventions, progress, setup,
    workspace::{Workspace, cargo},
};

pub(crate) fn lint(workspace: &Workspace) -> Result<()> {
    conventions(workspace)?;
    let mut fmt = cargo();
    progress::show("formatting", fmt.args(["fmt", "--all", "--check"]).current_dir(&workspace.root))?;
    setup::for_lint(workspace)?;
    let clippy = |what: &str, scope: &[&str], names: &[&str]| {
        let mut clippy = cargo();
        clippy.args(["clippy", "--quiet"]).args(scope).args(packages(names)).args(["--", "-D", "warnings"]);
        progress::show(what, clippy.current_dir(&workspace.root))
    };
    let native = native_packages(workspace);
    clippy("clippy", &["--all-targets"], &native)?;
    let mut doc = cargo();
    doc.args(["doc", "--quiet", "--no-deps"]).args(packages(&native)).env("RUSTDOCFLAGS", "-D warnings");
    progress::show("documentation", doc.current_dir(&workspace.root))?;
    // That the core compiles for a target without an operating system proves that it is `no_std`.
    clippy("clippy on the core, without std", &["--target", setup::BARE_TARGET], &["tollgate-core"])?;
    let components = [COMPONENTS[0], COMPONENTS[1], VECTOR_RUNNER];
    clippy("clippy on the components", &["--target", "wasm32-wasip2"], &components)?;
    clippy("clippy on the Worker", &["--target", "wasm32-unknown-unknown"], &["tollgate-worker"])?;
    clippy("clippy on the public clients", &["--all-targets"], &[PUBLIC_CLIENTS])?;
    let bench = ["--all-targets", "--features", "tollgate-bench/stack"];
    clippy("clippy on the benchmarks", &bench, &["tollgate-bench", "tollgate-bench-lane", BINDGEN])
}

fn conventions(workspace: &Workspace) -> Result<()> {
    let start = std::time::Instant::now();
    println!("conventions …");
    conventions::check(&workspace.root)?;
    progress::done("conventions", start);
    Ok(())
}
