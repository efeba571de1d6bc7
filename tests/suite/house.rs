//! The project's own rules, as tests: which part may name which, what is forbidden, how long things may get, and that the
//! documentation speaks of what is there.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use tollgate_tests::environment::required_env;

/// Lines of a source file at most.
const MAX_FILE_LINES: usize = 450;
/// Lines of a function at most: a screen.
const MAX_FUNCTION_LINES: usize = 60;
/// Bytes of the WIT component at most, as it is and compressed: an edge that starts fetches and compiles it.
const MAX_COMPONENT_BYTES: (usize, usize) = (350_000, 130_000);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file that git knows or would add, with its text.
fn files(ending: &str) -> Result<Vec<(String, String)>> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()?;
    let names = String::from_utf8(listed.stdout)?;
    let wanted = names.lines().filter(|name| name.ends_with(ending) && root().join(name).is_file());
    wanted
        .map(|name| Ok((name.to_owned(), fs::read_to_string(root().join(name)).with_context(|| name.to_owned())?)))
        .collect()
}

fn sources() -> Result<Vec<(String, String)>> {
    let sources = files(".rs")?;
    assert!(sources.len() > 50, "the sources are found");
    Ok(sources)
}

/// The lines of a file that name one of these words, outside comments.
fn naming<'a>(text: &'a str, words: &'a [&str]) -> impl Iterator<Item = &'a str> {
    text.lines().filter(move |line| {
        let code = line.split("//").next().unwrap_or_default();
        words.iter().any(|word| code.contains(word))
    })
}

fn forbid(part: &str, words: &[&str]) -> Result<()> {
    let mut found = 0;
    for (name, text) in sources()?.iter().filter(|(name, _)| name.starts_with(part)) {
        found += 1;
        let line = naming(text, words).next();
        assert_eq!(line, None, "{name} must not name any of {words:?}");
    }
    assert!(found > 0, "there is no source under {part}");
    Ok(())
}

#[test]
fn parts_name_only_what_they_may() -> Result<()> {
    forbid("core/src", &["std::", "SystemTime", "Instant", "getrandom", "tokio", "serde"])?;
    forbid("origin/src/domain", &["axum", "sqlx", "tokio", "SystemTime", "getrandom", "crate::store", "crate::http"])?;
    forbid("origin/src/http", &["sqlx"])?;
    forbid(
        "edge/gate/src",
        &["SystemTime", "Instant", "tokio", "reqwest", "getrandom", "worker::", "spin_sdk", "wasmtime"],
    )?;
    // Adapters hold no policy: they never judge a token or read a snapshot themselves.
    for adapter in ["edge/worker/src", "edge/spin/src", "edge/component/src"] {
        forbid(adapter, &["tollgate_core"])?;
    }
    Ok(())
}

#[test]
fn unsafe_code_is_forbidden_everywhere() -> Result<()> {
    let manifests = files("Cargo.toml")?;
    for (name, text) in manifests.iter().filter(|(_, text)| text.contains("[package]")) {
        let inherits = text.contains("[lints]\nworkspace = true");
        // The component's generated bindings are let off by name, in its own file.
        assert!(inherits || name == "edge/component/Cargo.toml" && text.contains("unsafe_code = \"deny\""), "{name}");
    }
    let workspace = manifests.iter().find(|(name, _)| name == "Cargo.toml").context("the workspace")?;
    assert!(workspace.1.contains("unsafe_code = \"forbid\""));
    Ok(())
}

#[test]
fn nothing_is_left_unfinished() -> Result<()> {
    // Written apart, so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[", "ignore"),
        concat!("#[", "allow("),
    ];
    for (name, text) in sources()? {
        for (number, line) in text.lines().enumerate() {
            let mark = marks.iter().find(|mark| line.contains(**mark));
            assert_eq!(mark, None, "{name}:{}: {line}", number + 1);
        }
    }
    Ok(())
}

#[test]
fn files_and_functions_fit_a_reader() -> Result<()> {
    for (name, text) in sources()? {
        let lines = text.lines().count();
        assert!(lines <= MAX_FILE_LINES, "{name} has {lines} lines, more than {MAX_FILE_LINES}");
        let mut begun: Option<(usize, usize, &str)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            let is_function = [
                "fn ",
                "pub fn ",
                "pub(crate) fn ",
                "pub(super) fn ",
                "async fn ",
                "pub async fn ",
                "pub(crate) async fn ",
            ]
            .iter()
            .any(|start| code.starts_with(start));
            if begun.is_none() && is_function {
                begun = Some((number, indent, code));
            } else if let Some((start, depth, head)) = begun
                && indent == depth
                && code.starts_with('}')
            {
                let length = number - start + 1;
                assert!(length <= MAX_FUNCTION_LINES, "{name}:{}: {head} has {length} lines", start + 1);
                begun = None;
            } else if let Some((_, depth, _)) = begun
                && indent == depth
                && code.ends_with(';')
            {
                begun = None; // a declaration without a body
            }
        }
    }
    Ok(())
}

#[test]
fn the_component_is_small() -> Result<()> {
    let component = fs::read(Path::new(&required_env("TOLLGATE_TEST_WASM_DIR")).join("tollgate_component.wasm"))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&component)?;
    let (raw, compressed) = (component.len(), gzip.finish()?.len());
    println!("the component has {raw} bytes, {compressed} gzipped");
    let (most, most_compressed) = MAX_COMPONENT_BYTES;
    assert!(raw <= most, "the component has {raw} bytes, more than {most}");
    assert!(compressed <= most_compressed, "the component has {compressed} bytes gzipped, more than {most_compressed}");
    Ok(())
}

#[test]
fn every_path_that_the_documentation_names_exists() -> Result<()> {
    let mut checked = 0;
    for (name, text) in files(".md")? {
        let folder = Path::new(&name).parent().context("a folder")?.to_owned();
        let pictures = ["src=\"", "srcset=\""].into_iter().flat_map(|start| text.split(start).skip(1));
        let pictures = pictures.filter_map(|rest| rest.split('"').next());
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.chain(pictures) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                assert!(root().join(&folder).join(target).exists(), "{name} names {target}, which is not there");
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "the documentation's links are found");
    Ok(())
}

#[test]
fn the_documentation_names_functions_that_exist() -> Result<()> {
    let mut checked = 0;
    for (name, text) in files(".md")? {
        let folder = Path::new(&name).parent().context("a folder")?.to_owned();
        // `[file.rs](path/file.rs) `one`, `another``: each name must be in that file.
        for rest in text.split("](").skip(1) {
            let link = rest.split_once(')');
            let is_source = |target: &str| target.ends_with(".rs") && !target.contains("://");
            let Some((target, mut rest)) = link.filter(|(target, _)| is_source(target)) else {
                continue;
            };
            let source = fs::read_to_string(root().join(&folder).join(target)).with_context(|| target.to_owned())?;
            while let Some((function, next)) =
                rest.trim_start_matches([',', ' ']).strip_prefix('`').and_then(|rest| rest.split_once('`'))
            {
                let mut words = source.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
                let last = function.rsplit("::").next().unwrap_or_default().trim_end_matches("()");
                assert!(words.any(|word| word == last), "{name} names {function}, which is not in {target}");
                checked += 1;
                rest = next;
            }
        }
    }
    assert!(checked > 10, "the documentation's names are found");
    Ok(())
}

#[test]
fn every_setting_of_an_edge_is_documented() -> Result<()> {
    let readme = fs::read_to_string(root().join("docs/settings.md"))?;
    for (name, _) in tollgate_gate::SETTINGS {
        assert!(readme.contains(name), "docs/settings.md does not explain {name}");
    }
    for setting in tollgate::settings::all() {
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{}` |", setting.name)));
        let row = row.with_context(|| format!("docs/settings.md does not explain {}", setting.name))?;
        if let tollgate::settings::Default::Value(value) = setting.default {
            let usual = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap_or_default();
            assert!(usual.contains(value), "docs/settings.md has another default for {}: {usual}", setting.name);
        }
    }
    Ok(())
}
