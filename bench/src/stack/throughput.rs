//! Revocations per second that an origin on SQLite commits durably, and the lag of an edge
//! meanwhile.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tollgate_bench::figures::{Figure, Part};
use tollgate_bench::measure::{percentile, seconds, sorted};
use tollgate_bench::plot::{Axis, Plot, Scale, Series};
use tollgate_bench::population::Population;
use tollgate_model::{
    Access, AccessToken, Actor, Audience, AuthorizationDetails, ClientId, NewRevocation, Scope, Target, TokenDraft,
};
use tollgate_storage::{Batch, Store, Writer};
use tollgate_tests::client::TestClient;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::{install_tls_provider, now};
use tollgate_tests::origin::{AUDIENCE, TestOrigin};

/// Target, revocations per second.
const MIN_RATE: f64 = 10_000.0;
/// Requested rate, revocations per second: above the target, so that the target can be exceeded.
const REQUESTED_RATE: f64 = 10_500.0;
/// Interval of the requests for the edge's sequence: the resolution of its lag.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Concurrent requests, for revocations over HTTP.
const CALLERS: usize = 64;
/// Tokens issued in one transaction.
const ISSUE_BATCH: usize = 1000;

/// Points of seconds since the start and the number of revocations until then.
type Timeline = Vec<(f64, f64)>;

/// Measures with one runner.
pub(crate) async fn measure(plots: &Path, quick: bool) -> Result<Part> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = Arc::new(TestClient::register_with_cli(&origin, "bench", &[])?);
    let edge = TestEdge::start(EdgeKind::Runner, &origin.edge_settings(&upstream.url).await?).await?;
    let duration = Duration::from_secs(if quick { 3 } else { 15 });

    let over_http = over_http(&client, if quick { 500 } else { 2000 }).await?;
    let count = (REQUESTED_RATE * duration.as_secs_f64()) as usize;
    let tokens = issue(origin.server.store(), &client, count).await?;
    let before = sequence(&client.http, &edge.url).await?;
    let observing = tokio::spawn(observe(client.http.clone(), edge.url.clone(), before + count as f64));
    let started = Instant::now();
    let committed = revoke_all(origin.server.store(), &tokens, started).await?;
    let observed = observing.await??;
    let observed = observed.since(started, before);
    let lags = lags(&committed.timeline, &observed)?;
    let rate = committed.timeline.last().map_or(0.0, |(at, count)| count / at);

    let quick = if quick { "QUICK: shorter measurement. " } else { "" };
    let mut part = Part::new(
        "Revocations per second",
        format!(
            "{quick}SQLite in WAL mode; each commit is synced to disk before it is acknowledged. By the group commit: {REQUESTED_RATE} \
             callers per second each revoke one recorded token and wait for the acknowledgement. The edge is a runner that syncs \
             over HTTP; its lag is the time from a commit until the edge reports the commit's last sequence, requested every {} \
             ms. Over HTTP: {CALLERS} concurrent callers with client authentication, on the same cores as the origin.",
            POLL_INTERVAL.as_millis()
        ),
    );
    part.figures = vec![
        Figure::new("one sync to disk (fdatasync after 4 KiB)", sync_ms()?, "ms"),
        Figure::new(format!("committed by the group commit over {} s", duration.as_secs()), rate, "per second")
            .at_least(MIN_RATE),
        Figure::new("time to the acknowledgement, median", percentile(&committed.waits, 50.0), "ms"),
        Figure::new("time to the acknowledgement, 99 %", percentile(&committed.waits, 99.0), "ms"),
        Figure::new("lag of the edge, median", percentile(&lags, 50.0), "ms"),
        Figure::new("lag of the edge, 99 %", percentile(&lags, 99.0), "ms"),
        Figure::new("lag of the edge, maximum", percentile(&lags, 100.0), "ms").at_most(1000.0),
        Figure::new("over HTTP (POST /oauth/revoke)", over_http, "per second"),
    ];
    draw(plots, &committed.timeline, &observed)?;
    part.plots
        .push(("throughput.svg".to_owned(), "Revocations committed at the origin and applied at the edge".to_owned()));
    Ok(part)
}

fn draw(plots: &Path, committed: &Timeline, observed: &Timeline) -> Result<()> {
    // A few hundred points suffice for the plot.
    let thousands = |timeline: &Timeline| {
        let step = timeline.len().div_ceil(400).max(1);
        timeline.iter().step_by(step).chain(timeline.last()).map(|(at, count)| (*at, count / 1000.0)).collect()
    };
    let end = committed.last().map_or(1.0, |(at, _)| at.ceil());
    let series = vec![
        Series::line("committed", thousands(committed)),
        Series::line("applied at the edge", thousands(observed)),
        Series::line("target", vec![(0.0, 0.0), (end, MIN_RATE * end / 1000.0)]).as_bound(),
    ];
    let x = Axis::new("seconds", Scale::Linear, (0.0, end));
    let y = Axis::new("revocations, thousands", Scale::Linear, (0.0, REQUESTED_RATE * end / 1000.0));
    let title = "10,000 revocations per second".to_owned();
    Plot { title, x, y, series }.save(&plots.join("throughput.svg"))
}

/// Records `count` tokens.
async fn issue(store: &Store, client: &TestClient, count: usize) -> Result<Vec<AccessToken>> {
    let (client_id, audience): (ClientId, Audience) = (client.id.parse()?, AUDIENCE.parse()?);
    let access =
        Access { scope: Scope::default(), audience: audience.into(), details: AuthorizationDetails::default() };
    let at = now();
    let draft = |nth: u64| -> Result<TokenDraft> {
        let id = Population::token(nth).revocation_id();
        let random = *id.as_bytes().last_chunk().context("the id is too short")?;
        Ok(TokenDraft::for_client(random, &client_id, access.clone(), "bench".to_owned(), at, 3600))
    };
    let drafts = (0..count as u64).map(draft).collect::<Result<Vec<TokenDraft>>>()?;
    let mut tokens = Vec::with_capacity(count);
    for issues in drafts.chunks(ISSUE_BATCH) {
        let outcome = store
            .apply(Batch { issuances: issues.iter().cloned().map(Into::into).collect(), ..Batch::default() })
            .await?;
        for token in outcome.issued {
            tokens.push(*token?);
        }
    }
    Ok(tokens)
}

/// Results of the revocations.
struct CommitResults {
    /// Number of acknowledged revocations over time.
    timeline: Timeline,
    /// Milliseconds from the request to the acknowledgement, sorted.
    waits: Vec<f64>,
}

/// Revokes the tokens at the requested rate, without waiting for acknowledgements.
async fn revoke_all(store: &Store, tokens: &[AccessToken], started: Instant) -> Result<CommitResults> {
    let (writer, writing) = Writer::new(store.clone());
    tokio::spawn(writing);
    let (mut requests, mut requested) = (JoinSet::new(), 0);
    while requested < tokens.len() {
        let due = ((started.elapsed().as_secs_f64() * REQUESTED_RATE) as usize).min(tokens.len());
        for token in tokens.get(requested..due).unwrap_or_default() {
            let (writer, revoke, at) = (writer.clone(), revocation(token)?, Instant::now());
            requests.spawn(async move {
                let revoked = writer.revoke(revoke).await?;
                ensure!(revoked.is_new_to_edges, "a token was revoked twice");
                Ok((started.elapsed().as_secs_f64(), at.elapsed().as_secs_f64() * 1e3))
            });
        }
        requested = due;
        sleep(Duration::from_millis(1)).await;
    }
    let answers = requests.join_all().await.into_iter().collect::<Result<Vec<(f64, f64)>>>()?;
    let times = sorted(answers.iter().map(|answer| answer.0).collect());
    let timeline = times.into_iter().zip(1..).map(|(at, nth)| (at, f64::from(nth))).collect();
    Ok(CommitResults { timeline, waits: sorted(answers.into_iter().map(|answer| answer.1).collect()) })
}

fn revocation(token: &AccessToken) -> Result<NewRevocation> {
    Ok(NewRevocation::any(Target::Token(token.id.to_string()), Actor::command_line(None), None, now())?)
}

/// Revocations per second over HTTP.
async fn over_http(client: &Arc<TestClient>, count: usize) -> Result<f64> {
    let mut tokens = Vec::with_capacity(count);
    for _ in 0..count {
        tokens.push(client.token("").await?);
    }
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for portion in tokens.chunks(count.div_ceil(CALLERS)) {
        let (client, portion) = (Arc::clone(client), portion.to_vec());
        callers.spawn(async move {
            for token in portion {
                client.revoke(&token).await?;
            }
            anyhow::Ok(())
        });
    }
    callers.join_all().await.into_iter().collect::<Result<()>>()?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// The edge's sequences with the times of the answers.
struct ObservedSequences(Vec<(Instant, f64)>);

impl ObservedSequences {
    /// The timeline since `started`, counted from the sequence `before`.
    fn since(&self, started: Instant, before: f64) -> Timeline {
        let at = |at: &Instant| at.saturating_duration_since(started).as_secs_f64();
        self.0.iter().map(|(time, sequence)| (at(time), sequence - before)).collect()
    }
}

/// Polls the edge's sequence until it is `last`.
async fn observe(http: reqwest::Client, edge: String, last: f64) -> Result<ObservedSequences> {
    let (mut observed, started) = (Vec::new(), Instant::now());
    loop {
        let sequence = sequence(&http, &edge).await?;
        observed.push((Instant::now(), sequence));
        if sequence >= last {
            return Ok(ObservedSequences(observed));
        }
        ensure!(started.elapsed() < Duration::from_secs(120), "the edge is at sequence {sequence}, not at {last}");
        sleep(POLL_INTERVAL).await;
    }
}

async fn sequence(http: &reqwest::Client, edge: &str) -> Result<f64> {
    let health: Value = http.get(format!("{edge}/_tollgate/health")).send().await?.json().await?;
    health["sequence"].as_f64().with_context(|| format!("the edge reports no sequence: {health}"))
}

/// Sorted milliseconds from each commit until the edge applied it.
fn lags(committed: &Timeline, observed: &Timeline) -> Result<Vec<f64>> {
    let mut observed = observed.iter();
    let mut point = observed.next().context("no sequence of the edge")?;
    let mut lags = Vec::with_capacity(committed.len());
    for (at, count) in committed {
        while point.1 < *count {
            point = observed.next().context("the edge did not apply all revocations")?;
        }
        lags.push(((point.0 - at) * 1e3).max(0.0));
    }
    Ok(sorted(lags))
}

/// The median time to sync 4 KiB to disk, in milliseconds.
fn sync_ms() -> Result<f64> {
    let mut file = tempfile::tempfile()?;
    let mut times = Vec::new();
    for _ in 0..51 {
        file.write_all(&[7; 4096])?;
        let (synced, took) = seconds(|| file.sync_data());
        synced?;
        times.push(took * 1e3);
    }
    Ok(percentile(&sorted(times), 50.0))
}
