//! Slow clients: a thousand that send half a request are disconnected, and others are served
//! meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tollgate_tests::client::TestClient;
use tollgate_tests::database::TestDatabase;
use tollgate_tests::origin_process::OriginProcess;
use tollgate_tests::process::raise_open_files;

const CLIENTS: usize = 1000;
/// The origin disconnects after 15 seconds. The test allows more, because a busy machine may be
/// late.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(90);

/// Requests that stop in the middle of the head, or of the body.
const HALF_HEAD: &str = "POST /oauth/token HTTP/1.1\r\nHost: origin.example\r\nContent-Type: applica";
const HALF_BODY: &str = "POST /oauth/token HTTP/1.1\r\nHost: origin.example\r\n\
                         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ngrant_type=client";

#[tokio::test(flavor = "multi_thread")]
async fn incomplete_request_heads_time_out_while_others_are_served() -> Result<()> {
    let answers = run_slow_clients(HALF_HEAD).await?;
    assert!(answers.iter().all(String::is_empty), "there was no request to answer");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn incomplete_request_bodies_time_out_while_others_are_served() -> Result<()> {
    let answers = run_slow_clients(HALF_BODY).await?;
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 408 ")), "{:?}", answers.first());
    assert!(answers.iter().all(|answer| answer.contains("application/problem+json")), "{:?}", answers.first());
    Ok(())
}

/// Lets a thousand clients send `half` and wait. Returns the response of each.
async fn run_slow_clients(half: &'static str) -> Result<Vec<String>> {
    raise_open_files()?;
    let mut served = OriginProcess::new(TestDatabase::Sqlite)?;
    let http = reqwest::Client::new();
    served.start(&http).await?;
    let client =
        TestClient::from_cli_output(&served.url, &served.cli(&["client", "create", "--json", "--name", "fast"])?)?;
    let address = served.url.trim_start_matches("http://").to_owned();

    let mut connections = JoinSet::new();
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(half.as_bytes()).await?;
        let began = Instant::now();
        connections.spawn(async move {
            let mut answer = Vec::new();
            // A connection reset counts like an end of the stream.
            let _ = stream.read_to_end(&mut answer).await;
            (String::from_utf8_lossy(&answer).into_owned(), began.elapsed())
        });
    }
    let (mut answers, mut cut, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    let began = Instant::now();
    while !connections.is_empty() {
        ensure!(began.elapsed() < DISCONNECT_TIMEOUT, "{} of {CLIENTS} are still connected", connections.len());
        let asked = Instant::now();
        let token = client.token("").await?;
        let found: Value = client.introspect(&token).await?;
        ensure!(found["active"] == true, "{found}");
        waits.push(asked.elapsed());
        while let Some(ended) = connections.try_join_next() {
            let (answer, after) = ended?;
            answers.push(answer);
            cut.push(after);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    waits.sort();
    let (first, last) = (cut.iter().min().context("some")?, cut.iter().max().context("some")?);
    println!(
        "{CLIENTS} slow clients: disconnected after {first:.1?} to {last:.1?}; meanwhile {} others got a token and introspected it, in {:.1?} at the median, {:.1?} at most",
        waits.len(),
        waits[waits.len() / 2],
        waits[waits.len() - 1]
    );
    assert_eq!(answers.len(), CLIENTS);
    served.delete().await?;
    Ok(answers)
}
