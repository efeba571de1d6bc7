//! `tollgate completions` and `tollgate man-pages`, generated from the definition of the command
//! line.

use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

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
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        let written = write_pages(&command, "1", &self.folder);
        written.with_context(|| format!("cannot write manual pages to {}", self.folder.display()))
    }
}

/// Writes the page of `command` and those of its subcommands. Theirs are in the section
/// `1tollgate`: in section 1, `tollgate edge` would have the page of the program `tollgate-edge`.
fn write_pages(command: &Command, section: &str, folder: &Path) -> io::Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write_pages(subcommand, "1tollgate", folder)?;
    }
    Man::new(command.clone()).section(section).generate_to(folder).map(drop)
}
