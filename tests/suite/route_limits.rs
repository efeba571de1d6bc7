//! What routes say about forwarding, at every kind of edge: rate limits, body sizes, time limits
//! and upstreams.

use anyhow::{Context as _, Result, ensure};
use tollgate_tests::client::TestClient;
use tollgate_tests::echo_upstream::EchoUpstream;
use tollgate_tests::edge::{EdgeKind, TestEdge};
use tollgate_tests::environment::install_tls_provider;
use tollgate_tests::http_server::HttpServer;
use tollgate_tests::origin::TestOrigin;

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_upstreams_of_routes_hold_at_every_kind_of_edge() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    for rule in [
        ["/limited", "--rate-limit", "3/3600/client"].as_slice(),
        &["/small", "--max-body-bytes", "1000"],
        &["/slow", "--upstream", "silent", "--timeout-ms", "300"],
        &["/other", "--upstream", "other"],
        &["/missing", "--upstream", "missing"],
    ] {
        origin.cli(&[["route", "add", "--path"].as_slice(), rule].concat())?;
    }
    let upstream = EchoUpstream::start().await?;
    let other = HttpServer::start(|_| async { Some((200, b"the other upstream".to_vec())) }).await?;
    let silent = HttpServer::start(|_| async { None }).await?;
    let mut settings = origin.edge_settings(&upstream.url).await?;
    settings.insert("TOLLGATE_EDGE_UPSTREAMS", format!("other={};silent={}", other.url, silent.url));
    let http = reqwest::Client::new();
    for kind in EdgeKind::ALL {
        let (client, another) = (
            TestClient::register_with_cli(&origin, &format!("one at the {kind:?}"), &[])?,
            TestClient::register_with_cli(&origin, &format!("two at the {kind:?}"), &[])?,
        );
        let (token, other_token) = (client.token("").await?, another.token("").await?);
        let edge = TestEdge::start(kind, &settings).await?;
        client.wait_for_status(&edge.url, &token, 200).await?;
        let get =
            async |path: &str, token: &str| http.get(format!("{}{path}", edge.url)).bearer_auth(token).send().await;

        for request in 1..=3 {
            let status = get("/limited", &token).await?.status();
            ensure!(status == 200, "{kind:?}: {status} to request {request}");
        }
        let refused = get("/limited", &token).await?;
        let retry_after = refused.headers().get("retry-after").context("Retry-After")?.to_str()?.parse::<u64>()?;
        ensure!(refused.status() == 429 && (1..=1200).contains(&retry_after), "{kind:?}: {refused:?}");
        ensure!(get("/limited", &other_token).await?.status() == 200, "{kind:?}: another client has its own count");
        ensure!(get("/free", &token).await?.status() == 200, "{kind:?}: so has another route");

        for (bytes, expected) in [(1000, 200), (1001, 413)] {
            let post = http.post(format!("{}/small", edge.url)).bearer_auth(&token).body(vec![b'x'; bytes]);
            let status = post.send().await?.status();
            ensure!(status == expected, "{kind:?}: {status} to {bytes} bytes");
        }
        ensure!(get("/slow", &token).await?.status() == 504, "{kind:?}: the upstream is too slow");
        ensure!(get("/missing", &token).await?.status() == 502, "{kind:?}: the upstream is not known");
        ensure!(get("/other", &token).await?.text().await? == "the other upstream", "{kind:?}");
    }
    Ok(())
}
