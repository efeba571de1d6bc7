//! Builds the programs for distribution, in a target folder of their own. C code is compiled, and
//! programs are linked, by Zig's C compiler, which brings musl and libunwind for each kind of
//! machine.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{PROGRAMS, release::Release, run};
use crate::{
    arguments::Architecture,
    build::{COMPONENTS, packages},
    optimise, progress, setup,
    workspace::{Workspace, cargo, command},
};

const COMPONENT_TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "dist";

/// Builds the components that the edge embeds; returns their folder.
pub(super) fn components(workspace: &Workspace, release: &Release) -> Result<PathBuf> {
    let own = own_target(workspace);
    let mut build = reproducible_cargo(&own, release, COMPONENT_TARGET, &[])?;
    build.args(["--release"]).args(packages(&COMPONENTS));
    progress::run("building the components", &logs(workspace), "dist-components", &mut build)?;
    let folder = own.target.join("components");
    fs::create_dir_all(&folder)?;
    for name in COMPONENTS {
        let file = name.replace('-', "_") + ".wasm";
        let linked = own.wasm().join(&file);
        optimise::component(&own, &linked)?;
        // Written only when it differs, so that cargo does not build the edge again for its time.
        let (component, embedded) = (fs::read(&linked)?, folder.join(&file));
        if !fs::read(&embedded).is_ok_and(|present| present == component) {
            fs::write(embedded, component)?;
        }
    }
    Ok(folder)
}

/// Builds the static programs; returns their folder.
pub(super) fn programs(
    workspace: &Workspace,
    release: &Release,
    architecture: Architecture,
    components: &Path,
) -> Result<PathBuf> {
    let own = own_target(workspace);
    let target = architecture.target();
    let compiler = setup::zig_tool(workspace, target, "cc");
    let linker = format!("target.{target}.linker={:?}", compiler.display().to_string());
    // Zig brings the start files, too. It ignores rustc's -static-pie; without -pie the program
    // would be loaded at a fixed address.
    let flags = ["-Clink-self-contained=no".to_owned(), "-Clink-arg=-pie".to_owned()];
    let mut build = reproducible_cargo(&own, release, target, &flags)?;
    build.args(["--profile", PROFILE, "--config", &linker]).args(packages(&PROGRAMS));
    for program in PROGRAMS {
        build.args(["--bin", program]);
    }
    let variable = |name: &str| format!("{name}_{}", target.replace('-', "_"));
    build.env(variable("CC"), &compiler).env(variable("AR"), setup::zig_tool(workspace, target, "ar"));
    let prefix_maps = remapped_paths(&own)?.into_iter().map(|(from, to)| format!("-ffile-prefix-map={from}={to}"));
    build.env(variable("CFLAGS"), prefix_maps.collect::<Vec<_>>().join(" "));
    build.env("TOLLGATE_BUILD", release.build(target)).env("TOLLGATE_EDGE_EMBEDDED_COMPONENTS", components);
    if architecture == Architecture::Arm64 {
        // For pages of 4, 16 and 64 KiB; otherwise jemalloc takes the size of this machine's.
        build.env("JEMALLOC_SYS_WITH_LG_PAGE", "16");
    }
    let what = format!("building the programs for {} (half an hour on two cores)", architecture.name());
    progress::run(&what, &logs(workspace), &format!("dist-{}", architecture.name()), &mut build)?;
    Ok(own.target.join(target).join(PROFILE))
}

/// The workspace with a target folder for distribution. Other builds have other flags, so in one
/// folder each would discard what the other built.
fn own_target(workspace: &Workspace) -> Workspace {
    Workspace { target: workspace.target.join("dist"), ..workspace.clone() }
}

fn logs(workspace: &Workspace) -> PathBuf {
    workspace.cache.join("logs")
}

/// `cargo build` without anything of this machine in its result.
fn reproducible_cargo(own: &Workspace, release: &Release, target: &str, flags: &[String]) -> Result<Command> {
    let remap = remapped_paths(own)?.into_iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}"));
    let flags: Vec<String> = remap.chain(flags.iter().cloned()).collect();
    let mut build = cargo();
    build.args(["build", "--locked", "--target", target]).current_dir(&own.root);
    // Added to those in .cargo/config.toml, which RUSTFLAGS would replace.
    build.arg("--config").arg(format!("target.{target}.rustflags={flags:?}"));
    build.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    build.env("CARGO_TARGET_DIR", &own.target).env("SOURCE_DATE_EPOCH", release.epoch.to_string());
    build.env("CARGO_INCREMENTAL", "0");
    Ok(build)
}

/// Folders of this machine, and what stands for them in the programs; a later one goes first.
fn remapped_paths(own: &Workspace) -> Result<Vec<(String, String)>> {
    let sysroot = run(command("rustc").args(["--print", "sysroot"]))?;
    let home = env::var_os("CARGO_HOME").map_or_else(default_cargo_home, |home| Ok(PathBuf::from(home)))?;
    let mut paths = vec![
        (own.root.clone(), "/tollgate".to_owned()),
        (own.target.clone(), "/target".to_owned()),
        (PathBuf::from(String::from_utf8(sysroot)?.trim()), "/rust".to_owned()),
        (home.clone(), "/cargo".to_owned()),
    ];
    // The folder of a registry is named by a hash of its address, which a mirror changes.
    let registries = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    paths.extend(registries.map(|registry| (registry.path(), "/cargo/registry".to_owned())));
    let text = |path: PathBuf| path.into_os_string().into_string();
    let paths = paths.into_iter().map(|(from, to)| Ok((text(from)?, to))).collect::<Result<_, OsString>>();
    paths.map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))
}

fn default_cargo_home() -> Result<PathBuf> {
    Ok(PathBuf::from(env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?).join(".cargo"))
}
