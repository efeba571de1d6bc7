//! `cargo xtask`: installs tools, builds, runs and tests Tollgate on a bare machine. Never: judges
//! a token itself.

mod arguments;
mod bench;
mod build;
mod client_programs;
mod conventions;
mod demo;
mod demo_client;
mod deploy_programs;
mod dev;
mod dist;
mod examples;
mod lint;
mod optimise;
mod postgres;
mod process;
mod profile;
mod program_group;
mod progress;
mod screenshots;
mod setup;
mod stack;
mod test;
mod test_programs;
mod upgrade;
mod workspace;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    arguments::{Architecture, Edge, Part, Stage},
    bench::Subject,
    workspace::Workspace,
};

/// Install tools, build, run and test Tollgate. Each command installs what it needs first.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install all tools that any of these commands needs
    Setup,
    /// Build the programs, the components and the Worker
    Build {
        /// Build only this part
        #[arg(value_enum, default_value_t = Part::All)]
        part: Part,
    },
    /// Run the origin (port 8080), a protected API (5000) and an edge (8787), and print commands to
    /// try; Ctrl-C stops all
    Dev {
        /// Edge to run
        #[arg(long, value_enum, default_value_t = Edge::Runner)]
        edge: Edge,
        /// Delete the database of earlier runs first
        #[arg(long)]
        fresh: bool,
    },
    /// Run what `dev` runs and the example clients (ports 3000, 3001), with a user to sign in as;
    /// Ctrl-C stops all
    Examples,
    /// Issue a token, call the API through each edge, revoke the token, and check that each edge
    /// refuses it
    Demo {
        /// Edge to check; may be repeated [default: all]
        #[arg(long, value_enum)]
        edge: Vec<Edge>,
    },
    /// Take the screenshots in docs/images
    Screenshots,
    /// Check conventions, formatting, clippy and rustdoc; any warning is an error
    Lint,
    /// Run the tests in stages: unit, integration, clients, browser, deploy; stops after the first
    /// stage that fails
    ///
    /// `cargo xtask lint` is separate. Programs that take long to build or start, such as Spring
    /// Boot, Keycloak and Helm, run only where their stage, `clients` or `deploy`, is named.
    Test {
        /// Run only these stages, and say at the end which did not run
        #[arg(value_enum, value_name = "STAGE")]
        stages: Vec<Stage>,
        /// Arguments of `cargo nextest run`, e.g. a part of a test's name; without a STAGE, all
        /// tests are built first
        #[arg(last = true, value_name = "NEXTEST")]
        arguments: Vec<String>,
    },
    /// Build static programs and package them: archives, Debian packages, checksums, bills of
    /// materials, licences, manuals
    Dist {
        /// Kind of machine to package for; may be repeated [default: all]
        #[arg(long, value_enum)]
        architecture: Vec<Architecture>,
        /// Folder for the packages [default: dist]
        #[arg(long, value_name = "FOLDER")]
        output: Option<PathBuf>,
        /// Package the programs of this folder instead of building them, for this machine only
        #[arg(long, value_name = "FOLDER", hide = true, conflicts_with = "architecture")]
        programs: Option<PathBuf>,
    },
    /// Build the origin with profiles, run a load, and store its six profiles for `go tool pprof`
    Profile {
        /// Folder for the profiles
        #[arg(long, value_name = "FOLDER", default_value = "profiles")]
        output: PathBuf,
    },
    /// Run benchmarks on release builds; writes bench/RESULTS.md and its plots
    Bench {
        /// Run only this benchmark
        #[arg(value_enum, default_value_t = Subject::All)]
        subject: Subject,
        /// Take fewer samples; the report says so
        #[arg(long)]
        quick: bool,
        /// Fail if a target is missed
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    process::catch_signals()?;
    let workspace = Workspace::find()?;
    match task {
        Task::Setup => setup::all(&workspace),
        Task::Build { part } => {
            setup::for_part(&workspace, part)?;
            build::build(&workspace, part)
        }
        Task::Dev { edge, fresh } => dev::dev(&workspace, edge, fresh),
        Task::Examples => examples::examples(&workspace),
        Task::Demo { edge } => demo::demo(&workspace, if edge.is_empty() { &Edge::ALL } else { &edge }),
        Task::Screenshots => screenshots::screenshots(&workspace),
        Task::Lint => lint::lint(&workspace),
        Task::Test { stages, arguments } => test::test(&workspace, &stages, &arguments),
        Task::Dist { architecture, output, programs } => {
            dist::dist(&workspace, &dist::Options::new(architecture, output, programs)?)
        }
        Task::Profile { output } => profile::profile(&workspace, &output),
        Task::Bench { subject, quick, check } => bench::bench(&workspace, subject, quick, check),
    }
}
