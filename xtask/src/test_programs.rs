//! Programs that a stage of the tests runs and that not every machine can have: what each group
//! needs from the machine, and which tests use it. A machine without that runs the other tests, and
//! the closing line names what was not run.

use std::{fs, path::PathBuf};

use anyhow::Result;

use crate::{
    arguments::Stage,
    client_programs, deploy_programs,
    program_group::ProgramGroup,
    progress,
    workspace::{Workspace, find_in_path},
};

/// The groups of a run, by whether they are ready.
pub(crate) struct Prepared {
    ready: Vec<ProgramGroup>,
    /// Groups that the tests cannot run, with the reason.
    missing: Vec<(ProgramGroup, String)>,
}

impl Prepared {
    /// Downloads and builds the programs of these stages; the slow ones only for stages that are
    /// `named`.
    ///
    /// # Errors
    /// If a program does not compile although its packages are there.
    pub(crate) fn new(workspace: &Workspace, stages: &[Stage], named: &[Stage]) -> Result<Self> {
        let (mut ready, mut missing) = (Vec::new(), Vec::new());
        let all = client_programs::ALL.into_iter().chain(deploy_programs::ALL);
        for group in all.filter(|group| stages.contains(&group.stage)) {
            if !group.is_quick && !named.contains(&group.stage) {
                let reason = format!("only in `cargo xtask test {}`", group.stage.name());
                missing.push((group, reason));
                continue;
            }
            match group.obstacle(workspace) {
                Some(reason) => missing.push((group, reason)),
                None => {
                    if let Some(build) = group.build {
                        let (what, log) = (format!("building {}", group.name), group.log_name("build"));
                        progress::run(&what, &logs(workspace), &log, &mut build(workspace))?;
                    }
                    ready.push(group);
                }
            }
        }
        Ok(Self { ready, missing })
    }

    /// Nextest's filter for all tests but those of programs that are not ready; none if all are.
    pub(crate) fn other_tests(&self) -> Option<String> {
        let tests: Vec<&str> = self.missing.iter().map(|(group, _)| group.tests).collect();
        (!tests.is_empty()).then(|| format!("not ({})", tests.join(" | ")))
    }

    /// Variables for the tests.
    pub(crate) fn variables(&self, workspace: &Workspace) -> Vec<(&'static str, PathBuf)> {
        self.ready.iter().flat_map(|group| (group.variables)(workspace)).collect()
    }

    /// What was not run, and why, for the closing line.
    pub(crate) fn not_run(&self) -> Vec<String> {
        self.missing.iter().map(|(group, reason)| format!("{} ({reason})", group.name)).collect()
    }
}

impl ProgramGroup {
    /// Why the machine cannot build the programs, if it cannot.
    fn obstacle(&self, workspace: &Workspace) -> Option<String> {
        let lacking: Vec<&str> = self.needs.iter().copied().filter(|name| find_in_path(name).is_none()).collect();
        if !lacking.is_empty() {
            return Some(format!("no {} on this machine", lacking.join(", ")));
        }
        if self.needs_root && !rustix::process::geteuid().is_root() {
            return Some("only root may do what they do".to_owned());
        }
        match self.download_once(workspace) {
            Ok(()) => None,
            Err(_) => {
                let log = logs(workspace).join(format!("{}.log", self.log_name("download")));
                Some(format!("its packages cannot be had, see {}", log.display()))
            }
        }
    }

    /// Downloads the packages, unless the cache has a record that these were downloaded.
    fn download_once(&self, workspace: &Workspace) -> Result<()> {
        let Some(download) = self.download else { return Ok(()) };
        let stamp = workspace.tools().join(self.log_name("packages"));
        let pins = self.pins.iter().map(|file| fs::read_to_string(workspace.root.join(file)));
        let wanted = pins.collect::<std::io::Result<Vec<String>>>()?.concat();
        if fs::read_to_string(&stamp).is_ok_and(|downloaded| downloaded == wanted) {
            return Ok(());
        }
        let (what, log) = (format!("downloading packages of {}", self.name), self.log_name("download"));
        progress::run(&what, &logs(workspace), &log, &mut download(workspace))?;
        fs::create_dir_all(workspace.tools())?;
        Ok(fs::write(stamp, wanted)?) // last, so that an interrupted download is repeated
    }

    fn log_name(&self, step: &str) -> String {
        let name = self.name.to_lowercase().replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        format!("{name}-{step}")
    }
}

fn logs(workspace: &Workspace) -> PathBuf {
    workspace.cache.join("logs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_a_machine_without_their_tools_are_named() {
        let folder = PathBuf::from("/nonexistent");
        let workspace = Workspace { root: folder.clone(), target: folder.clone(), members: Vec::new(), cache: folder };
        let [group, ..] = client_programs::ALL;
        let group = ProgramGroup { needs: &["no-such-program"], ..group };
        let reason = group.obstacle(&workspace);
        assert_eq!(reason.as_deref(), Some("no no-such-program on this machine"));
        let prepared = Prepared { ready: Vec::new(), missing: vec![(group, reason.unwrap_or_default())] };
        assert_eq!(prepared.not_run(), ["Go clients (no no-such-program on this machine)"]);
        assert_eq!(prepared.other_tests().as_deref(), Some("not (test(public_clients::go::))"));
    }
}
