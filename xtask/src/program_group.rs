//! A group of programs that a stage of the tests runs.

use std::{path::PathBuf, process::Command};

use crate::{arguments::Stage, workspace::Workspace};

/// Programs that are prepared together.
pub(crate) struct ProgramGroup {
    /// Name in the closing line.
    pub(crate) name: &'static str,
    /// Stage of the tests.
    pub(crate) stage: Stage,
    /// Tests that run them, as nextest's filter.
    pub(crate) tests: &'static str,
    /// Whether they are built in seconds: the others run only where the stage is named.
    pub(crate) is_quick: bool,
    /// Whether the tests mount file systems and change users.
    pub(crate) needs_root: bool,
    /// Programs that must be in `PATH`.
    pub(crate) needs: &'static [&'static str],
    /// Downloads packages, if there are any; fails where the machine cannot get them.
    pub(crate) download: Option<fn(&Workspace) -> Command>,
    /// Files that pin the packages: while they are the same, nothing is downloaded again.
    pub(crate) pins: &'static [&'static str],
    pub(crate) build: Option<fn(&Workspace) -> Command>,
    /// Variables that tell the tests where the programs are.
    pub(crate) variables: fn(&Workspace) -> Vec<(&'static str, PathBuf)>,
}
