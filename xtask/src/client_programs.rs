//! Client programs in other languages, which the stage `clients` runs against the origin.

use std::{path::PathBuf, process::Command};

use crate::{
    arguments::Stage,
    program_group::ProgramGroup,
    workspace::{Workspace, command, find_in_path},
};

/// All groups.
pub(crate) const ALL: [ProgramGroup; 4] = [
    ProgramGroup {
        name: "Go clients",
        stage: Stage::Clients,
        tests: "test(public_clients::go::)",
        is_quick: true,
        needs_root: false,
        needs: &["go"],
        download: Some(|workspace| go(workspace, "tests/clients/go", &["mod", "download"])),
        pins: &["tests/clients/go/go.sum"],
        build: Some(|workspace| {
            let mut build = go(workspace, "tests/clients/go", &["build", "-o"]);
            // A path that ends in a slash is a folder to build into.
            build.arg(folder(workspace, "go").join("")).args(["./go_oidc", "./zitadel", "./verifiers"]);
            build
        }),
        variables: |workspace| {
            let go = find_in_path("go").unwrap_or_else(|| "go".into());
            vec![("TOLLGATE_TEST_GO_CLIENTS", folder(workspace, "go")), ("TOLLGATE_TEST_GO", go)]
        },
    },
    ProgramGroup {
        name: "oauth2-proxy",
        stage: Stage::Clients,
        tests: "test(public_clients::oauth2_proxy::)",
        is_quick: false,
        needs_root: false,
        needs: &["go"],
        download: Some(|workspace| go(workspace, "tests/clients/go/oauth2_proxy", &["mod", "download"])),
        pins: &["tests/clients/go/oauth2_proxy/go.sum"],
        build: Some(|workspace| {
            let mut build = go(workspace, "tests/clients/go/oauth2_proxy", &["build", "-o"]);
            build.arg(oauth2_proxy(workspace)).arg("github.com/oauth2-proxy/oauth2-proxy/v7");
            build
        }),
        variables: |workspace| vec![("TOLLGATE_TEST_OAUTH2_PROXY", oauth2_proxy(workspace))],
    },
    ProgramGroup {
        name: "Spring Boot and Java verifiers",
        stage: Stage::Clients,
        tests: "test(public_clients::java::)",
        is_quick: false,
        needs_root: false,
        needs: &["java", "javac", "mvn"],
        download: Some(|workspace| maven(workspace, SPRING_MODULES, &["dependency:go-offline"])),
        pins: &[
            "tests/clients/java/spring_boot_3/pom.xml",
            "tests/clients/java/spring_boot_4/pom.xml",
            "tests/clients/java/verifiers/pom.xml",
        ],
        build: Some(|workspace| maven(workspace, SPRING_MODULES, &["package"])),
        variables: |workspace| vec![("TOLLGATE_TEST_JAVA_CLIENTS", folder(workspace, "java"))],
    },
    ProgramGroup {
        name: "Keycloak",
        stage: Stage::Clients,
        tests: "test(public_clients::keycloak::)",
        is_quick: false,
        needs_root: false,
        needs: &["java", "mvn", "bash"],
        download: Some(|workspace| maven(workspace, "keycloak", &["package"])),
        pins: &["tests/clients/java/keycloak/pom.xml"],
        build: Some(|workspace| maven(workspace, "keycloak", &["package"])),
        variables: |workspace| vec![("TOLLGATE_TEST_KEYCLOAK", folder(workspace, "java").join("keycloak"))],
    },
];

const SPRING_MODULES: &str = "spring_boot_3,spring_boot_4,verifiers";

/// Where the programs of a language are built.
fn folder(workspace: &Workspace, language: &str) -> PathBuf {
    workspace.target.join("clients").join(language)
}

fn oauth2_proxy(workspace: &Workspace) -> PathBuf {
    folder(workspace, "oauth2-proxy")
}

/// Runs `go` in the folder of a module.
pub(crate) fn go(workspace: &Workspace, module: &str, arguments: &[&str]) -> Command {
    let mut go = command("go");
    // With the Go that is there: another one is no package of the module.
    go.args(arguments).env("GOTOOLCHAIN", "local").env("GOFLAGS", "-buildvcs=false");
    go.current_dir(workspace.root.join(module));
    go
}

fn maven(workspace: &Workspace, modules: &str, goals: &[&str]) -> Command {
    let mut maven = command("mvn");
    maven.args(["--batch-mode", "--quiet", "--projects", modules]);
    maven.arg(format!("-Dbuild.folder={}", folder(workspace, "java").display())).args(goals);
    maven.current_dir(workspace.root.join("tests/clients/java"));
    maven
}
