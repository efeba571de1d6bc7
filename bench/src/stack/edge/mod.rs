//! Requests per second through edges, compared with proxies and Workers that check nothing or check
//! in another way.

mod peers;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tollgate_bench::figures::{Figure, Part, Table, number};
use tollgate_bench::measure::{percentile, sorted};
use tollgate_model::TokenAlg;
use tollgate_tests::edge::{EdgeKind, TestEdge};
use tollgate_tests::environment::{install_tls_provider, now};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::process::raise_open_files;
use tollgate_tests::token_factory::TokenFactory;

use self::peers::{API_ANSWER, Caddy, Nginx, PeerWorker};
use super::http_connection::{HttpConnection, Load, Requests, get, load};

/// Connections, each with one request at a time.
const CONNECTIONS: usize = 64;
/// Idle connections for the figure on memory.
const IDLE_CONNECTIONS: usize = 10_000;
/// Open files that the edge may have: enough for these, and as many as most systems let it have.
const OPEN_FILES: u32 = 16_384;

/// A server, and the requests that it gets.
struct Lane {
    name: &'static str,
    address: String,
    requests: Arc<Requests>,
}

impl Lane {
    fn new(name: &'static str, url: &str, tokens: &[String]) -> Lane {
        let request = |token: &String| {
            format!("GET /reports/1 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes()
        };
        let address = url.trim_start_matches("http://").to_owned();
        Lane { name, address, requests: Requests::new(tokens.iter().map(request).collect()) }
    }
}

/// Fails unless the server sends the answer of the API.
async fn check(lane: &Lane) -> Result<()> {
    let mut connection = HttpConnection::connect(&lane.address).await?;
    let body = connection.send(lane.requests.next()).await.with_context(|| lane.name)?;
    ensure!(body == API_ANSWER.as_bytes(), "{}: {}", lane.name, String::from_utf8_lossy(body));
    Ok(())
}

/// What a lane reached in each round.
struct Rounds(Vec<Load>);

impl Rounds {
    fn rate(&self) -> f64 {
        percentile(&sorted(self.0.iter().map(|load| load.rate).collect()), 50.0)
    }

    /// Median over the rounds of the time that `percent` percent of the answers do not exceed.
    fn time(&self, percent: f64) -> f64 {
        percentile(&sorted(self.0.iter().map(|load| percentile(&load.times, percent)).collect()), 50.0)
    }

    /// Median over the rounds of the ratio of the rates.
    fn compared_with(&self, other: &Rounds) -> f64 {
        let ratios = self.0.iter().zip(&other.0).map(|(own, other)| own.rate / other.rate);
        percentile(&sorted(ratios.collect()), 50.0)
    }
}

/// Measures the lanes in alternation. The first round is the warm-up.
async fn alternate<const N: usize>(lanes: &[Lane; N], rounds: usize, length: Duration) -> Result<[Rounds; N]> {
    for lane in lanes {
        check(lane).await?;
    }
    let mut results = std::array::from_fn(|_| Rounds(Vec::new()));
    for round in 0..=rounds {
        for (lane, results) in lanes.iter().zip(&mut results) {
            let load = load(&lane.address, &lane.requests, CONNECTIONS, length).await?;
            if round > 0 {
                results.0.push(load);
            }
        }
    }
    Ok(results)
}

fn table<const N: usize>(lanes: &[Lane; N], results: &[Rounds; N]) -> Table {
    let mut table = Table::new(&["server", "requests per second", "median, ms", "99 %, ms"]);
    for (lane, rounds) in lanes.iter().zip(results) {
        let times = [50.0, 99.0].map(|percent| format!("{:.2}", rounds.time(percent)));
        table.add_row(lane.name, [number(rounds.rate(), "")].into_iter().chain(times));
    }
    table
}

/// Different valid tokens.
fn tokens(factory: &TokenFactory, alg: TokenAlg, count: usize) -> Vec<String> {
    let builder = factory.token(alg, now());
    (0..count).map(|nth| builder.clone().claim("jti", format!("bench-{nth}")).sign()).collect()
}

/// Compares the runner with nginx and Caddy, and the Worker with other Workers.
pub(crate) async fn measure(quick: bool) -> Result<[Part; 2]> {
    install_tls_provider();
    raise_open_files()?;
    let origin = TestOrigin::start_with(&[("TOLLGATE_LIMITS", "off")]).await?;
    let factory = origin.token_factory().await?;
    let upstream = Nginx::upstream().await?;
    let (rounds, length, count) =
        if quick { (3, Duration::from_millis(500), 5_000) } else { (9, Duration::from_secs(1), 20_000) };
    let effort = Effort { rounds, length, count, note: if quick { "QUICK: fewer and shorter rounds. " } else { "" } };
    let runner = runner(&origin, &factory, &upstream, &effort).await?;
    let worker = worker(&origin, &factory, &upstream, &effort).await?;
    origin.server.shutdown().await;
    Ok([runner, worker])
}

struct Effort {
    rounds: usize,
    length: Duration,
    /// Number of tokens of which none was seen lately.
    count: usize,
    note: &'static str,
}

async fn runner(origin: &TestOrigin, factory: &TokenFactory, upstream: &Nginx, effort: &Effort) -> Result<Part> {
    let Effort { rounds, length, count, note } = *effort;
    let settings = origin.edge_settings(upstream.url()).await?;
    let edge = TestEdge::start_process(EdgeKind::Runner, &settings, OPEN_FILES).await?;
    let nginx = Nginx::proxy(upstream.url()).await?;
    let asking = Nginx::asking(upstream.url(), &edge.url).await?;
    let caddy = Caddy::proxy(upstream.url()).await?;
    let seen = tokens(factory, TokenAlg::EdDsa, 1);
    let [unseen_eddsa, unseen_es256, unseen_rs256] =
        [TokenAlg::EdDsa, TokenAlg::Es256, TokenAlg::Rs256].map(|alg| tokens(factory, alg, count));
    let lanes = [
        Lane::new("nginx, proxy_pass", nginx.url(), &seen),
        Lane::new("Caddy, reverse_proxy", caddy.url(), &seen),
        Lane::new("tollgate-edge, a token seen before", &edge.url, &seen),
        Lane::new("tollgate-edge, EdDSA, not seen lately", &edge.url, &unseen_eddsa),
        Lane::new("tollgate-edge, ES256, not seen lately", &edge.url, &unseen_es256),
        Lane::new("tollgate-edge, RS256, not seen lately", &edge.url, &unseen_rs256),
        Lane::new("nginx, auth_request to tollgate-edge", asking.url(), &seen),
    ];
    let results = alternate(&lanes, rounds, length).await?;
    let [plain, other, known, eddsa, es256, rs256, asked] = &results;
    let memory = idle_memory(&edge).await?;
    let mut part = Part::new(
        "An edge as a proxy",
        format!(
            "{note}{CONNECTIONS} connections with one request at a time each, for {} ms a server, in alternation, {rounds} rounds, medians; \
             client, proxies, edge, API and origin on the same cores. The API is nginx with a fixed answer; all proxies keep their \
             connections. nginx has two processes. Of {count} tokens not seen lately each is sent once before the first comes again.",
            length.as_millis()
        ),
    );
    part.figures = vec![
        Figure::new("tollgate-edge, of nginx's requests", known.compared_with(plain), "").at_least(0.8),
        Figure::new("99 % of the answers: later than nginx's", known.time(99.0) - plain.time(99.0), "ms").at_most(1.0),
        Figure::new("tollgate-edge, times Caddy's requests", known.compared_with(other), "").at_least(2.5),
        Figure::new("EdDSA not seen lately, of a token seen before", eddsa.compared_with(known), "").at_least(0.75),
        Figure::new("ES256 not seen lately, of a token seen before", es256.compared_with(known), "").at_least(0.75),
        Figure::new("RS256 not seen lately, of a token seen before", rs256.compared_with(known), "").at_least(0.6),
        Figure::new("nginx asking tollgate-edge, of nginx's requests", asked.compared_with(plain), "").at_least(0.6),
        Figure::new(format!("memory of {IDLE_CONNECTIONS} idle connections"), memory, "MiB").at_most(120.0),
    ];
    part.tables = vec![table(&lanes, &results)];
    Ok(part)
}

/// MiB by which the process grows with connections that have sent nothing.
async fn idle_memory(edge: &TestEdge) -> Result<f64> {
    let before = edge.resident_memory()?;
    let address = edge.url.trim_start_matches("http://");
    let mut connections = Vec::with_capacity(IDLE_CONNECTIONS);
    for _ in 0..IDLE_CONNECTIONS {
        connections.push(HttpConnection::connect(address).await?);
    }
    // The last is accepted after all others.
    let health = get("/_tollgate/health");
    connections.last_mut().context("no connection")?.send(&health).await?;
    Ok(edge.resident_memory()?.saturating_sub(before) as f64 / f64::from(1 << 20))
}

async fn worker(origin: &TestOrigin, factory: &TokenFactory, upstream: &Nginx, effort: &Effort) -> Result<Part> {
    let Effort { rounds, length, count, note } = *effort;
    let edge = TestEdge::start(EdgeKind::Worker, &origin.edge_settings(upstream.url()).await?).await?;
    let fetching = PeerWorker::start("fetch.mjs", upstream.url(), factory).await?;
    let jose = PeerWorker::start("jose.mjs", upstream.url(), factory).await?;
    let seen = tokens(factory, TokenAlg::Hs256, 1);
    let [unseen_hs256, unseen_es256] = [TokenAlg::Hs256, TokenAlg::Es256].map(|alg| tokens(factory, alg, count));
    let lanes = [
        Lane::new("a Worker that only fetches", fetching.url(), &seen),
        Lane::new("Tollgate's Worker, a token seen before", &edge.url, &seen),
        Lane::new("Tollgate's Worker, HS256, not seen lately", &edge.url, &unseen_hs256),
        Lane::new("a Worker with jose, HS256", jose.url(), &unseen_hs256),
        Lane::new("Tollgate's Worker, ES256, not seen lately", &edge.url, &unseen_es256),
        Lane::new("a Worker with jose, ES256", jose.url(), &unseen_es256),
    ];
    let results = alternate(&lanes, rounds, length).await?;
    let [plain, known, hs256, jose_hs256, es256, jose_es256] = &results;
    let mut part = Part::new(
        "The Worker in workerd",
        format!(
            "{note}As above, in workerd under wrangler, with one isolate each. The Worker with jose keeps its imported keys, and checks \
             signature, dates, issuer, audience and type; it knows nothing of revocations. Wrangler's own proxy takes most of \
             each request's time, so the Workers differ by more than the figures show."
        ),
    );
    part.figures = vec![
        Figure::new("a token seen before, of a Worker that only fetches", known.compared_with(plain), "")
            .at_least(0.75),
        Figure::new("a token seen before, times jose's requests, ES256", known.compared_with(jose_es256), "")
            .at_least(2.0),
        Figure::new("HS256 not seen lately, times jose's requests", hs256.compared_with(jose_hs256), "").at_least(1.0),
        Figure::new("ES256 not seen lately, times jose's requests", es256.compared_with(jose_es256), "").at_least(1.0),
    ];
    part.tables = vec![table(&lanes, &results)];
    Ok(part)
}
