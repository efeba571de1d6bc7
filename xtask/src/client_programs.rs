//! Client programs in other languages, which the stage `clients` runs against the origin: what each
//! group needs from the machine, and which tests use it. A machine without that runs the other
//! tests, and the closing line names what was not run.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    progress,
    workspace::{Workspace, command, find_in_path},
};

/// Programs that are prepared together.
pub(crate) struct ClientPrograms {
    /// Name in the closing line.
    pub(crate) name: &'static str,
    /// Tests that run them, as nextest's filter.
    pub(crate) tests: &'static str,
    /// Whether they are built in seconds: the others run only where the stage is named.
    is_quick: bool,
    /// Programs that must be in `PATH`.
    needs: &'static [&'static str],
    /// Downloads packages; fails where the machine cannot get them.
    download: fn(&Workspace) -> Command,
    /// Files below `tests/clients` that pin the packages: while they are the same, nothing is
    /// downloaded again.
    pins: &'static [&'static str],
    build: fn(&Workspace) -> Command,
    /// Variables that tell the tests where the programs are.
    variables: fn(&Workspace) -> Vec<(&'static str, PathBuf)>,
}

/// All groups.
const ALL: [ClientPrograms; 4] = [
    ClientPrograms {
        name: "Go clients",
        tests: "test(public_clients::go::)",
        is_quick: true,
        needs: &["go"],
        download: |workspace| go(workspace, "go", &["mod", "download"]),
        pins: &["go/go.sum"],
        build: |workspace| {
            let mut build = go(workspace, "go", &["build", "-o"]);
            // A path that ends in a slash is a folder to build into.
            build.arg(folder(workspace, "go").join("")).args(["./go_oidc", "./zitadel", "./verifiers"]);
            build
        },
        variables: |workspace| {
            let go = find_in_path("go").unwrap_or_else(|| "go".into());
            vec![("TOLLGATE_TEST_GO_CLIENTS", folder(workspace, "go")), ("TOLLGATE_TEST_GO", go)]
        },
    },
    ClientPrograms {
        name: "oauth2-proxy",
        tests: "test(public_clients::oauth2_proxy::)",
        is_quick: false,
        needs: &["go"],
        download: |workspace| go(workspace, "go/oauth2_proxy", &["mod", "download"]),
        pins: &["go/oauth2_proxy/go.sum"],
        build: |workspace| {
            let mut build = go(workspace, "go/oauth2_proxy", &["build", "-o"]);
            build.arg(oauth2_proxy(workspace)).arg("github.com/oauth2-proxy/oauth2-proxy/v7");
            build
        },
        variables: |workspace| vec![("TOLLGATE_TEST_OAUTH2_PROXY", oauth2_proxy(workspace))],
    },
    ClientPrograms {
        name: "Spring Boot and Java verifiers",
        tests: "test(public_clients::java::)",
        is_quick: false,
        needs: &["java", "javac", "mvn"],
        download: |workspace| maven(workspace, SPRING_MODULES, &["dependency:go-offline"]),
        pins: &["java/spring_boot_3/pom.xml", "java/spring_boot_4/pom.xml", "java/verifiers/pom.xml"],
        build: |workspace| maven(workspace, SPRING_MODULES, &["package"]),
        variables: |workspace| vec![("TOLLGATE_TEST_JAVA_CLIENTS", folder(workspace, "java"))],
    },
    ClientPrograms {
        name: "Keycloak",
        tests: "test(public_clients::keycloak::)",
        is_quick: false,
        needs: &["java", "mvn", "bash"],
        download: |workspace| maven(workspace, "keycloak", &["package"]),
        pins: &["java/keycloak/pom.xml"],
        build: |workspace| maven(workspace, "keycloak", &["package"]),
        variables: |workspace| vec![("TOLLGATE_TEST_KEYCLOAK", folder(workspace, "java").join("keycloak"))],
    },
];

const SPRING_MODULES: &str = "spring_boot_3,spring_boot_4,verifiers";

/// The groups of a run, by whether they are ready.
pub(crate) struct Prepared {
    ready: Vec<ClientPrograms>,
    /// Groups that the tests cannot run, with the reason.
    missing: Vec<(ClientPrograms, String)>,
}

impl Prepared {
    /// Downloads and builds the programs; without `with_slow` only those that are built in seconds.
    ///
    /// # Errors
    /// If a program does not compile although its packages are there.
    pub(crate) fn new(workspace: &Workspace, with_slow: bool) -> Result<Self> {
        let (mut ready, mut missing) = (Vec::new(), Vec::new());
        for group in ALL {
            if !with_slow && !group.is_quick {
                missing.push((group, "only in `cargo xtask test clients`".to_owned()));
                continue;
            }
            match group.obstacle(workspace) {
                Some(reason) => missing.push((group, reason)),
                None => {
                    let (what, log) = (format!("building {}", group.name), group.log_name("build"));
                    progress::run(&what, &logs(workspace), &log, &mut (group.build)(workspace))?;
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

impl ClientPrograms {
    /// Why the machine cannot build the programs, if it cannot.
    fn obstacle(&self, workspace: &Workspace) -> Option<String> {
        let lacking: Vec<&str> = self.needs.iter().copied().filter(|name| find_in_path(name).is_none()).collect();
        if !lacking.is_empty() {
            return Some(format!("no {} on this machine", lacking.join(", ")));
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
        let stamp = workspace.tools().join(self.log_name("packages"));
        let pins = self.pins.iter().map(|file| fs::read_to_string(workspace.root.join("tests/clients").join(file)));
        let wanted = pins.collect::<std::io::Result<Vec<String>>>()?.concat();
        if fs::read_to_string(&stamp).is_ok_and(|downloaded| downloaded == wanted) {
            return Ok(());
        }
        let (what, log) = (format!("downloading packages of {}", self.name), self.log_name("download"));
        progress::run(&what, &logs(workspace), &log, &mut (self.download)(workspace))?;
        fs::create_dir_all(workspace.tools())?;
        Ok(fs::write(stamp, wanted)?) // last, so that an interrupted download is repeated
    }

    fn log_name(&self, step: &str) -> String {
        format!("{}-{step}", self.name.to_lowercase().replace(' ', "-"))
    }
}

fn logs(workspace: &Workspace) -> PathBuf {
    workspace.cache.join("logs")
}

/// Where the programs of a language are built.
fn folder(workspace: &Workspace, language: &str) -> PathBuf {
    workspace.target.join("clients").join(language)
}

fn oauth2_proxy(workspace: &Workspace) -> PathBuf {
    folder(workspace, "oauth2-proxy")
}

fn go(workspace: &Workspace, module: &str, arguments: &[&str]) -> Command {
    let mut go = command("go");
    // With the Go that is there: another one is no package of the module.
    go.args(arguments).env("GOTOOLCHAIN", "local").env("GOFLAGS", "-buildvcs=false");
    go.current_dir(workspace.root.join("tests/clients").join(module));
    go
}

fn maven(workspace: &Workspace, modules: &str, goals: &[&str]) -> Command {
    let mut maven = command("mvn");
    maven.args(["--batch-mode", "--quiet", "--projects", modules]);
    maven.arg(format!("-Dbuild.folder={}", folder(workspace, "java").display())).args(goals);
    maven.current_dir(workspace.root.join("tests/clients/java"));
    maven
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_a_machine_without_their_tools_are_named() {
        let folder = PathBuf::from("/nonexistent");
        let workspace = Workspace { root: folder.clone(), target: folder.clone(), members: Vec::new(), cache: folder };
        let [group, ..] = ALL;
        let group = ClientPrograms { needs: &["no-such-program"], ..group };
        let reason = group.obstacle(&workspace);
        assert_eq!(reason.as_deref(), Some("no no-such-program on this machine"));
        let prepared = Prepared { ready: Vec::new(), missing: vec![(group, reason.unwrap_or_default())] };
        assert_eq!(prepared.not_run(), ["Go clients (no no-such-program on this machine)"]);
        assert_eq!(prepared.other_tests().as_deref(), Some("not (test(public_clients::go::))"));
    }
}
