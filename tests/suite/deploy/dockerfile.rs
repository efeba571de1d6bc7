//! deploy/Dockerfile as a Docker client reads it: its syntax and style by hadolint, and what the
//! final images consist of.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use super::{check_setting, deploy, installed, output, read, root};

/// An image as the stages of the Dockerfile that it is built from describe it.
#[derive(Debug, Default, Clone)]
pub(super) struct Image {
    /// The image of its first stage.
    base: String,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) entrypoint: Vec<String>,
    pub(super) command: Vec<String>,
    pub(super) health_check: Vec<String>,
    pub(super) user: String,
    pub(super) folder: String,
    labels: String,
    pub(super) copies: Vec<CopiedFile>,
}

/// A file or folder that the image gets.
#[derive(Debug, Clone)]
pub(super) struct CopiedFile {
    /// The stage that has it; none for the build's context.
    pub(super) stage: Option<String>,
    pub(super) source: String,
    pub(super) target: String,
    /// Owner, if it is not root.
    pub(super) owner: Option<String>,
}

/// The image of a target in deploy/Dockerfile.
pub(super) fn image(target: &str) -> Result<Image> {
    let text = read(&deploy("Dockerfile"))?.replace("\\\n", " ");
    let mut stages: BTreeMap<String, Image> = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (instruction, rest) = line.split_once(' ').with_context(|| line.to_owned())?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        if instruction == "FROM" {
            let name = words.last().context("a name")?;
            let base = words[0];
            let inherited = stages.get(base).cloned();
            let image = inherited.unwrap_or_else(|| Image { base: base.to_owned(), ..Image::default() });
            stages.insert((*name).to_owned(), image);
            current = Some((*name).to_owned());
            continue;
        }
        if let Some(image) = current.as_ref().and_then(|name| stages.get_mut(name)) {
            image.add(instruction, rest, &words).with_context(|| line.to_owned())?;
        }
    }
    stages.remove(target).with_context(|| format!("no stage {target}"))
}

impl Image {
    fn add(&mut self, instruction: &str, rest: &str, words: &[&str]) -> Result<()> {
        let list = |text: &str| serde_json::from_str::<Vec<String>>(text).context("a list in JSON");
        match instruction {
            "COPY" => self.copies.extend(copies(words)?),
            "ENV" => {
                let pairs = words.iter().filter_map(|word| word.split_once('='));
                self.environment.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            "ENTRYPOINT" => self.entrypoint = list(rest)?,
            "CMD" => self.command = list(rest)?,
            "HEALTHCHECK" if rest == "NONE" => {}
            "HEALTHCHECK" => self.health_check = list(rest.split_once("CMD ").context("CMD")?.1)?,
            "USER" => self.user = rest.to_owned(),
            "WORKDIR" => self.folder = rest.to_owned(),
            "LABEL" => self.labels.push_str(rest),
            _ => {}
        }
        Ok(())
    }
}

fn copies(words: &[&str]) -> Result<Vec<CopiedFile>> {
    let flag = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)).map(str::to_owned);
    let (stage, owner) = (flag("--from="), flag("--chown="));
    let paths: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with("--")).collect();
    let (target, sources) = paths.split_last().context("a target")?;
    let copy = |source: &&str| CopiedFile {
        stage: stage.clone(),
        source: (*source).to_owned(),
        target: (*target).to_owned(),
        owner: owner.clone(),
    };
    Ok(sources.iter().map(copy).collect())
}

#[test]
fn dockerfile_passes_hadolint() -> Result<()> {
    let found = output(installed("hadolint").args(["--format", "tty"]).arg(deploy("Dockerfile")))?;
    assert_eq!(found, "");
    Ok(())
}

#[test]
fn images_contain_only_their_program_and_run_without_privileges() -> Result<()> {
    for (target, program, has_health_check) in
        [("origin", "tollgate", true), ("edge", "tollgate-edge", true), ("api", "protected-api", false)]
    {
        let image = image(target)?;
        let path = format!("/usr/bin/{program}");
        assert_eq!(image.base, "scratch", "{target}: no shell and no package of a distribution");
        let (user, group) = image.user.split_once(':').context("user and group")?;
        ensure!(user.parse::<u32>()? > 0 && group.parse::<u32>()? > 0, "{target}: {}", image.user);
        assert_eq!(image.entrypoint, [path.as_str()], "{target}");
        let health_check = if has_health_check { vec![path.as_str(), "health"] } else { Vec::new() };
        assert_eq!(image.health_check, health_check, "{target}: a program of the image checks it");
        for label in ["source", "licenses", "version", "revision", "title"] {
            ensure!(image.labels.contains(&format!("org.opencontainers.image.{label}=")), "{target}: no label {label}");
        }
        let programs: Vec<&str> =
            image.copies.iter().map(|copy| copy.target.as_str()).filter(|path| path.starts_with("/usr/bin")).collect();
        assert_eq!(programs, [path.as_str()], "{target}");
        for name in image.environment.keys() {
            check_setting(name)?;
        }
    }
    Ok(())
}

/// Cargo reads the manifest of every member, so a member that the context lacks fails the build.
#[test]
fn build_context_has_the_workspace_and_no_secrets() -> Result<()> {
    let rules = read(&root().join(".dockerignore"))?;
    let rules: Vec<&str> = rules.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert_eq!(rules.first(), Some(&"*"), "everything is left out first");
    let manifest = read(&root().join("Cargo.toml"))?;
    let manifest: toml::Table = manifest.parse()?;
    let members = manifest["workspace"]["members"].as_array().context("members")?;
    ensure!(members.len() > 10, "{members:?}");
    let members = members.iter().filter_map(|member| member.as_str()?.split('/').next());
    for name in members.chain(["Cargo.toml", "Cargo.lock", ".cargo", "LICENSE"]) {
        ensure!(rules.contains(&format!("!{name}").as_str()), ".dockerignore leaves out {name}");
    }
    for secret in ["**/.env", "**/*.key", "**/*.db*"] {
        ensure!(rules.contains(&secret), ".dockerignore does not leave out {secret}");
    }
    Ok(())
}
