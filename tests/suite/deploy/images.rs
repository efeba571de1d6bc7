//! The images without a container engine: what deploy/Dockerfile puts into the final stages,
//! unpacked into a folder and started as an engine does it. The root file system is read-only, the
//! user is the image's, and only the folder for state can be written.
//!
//! The programs are those of the debug build, with the libraries that they need; an image contains
//! static ones. The edge's component lies next to its program, because a debug build embeds none.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use tollgate_tests::client_program::ClientProgram;
use tollgate_tests::environment::{free_port, install_tls_provider, programs_dir, required_env};

use super::dockerfile::{CopiedFile, Image, image};
use super::{output, root};

/// Longest wait for a health check to succeed, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Mounts the file systems of a container and starts a program in it. Arguments: the root file
/// system, the folder for state, its path in the container, user, group, and the program.
const START: &str = r#"
root=$1 state=$2 folder=$3 user=$4 group=$5; shift 5
mount --bind "$root" "$root"
mount --bind "$state" "$root$folder"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs --clear-groups unshare --root="$root" --wd="$folder" --setgid="$group" --setuid="$user" -- "$@"
"#;

/// An unpacked image and its state.
struct Container {
    image: Image,
    root: TempDir,
    state: TempDir,
    environment: BTreeMap<String, String>,
}

impl Container {
    /// Unpacks the image of a target; `environment` adds to the image's own.
    fn unpack(target: &str, environment: &[(&str, String)]) -> Result<Self> {
        let image = image(target)?;
        let (root, state) = (tempfile::tempdir()?, tempfile::tempdir()?);
        fs::set_permissions(root.path(), Permissions::from_mode(0o755))?;
        for folder in ["proc", "dev", "run/secrets"] {
            fs::create_dir_all(root.path().join(folder))?;
        }
        let (user, group) = ids(&image.user)?;
        chown(state.path(), Some(user), Some(group))?;
        let mut environment_of_image = image.environment.clone();
        environment_of_image.extend(environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let container = Self { image, root, state, environment: environment_of_image };
        for copy in &container.image.copies {
            container.add(copy).with_context(|| format!("{copy:?}"))?;
        }
        Ok(container)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn add(&self, copy: &CopiedFile) -> Result<()> {
        let target = self.path(&copy.target);
        fs::create_dir_all(target.parent().context("a folder")?)?;
        match copy.stage.as_deref() {
            Some("programs") => self.add_program(copy, &target),
            // An empty folder, for which the container has a volume.
            Some("files") if copy.source == "/state" => {
                let (user, group) = ids(copy.owner.as_deref().context("an owner")?)?;
                fs::create_dir(&target)?;
                Ok(chown(&target, Some(user), Some(group))?)
            }
            // The machine's, if it has some: nothing here connects to a public server.
            Some("files") if Path::new(&copy.source).exists() => Ok(fs::copy(&copy.source, &target).map(drop)?),
            Some("files") => Ok(()),
            None => Ok(fs::copy(root().join(&copy.source), &target).map(drop)?),
            Some(stage) => anyhow::bail!("unknown stage {stage}"),
        }
    }

    fn add_program(&self, copy: &CopiedFile, target: &Path) -> Result<()> {
        let name = copy.source.trim_start_matches("/programs/");
        let folder = if name == "protected-api" { "examples" } else { "" };
        let program = programs_dir().join(folder).join(name);
        fs::copy(&program, target).with_context(|| program.display().to_string())?;
        if name == "tollgate-edge" {
            let component = Path::new(&required_env("TOLLGATE_TEST_WASM_DIR")).join("tollgate_component.wasm");
            fs::copy(component, self.path("usr/bin/tollgate_component.wasm"))?;
        }
        for library in libraries(&program)? {
            let target = self.path(&library);
            fs::create_dir_all(target.parent().context("a folder")?)?;
            fs::copy(&library, target)?;
        }
        Ok(())
    }

    /// Writes a file that the container's user may read.
    fn write(&self, path: &str, text: &str) -> Result<()> {
        fs::write(self.path(path), text)?;
        Ok(fs::set_permissions(self.path(path), Permissions::from_mode(0o444))?)
    }

    /// Starts a program in the container.
    fn run<S: AsRef<str>>(&self, program: &[S]) -> Result<Command> {
        let (user, group) = ids(&self.image.user)?;
        let folder = if self.image.folder.is_empty() { "/run/secrets" } else { &self.image.folder };
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", START, "sh"]);
        command.arg(self.root.path()).arg(self.state.path()).arg(folder);
        command
            .args([user.to_string(), group.to_string()])
            .args(program.iter().map(|argument| -> &str { argument.as_ref() }));
        command.env_clear().envs(&self.environment).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        Ok(command)
    }

    /// Starts the image's program with its default arguments, or these.
    async fn start(&self, arguments: Option<&[&str]>, port: u16) -> Result<ClientProgram> {
        let default: Vec<&str> = self.image.command.iter().map(String::as_str).collect();
        let entrypoint: Vec<&str> = self.image.entrypoint.iter().map(String::as_str).collect();
        let program = [&entrypoint[..], arguments.unwrap_or(&default)].concat();
        ClientProgram::start(self.run(&program)?, port).await
    }

    /// Runs a command of the origin, as `docker exec` does, and returns its output.
    fn tollgate(&self, arguments: &[&str]) -> Result<String> {
        output(&mut self.run(&[&["/usr/bin/tollgate"][..], arguments].concat())?)
    }

    /// Waits until the image's health check succeeds.
    async fn wait_until_healthy(&self, running: &ClientProgram) -> Result<()> {
        let started = Instant::now();
        while let Err(error) = output(&mut self.run(&self.image.health_check)?) {
            ensure!(started.elapsed() < TIMEOUT, "{error:#}\n{}", running.log_tail());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

/// User and group, as in `65532:65532`.
fn ids(text: &str) -> Result<(u32, u32)> {
    let (user, group) = text.split_once(':').context("user and group")?;
    Ok((user.parse()?, group.parse()?))
}

/// The shared libraries of a program; none if it is static.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let listed = Command::new("ldd").arg(program).output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let paths = listed.lines().flat_map(str::split_whitespace).filter(|word| word.starts_with('/'));
    Ok(paths.map(|path| path.trim_end_matches(':').to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn images_issue_and_check_tokens_on_a_read_only_root_without_privileges() -> Result<()> {
    install_tls_provider();
    let (port, metrics, edge_port, api_port) = (free_port()?, free_port()?, free_port()?, free_port()?);
    let local = |port: u16| format!("127.0.0.1:{port}");
    let url = format!("http://{}", local(port));
    // The containers share the machine's network, so each listens on a port of its own.
    let origin = Container::unpack(
        "origin",
        &[
            ("TOLLGATE_LISTEN", local(port)),
            ("TOLLGATE_METRICS_LISTEN", local(metrics)),
            ("TOLLGATE_PUBLIC_URL", url.clone()),
        ],
    )?;
    let running_origin = origin.start(None, port).await?;
    origin.wait_until_healthy(&running_origin).await?;
    let api = Container::unpack("api", &[])?;
    let api_address = local(api_port);
    let _running_api = api.start(Some(&[api_address.as_str()]), api_port).await?;

    let edge = Container::unpack(
        "edge",
        &[
            ("TOLLGATE_EDGE_LISTEN", local(edge_port)),
            ("TOLLGATE_EDGE_ORIGIN", url.clone()),
            ("TOLLGATE_EDGE_UPSTREAM", format!("http://{api_address}")),
            ("TOLLGATE_EDGE_SNAPSHOT_KEY_FILE", "/run/secrets/snapshot-key".to_owned()),
        ],
    )?;
    edge.write("run/secrets/snapshot-key", &origin.tollgate(&["key", "snapshot"])?)?;
    let running_edge = edge.start(None, edge_port).await?;
    edge.wait_until_healthy(&running_edge).await?;

    let created = origin.tollgate(&["client", "create", "--json", "--id", "reader", "--name", "Reader"])?;
    let created: Value = serde_json::from_str(&created)?;
    let secret = created["client_secret"].as_str().context("a secret")?;
    let http = Client::new();
    let request = http.post(format!("{url}/oauth/token")).basic_auth("reader", Some(secret));
    let answer = request.form(&[("grant_type", "client_credentials")]).send().await?.error_for_status()?;
    let answer: Value = answer.json().await?;
    let token = answer["access_token"].as_str().with_context(|| answer.to_string())?;
    let through_edge = || http.get(format!("http://{}/reports/1", local(edge_port)));
    let body: Value = through_edge().bearer_auth(token).send().await?.error_for_status()?.json().await?;
    assert_eq!(body["identity"]["x-tollgate-subject"], "reader");
    assert_eq!(through_edge().send().await?.status(), 401);

    // Only the folder for state can be written, and only by the image's user.
    ensure!(origin.tollgate(&["man-pages", "/usr/share/doc/tollgate"]).is_err(), "the root can be written");
    origin.tollgate(&["man-pages", "/var/lib/tollgate"])?;
    let database = fs::metadata(origin.state.path().join("tollgate.db"))?;
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&database), ids(&origin.image.user)?.0);
    let metrics = http.get(format!("http://{}/metrics", local(metrics))).send().await?.error_for_status()?;
    ensure!(metrics.text().await?.contains("tollgate_tokens_issued_total"), "no metrics");
    Ok(())
}
