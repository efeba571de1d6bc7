//! The tests, in stages that fail early: each stage builds what it needs and runs on
//! real workerd, wasmtime, PostgreSQL, Redis and Chromium.

use std::{path::PathBuf, process::Command, time::Instant};

use anyhow::Result;

use crate::{
    arguments::{Part, Stage},
    build::{self, native_packages, packages},
    dist,
    postgres::{Durability, Postgres},
    progress, setup,
    test_programs::Prepared,
    upgrade,
    workspace::{Workspace, cargo, find_in_path},
};

/// Tests of the suite by the stage that runs them, as nextest's filters;
/// [`Stage::Integration`] runs all others.
const CLIENTS: &str = "binary(suite) & (test(public_clients) | test(openapi))";
const BROWSER: &str = "binary(suite) & (test(browser_flows) | test(chromium))";
const DEPLOY: &str = "binary(suite) & test(/^(deploy|packages)::/)";
const DIST: &str = "binary(suite) & test(/^dist_builds::/)";
const UPGRADE: &str = "binary(suite) & test(/^upgrade::/)";

impl Stage {
    /// What runs when no stage is named.
    pub(crate) const ALL: [Stage; 5] = [Stage::Unit, Stage::Integration, Stage::Clients, Stage::Browser, Stage::Deploy];

    /// What runs only when it is named.
    const NAMED_ONLY: [Stage; 2] = [Stage::Dist, Stage::Upgrade];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Unit => "unit",
            Stage::Integration => "integration",
            Stage::Clients => "clients",
            Stage::Browser => "browser",
            Stage::Deploy => "deploy",
            Stage::Dist => "dist",
            Stage::Upgrade => "upgrade",
        }
    }

    /// Which targets of the packages hold its tests.
    fn targets(self) -> &'static [&'static str] {
        match self {
            Stage::Unit => &["--lib", "--bins"],
            _ => &["--test", "*"],
        }
    }

    fn filter(self) -> Option<String> {
        match self {
            Stage::Unit => None,
            Stage::Integration => {
                Some(format!("not ({CLIENTS}) & not ({BROWSER}) & not ({DEPLOY}) & not ({DIST}) & not ({UPGRADE})"))
            }
            Stage::Clients => Some(CLIENTS.to_owned()),
            Stage::Browser => Some(format!("{BROWSER} & not ({CLIENTS})")),
            Stage::Deploy => Some(DEPLOY.to_owned()),
            Stage::Dist => Some(DIST.to_owned()),
            Stage::Upgrade => Some(UPGRADE.to_owned()),
        }
    }
}

/// Runs `stages`, or all when none is named. `arguments` are nextest's and narrow
/// each stage. With `arguments` and no stage everything is built once, and one run of
/// nextest gets them.
pub(crate) fn test(workspace: &Workspace, stages: &[Stage], arguments: &[String]) -> Result<()> {
    let start = Instant::now();
    let mut all = if stages.is_empty() { Stage::ALL.to_vec() } else { stages.to_vec() };
    all.sort();
    all.dedup();
    let is_one_run = all == Stage::ALL && !arguments.is_empty();
    let result =
        if is_one_run { run_all(workspace, arguments) } else { run_stages(workspace, &all, stages, arguments) };
    progress::summary(start);
    let programs_not_run = result?;

    let names = |stages: &[Stage]| stages.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(" ");
    let every = Stage::ALL.into_iter().chain(Stage::NAMED_ONLY);
    let others: Vec<Stage> = every.filter(|stage| !all.contains(stage)).collect();
    let passed = if is_one_run { format!("tests that match {}", arguments.join(" ")) } else { names(&all) };
    let not_run: Vec<String> =
        (!others.is_empty()).then(|| names(&others)).into_iter().chain(programs_not_run).collect();
    match not_run.is_empty() {
        true => println!("passed: {passed}"),
        false => println!("passed: {passed}; not run: {}", not_run.join(", ")),
    }
    Ok(())
}

/// Builds everything once, for one run of nextest. Returns what was not run.
fn run_all(workspace: &Workspace, arguments: &[String]) -> Result<Vec<String>> {
    setup::for_test(workspace, &Stage::ALL)?;
    build(workspace, &Stage::ALL)?;
    let programs = Prepared::new(workspace, &Stage::ALL, &[])?;
    let postgres = Postgres::start(Durability::None)?;
    let (mut arguments, filter) = split_filter(arguments);
    let without_named_only = format!("not ({DIST}) & not ({UPGRADE})");
    arguments.extend(filter_argument([without_named_only].into_iter().chain(programs.other_tests()).chain(filter)));
    nextest(workspace, &postgres, programs.variables(workspace), "tests", &arguments)?;
    Ok(programs.not_run())
}

/// Runs the stages one by one, those that are `named` with their slow programs, and returns which
/// programs were not run.
fn run_stages(workspace: &Workspace, stages: &[Stage], named: &[Stage], arguments: &[String]) -> Result<Vec<String>> {
    setup::for_test(workspace, stages)?;
    let postgres = Postgres::start(Durability::None)?;
    let (arguments, own_filter) = split_filter(arguments);
    let mut not_run = Vec::new();
    for &stage in stages {
        build(workspace, &[stage])?;
        let programs = Prepared::new(workspace, &[stage], named)?;
        not_run.extend(programs.not_run());
        let mut all: Vec<String> = stage.targets().iter().map(ToString::to_string).collect();
        let available = programs.other_tests();
        all.extend(filter_argument(stage.filter().into_iter().chain(available).chain(own_filter.clone())));
        all.extend_from_slice(&arguments);
        let mut variables = programs.variables(workspace);
        if stage == Stage::Dist {
            variables.extend(dist::two_builds(workspace)?);
        }
        if stage == Stage::Upgrade {
            variables.extend(upgrade::previous_program(workspace)?);
        }
        nextest(workspace, &postgres, variables, &format!("{} tests", stage.name()), &all)?;
        if stage == Stage::Unit && arguments.is_empty() && own_filter.is_none() {
            let mut docs = cargo();
            docs.args(["test", "--quiet", "--doc", "--package", "tollgate-core"]);
            progress::show("examples in the documentation", docs.current_dir(&workspace.root))?;
        }
    }
    Ok(not_run)
}

/// Nextest's argument for tests that pass all of these filters.
fn filter_argument(filters: impl Iterator<Item = String>) -> Vec<String> {
    let filters: Vec<String> = filters.collect();
    match filters.is_empty() {
        true => Vec::new(),
        false => vec!["-E".to_owned(), format!("({})", filters.join(") & ("))],
    }
}

/// Builds the programs that these stages start; nextest builds the tests.
fn build(workspace: &Workspace, stages: &[Stage]) -> Result<()> {
    if stages.iter().any(|stage| *stage != Stage::Unit) {
        build::build(workspace, Part::All)?;
    }
    if stages.contains(&Stage::Clients) {
        build::public_clients(workspace)?;
    }
    Ok(())
}

fn nextest(
    workspace: &Workspace,
    postgres: &Postgres,
    variables: Vec<(&'static str, PathBuf)>,
    what: &str,
    arguments: &[String],
) -> Result<()> {
    let mut nextest = cargo();
    nextest.args(["nextest", "run", "--no-fail-fast"]).args(packages(&native_packages(workspace))).args(arguments);
    nextest.envs(variables);
    progress::show(what, environment(workspace, nextest.current_dir(&workspace.root), postgres)?)
}

/// Takes nextest's filter expressions out of its arguments: given together with a stage's
/// filter, they would add tests to the stage instead of narrowing it.
fn split_filter(arguments: &[String]) -> (Vec<String>, Option<String>) {
    let (mut others, mut filters) = (Vec::new(), Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-E" | "--filterset" => filters.extend(arguments.next().cloned()),
            other => match other.strip_prefix("--filterset=").or_else(|| other.strip_prefix("-E")) {
                Some(filter) => filters.push(filter.trim_start_matches('=').to_owned()),
                None => others.push(other.to_owned()),
            },
        }
    }
    (others, (!filters.is_empty()).then(|| format!("({})", filters.join(") | ("))))
}

/// Gives `command` all that [`with_programs`] gives, and the servers and libraries of
/// the tests.
pub(crate) fn environment<'a>(
    workspace: &Workspace,
    command: &'a mut Command,
    postgres: &Postgres,
) -> Result<&'a mut Command> {
    let (redis, faketime) = (find_in_path(setup::REDIS), setup::find_faketime());
    command.env("TOLLGATE_TEST_POSTGRES_URL", &postgres.url);
    command.envs(redis.map(|path| ("TOLLGATE_TEST_REDIS", path)));
    command.envs(faketime.map(|path| ("TOLLGATE_TEST_FAKETIME", path)));
    command.env("TOLLGATE_TEST_DEBIAN_ROOT", workspace.debian_root());
    with_programs(workspace, command)
}

/// Gives `command` the paths of what is built and installed here.
pub(crate) fn with_programs<'a>(workspace: &Workspace, command: &'a mut Command) -> Result<&'a mut Command> {
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
        // Tells the build step of wrangler.toml that the Worker is built.
        .env("XTASK_WORKER_BUILT", "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_narrow_a_stage() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (others, filter) = split_filter(&words("refresh -E test(a) --success-output final --filterset=test(b)"));
        assert_eq!(others, ["refresh", "--success-output", "final"]);
        assert_eq!(filter.as_deref(), Some("(test(a)) | (test(b))"));
        assert_eq!(split_filter(&words("refresh")), (vec!["refresh".to_owned()], None));
    }
}
