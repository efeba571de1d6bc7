//! Two builds of `cargo xtask dist`, made by `cargo xtask test dist` in folders of their own: they
//! are equal, and their packages work on a clean Debian system.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use tollgate_tests::debian_root::{DebianRoot, run};
use tollgate_tests::edge::Upstream;
use tollgate_tests::environment::{free_port, install_tls_provider, required_env};

use crate::packages::{InstalledOrigin, PROGRAMS, packages_in, root};

/// Validates a file by the strict schema; prints what is wrong.
const VALIDATE: &str = "import sys; from cyclonedx.validation.json import JsonStrictValidator; from cyclonedx.schema \
                        import SchemaVersion; sys.exit(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(\
                        sys.argv[1], encoding='utf-8').read()) and 1)";

/// Output folders of the two builds.
fn builds() -> [PathBuf; 2] {
    ["TOLLGATE_TEST_DIST", "TOLLGATE_TEST_DIST_AGAIN"].map(|name| PathBuf::from(required_env(name)))
}

/// Folder of the files that were packaged, in the first build.
fn files() -> Result<PathBuf> {
    let [folder, _] = builds();
    let mut entries = fs::read_dir(&folder)?.flatten().map(|entry| entry.path());
    entries.find(|path| path.is_dir()).with_context(|| format!("no folder of files in {}", folder.display()))
}

#[test]
fn two_builds_in_different_folders_are_equal() -> Result<()> {
    let [first, second] = builds().map(|folder| fs::read_to_string(folder.join("SHA256SUMS")));
    let (first, second) = (first?, second?);
    assert_eq!(first.lines().count(), 3, "{first}");
    assert_eq!(first, second);
    for folder in builds() {
        run(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(folder))?;
    }
    println!("{first}");
    Ok(())
}

#[test]
fn programs_are_static_stripped_and_free_of_paths() -> Result<()> {
    let home = env::var("HOME")?;
    let root = root().canonicalize()?;
    for program in PROGRAMS {
        let path = files()?.join(program);
        let headers =
            run(Command::new("readelf").args(["--wide", "--program-headers", "--section-headers"]).arg(&path))?;
        assert!(!headers.contains("INTERP") && !headers.contains(".symtab"), "{headers}");
        // Loaded at a random address.
        assert!(headers.contains("Elf file type is DYN"), "{headers}");
        let bytes = fs::read(&path)?;
        for text in [root.to_str().context("a path")?, &format!("{home}/.cargo"), &format!("{home}/.rustup")] {
            let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!found, "{program} contains {text}");
        }
    }
    Ok(())
}

#[test]
fn programs_name_their_commit() -> Result<()> {
    let head = run(Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).current_dir(root()))?;
    for program in PROGRAMS {
        let version = run(Command::new(files()?.join(program)).arg("--version"))?;
        assert!(version.contains(&format!("(commit {}, build 20", head.trim())), "{version}");
    }
    Ok(())
}

#[test]
fn bills_of_materials_are_valid_and_complete() -> Result<()> {
    for (program, expected) in [("tollgate", ["sqlx", "ring"]), ("tollgate-edge", ["wasmtime", "tollgate-component"])] {
        let bill = files()?.join(format!("{program}.cdx.json"));
        run(Command::new(required_env("TOLLGATE_TEST_DIST_PYTHON")).args(["-c", VALIDATE]).arg(&bill))?;
        let bill: serde_json::Value = serde_json::from_slice(&fs::read(bill)?)?;
        let components = bill["components"].as_array().context("components")?;
        for name in expected {
            assert!(components.iter().any(|component| component["name"] == name), "{program} without {name}");
        }
    }
    let licences = fs::read_to_string(files()?.join("THIRD-PARTY-LICENSES.txt"))?;
    for work in ["\n  musl, ", "\n  wasmtime ", "\n  ring ", "Apache License"] {
        assert!(licences.contains(work), "licences without {work:?}");
    }
    Ok(())
}

#[test]
fn every_shell_reads_its_completions() -> Result<()> {
    let completions = files()?.join("completions");
    for program in PROGRAMS {
        for (shell, file, check) in [
            ("bash", format!("bash/{program}"), "bash -n \"$1\" && source \"$1\""),
            (
                "zsh",
                format!("zsh/_{program}"),
                "autoload -U compinit && compinit -u -D && source \"$1\" && (( $+_comps[$2] ))",
            ),
            (
                "fish",
                format!("fish/{program}.fish"),
                "source $argv[2]; and complete --command $argv[3] | string length --quiet",
            ),
        ] {
            let mut load = Command::new(shell);
            run(load.args(["-c", check, shell]).arg(completions.join(file)).arg(program))?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn static_packages_give_a_token_and_guard_an_api_on_a_clean_system() -> Result<()> {
    install_tls_provider();
    let [folder, _] = builds();
    let (system, http) = (DebianRoot::unpack()?, reqwest::Client::new());
    let started = Instant::now();
    system.install(&packages_in(&folder)?)?;
    let installed = started.elapsed();
    let origin = InstalledOrigin::first_run(&system, &http).await?;
    let token = origin.token(&http).await?;
    println!("installed in {installed:.1?}, first token {:.1?} after `dpkg --install` began", started.elapsed());

    let (upstream, address) = (Upstream::start()?, format!("127.0.0.1:{}", free_port()?));
    // The component is in the program: there is no file of it.
    let find = system.run("root", "find", &["/usr", "/etc", "/var", "-name", "*.wasm"])?;
    ensure!(find.is_empty(), "{find}");
    let mut edge = system.command("tollgate-edge", "tollgate-edge");
    edge.args(["--config", "/etc/tollgate-edge/tollgate-edge.toml"]).env("TOLLGATE_EDGE_LISTEN", &address);
    edge.env("TOLLGATE_EDGE_ORIGIN", &origin.url).env("TOLLGATE_EDGE_SNAPSHOT_KEY", &origin.snapshot_key);
    edge.env("TOLLGATE_EDGE_UPSTREAM", &upstream.url);
    let _edge = system.start(&mut edge, &http, &format!("http://{address}/_tollgate/health")).await?;
    let request = || http.get(format!("http://{address}/reports"));
    assert_eq!(request().bearer_auth(&token).send().await?.status(), StatusCode::OK);
    assert_eq!(request().send().await?.status(), StatusCode::UNAUTHORIZED);
    Ok(())
}
