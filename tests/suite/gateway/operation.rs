//! How an edge is operated: the listener for operators, draining, reload, and proxies in front.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;
use tollgate_tests::environment::{free_port, programs_dir, required_env};
use tollgate_tests::process::ChildProcess;

use super::{CHANGE_TIMEOUT, Echo, get, open_origin, start_edge};

#[tokio::test(flavor = "multi_thread")]
async fn operators_have_a_listener_of_their_own() -> Result<()> {
    let (origin, upstream, http) = (open_origin().await?, Echo::start("api").await?, Client::new());
    let mut settings = origin.edge_settings(&format!("http://{}", upstream.address)).await?;
    settings.insert("TOLLGATE_EDGE_ADMIN_LISTEN", "127.0.0.1:0".to_owned());
    let edge = start_edge(&settings, &http).await?;
    let admin = edge.admin_url().context("an admin listener")?;
    get(&http, &format!("{}/open/x", edge.url())).await?;
    ensure!(get(&http, &format!("{admin}/live")).await? == "ok\n");
    ensure!(get(&http, &format!("{admin}/ready")).await?.starts_with('{'));
    let metrics = get(&http, &format!("{admin}/metrics")).await?;
    ensure!(metrics.contains("# TYPE tollgate_gate_"), "{metrics}");
    for path in ["/metrics", "/live"] {
        let status = http.get(format!("{}{path}", edge.url())).send().await?.status();
        ensure!(status == 401, "clients get {status} for {path}");
    }
    let profile = http.get(format!("{admin}/debug/pprof/profile?seconds=1")).send().await?;
    ensure!(profile.status() == 200 && profile.bytes().await?.starts_with(&[0x1f, 0x8b]), "a gzipped profile");
    ensure!(http.get(format!("{admin}/open/x")).send().await?.status() == 404);
    ensure!(http.post(format!("{admin}/metrics")).send().await?.status() == 405);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn termination_first_fails_health_reports_and_then_waits_for_requests() -> Result<()> {
    let (origin, upstream, http) = (open_origin().await?, Echo::start("api").await?, Client::new());
    let mut settings = origin.edge_settings(&format!("http://{}", upstream.address)).await?;
    let port = free_port()?;
    settings.insert("TOLLGATE_EDGE_LISTEN", format!("127.0.0.1:{port}"));
    settings.insert("TOLLGATE_EDGE_SHUTDOWN_DELAY", "3600".to_owned());
    let (folder, component) = (tempfile::tempdir()?, required_env("TOLLGATE_TEST_WASM_DIR"));
    let mut command = Command::new(programs_dir().join("tollgate-edge"));
    command.envs(&settings).current_dir(folder.path()).stderr(Stdio::null());
    command.env("TOLLGATE_EDGE_COMPONENT", format!("{component}/tollgate_component.wasm"));
    let edge = ChildProcess::start(&mut command)?;
    let (url, health) =
        (format!("http://127.0.0.1:{port}/open/x"), format!("http://127.0.0.1:{port}/_tollgate/health"));
    wait_for_status(&http, &health, 200).await?;
    let pid = i32::try_from(edge.id()).ok().and_then(Pid::from_raw).context("a process id")?;
    kill_process(pid, Signal::TERM)?;
    wait_for_status(&http, &health, 503).await?;
    get(&http, &url).await?;
    Ok(())
}

/// Waits until the URL answers with this status.
async fn wait_for_status(http: &Client, url: &str, status: u16) -> Result<()> {
    let started = Instant::now();
    while !http.get(url).send().await.is_ok_and(|answer| answer.status() == status) {
        ensure!(started.elapsed() < CHANGE_TIMEOUT, "{url} does not answer {status}");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hangup_signal_takes_over_new_upstreams_and_keeps_the_old_if_they_are_invalid() -> Result<()> {
    let (origin, http) = (open_origin().await?, Client::new());
    let (old, new) = (Echo::start("old").await?, Echo::start("new").await?);
    let mut settings = origin.edge_settings("http://127.0.0.1:1").await?;
    let (folder, port) = (tempfile::tempdir()?, free_port()?);
    // The environment is stronger than the settings file.
    settings.remove("TOLLGATE_EDGE_UPSTREAM");
    settings.insert("TOLLGATE_EDGE_LISTEN", format!("127.0.0.1:{port}"));
    let component = required_env("TOLLGATE_TEST_WASM_DIR");
    let write =
        |upstream: &str| fs::write(folder.path().join("tollgate-edge.toml"), format!("upstream = \"{upstream}\"\n"));
    write(&format!("http://{}", old.address))?;
    let mut command = Command::new(programs_dir().join("tollgate-edge"));
    command.envs(&settings).current_dir(folder.path()).stderr(Stdio::null());
    command.env("TOLLGATE_EDGE_COMPONENT", format!("{component}/tollgate_component.wasm"));
    let edge = ChildProcess::start(&mut command)?;
    let pid = i32::try_from(edge.id()).ok().and_then(Pid::from_raw).context("a process id")?;
    let url = format!("http://127.0.0.1:{port}/open/x");
    wait_for_status(&http, &url, 200).await?;
    ensure!(get(&http, &url).await?.starts_with("old\n"));
    write("nowhere")?;
    kill_process(pid, Signal::HUP)?;
    ensure!(get(&http, &url).await?.starts_with("old\n"));
    write(&format!("http://{}", new.address))?;
    let started = Instant::now();
    while !get(&http, &url).await?.starts_with("new\n") {
        ensure!(started.elapsed() < CHANGE_TIMEOUT, "the new upstream is not used");
        kill_process(pid, Signal::HUP)?;
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Runs `tollgate-edge check --json`. Returns the exit code and the findings.
fn check(settings: &BTreeMap<&'static str, String>) -> Result<(Option<i32>, Value)> {
    let (component, folder) = (required_env("TOLLGATE_TEST_WASM_DIR"), tempfile::tempdir()?);
    let mut command = Command::new(programs_dir().join("tollgate-edge"));
    command.args(["check", "--json"]).envs(settings).current_dir(folder.path());
    command.env("TOLLGATE_EDGE_COMPONENT", format!("{component}/tollgate_component.wasm"));
    let output = command.output()?;
    let findings = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    Ok((output.status.code(), findings))
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_what_would_keep_the_edge_from_serving() -> Result<()> {
    let (origin, upstream) = (open_origin().await?, Echo::start("api").await?);
    let mut settings = origin.edge_settings(&format!("http://{}", upstream.address)).await?;
    settings.insert("TOLLGATE_EDGE_LISTEN", format!("127.0.0.1:{}", free_port()?));
    let (code, findings) = check(&settings)?;
    ensure!(code == Some(0) && findings["ok"] == true, "{findings}");
    let names: Vec<_> = findings["checks"].as_array().context("a list")?.iter().map(|one| &one["check"]).collect();
    ensure!(names == ["component", "listen", "origin", "snapshot", "upstream"], "{findings}");

    origin.cli(&["route", "add", "--path", "/media/*", "--public", "--upstream", "media"])?;
    let away = format!("http://127.0.0.1:{}", free_port()?);
    let wrong_key = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned();
    for (name, value, exit_code, failed) in [
        ("TOLLGATE_EDGE_UPSTREAM", away.clone(), 1, "upstream"),
        ("TOLLGATE_EDGE_UPSTREAMS", format!("media={away}"), 1, "upstream media"),
        ("TOLLGATE_EDGE_UPSTREAMS", format!("other=http://{}", upstream.address), 1, "routes"),
        ("TOLLGATE_EDGE_SNAPSHOT_KEY", wrong_key, 1, "origin"),
        ("TOLLGATE_EDGE_ORIGIN", away.clone(), 1, "origin"),
        ("TOLLGATE_EDGE_TLS_CERTIFICATE", "missing".to_owned(), 2, "settings"),
    ] {
        let mut changed = settings.clone();
        changed.insert(name, value);
        let started = Instant::now();
        loop {
            let (code, findings) = check(&changed)?;
            let has_failed = |one: &Value| one["check"] == failed && one["outcome"] == "failed";
            if code == Some(exit_code) && findings["checks"].as_array().context("a list")?.iter().any(has_failed) {
                break;
            }
            // The route is in the next snapshot.
            ensure!(started.elapsed() < CHANGE_TIMEOUT, "{name}: exit code {code:?}, {findings}");
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_protocol_names_the_client_and_is_believed_of_trusted_proxies_only() -> Result<()> {
    let (origin, upstream) = (open_origin().await?, Echo::start("api").await?);
    let mut settings = origin.edge_settings(&format!("http://{}", upstream.address)).await?;
    settings.insert("TOLLGATE_EDGE_PROXY_PROTOCOL", "true".to_owned());
    settings.insert("TOLLGATE_EDGE_TRUSTED_PROXIES", "127.0.0.2".to_owned());
    let edge = start_edge(&settings, &Client::new()).await?;
    let address = edge.url().trim_start_matches("http://").to_owned();
    let request = "GET /open/x HTTP/1.1\r\nHost: api\r\nX-Forwarded-For: 192.0.2.9\r\nConnection: close\r\n\r\n";
    let version1 = format!("PROXY TCP4 192.0.2.1 127.0.0.1 4000 80\r\n{request}").into_bytes();
    let version2 =
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x0f\xa0\0\x50"[..], request.as_bytes()]
            .concat();
    for bytes in [&version1, &version2] {
        let answer = exchange("127.0.0.2", &address, bytes).await?;
        ensure!(answer.contains("x-forwarded-for: \"192.0.2.1\"\n"), "{answer}");
    }
    let answer = exchange("127.0.0.2", &address, request.as_bytes()).await?;
    ensure!(answer.is_empty(), "no header of a trusted proxy: {answer}");
    let answer = exchange("127.0.0.1", &address, request.as_bytes()).await?;
    ensure!(answer.contains("x-forwarded-for: \"127.0.0.1\"\n"), "{answer}");
    let answer = exchange("127.0.0.1", &address, &version1).await?;
    ensure!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    // curl writes headers of version 1 itself.
    let url = format!("http://{address}/open/x");
    let curl = Command::new("curl")
        .args(["--silent", "--fail", "--haproxy-protocol", "--interface", "127.0.0.2", &url])
        .output()?;
    ensure!(curl.status.success(), "{curl:?}");
    Ok(())
}

/// Sends the bytes from this address of the machine, and returns the answer until its end.
async fn exchange(from: &str, to: &str, bytes: &[u8]) -> Result<String> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(format!("{from}:0").parse()?)?;
    let mut stream: TcpStream = socket.connect(to.parse()?).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    // A connection reset counts like an end of the stream.
    let _ = stream.read_to_end(&mut answer).await;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
