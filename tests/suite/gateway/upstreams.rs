//! Several upstreams: which one gets a request, what happens when one fails, and limits of routes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reqwest::{Client, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tollgate_tests::environment::free_port;
use tollgate_tests::http_server::HttpServer;
use tollgate_tests::tcp_server::TcpServer;

use super::{CHANGE_TIMEOUT, Echo, get, open_origin, start_edge};

/// The first line of the echoed request: the name of the upstream.
async fn answering(http: &Client, url: &str) -> Result<String> {
    Ok(get(http, url).await?.lines().next().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn request_goes_to_the_upstream_that_its_route_names() -> Result<()> {
    let (origin, http) = (open_origin().await?, Client::new());
    origin.cli(&["route", "add", "--path", "/media/*", "--public", "--upstream", "media"])?;
    origin.cli(&["route", "add", "--path", "/lost/*", "--public", "--upstream", "lost"])?;
    let (api, media, other) = (Echo::start("api").await?, Echo::start("media").await?, Echo::start("other").await?);
    let mut settings = origin.edge_settings(&format!("http://{}", api.address)).await?;
    settings.insert(
        "TOLLGATE_EDGE_UPSTREAMS",
        format!("media=h2c://{},http://{};other=http://{}", media.address, media.address, other.address),
    );
    let edge = start_edge(&settings, &http).await?;
    ensure!(answering(&http, &format!("{}/open/x", edge.url())).await? == "api");
    ensure!(answering(&http, &format!("{}/media/x", edge.url())).await? == "media");
    let lost = http.get(format!("{}/lost/x", edge.url())).send().await?;
    ensure!(lost.status() == StatusCode::BAD_GATEWAY, "{lost:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_use_all_addresses_and_avoid_one_that_is_gone() -> Result<()> {
    let (origin, http) = (open_origin().await?, Client::new());
    let (first, second) = (Echo::start("first").await?, Echo::start("second").await?);
    let urls = format!("http://{},http://{},http://127.0.0.1:{}", first.address, second.address, free_port()?);
    let mut settings = origin.edge_settings(&urls).await?;
    settings.insert("TOLLGATE_EDGE_EJECT_AFTER", "1".to_owned());
    let edge = start_edge(&settings, &http).await?;
    let url = format!("{}/open/x", edge.url());
    let mut seen = BTreeSet::new();
    for number in 0..30 {
        seen.insert(answering(&http, &url).await?);
        // A body that was not sent yet is sent to the other address.
        let posted = http.post(&url).body(format!("body {number}")).send().await?;
        ensure!(posted.status() == 200, "{posted:?}");
    }
    ensure!(seen == BTreeSet::from(["first".to_owned(), "second".to_owned()]), "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotent_request_is_retried_elsewhere_and_others_are_not() -> Result<()> {
    let (origin, http) = (open_origin().await?, Client::new());
    let (good, overloaded) =
        (Echo::start("good").await?, HttpServer::start(|_| async { Some((503, b"overloaded".to_vec())) }).await?);
    let mut settings = origin.edge_settings(&format!("http://{},{}", good.address, overloaded.url)).await?;
    settings.insert("TOLLGATE_EDGE_EJECT_AFTER", "0".to_owned());
    let edge = start_edge(&settings, &http).await?;
    let url = format!("{}/open/x", edge.url());
    for _ in 0..10 {
        ensure!(answering(&http, &url).await? == "good");
    }
    let mut posted = BTreeSet::new();
    for _ in 0..10 {
        posted.insert(http.post(&url).send().await?.status().as_u16());
    }
    ensure!(posted == BTreeSet::from([200, 503]), "{posted:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn address_whose_health_checks_fail_gets_no_requests_until_they_pass() -> Result<()> {
    let (origin, http) = (open_origin().await?, Client::new());
    let (steady, is_healthy) = (Echo::start("steady").await?, Arc::new(AtomicBool::new(true)));
    let health = Arc::clone(&is_healthy);
    let checked = HttpServer::start(move |head: String| {
        let is_down = head.starts_with("GET /health ") && !health.load(Ordering::Relaxed);
        async move { Some(if is_down { (500, Vec::new()) } else { (200, b"checked\n".to_vec()) }) }
    })
    .await?;
    let mut settings = origin.edge_settings(&format!("http://{},{}", steady.address, checked.url)).await?;
    settings.insert("TOLLGATE_EDGE_HEALTH_CHECK_PATH", "/health".to_owned());
    settings.insert("TOLLGATE_EDGE_HEALTH_CHECK_INTERVAL", "1".to_owned());
    let edge = start_edge(&settings, &http).await?;
    let url = format!("{}/open/x", edge.url());
    for (is_up, expected) in [(false, &["steady"][..]), (true, &["checked", "steady"])] {
        is_healthy.store(is_up, Ordering::Relaxed);
        let started = Instant::now();
        loop {
            let mut seen = BTreeSet::new();
            for _ in 0..10 {
                seen.insert(answering(&http, &url).await?);
            }
            if seen.iter().map(String::as_str).eq(expected.iter().copied()) {
                break;
            }
            ensure!(started.elapsed() < CHANGE_TIMEOUT, "healthy: {is_up}: {seen:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_route_apply() -> Result<()> {
    let (origin, http) = (open_origin().await?, Client::new());
    for (path, option, value) in [
        ("/small/*", "--max-body-bytes", "10"),
        ("/slow/*", "--timeout-ms", "100"),
        ("/rare/*", "--rate-limit", "3/3600/address"),
    ] {
        origin.cli(&["route", "add", "--path", path, "--public", option, value])?;
    }
    let upstream = Echo::start("api").await?;
    let edge = start_edge(&origin.edge_settings(&format!("http://{}", upstream.address)).await?, &http).await?;
    let small = format!("{}/small/x", edge.url());
    ensure!(http.post(&small).body("0123456789").send().await?.status() == 200);
    let announced = http.post(&small).body("0123456789a").send().await?;
    ensure!(announced.status() == StatusCode::PAYLOAD_TOO_LARGE, "{announced:?}");
    let mut stream = TcpStream::connect(edge.url().trim_start_matches("http://")).await?;
    let chunked =
        "POST /small/x HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n8\r\n01234567\r\n";
    stream.write_all(chunked.as_bytes()).await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    ensure!(&status == b"HTTP/1.1 413", "{}", String::from_utf8_lossy(&status));

    let rare = format!("{}/rare/x", edge.url());
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = http.get(&rare).send().await?;
        ensure!((answer.status() == 429) == answer.headers().contains_key("retry-after"), "{answer:?}");
        statuses.push(answer.status().as_u16());
    }
    ensure!(statuses == [200, 200, 200, 429], "{statuses:?}");

    let silent = TcpServer::silent().await?;
    let edge = start_edge(&origin.edge_settings(&silent.url).await?, &http).await?;
    let slow = http.get(format!("{}/slow/x", edge.url())).send().await?;
    ensure!(slow.status() == StatusCode::GATEWAY_TIMEOUT, "{slow:?}");
    Ok(())
}
