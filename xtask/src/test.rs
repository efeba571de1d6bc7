//! Every check and every test, on the real parts: workerd, wasmtime, PostgreSQL, Redis. Builds once, then proves.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{
    build::{self, COMPONENTS, NATIVE, PUBLIC_CLIENTS, Part, packages},
    postgres::{Disk, Postgres},
    progress, setup,
    workspace::{Workspace, cargo, find_in_path},
};

/// Everything, in the order in which a mistake shows soonest. `arguments` go to nextest.
pub(crate) fn test(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    setup::all(workspace)?;
    build::build(workspace, Part::All)?;
    build::public_clients(workspace)?;
    lint(workspace)?;
    no_std(workspace)?;
    let postgres = Postgres::start(Disk::Ignored)?;
    let mut nextest = cargo();
    nextest.args(["nextest", "run", "--no-fail-fast"]).args(packages(&NATIVE)).args(arguments);
    progress::show("tests", environment(workspace, nextest.current_dir(&workspace.root), &postgres)?)?;
    let mut docs = cargo();
    docs.args(["test", "--quiet", "--doc", "--package", "tollgate-core"]);
    progress::show("examples in the documentation", docs.current_dir(&workspace.root))
}

/// Formatting, and clippy without a warning, for the machine and for WebAssembly.
pub(crate) fn lint(workspace: &Workspace) -> Result<()> {
    let mut fmt = cargo();
    progress::show("formatting", fmt.args(["fmt", "--all", "--check"]).current_dir(&workspace.root))?;
    let clippy = |what: &str, scope: &[&str], names: &[&'static str]| {
        let mut clippy = cargo();
        clippy.args(["clippy", "--quiet"]).args(scope).args(packages(names)).args(["--", "-D", "warnings"]);
        progress::show(what, clippy.current_dir(&workspace.root))
    };
    clippy("clippy", &["--all-targets"], &NATIVE)?;
    clippy("clippy on the public clients", &["--all-targets"], &[PUBLIC_CLIENTS])?;
    clippy("clippy on the components", &["--target", "wasm32-wasip2"], &COMPONENTS)?;
    clippy("clippy on the Worker", &["--target", "wasm32-unknown-unknown"], &["tollgate-worker"])
}

/// The core compiles where there is no std to lean on.
fn no_std(workspace: &Workspace) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--quiet", "--package", "tollgate-core", "--target", setup::BARE_TARGET]);
    progress::show("no_std", build.current_dir(&workspace.root))
}

/// Tells the tests where the real parts are.
pub(crate) fn environment<'a>(
    workspace: &Workspace,
    command: &'a mut Command,
    postgres: &Postgres,
) -> Result<&'a mut Command> {
    let redis = find_in_path(setup::REDIS).context("no Redis server: run `cargo xtask setup`")?;
    let faketime = setup::find_faketime().context("no libfaketime: run `cargo xtask setup`")?;
    Ok(real_parts(workspace, command)?
        .env("TOLLGATE_TEST_POSTGRES_URL", &postgres.url)
        .env("TOLLGATE_TEST_REDIS", redis)
        .env("TOLLGATE_TEST_FAKETIME", faketime))
}

/// Tells whoever starts a stack where what we built is; PostgreSQL apart.
pub(crate) fn real_parts<'a>(workspace: &Workspace, command: &'a mut Command) -> Result<&'a mut Command> {
    let npm = workspace.npm_bin();
    let chromium = setup::find_chromium().unwrap_or_else(|| "chromium".into());
    Ok(setup::with_tools(workspace, command)?
        .env("TOLLGATE_TEST_NODE", npm.join("node"))
        .env("TOLLGATE_TEST_NODE_MODULES", workspace.npm_modules())
        .env("TOLLGATE_TEST_PYTHON", workspace.python())
        .env("TOLLGATE_TEST_CHROMIUM", chromium)
        .env("TOLLGATE_TEST_WRANGLER", workspace.npm_modules().join("wrangler/bin/wrangler.js"))
        .env("TOLLGATE_TEST_WASM_DIR", workspace.wasm())
        .env("TOLLGATE_TEST_VECTOR_RUNNER_DIR", workspace.vector_runner())
        .env("TOLLGATE_TEST_BIN_DIR", workspace.bin())
        // wrangler.toml's build step, run by each test's wrangler, has nothing left to do.
        .env("XTASK_WORKER_BUILT", "1"))
}
