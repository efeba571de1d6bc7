//! Tollgate's own tasks: from a bare machine to a running origin and edge, and to tested code. Knows how to install, build,
//! start and stop; never how a token is judged.

mod bench;
mod build;
mod demo;
mod dev;
mod examples;
mod optimise;
mod postgres;
mod process;
mod progress;
mod road;
mod screenshots;
mod setup;
mod stack;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{bench::Subject, build::Part, stack::Edge, workspace::Workspace};

/// Set-up, build, run and test Tollgate. Each command installs what it needs first.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing: WASM targets, wasm-bindgen, worker-build, Node 22, wrangler, PostgreSQL, Redis, libfaketime, Chromium, Python packages …
    Setup,
    /// Build the programs, the two components and the Worker
    Build {
        /// Only this part
        #[arg(value_enum, default_value_t = Part::All)]
        part: Part,
    },
    /// Run origin (8080), protected API (5000) and an edge (8787) until Ctrl-C, and print commands to try
    Dev {
        /// Which edge gate
        #[arg(long, value_enum, default_value_t = Edge::Runner)]
        edge: Edge,
        /// Forget the database of earlier runs
        #[arg(long)]
        fresh: bool,
    },
    /// Run origin, API, edge and the example clients (3000, 3001) until Ctrl-C, with a user to sign in as
    Examples,
    /// Walk the whole road without a person: token, 200, revoke, 401; fails if any step is wrong
    Demo {
        /// Only at this edge; may be repeated
        #[arg(long, value_enum)]
        edge: Vec<Edge>,
    },
    /// Take the README's pictures of the pages anew; writes docs/images
    Screenshots,
    /// Check formatting and lints
    Lint,
    /// Run every check and test, those on real workerd, wasmtime, PostgreSQL and Redis included
    Test {
        /// Passed on to `cargo nextest run`, e.g. a part of a test's name
        #[arg(last = true, value_name = "NEXTEST")]
        arguments: Vec<String>,
    },
    /// Measure release builds against their targets; writes bench/RESULTS.md and its plots
    Bench {
        /// Only this
        #[arg(value_enum, default_value_t = Subject::All)]
        subject: Subject,
        /// Less of what takes long; the report says so
        #[arg(long)]
        quick: bool,
        /// Fail when a target is missed
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
        Task::Lint => {
            setup::all(&workspace)?;
            test::lint(&workspace)
        }
        Task::Test { arguments } => test::test(&workspace, &arguments),
        Task::Bench { subject, quick, check } => bench::bench(&workspace, subject, quick, check),
    }
}
