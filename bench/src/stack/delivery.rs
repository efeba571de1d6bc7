//! Time from the origin's answer to a revocation to the first refusal at an edge.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tollgate_bench::figures::{Figure, Part};
use tollgate_bench::measure::{percentile, sorted};
use tollgate_bench::plot::{Axis, Plot, Scale, Series};
use tollgate_tests::client::TestClient;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::install_tls_provider;
use tollgate_tests::origin::TestOrigin;

/// Number of runners at the origin.
const RUNNERS: usize = 50;
/// Revocations measured at one runner each.
const SINGLE_RUNNER_REVOCATIONS: usize = 1000;
/// Revocations measured at all runners.
const ALL_RUNNERS_REVOCATIONS: usize = 50;
/// Revocations measured at the Worker, and at Spin.
const OTHER_EDGE_REVOCATIONS: usize = 100;
/// Interval of the requests to an edge: the resolution of the figures.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// The same for all runners together: long enough that the requests do not saturate the machine.
const ALL_RUNNERS_POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Time after which the measurement fails.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Measures at 50 runners, the Spin component and the Worker.
pub(crate) async fn measure(plots: &Path, quick: bool) -> Result<Part> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = TestClient::register_with_cli(&origin, "bench", &[])?;
    let settings = origin.edge_settings(&upstream.url).await?;
    let mut runners = Vec::with_capacity(RUNNERS);
    for _ in 0..RUNNERS {
        runners.push(TestEdge::start(EdgeKind::Runner, &settings).await?);
    }
    println!("{RUNNERS} runners started");
    let times = |count: usize| if quick { count / 10 } else { count };
    let one = at_one(&client, &runners, times(SINGLE_RUNNER_REVOCATIONS)).await?;
    let (first, last) = at_all(&client, &runners, times(ALL_RUNNERS_REVOCATIONS)).await?;
    let spin = [TestEdge::start(EdgeKind::Spin, &settings).await?];
    origin.cli(&["edge", "add", "spin", "--url", &spin[0].url])?;
    let spin = at_one(&client, &spin, times(OTHER_EDGE_REVOCATIONS)).await?;
    let worker = [TestEdge::start(EdgeKind::Worker, &settings).await?];
    origin.cli(&["edge", "add", "worker", "--url", &worker[0].url])?;
    let worker = at_one(&client, &worker, times(OTHER_EDGE_REVOCATIONS)).await?;

    let quick = if quick { "QUICK: a tenth of the revocations. " } else { "" };
    let mut part = Part::new(
        "From revocation to refusal",
        format!(
            "{quick}From the origin's answer to `POST /oauth/revoke` to an edge's first refusal, over HTTP, release build. Origin, \
             {RUNNERS} runners (component mode, three instances each, long polling) and the client share one process and the \
             machine. Each revocation is measured at another runner, with a request every millisecond, or at all runners, with \
             requests every 5 ms. Worker (workerd under wrangler) and Spin component are added to the runners, are registered \
             for pushes, and get a request every millisecond."
        ),
    );
    for (name, times, median) in [
        (format!("one of {RUNNERS} runners"), &one, Some(50.0)),
        (format!("the first of {RUNNERS} runners"), &first, None),
        (format!("the last of {RUNNERS} runners"), &last, None),
        ("the Spin component".to_owned(), &spin, Some(60.0)),
        ("the Worker in workerd".to_owned(), &worker, Some(60.0)),
    ] {
        part.figures.extend(figures(&name, times, median));
    }
    let series = vec![
        Series::distribution("one of 50 runners", &one),
        Series::distribution("last of 50 runners", &last),
        Series::distribution("Spin component", &spin),
        Series::distribution("Worker (workerd)", &worker),
        Series::line("target: 1 s", vec![(1000.0, 0.0), (1000.0, 100.0)]).as_bound(),
    ];
    let x = Axis::new("milliseconds from the origin's answer to the first refusal", Scale::Log, (0.1, 2000.0));
    let y = Axis::new("percent of the revocations", Scale::Linear, (0.0, 100.0));
    let title = "From revocation at the origin to refusal at the edge".to_owned();
    Plot { title, x, y, series }.save(&plots.join("delivery.svg"))?;
    part.plots.push(("delivery.svg".to_owned(), "Share of revocations in effect by time".to_owned()));
    Ok(part)
}

/// Percentiles of sorted milliseconds with targets: every maximum must be below a second.
fn figures(name: &str, times: &[f64], median: Option<f64>) -> Vec<Figure> {
    let figure = |percent: f64, name_of_percentile: &str| {
        Figure::new(
            format!("{name}, {} revocations: {name_of_percentile}", times.len()),
            percentile(times, percent),
            "ms",
        )
    };
    let median_figure = figure(50.0, "median");
    let median_figure = median.map_or(median_figure.clone(), |limit| median_figure.at_most(limit));
    vec![median_figure, figure(90.0, "90 %"), figure(99.0, "99 %"), figure(100.0, "maximum").at_most(1000.0)]
}

/// Sorted milliseconds until one edge refuses, a different edge for each revocation.
async fn at_one(client: &TestClient, edges: &[TestEdge], count: usize) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(count);
    for nth in 0..count {
        let edge = edges.get(nth % edges.len()).context("no edge")?;
        let token = delayed_token(client, nth).await?;
        ensure!(client.status(&edge.url, &token).await? == 200, "{:?} accepts a valid token", edge.kind);
        client.revoke(&token).await?;
        times.push(time_to_refusal(client.http.clone(), edge.url.clone(), token, Instant::now(), POLL_INTERVAL).await?);
    }
    Ok(sorted(times))
}

/// Sorted milliseconds until the first and until the last of all edges refuses.
async fn at_all(client: &TestClient, edges: &[TestEdge], count: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let (mut firsts, mut lasts) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for nth in 0..count {
        let token = delayed_token(client, nth).await?;
        client.revoke(&token).await?;
        let answered = Instant::now();
        let mut polls = JoinSet::new();
        for edge in edges {
            let (http, url, token) = (client.http.clone(), edge.url.clone(), token.clone());
            polls.spawn(time_to_refusal(http, url, token, answered, ALL_RUNNERS_POLL_INTERVAL));
        }
        let times = polls.join_all().await.into_iter().collect::<Result<Vec<f64>>>()?;
        let times = sorted(times);
        firsts.push(percentile(&times, 0.0));
        lasts.push(percentile(&times, 100.0));
    }
    Ok((sorted(firsts), sorted(lasts)))
}

/// A token, after a delay of 5 to 45 ms that is not synchronized with any poll interval.
async fn delayed_token(client: &TestClient, nth: usize) -> Result<String> {
    sleep(Duration::from_micros(5_000 + nth as u64 * 7_919 % 40_000)).await;
    client.token("").await
}

/// Milliseconds from `since` to the first refusal.
async fn time_to_refusal(
    http: reqwest::Client,
    url: String,
    token: String,
    since: Instant,
    interval: Duration,
) -> Result<f64> {
    loop {
        let status = http.get(&url).bearer_auth(&token).send().await?.status().as_u16();
        let elapsed = since.elapsed();
        if status == 401 {
            return Ok(elapsed.as_secs_f64() * 1e3);
        }
        ensure!(status == 200, "{url} answers {status}");
        ensure!(elapsed < REFUSAL_TIMEOUT, "{url} does not refuse the token");
        sleep(interval).await;
    }
}
