//! `tollgate-edge` as a gateway: TLS, HTTP versions, upstreams, and how it is operated.

mod listener;
mod operation;
mod upstreams;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::extract::Request;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tollgate_edge::{Edge, GateKind, Settings};
use tollgate_tests::environment::{install_tls_provider, required_env};
use tollgate_tests::origin::TestOrigin;

/// Longest wait for a change that needs a second, on a busy machine.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// An origin with the public route `/open/*`.
async fn open_origin() -> Result<TestOrigin> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    origin.cli(&["route", "add", "--path", "/open/*", "--public"])?;
    Ok(origin)
}

/// Starts an edge and waits until `http` finds it ready.
async fn start_edge(settings: &BTreeMap<&'static str, String>, http: &reqwest::Client) -> Result<Edge> {
    let mut parsed = Settings::from_lookup(GateKind::Component, |name| settings.get(name).cloned())?;
    parsed.component = Some(PathBuf::from(required_env("TOLLGATE_TEST_WASM_DIR")).join("tollgate_component.wasm"));
    parsed.listen.set_port(0);
    let edge = Edge::start(parsed).await?;
    let (health, started) = (format!("{}/_tollgate/health", edge.url()), Instant::now());
    while !http.get(&health).send().await.is_ok_and(|answer| answer.status() == 200) {
        ensure!(started.elapsed() < CHANGE_TIMEOUT, "{health} is not ready");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(edge)
}

/// An upstream that speaks HTTP/1.1 and HTTP/2 and answers with its name, the version and the
/// headers of the request. Stopped when dropped.
struct Echo {
    /// Host and port.
    address: String,
    task: JoinHandle<()>,
}

impl Echo {
    async fn start(name: &'static str) -> Result<Echo> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let router = Router::new().fallback(async move |request: Request| {
            let lines = request.headers().iter().map(|(name, value)| format!("{name}: {value:?}"));
            let first = [name.to_owned(), format!("{:?}", request.version())];
            first.into_iter().chain(lines).collect::<Vec<_>>().join("\n")
        });
        let task = tokio::spawn(async move {
            // The task ends when it is aborted; serving does not fail before.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Echo { address, task })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Body of the response with status 200.
async fn get(http: &reqwest::Client, url: &str) -> Result<String> {
    let response = http.get(url).send().await.with_context(|| url.to_owned())?;
    ensure!(response.status() == 200, "{url}: {}", response.status());
    Ok(response.text().await?)
}
