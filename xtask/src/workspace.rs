//! Paths of the checkout, cargo's target folder and the cache of tools; and commands that behave
//! the same inside and outside of `cargo run`.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Folders of the project.
#[derive(Clone)]
pub(crate) struct Workspace {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, as `cargo metadata` reports it.
    pub(crate) target: PathBuf,
    /// Names of all packages of the workspace.
    pub(crate) members: Vec<String>,
    /// Cache of tools and logs, kept across `cargo clean` and clones.
    pub(crate) cache: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version=1"])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run cargo")?;
        if !output.status.success() {
            bail!("`cargo metadata` failed: run this inside the Tollgate checkout");
        }
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let folder = |key: &str| {
            let path = metadata[key].as_str();
            path.map(PathBuf::from).with_context(|| format!("cargo metadata has no {key}"))
        };
        let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
        let members = packages.iter().filter_map(|package| Some(package["name"].as_str()?.to_owned())).collect();
        let (root, target) = (folder("workspace_root")?, folder("target_directory")?);
        Ok(Self { root, target, members, cache: cache_folder()? })
    }

    /// Installed tools.
    pub(crate) fn tools(&self) -> PathBuf {
        self.cache.join("tools")
    }

    /// Tools from `cargo install`.
    pub(crate) fn cargo_bin(&self) -> PathBuf {
        self.tools().join("cargo/bin")
    }

    /// Packages from npm.
    pub(crate) fn npm_modules(&self) -> PathBuf {
        self.tools().join("npm/node_modules")
    }

    /// Programs from npm: Node 22, wrangler, esbuild, wasm-opt.
    pub(crate) fn npm_bin(&self) -> PathBuf {
        self.npm_modules().join(".bin")
    }

    /// Python environment with the packages of `xtask/tools/requirements.txt`.
    pub(crate) fn python_tools(&self) -> PathBuf {
        self.tools().join("python")
    }

    /// Python of that environment.
    pub(crate) fn python(&self) -> PathBuf {
        self.python_tools().join("bin/python")
    }

    /// Python environment with the packages of `xtask/tools/dist-requirements.txt`.
    pub(crate) fn dist_tools(&self) -> PathBuf {
        self.tools().join("dist")
    }

    /// Archive of a minimal Debian system, in which packages are installed.
    pub(crate) fn debian_root(&self) -> PathBuf {
        self.tools().join("debian-root.tar")
    }

    /// Native programs.
    pub(crate) fn bin(&self) -> PathBuf {
        self.target.join("debug")
    }

    /// The components: `tollgate_component.wasm`, `tollgate_spin.wasm`.
    pub(crate) fn wasm(&self) -> PathBuf {
        self.target.join("wasm32-wasip2/release")
    }

    /// Vector runner as a module for workerd.
    pub(crate) fn vector_runner(&self) -> PathBuf {
        self.target.join("vector-runner")
    }

    /// The Worker crate.
    pub(crate) fn worker(&self) -> PathBuf {
        self.root.join("edge/worker")
    }
}

fn cache_folder() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|dir| Path::new(dir).is_absolute()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    Ok(base.join("tollgate"))
}

/// A `cargo` command without the variables that `cargo run` sets. Some build scripts (ring's) watch
/// them, so cargo would rebuild ring and its dependents whenever a plain `cargo` and xtask's
/// alternate.
pub(crate) fn cargo() -> Command {
    command("cargo")
}

/// A command in the same clean environment.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// The first file of that name in `PATH`.
pub(crate) fn find_in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// `PATH` with these folders first.
pub(crate) fn path_with(folders: &[PathBuf]) -> Result<std::ffi::OsString> {
    let old = env::var_os("PATH").unwrap_or_default();
    let all = folders.iter().cloned().chain(env::split_paths(&old));
    env::join_paths(all).context("a folder's name contains a colon")
}

/// A temporary folder, removed when dropped.
pub(crate) struct TempFolder(pub(crate) PathBuf);

impl TempFolder {
    pub(crate) fn new(purpose: &str) -> Result<Self> {
        let path = env::temp_dir().join(format!("tollgate-{purpose}-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
