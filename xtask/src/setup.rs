//! Installs missing tools, each checked first. Tools go to the cache, never into the
//! checkout or `target/`. What needs root and cannot be installed is reported with
//! the command for it; nothing is skipped silently.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    arguments::{Architecture, Edge, Part, Stage},
    progress,
    workspace::{Workspace, command, find_in_path, path_with},
};

const WORKER_TARGET: &str = "wasm32-unknown-unknown";
const COMPONENT_TARGET: &str = "wasm32-wasip2";
/// Target without an operating system, hence without std.
pub(crate) const BARE_TARGET: &str = "x86_64-unknown-none";
pub(crate) const REDIS: &str = "redis-server";
const NEXTEST: &str = "0.9.151";
/// Overrides the release profile of installed tools. A tool runs for seconds, so full
/// optimisation costs more than it saves.
const TOOL_PROFILE: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
];

/// All tools.
pub(crate) fn all(workspace: &Workspace) -> Result<()> {
    for_test(workspace, &Stage::ALL)?;
    for_lint(workspace)
}

/// Tools to build and run the origin and these edges. The runner and Spin need only a
/// Rust target.
pub(crate) fn for_edges(workspace: &Workspace, edges: &[Edge]) -> Result<()> {
    let _lock = lock(workspace)?;
    make(workspace)?;
    if edges.iter().any(|edge| *edge != Edge::Worker) {
        rust_targets(workspace, &[COMPONENT_TARGET])?;
    }
    if edges.contains(&Edge::Worker) {
        rust_targets(workspace, &[WORKER_TARGET])?;
        npm_tools(workspace)?;
    }
    Ok(())
}

/// Tools to build a part.
pub(crate) fn for_part(workspace: &Workspace, part: Part) -> Result<()> {
    match part {
        Part::All => for_edges(workspace, &Edge::ALL),
        Part::Native => for_edges(workspace, &[]),
        Part::Components => {
            for_edges(workspace, &[Edge::Runner])?;
            for_npm(workspace)
        }
        Part::Worker => for_edges(workspace, &[Edge::Worker]),
    }
}

/// Node 22 and the npm packages: wasm-opt, and what the example clients import.
pub(crate) fn for_npm(workspace: &Workspace) -> Result<()> {
    let _lock = lock(workspace)?;
    npm_tools(workspace)
}

/// Rust targets that clippy checks.
pub(crate) fn for_lint(workspace: &Workspace) -> Result<()> {
    let _lock = lock(workspace)?;
    make(workspace)?;
    rust_targets(workspace, &[BARE_TARGET, COMPONENT_TARGET, WORKER_TARGET])
}

/// Tools to build and run these stages of the tests.
pub(crate) fn for_test(workspace: &Workspace, stages: &[Stage]) -> Result<()> {
    if stages.iter().any(|stage| *stage != Stage::Unit) {
        for_edges(workspace, &Edge::ALL)?;
    }
    let _lock = lock(workspace)?;
    make(workspace)?;
    postgres(workspace)?;
    if find_in_path("cargo-nextest").is_none() {
        // Without self-update, a fifth less to compile.
        let features = ["--no-default-features", "--features", "default-no-update"];
        cargo_tool(workspace, "cargo-nextest", NEXTEST, "cargo-nextest", &features)?;
    }
    if stages.iter().any(|stage| *stage != Stage::Unit) {
        python_tools(workspace)?;
        program(workspace, REDIS)?;
        faketime(workspace)?;
        prometheus(workspace)?;
        program(workspace, "sqlite3")?;
    }
    if stages.iter().any(|stage| matches!(stage, Stage::Deploy | Stage::Dist)) {
        program(workspace, "mandoc")?;
        systemd_analyze(workspace)?;
        debian_root(workspace)?;
    }
    if stages.contains(&Stage::Dist) {
        program(workspace, "zsh")?;
        program(workspace, "fish")?;
    }
    if stages.contains(&Stage::Browser) || stages.contains(&Stage::Clients) {
        chromium(workspace)?;
    }
    Ok(())
}

/// Tools to build packages for these kinds of machines.
pub(crate) fn for_dist(workspace: &Workspace, architectures: &[Architecture]) -> Result<()> {
    for_part(workspace, Part::Components)?;
    let _lock = lock(workspace)?;
    let targets: Vec<&str> = architectures.iter().map(|architecture| architecture.target()).collect();
    rust_targets(workspace, &targets)?;
    python_environment(
        workspace,
        "dist-requirements.txt",
        &workspace.dist_tools(),
        "installing Zig, whose C compiler links static programs, and the schema of CycloneDX",
    )?;
    for target in targets {
        write_zig_tools(workspace, target)?;
    }
    Ok(())
}

/// Zig, from `xtask/tools/dist-requirements.txt`.
pub(crate) fn find_zig(workspace: &Workspace) -> Option<PathBuf> {
    let versions = fs::read_dir(workspace.dist_tools().join("lib")).into_iter().flatten().flatten();
    versions.map(|version| version.path().join("site-packages/ziglang/zig")).find(|zig| zig.is_file())
}

/// A tool of Zig for a target of Rust: `cc` or `ar`.
pub(crate) fn zig_tool(workspace: &Workspace, target: &str, tool: &str) -> PathBuf {
    workspace.dist_tools().join("bin").join(format!("{target}-{tool}"))
}

/// Writes programs that run Zig's C compiler and archiver for a target: cargo and build scripts
/// expect a single path.
fn write_zig_tools(workspace: &Workspace, target: &str) -> Result<()> {
    let zig = find_zig(workspace).context("pip installed no Zig for this kind of machine")?;
    let zig = zig.to_str().context("the folder of the tools is not UTF-8")?;
    // Zig names targets without the vendor, so it gets its own name instead of Rust's. It checks
    // unoptimised code for undefined behaviour unless it is off.
    let zig_target = target.replace("-unknown-", "-");
    let compiler = format!(
        "#!/bin/sh\nfor argument; do\n  shift\n  case $argument in --target=*) ;; *) set -- \"$@\" \"$argument\" ;; esac\ndone\n\
         exec '{zig}' cc -target {zig_target} -fno-sanitize=undefined \"$@\"\n"
    );
    let archiver = format!("#!/bin/sh\nexec '{zig}' ar \"$@\"\n");
    for (tool, script) in [("cc", compiler), ("ar", archiver)] {
        let path = zig_tool(workspace, target, tool);
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Tools to take screenshots.
pub(crate) fn for_screenshots(workspace: &Workspace) -> Result<()> {
    for_edges(workspace, &[Edge::Runner, Edge::Spin])?;
    for_npm(workspace)?;
    let _lock = lock(workspace)?;
    chromium(workspace)
}

/// Lock against a second set-up, which waits for the first. Held until dropped.
fn lock(workspace: &Workspace) -> Result<fs::File> {
    fs::create_dir_all(workspace.tools())?;
    let file = fs::File::create(workspace.tools().join("lock"))?;
    if file.try_lock().is_err() {
        println!("waiting for another `cargo xtask` that installs tools …");
        file.lock()?;
    }
    Ok(file)
}

fn logs(workspace: &Workspace) -> PathBuf {
    workspace.cache.join("logs")
}

fn rust_targets(workspace: &Workspace, wanted: &[&str]) -> Result<()> {
    let sysroot = command("rustc").args(["--print", "sysroot"]).output().context("cannot run rustc")?;
    let libraries = Path::new(String::from_utf8_lossy(&sysroot.stdout).trim()).join("lib/rustlib");
    let missing: Vec<&str> =
        wanted.iter().copied().filter(|target| !has_alloc(&libraries.join(target).join("lib"))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut install = command(workspace.root.join("xtask/tools/rust-targets"));
    progress::run(
        &format!("adding Rust targets {}", missing.join(", ")),
        &logs(workspace),
        "rust-targets",
        install.args(&missing),
    )
    .context("the Rust targets are missing; on a machine with an open network `rustup target add` adds them")
}

fn has_alloc(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("liballoc-"))
}

fn cargo_tool(workspace: &Workspace, package: &str, version: &str, program: &str, features: &[&str]) -> Result<()> {
    let root = workspace.tools().join("cargo");
    // Cargo's own record of what it installed there.
    let installed = fs::read_to_string(root.join(".crates.toml")).unwrap_or_default();
    if installed.contains(&format!("\"{package} {version} (")) && root.join("bin").join(program).is_file() {
        return Ok(());
    }
    let install = |locked: bool| {
        let mut cargo = command("cargo");
        // In a temporary target folder, so that it does not hold the workspace's lock and
        // leaves nothing behind.
        cargo.env_remove("CARGO_TARGET_DIR").args(["install", "--root"]).arg(&root);
        cargo.envs(TOOL_PROFILE);
        cargo.args(features).args(locked.then_some("--locked")).arg(format!("{package}@{version}"));
        cargo.current_dir(workspace.tools());
        progress::run(&format!("installing {package} {version} (some minutes)"), &logs(workspace), package, &mut cargo)
    };
    // A registry mirror may lack a release in the tool's lock file; then cargo resolves
    // the tool's requirements.
    let Err(error) = install(true) else { return Ok(()) };
    let log = fs::read_to_string(logs(workspace).join(format!("{package}.log"))).unwrap_or_default();
    if !log.contains("failed to select a version") {
        return Err(error);
    }
    println!("the registry lacks a release in the lock file of {package}: resolving its dependencies again");
    install(false)
}

/// Installs `xtask/tools/package-lock.json` unless the cache holds exactly that.
fn npm_tools(workspace: &Workspace) -> Result<()> {
    let (pins, folder) = (workspace.root.join("xtask/tools"), workspace.tools().join("npm"));
    let (wanted, stamp) = (fs::read(pins.join("package-lock.json"))?, folder.join("installed.json"));
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let npm = find_in_path("npm")
        .context("npm is missing: install Node.js 20 or newer with npm (Debian: apt-get install npm)")?;
    fs::create_dir_all(&folder)?;
    let _ = fs::remove_file(&stamp);
    for file in ["package.json", "package-lock.json"] {
        fs::copy(pins.join(file), folder.join(file))?;
    }
    let mut install = command(npm);
    // No install script is needed: each only saves a millisecond by a link, or downloads
    // something.
    install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&folder);
    progress::run(
        "installing Node 22, wrangler, esbuild, wasm-opt, JOSE libraries, oidc-provider, clients, Playwright and axe",
        &logs(workspace),
        "npm",
        &mut install,
    )?;
    let node = workspace.npm_bin().join("node");
    if !node.is_file() {
        bail!(
            "npm has no Node 22 for this kind of machine in xtask/tools/package.json (Linux on x86-64 or arm64 only)"
        );
    }
    fs::write(stamp, wanted)?; // last, so that an interrupted install is repeated
    Ok(())
}

fn python_tools(workspace: &Workspace) -> Result<()> {
    let what = "installing Python's clients and verifiers, and schemathesis";
    python_environment(workspace, "requirements.txt", &workspace.python_tools(), what)
}

/// Installs a list of packages in `xtask/tools`, by hashes, into a Python environment of its own,
/// unless it holds exactly that.
fn python_environment(workspace: &Workspace, requirements: &str, folder: &Path, what: &str) -> Result<()> {
    let pins = workspace.root.join("xtask/tools").join(requirements);
    let (wanted, stamp) = (fs::read(&pins)?, folder.join("installed.txt"));
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if !has_venv() {
        apt_get(workspace, "python3-venv", "Python 3.11 or newer with venv and pip")?;
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let mut venv = command("python3");
    progress::run("creating a Python environment", &logs(workspace), "venv", venv.args(["-m", "venv"]).arg(folder))?;
    let mut install = command(folder.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args(["--require-hashes", "--only-binary", ":all:", "-r"]).arg(&pins);
    progress::run(what, &logs(workspace), "pip", &mut install)?;
    fs::write(stamp, wanted)?; // last, so that an interrupted install is repeated
    Ok(())
}

/// Whether Python can create an environment; Debian's needs another package for it.
fn has_venv() -> bool {
    let import = command("python3").args(["-c", "import ensurepip, venv"]).stderr(Stdio::null()).status();
    import.is_ok_and(|status| status.success())
}

/// Builds jemalloc, the origin's allocator.
fn make(workspace: &Workspace) -> Result<()> {
    if find_in_path("make").is_some() {
        return Ok(());
    }
    apt_get(workspace, "make", "make")?;
    find_in_path("make").map(drop).context("apt-get installed make, but it is not in PATH")
}

/// A program that Debian has in a package of the same name.
fn program(workspace: &Workspace, name: &str) -> Result<()> {
    if find_in_path(name).is_some() {
        return Ok(());
    }
    apt_get(workspace, name, name)?;
    find_in_path(name).map(drop).with_context(|| format!("apt-get installed {name}, but it is not in PATH"))
}

/// Checks the systemd units.
fn systemd_analyze(workspace: &Workspace) -> Result<()> {
    if find_in_path("systemd-analyze").is_some() {
        return Ok(());
    }
    apt_get(workspace, "systemd", "systemd-analyze")?;
    find_in_path("systemd-analyze").map(drop).context("apt-get installed systemd, but no systemd-analyze is in PATH")
}

/// Bootstraps a minimal system of this Debian release from its packages, once.
fn debian_root(workspace: &Workspace) -> Result<()> {
    let archive = workspace.debian_root();
    if archive.is_file() {
        return Ok(());
    }
    program(workspace, "debootstrap")?;
    let mut bootstrap = command(workspace.root.join("xtask/tools/debian-root"));
    progress::run(
        "bootstrapping a minimal Debian system for the packages",
        &logs(workspace),
        "debian-root",
        bootstrap.arg(&archive),
    )
}

/// Gives a test's process its own clock.
fn faketime(workspace: &Workspace) -> Result<()> {
    if find_faketime().is_some() {
        return Ok(());
    }
    apt_get(workspace, "libfaketime", "libfaketime")?;
    find_faketime().map(drop).context("apt-get installed libfaketime, but it is not in /usr/lib/*/faketime")
}

/// Scrapes an origin, and checks metrics, rules and alerts by its program promtool.
fn prometheus(workspace: &Workspace) -> Result<()> {
    if find_in_path("promtool").is_some() && find_in_path("prometheus").is_some() {
        return Ok(());
    }
    apt_get(workspace, "prometheus", "Prometheus")?;
    find_in_path("promtool").map(drop).context("apt-get installed Prometheus, but no promtool is in PATH")
}

/// libfaketime, as built for programs with threads.
pub(crate) fn find_faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.is_file())
}

fn postgres(workspace: &Workspace) -> Result<()> {
    if crate::postgres::programs().is_some() {
        return Ok(());
    }
    apt_get(workspace, "postgresql", "PostgreSQL's server")?;
    match crate::postgres::programs() {
        Some(_) => Ok(()),
        None => bail!("apt-get installed PostgreSQL, but no initdb is in PATH or /usr/lib/postgresql/*/bin"),
    }
}

/// Browser of the tests and screenshots. Debian's, because Playwright downloads its
/// own outside any registry.
fn chromium(workspace: &Workspace) -> Result<()> {
    if find_chromium().is_some() {
        return Ok(());
    }
    apt_get(workspace, "chromium", "Chromium")?;
    find_chromium().map(drop).context("apt-get installed Chromium, but no chromium is in PATH")
}

/// Chromium, or Chrome.
pub(crate) fn find_chromium() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(find_in_path)
}

/// Installs a Debian package as root; otherwise fails with the command for it.
fn apt_get(workspace: &Workspace, package: &str, what: &str) -> Result<()> {
    let by_hand = format!(
        "{what} is missing and cannot be installed from here; as root run:\n    apt-get update && apt-get install {package}"
    );
    if !rustix::process::geteuid().is_root() || find_in_path("apt-get").is_none() {
        bail!(by_hand);
    }
    for (log, arguments) in
        [("apt-update", &["update"][..]), ("apt-install", &["install", "-y", "--no-install-recommends", package])]
    {
        let mut apt = command("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").arg("-q").args(arguments);
        let what = format!("apt-get {}", arguments.join(" "));
        progress::run(&what, &logs(workspace), log, &mut apt).with_context(|| by_hand.clone())?;
    }
    Ok(())
}

/// Puts the installed tools first in `command`'s path.
pub(crate) fn with_tools<'a>(workspace: &Workspace, command: &'a mut Command) -> Result<&'a mut Command> {
    let (npm, cargo) = (workspace.npm_bin(), workspace.cargo_bin());
    Ok(command.env("PATH", path_with(&[npm, cargo])?).env("WRANGLER_SEND_METRICS", "false").stdin(Stdio::null()))
}
