//! `tollgate completions` and `tollgate man-pages`, generated from the definition of the command
//! line.

use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;

#[derive(Debug, clap::Args)]
pub(super) struct CompletionsFlags {
    /// Shell that reads the script
    shell: Shell,
}

impl CompletionsFlags {
    pub(super) fn run(self) -> anyhow::Result<()> {
        // Into memory first: the generator panics if it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "tollgate", &mut script);
        match io::stdout().lock().write_all(&script) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct ManPagesFlags {
    /// Existing folder for the pages
    folder: PathBuf,
}

impl ManPagesFlags {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let written = clap_mangen::generate_to(Cli::command(), &self.folder);
        written.with_context(|| format!("cannot write manual pages to {}", self.folder.display()))
    }
}
