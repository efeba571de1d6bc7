//! How long after the origin's answer to a revocation the edges still let the token pass.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tollgate_bench::figures::{Figure, Part};
use tollgate_bench::measure::{percentile, sorted};
use tollgate_bench::plot::{Axis, Plot, Scale, Series};
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::install_tls_provider;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::service_client::ServiceClient;

/// Runners that are attached to the origin.
const EDGES: usize = 50;
/// Revocations asked for at one runner, at all of them, and at Worker and Spin each.
const ONE: usize = 1000;
const ALL: usize = 50;
const OTHERS: usize = 100;
/// How often an edge is asked: the grain of the figures.
const GRAIN: Duration = Duration::from_millis(1);
/// With every edge asked at once, seldom enough that the questions do not take the machine from the answers.
const COARSE_GRAIN: Duration = Duration::from_millis(5);
/// After this an edge will not refuse any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures at 50 runners, the Spin component and the Worker.
pub(crate) async fn measure(plots: &Path, quick: bool) -> Result<Part> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = ServiceClient::register(&origin, "bench", &[])?;
    let settings = origin.edge_settings(&upstream.url).await?;
    let mut runners = Vec::with_capacity(EDGES);
    for _ in 0..EDGES {
        runners.push(TestEdge::start(EdgeKind::Runner, &settings).await?);
    }
    println!("{EDGES} runners attached");
    let times = |count: usize| if quick { count / 10 } else { count };
    let one = at_one(&client, &runners, times(ONE)).await?;
    let (first, last) = at_all(&client, &runners, times(ALL)).await?;
    let spin = [TestEdge::start(EdgeKind::Spin, &settings).await?];
    let spin = at_one(&client, &spin, times(OTHERS)).await?;
    let worker = [TestEdge::start(EdgeKind::Worker, &settings).await?];
    let worker = at_one(&client, &worker, times(OTHERS)).await?;

    let quick = if quick { "QUICK: a tenth of the revocations. " } else { "" };
    let mut part = Part::new(
        "From revoked to refused",
        format!(
            "{quick}From the origin's answer to `POST /oauth/revoke` to an edge's first refusal, over HTTP, release build. Origin, \
             {EDGES} runners (component mode, three instances each, long polling) and the asking client share one process and this \
             machine. The edge asked is another each time, every millisecond; or all of them at once, every 5 ms. Worker \
             (workerd under wrangler) and Spin component are attached beside the runners and asked every millisecond."
        ),
    );
    for (name, times, median) in [
        (format!("one of {EDGES} runners"), &one, Some(50.0)),
        (format!("the first of {EDGES} runners"), &first, None),
        (format!("the last of {EDGES} runners"), &last, None),
        ("the Spin component".to_owned(), &spin, None),
        ("the Worker in workerd".to_owned(), &worker, None),
    ] {
        part.figures.extend(figures(&name, times, median));
    }
    let series = vec![
        Series::distribution("one of 50 runners", &one),
        Series::distribution("last of 50 runners", &last),
        Series::distribution("Spin component", &spin),
        Series::distribution("Worker (workerd)", &worker),
        Series::line("promised: 1 s", vec![(1000.0, 0.0), (1000.0, 100.0)]).bound(),
    ];
    let x = Axis::new("milliseconds from the origin's answer to the first refusal", Scale::Log, (0.1, 2000.0));
    let y = Axis::new("percent of the revocations", Scale::Linear, (0.0, 100.0));
    let title = "Revoked at the origin, refused at the edge".to_owned();
    Plot { title, x, y, series }.save(&plots.join("delivery.svg"))?;
    part.plots.push(("delivery.svg".to_owned(), "How many revocations were in force how soon".to_owned()));
    Ok(part)
}

/// Percentiles of sorted milliseconds, with the targets: every maximum is under a second.
fn figures(name: &str, times: &[f64], median: Option<f64>) -> Vec<Figure> {
    let figure = |percent: f64, word: &str| {
        Figure::new(format!("{name}, {} revocations: {word}", times.len()), percentile(times, percent), "ms")
    };
    let half = figure(50.0, "median");
    let half = median.map_or(half.clone(), |limit| half.at_most(limit));
    vec![half, figure(90.0, "90 %"), figure(99.0, "99 %"), figure(100.0, "maximum").at_most(1000.0)]
}

/// Sorted milliseconds until one edge, another each time, refuses.
async fn at_one(client: &ServiceClient, edges: &[TestEdge], count: usize) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(count);
    for nth in 0..count {
        let edge = edges.get(nth % edges.len()).context("an edge")?;
        let token = revocable(client, nth).await?;
        ensure!(client.status(&edge.url, &token).await? == 200, "{:?} lets a good token pass", edge.kind);
        client.revoke(&token).await?;
        times.push(until_refused(client.http.clone(), edge.url.clone(), token, Instant::now(), GRAIN).await?);
    }
    Ok(sorted(times))
}

/// Sorted milliseconds until the first and until the last of all edges refuses.
async fn at_all(client: &ServiceClient, edges: &[TestEdge], count: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let (mut firsts, mut lasts) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for nth in 0..count {
        let token = revocable(client, nth).await?;
        client.revoke(&token).await?;
        let answered = Instant::now();
        let mut asking = JoinSet::new();
        for edge in edges {
            let (http, url, token) = (client.http.clone(), edge.url.clone(), token.clone());
            asking.spawn(until_refused(http, url, token, answered, COARSE_GRAIN));
        }
        let times = asking.join_all().await.into_iter().collect::<Result<Vec<f64>>>()?;
        let times = sorted(times);
        firsts.push(percentile(&times, 0.0));
        lasts.push(percentile(&times, 100.0));
    }
    Ok((sorted(firsts), sorted(lasts)))
}

/// A token, after a pause of 5 to 45 ms that keeps in step with nobody's polling.
async fn revocable(client: &ServiceClient, nth: usize) -> Result<String> {
    sleep(Duration::from_micros(5_000 + nth as u64 * 7_919 % 40_000)).await;
    client.token("").await
}

/// Milliseconds from `since` to the first refusal.
async fn until_refused(
    http: reqwest::Client,
    url: String,
    token: String,
    since: Instant,
    grain: Duration,
) -> Result<f64> {
    loop {
        let status = http.get(&url).bearer_auth(&token).send().await?.status().as_u16();
        let elapsed = since.elapsed();
        if status == 401 {
            return Ok(elapsed.as_secs_f64() * 1e3);
        }
        ensure!(status == 200, "{url} answers {status}");
        ensure!(elapsed < PATIENCE, "{url} never refuses");
        sleep(grain).await;
    }
}
