//! The crates that are compiled into the programs, as cargo resolves them: those of the native
//! programs and, for the edge, those of its WebAssembly components. Build scripts and procedural
//! macros run only while compiling, so they are left out with what only they need.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::run;
use crate::{
    build::COMPONENTS,
    workspace::{Workspace, cargo},
};

const EDGE: &str = "tollgate-edge";

/// Name and version, by which cargo tells crates apart.
pub(super) type CrateId = (String, String);

pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
    /// SPDX expression.
    pub(super) license: String,
    pub(super) authors: Vec<String>,
    pub(super) repository: Option<String>,
    /// Folder of its source.
    pub(super) folder: PathBuf,
    /// SHA-256 of the package in the registry; absent for crates of this workspace.
    pub(super) checksum: Option<String>,
    /// Crates that it links.
    pub(super) dependencies: BTreeSet<CrateId>,
}

impl Crate {
    pub(super) fn id(&self) -> CrateId {
        (self.name.clone(), self.version.clone())
    }

    pub(super) fn is_of_this_workspace(&self) -> bool {
        self.checksum.is_none()
    }
}

pub(super) struct Crates {
    all: BTreeMap<CrateId, Crate>,
    by_program: BTreeMap<&'static str, BTreeSet<CrateId>>,
}

impl Crates {
    /// Crates of all programs for `target`.
    pub(super) fn of_programs(workspace: &Workspace, target: &str) -> Result<Crates> {
        let mut by_program = BTreeMap::new();
        for program in super::PROGRAMS {
            let mut linked = linked_crates(workspace, program, target)?;
            if program == EDGE {
                for component in COMPONENTS {
                    linked.extend(linked_crates(workspace, component, "wasm32-wasip2")?);
                }
            }
            by_program.insert(program, linked);
        }
        let wanted: BTreeSet<CrateId> = by_program.values().flatten().cloned().collect();
        let all = described_crates(workspace, &wanted)?;
        if let Some((name, version)) = wanted.iter().find(|id| !all.contains_key(*id)) {
            bail!("cargo metadata does not describe {name} {version}");
        }
        Ok(Crates { all, by_program })
    }

    /// All crates, ordered by name.
    pub(super) fn all(&self) -> impl Iterator<Item = &Crate> {
        self.all.values()
    }

    /// Crates of a program, ordered by name.
    pub(super) fn of(&self, program: &str) -> impl Iterator<Item = &Crate> {
        self.by_program.get(program).into_iter().flatten().filter_map(|id| self.all.get(id))
    }
}

fn linked_crates(workspace: &Workspace, package: &str, target: &str) -> Result<BTreeSet<CrateId>> {
    let mut tree = cargo();
    tree.args(["tree", "--locked", "--package", package, "--target", target, "--edges", "normal,no-proc-macro"]);
    tree.args(["--prefix", "none", "--format", "{p}"]).current_dir(&workspace.root);
    let lines = String::from_utf8(run(&mut tree)?)?;
    let id = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        Some((name.to_owned(), rest.split(' ').next()?.to_owned()))
    };
    Ok(lines.lines().filter_map(id).collect())
}

fn described_crates(workspace: &Workspace, wanted: &BTreeSet<CrateId>) -> Result<BTreeMap<CrateId, Crate>> {
    let mut metadata = cargo();
    metadata.args(["metadata", "--locked", "--format-version=1"]).current_dir(&workspace.root);
    let metadata: Value = serde_json::from_slice(&run(&mut metadata)?)?;
    let checksums = checksums(&fs::read_to_string(workspace.root.join("Cargo.lock"))?);
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let id_of_package = |package: &Value| Some((text(&package["name"])?, text(&package["version"])?));
    let ids: BTreeMap<&str, CrateId> =
        packages.iter().filter_map(|package| Some((package["id"].as_str()?, id_of_package(package)?))).collect();
    let nodes = metadata["resolve"]["nodes"].as_array().context("cargo metadata has no resolved dependencies")?;
    let mut dependencies: BTreeMap<&str, BTreeSet<CrateId>> =
        nodes.iter().filter_map(|node| Some((node["id"].as_str()?, linked_dependencies(node, &ids, wanted)))).collect();
    let mut described = BTreeMap::new();
    for package in packages {
        let Some(id) = id_of_package(package).filter(|id| wanted.contains(id)) else { continue };
        let authors = package["authors"].as_array().into_iter().flatten().filter_map(text).collect();
        let manifest = package["manifest_path"].as_str().context("a package has no manifest")?;
        described.insert(
            id.clone(),
            Crate {
                license: text(&package["license"]).map(|license| spdx(&license)).unwrap_or_default(),
                authors,
                repository: text(&package["repository"]),
                folder: PathBuf::from(manifest).parent().context("a manifest lies in a folder")?.to_owned(),
                checksum: checksums.get(&id).cloned(),
                dependencies: package["id"].as_str().and_then(|id| dependencies.remove(id)).unwrap_or_default(),
                name: id.0,
                version: id.1,
            },
        );
    }
    Ok(described)
}

/// Dependencies of a node that are linked, not those of its build script or tests.
fn linked_dependencies(node: &Value, ids: &BTreeMap<&str, CrateId>, wanted: &BTreeSet<CrateId>) -> BTreeSet<CrateId> {
    let is_linked = |dependency: &&Value| {
        dependency["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
    };
    let linked = node["deps"].as_array().into_iter().flatten().filter(is_linked);
    let known = linked.filter_map(|dependency| ids.get(dependency["pkg"].as_str()?).cloned());
    known.filter(|id| wanted.contains(id)).collect()
}

/// Checksums of the registry's packages in a `Cargo.lock`.
fn checksums(lock: &str) -> BTreeMap<CrateId, String> {
    let packages = lock.split("[[package]]").skip(1);
    let checksum = |package: &str| {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""))?;
            Some(line.trim_end_matches('"').to_owned())
        };
        Some(((value("name")?, value("version")?), value("checksum")?))
    };
    packages.filter_map(checksum).collect()
}

/// An SPDX expression; older crates separate alternatives by a slash.
fn spdx(license: &str) -> String {
    license.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slash_between_licences_becomes_or() {
        assert_eq!(spdx("MIT/Apache-2.0"), "MIT OR Apache-2.0");
        assert_eq!(spdx("Apache-2.0 / MIT"), "Apache-2.0 OR MIT");
        assert_eq!(spdx("(MIT OR Apache-2.0) AND Unicode-3.0"), "(MIT OR Apache-2.0) AND Unicode-3.0");
    }

    #[test]
    fn checksums_are_read_from_the_lock_file() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry\"\nchecksum = \
                    \"00ff\"\ndependencies = [\n \"b\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"0.1.0\"\n";
        let checksums = checksums(lock);
        assert_eq!(checksums.len(), 1);
        assert_eq!(checksums[&("a".to_owned(), "1.0.0".to_owned())], "00ff");
    }
}
