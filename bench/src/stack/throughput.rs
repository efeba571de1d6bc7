//! How many revocations a second an origin on SQLite commits durably, and whether an edge keeps up with them.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tollgate::domain::{
    Access, AccessToken, Actor, Audience, AuthorizationDetails, ClientId, Revoke, Scope, Target, TokenDraft,
};
use tollgate::store::{Batch, Store, Writer};
use tollgate_bench::figures::{Figure, Part};
use tollgate_bench::measure::{percentile, seconds, sorted};
use tollgate_bench::plot::{Axis, Plot, Scale, Series};
use tollgate_bench::population::Population;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::{install_tls_provider, now};
use tollgate_tests::origin::{AUDIENCE, TestOrigin};
use tollgate_tests::service_client::ServiceClient;

/// What is promised, revocations a second.
const PROMISED: f64 = 10_000.0;
/// What is asked of the origin: a little more, so that the promise is seen to be kept.
const OFFERED: f64 = 10_500.0;
/// How often the edge is asked where it stands: the grain of its lag.
const GRAIN: Duration = Duration::from_millis(10);
/// Requests under way at a time, where revocations come over HTTP.
const CALLERS: usize = 64;
/// Tokens issued in one transaction.
const BATCH: usize = 1000;

/// When how many were there: seconds since the start, and their number.
type Course = Vec<(f64, f64)>;

/// Measures at one runner.
pub(crate) async fn measure(plots: &Path, quick: bool) -> Result<Part> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let client = Arc::new(ServiceClient::register(&origin, "bench", &[])?);
    let edge = TestEdge::start(EdgeKind::Runner, &origin.edge_settings(&upstream.url).await?).await?;
    let duration = Duration::from_secs(if quick { 3 } else { 15 });

    let over_http = over_http(&client, if quick { 500 } else { 2000 }).await?;
    let count = (OFFERED * duration.as_secs_f64()) as usize;
    let tokens = issue(origin.server.store(), &client, count).await?;
    let before = sequence(&client.http, &edge.url).await?;
    let watching = tokio::spawn(watch(client.http.clone(), edge.url.clone(), before + count as f64));
    let started = Instant::now();
    let committed = revoke_all(origin.server.store(), &tokens, started).await?;
    let seen = watching.await??;
    let seen = seen.since(started, before);
    let lags = lags(&committed.course, &seen)?;
    let rate = committed.course.last().map_or(0.0, |(at, count)| count / at);

    let quick = if quick { "QUICK: for a short while only. " } else { "" };
    let mut part = Part::new(
        "Revocations a second",
        format!(
            "{quick}SQLite in WAL mode, every commit synced to the disk before it is acknowledged. Through the \
             store's group commit: {OFFERED} callers a second each revoke one recorded token and wait for its acknowledgement. The \
             edge is a runner that follows the origin over HTTP; its lag is the time from a commit \
             to the edge telling that it has the commit's last revocation, asked every {} ms. Over HTTP: {CALLERS} callers at a \
             time, client authentication and all, callers and origin on the same cores.",
            GRAIN.as_millis()
        ),
    );
    part.figures = vec![
        Figure::new("one sync of the disk (fdatasync after 4 KiB)", sync_ms()?, "ms"),
        Figure::new(format!("committed through the store over {} s", duration.as_secs()), rate, "a second")
            .at_least(PROMISED),
        Figure::new("from asking to the acknowledgement, median", percentile(&committed.waits, 50.0), "ms"),
        Figure::new("from asking to the acknowledgement, 99 %", percentile(&committed.waits, 99.0), "ms"),
        Figure::new("the edge's lag, median", percentile(&lags, 50.0), "ms"),
        Figure::new("the edge's lag, 99 %", percentile(&lags, 99.0), "ms"),
        Figure::new("the edge's lag, maximum", percentile(&lags, 100.0), "ms").at_most(1000.0),
        Figure::new("over HTTP (POST /oauth/revoke)", over_http, "a second"),
    ];
    draw(plots, &committed.course, &seen)?;
    part.plots
        .push(("throughput.svg".to_owned(), "Revocations committed at the origin, and known to the edge".to_owned()));
    Ok(part)
}

fn draw(plots: &Path, committed: &Course, seen: &Course) -> Result<()> {
    // A few hundred points are as many as can be seen.
    let thousands = |course: &Course| {
        let step = course.len().div_ceil(400).max(1);
        course.iter().step_by(step).chain(course.last()).map(|(at, count)| (*at, count / 1000.0)).collect()
    };
    let end = committed.last().map_or(1.0, |(at, _)| at.ceil());
    let series = vec![
        Series::line("committed", thousands(committed)),
        Series::line("known to the edge", thousands(seen)),
        Series::line("promised", vec![(0.0, 0.0), (end, PROMISED * end / 1000.0)]).bound(),
    ];
    let x = Axis::new("seconds", Scale::Linear, (0.0, end));
    let y = Axis::new("revocations, thousands", Scale::Linear, (0.0, OFFERED * end / 1000.0));
    let title = "Revocations at a steady 10,000 a second".to_owned();
    Plot { title, x, y, series }.save(&plots.join("throughput.svg"))
}

/// Records so many tokens.
async fn issue(store: &Store, client: &ServiceClient, count: usize) -> Result<Vec<AccessToken>> {
    let (id, audience): (ClientId, Audience) = (client.id.parse()?, AUDIENCE.parse()?);
    let access =
        Access { scope: Scope::default(), audience: audience.into(), details: AuthorizationDetails::default() };
    let at = now();
    let draft = |nth: u64| -> Result<TokenDraft> {
        let name = Population::token(nth).revocation_id();
        let random = *name.as_bytes().last_chunk().context("an identifier is longer")?;
        Ok(TokenDraft::for_client(random, &id, access.clone(), "bench".to_owned(), at, 3600))
    };
    let drafts = (0..count as u64).map(draft).collect::<Result<Vec<TokenDraft>>>()?;
    let mut tokens = Vec::with_capacity(count);
    for issues in drafts.chunks(BATCH) {
        let outcome =
            store.apply(Batch { issues: issues.iter().cloned().map(Into::into).collect(), ..Batch::default() }).await?;
        for token in outcome.issued {
            tokens.push(*token?);
        }
    }
    Ok(tokens)
}

/// What became of the revocations that came due.
struct Committed {
    /// How many were acknowledged when.
    course: Course,
    /// Milliseconds from asking to the acknowledgement, sorted.
    waits: Vec<f64>,
}

/// Revokes each token when it comes due, without waiting for those before.
async fn revoke_all(store: &Store, tokens: &[AccessToken], started: Instant) -> Result<Committed> {
    let (writer, writing) = Writer::new(store.clone());
    tokio::spawn(writing);
    let (mut asking, mut asked) = (JoinSet::new(), 0);
    while asked < tokens.len() {
        let due = ((started.elapsed().as_secs_f64() * OFFERED) as usize).min(tokens.len());
        for token in tokens.get(asked..due).unwrap_or_default() {
            let (writer, revoke, at) = (writer.clone(), revocation(token)?, Instant::now());
            asking.spawn(async move {
                let revoked = writer.revoke(revoke).await?;
                ensure!(revoked.is_news, "every token is revoked once");
                Ok((started.elapsed().as_secs_f64(), at.elapsed().as_secs_f64() * 1e3))
            });
        }
        asked = due;
        sleep(Duration::from_millis(1)).await;
    }
    let answers = asking.join_all().await.into_iter().collect::<Result<Vec<(f64, f64)>>>()?;
    let times = sorted(answers.iter().map(|answer| answer.0).collect());
    let course = times.into_iter().zip(1..).map(|(at, nth)| (at, f64::from(nth))).collect();
    Ok(Committed { course, waits: sorted(answers.into_iter().map(|answer| answer.1).collect()) })
}

fn revocation(token: &AccessToken) -> Result<Revoke> {
    Ok(Revoke::any(Target::Token(token.id.to_string()), Actor::command_line(None), None, now())?)
}

/// Revocations a second over HTTP.
async fn over_http(client: &Arc<ServiceClient>, count: usize) -> Result<f64> {
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

/// When the edge told which sequence.
struct Seen(Vec<(Instant, f64)>);

impl Seen {
    /// As a course from `started` on, counted from the sequence `before`.
    fn since(&self, started: Instant, before: f64) -> Course {
        let at = |at: &Instant| at.saturating_duration_since(started).as_secs_f64();
        self.0.iter().map(|(time, sequence)| (at(time), sequence - before)).collect()
    }
}

/// Asks the edge where it stands until it stands at `last`.
async fn watch(http: reqwest::Client, edge: String, last: f64) -> Result<Seen> {
    let (mut seen, started) = (Vec::new(), Instant::now());
    loop {
        let sequence = sequence(&http, &edge).await?;
        seen.push((Instant::now(), sequence));
        if sequence >= last {
            return Ok(Seen(seen));
        }
        ensure!(started.elapsed() < Duration::from_secs(120), "the edge stands at {sequence} and not at {last}");
        sleep(GRAIN).await;
    }
}

async fn sequence(http: &reqwest::Client, edge: &str) -> Result<f64> {
    let health: Value = http.get(format!("{edge}/_tollgate/health")).send().await?.json().await?;
    health["sequence"].as_f64().with_context(|| format!("the edge tells no sequence: {health}"))
}

/// Sorted milliseconds from each commit until the edge had it.
fn lags(committed: &Course, seen: &Course) -> Result<Vec<f64>> {
    let mut seen = seen.iter();
    let mut standing = seen.next().context("the edge was asked")?;
    let mut lags = Vec::with_capacity(committed.len());
    for (at, count) in committed {
        while standing.1 < *count {
            standing = seen.next().context("the edge has all of it at the end")?;
        }
        lags.push(((standing.0 - at) * 1e3).max(0.0));
    }
    Ok(sorted(lags))
}

/// The median time of making 4 KiB durable where the database lies, milliseconds.
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
