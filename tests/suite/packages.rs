//! What `cargo xtask dist` packages: the texts that the programs print, the systemd units, and
//! packages of the tested programs on a clean Debian system. `cargo xtask test dist` does the same
//! with the static programs: see [`super::dist_builds`].

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tollgate_tests::debian_root::{DebianRoot, run};
use tollgate_tests::environment::{free_port, install_tls_provider, programs_dir};
use tollgate_tests::process::ChildProcess;

pub(crate) const PROGRAMS: [&str; 2] = ["tollgate", "tollgate-edge"];
const ORIGIN_SETTINGS: &str = "/etc/tollgate/tollgate.toml";

/// The checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn program(name: &str, arguments: &[&str]) -> Result<String> {
    run(Command::new(programs_dir().join(name)).args(arguments))
}

/// The Debian packages in a folder: origin, edge.
pub(crate) fn packages_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut packages = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    packages.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    packages.sort();
    ensure!(packages.len() == PROGRAMS.len(), "packages in {}: {packages:?}", folder.display());
    Ok(packages)
}

/// An origin that was installed from a package, and its first client.
pub(crate) struct InstalledOrigin {
    pub(crate) url: String,
    pub(crate) snapshot_key: String,
    client_id: String,
    client_secret: String,
    _server: ChildProcess,
}

impl InstalledOrigin {
    /// Runs what docs/install.md says after `dpkg --install`: the first run, then the service's
    /// command.
    pub(crate) async fn first_run(system: &DebianRoot, http: &reqwest::Client) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let url = format!("http://{address}");
        let command = |arguments: &[&str]| {
            let mut command = system.command("tollgate", "tollgate");
            command.args(["--config", ORIGIN_SETTINGS]).args(arguments);
            command.env("TOLLGATE_LISTEN", &address).env("TOLLGATE_PUBLIC_URL", &url);
            command
        };
        let report = run(&mut command(&["init", "--dir", "/var/lib/tollgate", "--yes", "--json"]))?;
        let report: Value = serde_json::from_str(&report).context(report.clone())?;
        let text = |value: &Value| value.as_str().map(str::to_owned).with_context(|| report.to_string());
        let server = system.start(&mut command(&["serve"]), http, &format!("{url}/health/ready")).await?;
        Ok(Self {
            url,
            snapshot_key: text(&report["snapshot_key"])?,
            client_id: text(&report["client"]["client_id"])?,
            client_secret: text(&report["client"]["client_secret"])?,
            _server: server,
        })
    }

    /// An access token of the first client.
    pub(crate) async fn token(&self, http: &reqwest::Client) -> Result<String> {
        let request = http.post(format!("{}/oauth/token", self.url));
        let request = request.basic_auth(&self.client_id, Some(&self.client_secret));
        let answer: Value = request.form(&[("grant_type", "client_credentials")]).send().await?.json().await?;
        Ok(answer["access_token"].as_str().with_context(|| answer.to_string())?.to_owned())
    }
}

#[test]
fn version_names_commit_and_build() -> Result<()> {
    for name in PROGRAMS {
        let short = format!("{name} {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(program(name, &["-V"])?, short);
        assert_eq!(program(name, &["--version"])?, format!("{} (commit unknown, build unknown)\n", short.trim_end()));
    }
    Ok(())
}

#[test]
fn manual_pages_are_valid_and_have_names_of_their_own() -> Result<()> {
    let mut names = BTreeSet::new();
    for name in PROGRAMS {
        let folder = tempfile::tempdir()?;
        let path = folder.path().to_str().context("a path")?;
        assert_eq!(program(name, &["man-pages", path])?, "");
        for page in fs::read_dir(folder.path())? {
            let page = page?;
            // Warnings, such as long lines and a missing date, are matters of style.
            run(Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(page.path()))?;
            assert!(names.insert(page.file_name()), "{:?} belongs to both programs", page.file_name());
        }
    }
    for page in ["tollgate.1", "tollgate-client-create.1tollgate", "tollgate-edge.1tollgate", "tollgate-edge.1"] {
        assert!(names.contains(Path::new(page).as_os_str()), "no {page} in {names:?}");
    }
    Ok(())
}

#[test]
fn bash_completes_commands() -> Result<()> {
    for (name, word, expected) in [("tollgate", "cli", "client"), ("tollgate-edge", "ver", "verify")] {
        let folder = tempfile::tempdir()?;
        let script = folder.path().join(name);
        fs::write(&script, program(name, &["completions", "bash"])?)?;
        // What bash does when the tabulator key is pressed after the word.
        let press_tab = "source \"$1\"; function=$(complete -p \"$2\" | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
                         COMP_WORDS=(\"$2\" \"$3\"); COMP_CWORD=1; \"$function\" \"$2\" \"$3\" \"$2\"; echo \"${COMPREPLY[@]}\"";
        let completed = run(Command::new("bash").args(["-c", press_tab, "bash"]).arg(script).args([name, word]))?;
        assert_eq!(completed.trim(), expected);
    }
    Ok(())
}

#[test]
fn systemd_accepts_the_units_and_rates_them_well_confined() -> Result<()> {
    let system = tempfile::tempdir()?;
    let units = system.path().join("usr/lib/systemd/system");
    fs::create_dir_all(&units)?;
    fs::create_dir_all(system.path().join("usr/bin"))?;
    // Units that ours name; systemd's own have the same names.
    for target in ["basic", "multi-user", "network-online", "shutdown", "sysinit"] {
        fs::write(units.join(format!("{target}.target")), "[Unit]\nDescription=Target\n")?;
    }
    for name in PROGRAMS {
        fs::copy(programs_dir().join(name), system.path().join("usr/bin").join(name))?;
        let unit = units.join(format!("{name}.service"));
        fs::copy(root().join("deploy/systemd").join(format!("{name}.service")), &unit)?;
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no", "--root"]).arg(system.path()).arg(format!("{name}.service"));
        let output = verify.output().context("cannot run systemd-analyze")?;
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
        assert!(output.status.success(), "{name}: {output:?}");
        // 0 is confined, 100 is not.
        run(Command::new("systemd-analyze").args(["security", "--offline=yes", "--threshold=15"]).arg(&unit))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn debian_packages_give_a_token_on_a_clean_system() -> Result<()> {
    install_tls_provider();
    let output = tempfile::tempdir()?;
    let mut dist = Command::new(programs_dir().join("xtask"));
    dist.arg("dist").arg("--programs").arg(programs_dir()).arg("--output").arg(output.path());
    run(dist.current_dir(root()))?;
    let packages = packages_in(output.path())?;
    run(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(output.path()))?;

    let (system, http) = (DebianRoot::unpack()?, reqwest::Client::new());
    let started = Instant::now();
    system.install(&packages)?;
    let installed = started.elapsed();
    let origin = InstalledOrigin::first_run(&system, &http).await?;
    assert_eq!(origin.token(&http).await?.split('.').count(), 3);
    println!("installed in {installed:.1?}, first token {:.1?} after `dpkg --install` began", started.elapsed());

    check_installation(&system)?;
    drop(origin);
    check_removal(&system)
}

/// Files belong to the service and nobody else can read secrets; dpkg finds no difference.
fn check_installation(system: &DebianRoot) -> Result<()> {
    let owner_and_mode = |path: &str| system.run("root", "stat", &["--format=%U:%G %a", path]);
    for (path, expected) in [
        (ORIGIN_SETTINGS, "root:tollgate 640"),
        ("/var/lib/tollgate", "tollgate:tollgate 700"),
        ("/var/lib/tollgate/tollgate.key", "tollgate:tollgate 600"),
        ("/etc/tollgate-edge/tollgate-edge.toml", "root:tollgate-edge 640"),
        ("/var/lib/tollgate-edge", "tollgate-edge:tollgate-edge 700"),
        ("/usr/bin/tollgate", "root:root 755"),
        ("/usr/lib/systemd/system/tollgate.service", "root:root 644"),
    ] {
        assert_eq!(owner_and_mode(path)?.trim_end(), expected, "{path}");
    }
    for name in PROGRAMS {
        assert_eq!(system.run("root", "dpkg", &["--verify", name])?, "");
    }
    Ok(())
}

/// Removal, even a purge, keeps the database and the master key, and removes the programs.
fn check_removal(system: &DebianRoot) -> Result<()> {
    system.run("root", "dpkg", &["--purge", "tollgate", "tollgate-edge"])?;
    assert!(!system.path("/usr/bin/tollgate").exists() && !system.path(ORIGIN_SETTINGS).exists());
    assert!(
        system.path("/var/lib/tollgate/tollgate.key").exists() && system.path("/var/lib/tollgate/tollgate.db").exists()
    );
    assert!(!system.path("/var/lib/tollgate-edge").exists());
    Ok(())
}
