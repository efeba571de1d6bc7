//! The project's conventions that a program can check in the text of the repository:
//! which crate may depend on which, what is forbidden in code, how long files,
//! functions and comment lines may get, and that documents name only what exists.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::command;

/// A source file over this is more than one idea.
const MAX_FILE_LINES: usize = 1200;
/// A function over this hides its steps.
const MAX_FUNCTION_LINES: usize = 100;
/// Columns of a line that is only a comment, its indentation included.
const MAX_COMMENT_COLUMNS: usize = 100;

/// Crates of this workspace, or outside it, that a crate must not depend on. Cargo
/// keeps everything else: what a manifest does not name cannot be used.
const FORBIDDEN_DEPENDENCIES: [(&str, &[&str]); 10] = [
    ("core", &["getrandom", "serde", "tokio", "tollgate-gate"]),
    ("origin/model", &["axum", "reqwest", "sqlx", "tokio", "tollgate-system"]),
    ("origin/keys", &["axum", "reqwest", "sqlx", "tokio"]),
    ("origin/storage", &["axum", "reqwest"]),
    ("origin/services", &["axum", "sqlx"]),
    ("origin/http", &["sqlx"]),
    ("edge/gate", &["getrandom", "reqwest", "spin-sdk", "tokio", "wasmtime", "worker"]),
    // Adapters hold no policy: they cannot judge a token or read a snapshot by themselves.
    ("edge/component", &["tollgate-core"]),
    ("edge/spin", &["tollgate-core"]),
    ("edge/worker", &["tollgate-core"]),
];

/// Fails with every breach of every convention.
pub(crate) fn check(root: &Path) -> Result<()> {
    let sources = Files::list(root, ".rs")?;
    ensure!(sources.0.len() > 50, "git lists only {} source files", sources.0.len());
    let manifests = Files::list(root, "Cargo.toml")?;
    let documents = Files::list(root, ".md")?;
    let breaches = [
        forbidden_dependencies(&manifests)?,
        unsafe_code(&manifests),
        optimised_members(&manifests),
        unfinished_code(&sources),
        long_files(&sources),
        long_functions(&sources),
        wide_comments(&sources),
        dead_links(root, &documents)?,
        unknown_names(root, &documents)?,
    ]
    .concat();
    if !breaches.is_empty() {
        bail!("{} breaches of the project's conventions:\n{}", breaches.len(), breaches.join("\n"));
    }
    Ok(())
}

/// Files that git tracks or would add, by path, with their text.
struct Files(Vec<(String, String)>);

impl Files {
    /// Those whose path ends in `ending`.
    fn list(root: &Path, ending: &str) -> Result<Files> {
        let mut git = command("git");
        git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root);
        let listed = String::from_utf8(git.output().context("cannot run git")?.stdout)?;
        let paths = listed.lines().filter(|path| path.ends_with(ending) && root.join(path).is_file());
        let read = |path: &str| Ok((path.to_owned(), fs::read_to_string(root.join(path)).context(path.to_owned())?));
        Ok(Files(paths.map(read).collect::<Result<_>>()?))
    }

    /// Every line with its path and number, from 1.
    fn lines(&self) -> impl Iterator<Item = (&str, usize, &str)> {
        self.0.iter().flat_map(|(path, text)| text.lines().zip(1..).map(move |(line, number)| (&**path, number, line)))
    }
}

fn forbidden_dependencies(manifests: &Files) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for (folder, forbidden) in FORBIDDEN_DEPENDENCIES {
        let path = format!("{folder}/Cargo.toml");
        let (_, text) = manifests.0.iter().find(|(name, _)| *name == path).with_context(|| format!("no {path}"))?;
        let named = forbidden.iter().filter(|name| dependencies(text).any(|dependency| dependency == **name));
        breaches.extend(named.map(|name| format!("{path}: must not depend on {name}")));
    }
    Ok(breaches)
}

/// Names in the `[dependencies]` sections of a manifest, those of a target included,
/// `[dev-dependencies]` not.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let sections = manifest.split("\n[").filter(|section| {
        section.lines().next().is_some_and(|head| head == "dependencies]" || head.ends_with(".dependencies]"))
    });
    sections.flat_map(|section| section.lines().skip(1)).filter_map(|line| line.split(['.', ' ', '=']).next())
}

fn unsafe_code(manifests: &Files) -> Vec<String> {
    let mut breaches = Vec::new();
    for (path, text) in &manifests.0 {
        let is_forbidden = match path.as_str() {
            "Cargo.toml" => text.contains("unsafe_code = \"forbid\""),
            // The generated bindings need `unsafe`; the component's own file expects it.
            "edge/component/Cargo.toml" => text.contains("unsafe_code = \"deny\""),
            _ => text.contains("[lints]\nworkspace = true") || !text.contains("[package]"),
        };
        breaches.extend((!is_forbidden).then(|| format!("{path}: unsafe code is not forbidden")));
    }
    breaches
}

/// Crates of the origin, the edge and the tests that the dev profile would optimise like a
/// dependency.
fn optimised_members(manifests: &Files) -> Vec<String> {
    let workspace = manifests.0.iter().find(|(path, _)| path == "Cargo.toml").map_or("", |(_, text)| text);
    let native = [
        "core/Cargo.toml",
        "edge/gate/",
        "edge/runner/",
        "origin/",
        "tests/Cargo.toml",
        "tests/kit/",
        "xtask/Cargo.toml",
    ];
    let members = manifests.0.iter().filter(|(path, _)| native.iter().any(|start| path.starts_with(start)));
    let names = members.filter_map(|(_, text)| text.split("\nname = \"").nth(1)?.split('"').next());
    let missing = names.filter(|name| !workspace.contains(&format!("\n{name}.opt-level = ")));
    missing.map(|name| format!("Cargo.toml: [profile.dev.package] lacks {name}")).collect()
}

fn unfinished_code(sources: &Files) -> Vec<String> {
    // Split, so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[", "ignore"),
        concat!("#[", "allow("),
    ];
    let found = sources.lines().filter_map(|(path, number, line)| {
        let mark = marks.iter().find(|mark| line.contains(**mark))?;
        Some(format!("{path}:{number}: {mark} is not allowed: finish it, or `#[expect(…, reason = \"…\")]`"))
    });
    found.collect()
}

fn long_files(sources: &Files) -> Vec<String> {
    let lengths = sources.0.iter().map(|(path, text)| (path, text.lines().count()));
    let long = lengths.filter(|(_, lines)| *lines > MAX_FILE_LINES);
    long.map(|(path, lines)| format!("{path}: {lines} lines, more than {MAX_FILE_LINES}")).collect()
}

/// A function ends at the first closing brace as far indented as its `fn`, which
/// `cargo fmt` guarantees.
fn long_functions(sources: &Files) -> Vec<String> {
    let mut breaches = Vec::new();
    for (path, text) in &sources.0 {
        let mut current: Option<(usize, usize, &str)> = None;
        for (line, number) in text.lines().zip(1..) {
            let code = line.trim_start();
            let indent = line.len() - code.len();
            match current {
                None if is_function(code) && !code.ends_with(['}', ';']) => current = Some((number, indent, code)),
                Some((start, depth, head)) if indent == depth && code.starts_with('}') => {
                    let lines = number - start + 1;
                    if lines > MAX_FUNCTION_LINES {
                        breaches.push(format!("{path}:{start}: {lines} lines, more than {MAX_FUNCTION_LINES}: {head}"));
                    }
                    current = None;
                }
                // A declaration without a body, over several lines.
                Some((_, depth, _)) if indent == depth && code.ends_with(';') => current = None,
                _ => {}
            }
        }
    }
    breaches
}

fn is_function(code: &str) -> bool {
    let words = code.split(' ').skip_while(|word| {
        word.starts_with("pub") || matches!(*word, "async" | "const" | "unsafe" | "extern" | "default")
    });
    words.take(1).any(|word| word == "fn")
}

/// A row of a table, or a line without a break to wrap at, such as a URL, may be wider.
fn wide_comments(sources: &Files) -> Vec<String> {
    let wide = sources.lines().filter(|(_, _, line)| {
        let comment = line.trim_start();
        comment.starts_with("//")
            && line.chars().count() > MAX_COMMENT_COLUMNS
            && comment.trim_start_matches(['/', '!', ' ']).contains(' ')
            && !comment.contains("://")
            && !comment.contains(" | ")
    });
    let breaches = wide.map(|(path, number, line)| {
        format!("{path}:{number}: comment of {} columns, more than {MAX_COMMENT_COLUMNS}", line.chars().count())
    });
    breaches.collect()
}

/// Links and pictures of documents that name a file which does not exist.
fn dead_links(root: &Path, documents: &Files) -> Result<Vec<String>> {
    let (mut checked, mut breaches) = (0, Vec::new());
    for (path, text) in &documents.0 {
        let folder = root.join(path).parent().context("a document lies in a folder")?.to_owned();
        let pictures = ["src=\"", "srcset=\""].into_iter().flat_map(|start| text.split(start).skip(1));
        let pictures = pictures.filter_map(|rest| rest.split('"').next());
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.chain(pictures) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            checked += 1;
            if !folder.join(target).exists() {
                breaches.push(format!("{path}: names {target}, which does not exist"));
            }
        }
    }
    ensure!(checked > 10, "only {checked} links were found in the documents");
    Ok(breaches)
}

/// Functions that a document names after a link to a source file, as in ``[a.rs](src/a.rs) `one`,
/// `two` ``, and that the file does not contain.
fn unknown_names(root: &Path, documents: &Files) -> Result<Vec<String>> {
    let (mut checked, mut breaches) = (0, Vec::new());
    for (path, text) in &documents.0 {
        let folder = root.join(path).parent().context("a document lies in a folder")?.to_owned();
        for rest in text.split("](").skip(1) {
            let is_source = |target: &str| target.ends_with(".rs") && !target.contains("://");
            let Some((target, mut rest)) = rest.split_once(')').filter(|(target, _)| is_source(target)) else {
                continue;
            };
            let source = fs::read_to_string(folder.join(target)).unwrap_or_default(); // `dead_links` reports it
            while let Some((name, next)) =
                rest.trim_start_matches([',', ' ']).strip_prefix('`').and_then(|rest| rest.split_once('`'))
            {
                let mut words = source.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
                let last = name.rsplit("::").next().unwrap_or_default().trim_end_matches("()");
                if !source.is_empty() && !words.any(|word| word == last) {
                    breaches.push(format!("{path}: names {name}, which is not in {target}"));
                }
                checked += 1;
                rest = next;
            }
        }
    }
    ensure!(checked > 10, "only {checked} names were found in the documents");
    Ok(breaches)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [String; 0] = [];

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    fn file(text: &str) -> Files {
        Files(vec![("a.rs".to_owned(), text.to_owned())])
    }

    #[test]
    fn crates_depend_only_on_what_they_may() -> Result<()> {
        assert_eq!(forbidden_dependencies(&Files::list(root(), "Cargo.toml")?)?, NONE);
        let manifest = "[package]\nname = \"a\"\n\n[dependencies]\nserde.workspace = true\nb = { path = \"b\" }\n\n\
                        [target.'cfg(unix)'.dependencies]\nc = \"1\"\n\n[dev-dependencies]\nd = \"1\"\n";
        assert_eq!(dependencies(manifest).filter(|name| !name.is_empty()).collect::<Vec<_>>(), ["serde", "b", "c"]);
        Ok(())
    }

    #[test]
    fn unsafe_code_is_forbidden_everywhere() -> Result<()> {
        assert_eq!(unsafe_code(&Files::list(root(), "Cargo.toml")?), NONE);
        Ok(())
    }

    #[test]
    fn dev_profile_lists_every_member() -> Result<()> {
        assert_eq!(optimised_members(&Files::list(root(), "Cargo.toml")?), NONE);
        Ok(())
    }

    #[test]
    fn no_code_is_unfinished() -> Result<()> {
        assert_eq!(unfinished_code(&Files::list(root(), ".rs")?), NONE);
        assert_eq!(unfinished_code(&file(concat!("// TO", "DO: later"))).len(), 1);
        Ok(())
    }

    #[test]
    fn files_and_functions_stay_within_their_limits() -> Result<()> {
        let sources = Files::list(root(), ".rs")?;
        assert_eq!(long_files(&sources), NONE);
        assert_eq!(long_functions(&sources), NONE);
        let body = |lines: usize| format!("pub(crate) async fn f() {{\n{}}}\n", "    x();\n".repeat(lines));
        assert_eq!(long_functions(&file(&body(98))), NONE);
        assert_eq!(long_functions(&file(&body(99))).len(), 1);
        Ok(())
    }

    #[test]
    fn wide_comments_are_found() {
        let words = "word ".repeat(25);
        assert_eq!(wide_comments(&file(&format!("    /// {words}"))).len(), 1);
        assert_eq!(wide_comments(&file(&format!("// {}", "x".repeat(120)))), NONE);
        assert_eq!(wide_comments(&file(&format!("let text = \"{words}\";"))), NONE);
    }

    #[test]
    fn documents_name_only_files_that_exist() -> Result<()> {
        assert_eq!(dead_links(root(), &Files::list(root(), ".md")?)?, NONE);
        Ok(())
    }

    #[test]
    fn documents_name_only_functions_that_exist() -> Result<()> {
        assert_eq!(unknown_names(root(), &Files::list(root(), ".md")?)?, NONE);
        Ok(())
    }
}
