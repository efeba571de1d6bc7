//! `tollgate init`: one command makes an origin that serves, an interrupted one continues, and
//! nothing that exists is changed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tollgate_model::SecretHash;
use tollgate_storage::Store;
use tollgate_tests::environment::{command_without_settings, free_port, install_tls_provider, now, programs_dir};
use tollgate_tests::jwt;
use tollgate_tests::process::ChildProcess;

/// Longest wait for a program, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);
const API: &str = "https://api.example";

fn tollgate(folder: &Path, arguments: &[&str]) -> Result<Command> {
    let program = programs_dir().join("tollgate");
    let mut command = command_without_settings(program.to_str().context("a path in UTF-8")?);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    Ok(command)
}

fn run(folder: &Path, arguments: &[&str]) -> Result<Output> {
    Ok(tollgate(folder, arguments)?.output()?)
}

/// Runs a command with `--json`, which must succeed.
fn json(folder: &Path, arguments: &[&str]) -> Result<Value> {
    let output = run(folder, &[arguments, &["--json"]].concat())?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn error(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = run(folder, arguments)?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?} succeeded: {text}");
    Ok(text)
}

async fn wait_until_live(http: &reqwest::Client, url: &str) -> Result<()> {
    let started = Instant::now();
    while !http.get(format!("{url}/health/live")).send().await.is_ok_and(|answer| answer.status() == 200) {
        if started.elapsed() > TIMEOUT {
            bail!("{url} does not answer");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn first_run_leads_to_a_first_token_and_a_diagnosis_without_faults() -> Result<()> {
    install_tls_provider();
    let home = tempfile::tempdir()?;
    let folder = home.path().join("a folder");
    let url = format!("http://127.0.0.1:{}", free_port()?);
    let made = json(home.path(), &["init", "--dir", "a folder", "--public-url", &url, "--resource", API])?;
    let file = made["settings_file"].as_str().context("a settings file")?;
    for name in ["tollgate.toml", "tollgate.key", "tollgate.db"] {
        assert_eq!(fs::metadata(folder.join(name))?.permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert!(!folder.join("tollgate.init").exists(), "the plan with the secrets is removed");

    let mut serve = tollgate(home.path(), &["serve", "--config", file])?;
    let _origin = ChildProcess::start(serve.stdout(Stdio::null()).stderr(Stdio::null()))?;
    let http = reqwest::Client::new();
    wait_until_live(&http, &url).await?;
    let (client, secret) = (&made["client"]["client_id"], &made["client"]["client_secret"]);
    let (client, secret) = (client.as_str().context("a client")?, secret.as_str().context("a secret")?);
    let request = http.post(format!("{url}/oauth/token")).form(&[("grant_type", "client_credentials")]);
    let answer: Value = request.basic_auth(client, Some(secret)).send().await?.json().await?;
    let claims = jwt::claims(answer["access_token"].as_str().with_context(|| format!("no token: {answer}"))?)?;
    assert_eq!((&claims["iss"], &claims["aud"]), (&url.as_str().into(), &API.into()));
    let pinned = json(home.path(), &["key", "snapshot", "--config", file])?;
    assert_eq!(pinned["snapshot_key"], made["snapshot_key"]);

    let diagnosis = json(home.path(), &["doctor", "--config", file])?;
    // How full the disk is depends on the machine.
    let findings = diagnosis["findings"].as_array().context("findings")?.iter();
    let faults: Vec<&Value> =
        findings.filter(|finding| finding["status"] == "fault" && finding["check"] != "disk").collect();
    assert!(faults.is_empty(), "{faults:?}");

    // The same command again changes nothing and has no secret to print.
    let settings = fs::read(file)?;
    let again = json(home.path(), &["init", "--dir", "a folder"])?;
    for member in ["admin", "client"] {
        assert_eq!(again[member]["status"], "existed", "{again}");
    }
    assert!(again["client"].get("client_secret").is_none() && again["admin"].get("password").is_none(), "{again}");
    assert_eq!(fs::read(file)?, settings);
    Ok(())
}

/// The secrets that a first run printed.
fn secrets(printed: &Value) -> Option<(String, String)> {
    let (client, admin) = (&printed["client"]["client_secret"], &printed["admin"]["password"]);
    Some((client.as_str()?.to_owned(), admin.as_str()?.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_first_run_continues_and_loses_no_secret() -> Result<()> {
    for round in 0..8 {
        let folder = tempfile::tempdir()?;
        let mut first = tollgate(folder.path(), &["init", "--json", "--client", "first", "--admin", "root"])?;
        let mut first = first.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        // Interrupts each round at another step, whatever that is on this machine.
        tokio::time::sleep(Duration::from_millis(round * 60)).await;
        first.kill()?;
        let first = first.wait_with_output()?.stdout;
        let first = serde_json::from_slice::<Value>(&first).ok().as_ref().and_then(secrets);
        let second = json(folder.path(), &["init", "--client", "first", "--admin", "root"])?;
        if let (Some(first), Some(second)) = (&first, secrets(&second)) {
            assert_eq!(*first, second, "round {round}: the same secrets are printed again");
        }
        let (secret, password) = first.or_else(|| secrets(&second)).context("the secrets are printed")?;

        let url = format!("sqlite://{}", folder.path().join("tollgate.db").display());
        let store = Store::open(&url).await?;
        let client = store.find_client(&"first".parse()?).await?.context("the client")?;
        assert!(client.has_secret(&SecretHash::of(&secret), now()), "round {round}");
        let users = store.list_users().await?;
        assert_eq!(users.len(), 1, "round {round}");
        assert!(users[0].is_admin && !password.is_empty(), "round {round}");
        store.close().await;
        json(folder.path(), &["key", "list"])?;
        assert!(!folder.path().join("tollgate.init").exists(), "round {round}");
    }
    Ok(())
}

#[test]
fn first_run_that_failed_continues_when_the_cause_is_removed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let database = format!("sqlite://{}", folder.path().join("later/tollgate.db").display());
    let failed = error(folder.path(), &["init", "--database-url", &database, "--client", "mine"])?;
    assert!(failed.contains("later/tollgate.db"), "{failed}");
    let other = error(folder.path(), &["init", "--client", "yours"])?;
    assert!(other.contains("--client differs from the first run that was interrupted"), "{other}");
    fs::create_dir(folder.path().join("later"))?;
    let made = json(folder.path(), &["init"])?;
    assert_eq!((&made["client"]["client_id"], &made["client"]["status"]), (&"mine".into(), &"created".into()));
    assert!(folder.path().join("later/tollgate.db").exists());
    Ok(())
}

#[test]
fn settings_file_is_replaced_only_by_force() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tollgate.toml");
    let own = "# mine\npublic_url = \"https://auth.example\"\n";
    fs::write(&file, own)?;
    for arguments in [&["init", "--public-url", "https://other.example"][..], &["init", "--listen", "127.0.0.1:1"]] {
        let refused = error(folder.path(), arguments)?;
        assert!(refused.contains("--force"), "{refused}");
        assert_eq!(fs::read_to_string(&file)?, own);
        assert!(!folder.path().join("tollgate.init").exists());
    }
    let made = json(folder.path(), &["init"])?;
    assert_eq!(made["issuer"], "https://auth.example");
    assert_eq!(fs::read_to_string(&file)?, own, "a file that exists is used as it is");

    json(folder.path(), &["init", "--public-url", "https://auth.example", "--force"])?;
    assert_eq!(fs::read_to_string(folder.path().join("tollgate.toml.old"))?, own);
    let shown = json(folder.path(), &["config", "show"])?;
    let shown = shown.as_array().context("settings")?.iter().find(|setting| setting["name"] == "TOLLGATE_PUBLIC_URL");
    assert_eq!(shown.context("the public URL")?["value"], "https://auth.example");
    Ok(())
}

#[test]
fn chosen_password_is_used_and_not_printed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("password"), "correct horse battery\nmore\n")?;
    let made = json(folder.path(), &["init", "--admin", "root", "--admin-password-file", "password"])?;
    assert_eq!((&made["admin"]["name"], &made["admin"]["status"]), (&"root".into(), &"created".into()));
    assert!(!made.to_string().contains("horse"), "{made}");
    fs::write(folder.path().join("password"), "short\n")?;
    let other = tempfile::tempdir()?;
    let file = folder.path().join("password").display().to_string();
    assert!(error(other.path(), &["init", "--admin-password-file", &file])?.contains("--admin-password-file"));
    Ok(())
}
