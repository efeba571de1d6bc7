//! The licences of everything that is compiled into the programs, each text once.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::crates::{Crate, Crates};
use crate::{
    setup,
    workspace::{Workspace, command},
};

pub(super) const FILE: &str = "THIRD-PARTY-LICENSES.txt";
/// Beginnings of the names of files with a licence, in upper case.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"];
/// How deep below a crate's folder licences of what it bundles are looked for.
const MAX_DEPTH: usize = 3;

/// A work that is no crate, and the files with its licence.
pub(super) struct Work {
    pub(super) name: &'static str,
    pub(super) version: String,
    files: Vec<PathBuf>,
}

/// What the compiler and the linker add to a program: Rust's standard library, musl and LLVM's
/// libunwind. Empty if no linker is installed, for packages of other programs.
pub(super) fn runtime(workspace: &Workspace) -> Result<Vec<Work>> {
    let Some(zig) = setup::find_zig(workspace) else { return Ok(Vec::new()) };
    let output =
        |command: &mut Command| Ok::<_, anyhow::Error>(String::from_utf8(super::run(command)?)?.trim().to_owned());
    let zig_version = format!("of Zig {}", output(command(&zig).arg("version"))?);
    let zig = zig.parent().context("Zig lies in a folder")?.join("lib");
    let rust_version = output(command("rustc").arg("--version"))?;
    let rust = Path::new(&output(command("rustc").args(["--print", "sysroot"]))?).join("share/doc/rust/licenses");
    Ok(vec![
        Work {
            name: "Rust standard library",
            version: rust_version,
            files: vec![rust.join("MIT.txt"), rust.join("Apache-2.0.txt")],
        },
        Work { name: "musl", version: zig_version.clone(), files: vec![zig.join("libc/musl/COPYRIGHT")] },
        Work { name: "LLVM libunwind", version: zig_version, files: vec![zig.join("libunwind/LICENSE.TXT")] },
    ])
}

/// The file of all licences of others.
pub(super) fn text(crates: &Crates, runtime: &[Work]) -> Result<String> {
    let mut works_by_text: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut without_text = String::new();
    for work in runtime {
        for file in &work.files {
            works_by_text.entry(read(file)?).or_default().push(format!("{}, {}", work.name, work.version));
        }
    }
    for one in crates.all().filter(|one| !one.is_of_this_workspace()) {
        ensure!(!one.license.is_empty(), "{} {} names no licence", one.name, one.version);
        let mut files = Vec::new();
        find_licences(&one.folder, MAX_DEPTH, &mut files)?;
        for file in &files {
            works_by_text.entry(read(file)?).or_default().push(describe(one));
        }
        if files.is_empty() {
            let by = if one.authors.is_empty() { "" } else { " by " };
            writeln!(without_text, "  {}{by}{}", describe(one), one.authors.join(", "))?;
        }
    }
    let mut all =
        String::from("Tollgate contains the works of others that are named here, under the licences below.\n");
    if !without_text.is_empty() {
        write!(
            all,
            "\nThese contain no text of their licence, which is one of those below; the authors are those of their \
             packages:\n\n{without_text}"
        )?;
    }
    for (text, mut works) in in_order(works_by_text) {
        works.dedup();
        write!(all, "\n{}\n\n  {}\n\n{}\n", "=".repeat(100), works.join("\n  "), text.trim_matches('\n'))?;
    }
    Ok(all)
}

/// Texts with their works, ordered by the first work.
fn in_order(works_by_text: BTreeMap<String, Vec<String>>) -> Vec<(String, Vec<String>)> {
    let mut texts: Vec<_> = works_by_text.into_iter().collect();
    texts.sort_by(|(left_text, left), (right_text, right)| (left, left_text).cmp(&(right, right_text)));
    texts
}

fn describe(one: &Crate) -> String {
    format!("{} {} ({})", one.name, one.version, one.license)
}

/// Files with a licence in `folder` and at most `depth` folders below it, ordered by path.
fn find_licences(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        let is_source = [".RS", ".C", ".H", ".TOML"].iter().any(|ending| name.ends_with(ending));
        if path.is_file() && !is_source && NAMES.iter().any(|start| name.starts_with(start)) {
            found.push(path);
        } else if path.is_dir() && depth > 0 {
            find_licences(&path, depth - 1, found)?;
        }
    }
    Ok(())
}

/// The text of a file, the same however its lines end.
fn read(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::TempFolder;

    #[test]
    fn licences_of_bundled_works_are_found() -> Result<()> {
        let folder = TempFolder::new("licences-test")?;
        fs::create_dir_all(folder.0.join("library/sub"))?;
        for (file, text) in [
            ("LICENSE-MIT", "MIT"),
            ("license.rs", "code"),
            ("library/COPYING", "BSD\r\n\r\n"),
            ("library/sub/readme", "no"),
        ] {
            fs::write(folder.0.join(file), text)?;
        }
        let mut found = Vec::new();
        find_licences(&folder.0, MAX_DEPTH, &mut found)?;
        assert_eq!(found, [folder.0.join("LICENSE-MIT"), folder.0.join("library/COPYING")]);
        assert_eq!(read(&found[1])?, "BSD\n");
        Ok(())
    }
}
