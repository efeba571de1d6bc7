//! Where things are: the checkout, cargo's target folder, the tools' cache; and a `cargo` that behaves the same whether or
//! not it is started from inside `cargo run`.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// The folders everything else is found from.
pub(crate) struct Workspace {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Where cargo builds, as cargo itself says (`CARGO_TARGET_DIR` and configuration files are its business).
    pub(crate) target: PathBuf,
    /// Tools and logs that outlive `cargo clean` and a fresh clone.
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
        Ok(Self { root: folder("workspace_root")?, target: folder("target_directory")?, cache: cache_folder()? })
    }

    /// `tools/` in the cache: what set-up installs.
    pub(crate) fn tools(&self) -> PathBuf {
        self.cache.join("tools")
    }

    /// Executables that `cargo install` put into the cache.
    pub(crate) fn cargo_bin(&self) -> PathBuf {
        self.tools().join("cargo/bin")
    }

    /// Packages from npm.
    pub(crate) fn npm_modules(&self) -> PathBuf {
        self.tools().join("npm/node_modules")
    }

    /// Executables from npm: Node 22, wrangler, esbuild, wasm-opt.
    pub(crate) fn npm_bin(&self) -> PathBuf {
        self.npm_modules().join(".bin")
    }

    /// The Python that has the packages of `xtask/tools/requirements.txt`.
    pub(crate) fn python(&self) -> PathBuf {
        self.tools().join("python/bin/python")
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

/// A `cargo` command without what `cargo run` put into our environment: some build scripts (ring's) watch those variables,
/// and would be run again on each change between a plain cargo and ours, rebuilding everything above them.
pub(crate) fn cargo() -> Command {
    command("cargo")
}

/// A command of that name, in the same clean environment.
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

/// The first executable of that name in `PATH`.
pub(crate) fn find_in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// `PATH` with these folders before it.
pub(crate) fn path_with(folders: &[PathBuf]) -> Result<std::ffi::OsString> {
    let old = env::var_os("PATH").unwrap_or_default();
    let all = folders.iter().cloned().chain(env::split_paths(&old));
    env::join_paths(all).context("a folder's name contains a colon")
}

/// A folder of our own under the system's temporary one, removed with all in it when dropped.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(purpose: &str) -> Result<Self> {
        let path = env::temp_dir().join(format!("tollgate-{purpose}-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
