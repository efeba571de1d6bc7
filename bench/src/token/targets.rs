//! The targets, in the order in which they were promised.

use std::fs;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use tollgate_bench::figures::{Figure, Part};
use tollgate_bench_lane::BATCH;

use super::Run;

/// What the owner's documents name for a check and for making a token, nanoseconds.
const CHECK_NS: f64 = 723.0;
const MAKING_NS: f64 = 917.0;

/// Every promise with what was measured.
pub(crate) fn part(run: &Run<'_>) -> Result<Part> {
    let quick = if run.quick { "QUICK: a fifth of the rounds. " } else { "" };
    let mut part = Part::new(
        "Speed and size",
        format!(
            "{quick}A check is the whole strict profile with a `Clear` from a snapshot of a million revocations of ten million \
             live tokens, of one access token with five scopes: {} bytes with HS256, {} with EdDSA and ES256, {} with RS256. \
             One thread. Each check reads the clock, others' too; in wasmtime alone ours is told the time, as edges tell it to \
             the component. Ratios are medians of rounds in each of which a batch of everything runs, one after the other. \
             WebCrypto and plain p256 do the signature alone, ours the whole check.",
            length(run, "HS256")?,
            length(run, "EdDSA")?,
            length(run, "RS256")?
        ),
    );
    part.figures = [hs256(run)?, webassembly(run)?, signatures(run)?, batches(run)?, sizes(run)?].concat();
    Ok(part)
}

fn length(run: &Run<'_>, algorithm: &str) -> Result<usize> {
    Ok(run.kit.token(algorithm)?.text.len())
}

fn hs256(run: &Run<'_>) -> Result<Vec<Figure>> {
    let ours = ("native", "check/HS256");
    let nanoseconds = run.race.ns(ours.0, ours.1)?;
    let bare = run.race.ratio(ours, ("native", "bare/HS256"))?;
    let mut figures = vec![
        Figure::new("HS256 native: times the bare HMAC-SHA256 of the same bytes, key state kept", bare, "")
            .at_most(2.2),
    ];
    for (name, lane, check) in [
        ("jsonwebtoken on aws-lc", "native-aws-lc", "jsonwebtoken/HS256"),
        ("jsonwebtoken on RustCrypto", "native-peers", "jsonwebtoken/HS256"),
        ("jwt-compact", "native-peers", "jwt-compact/HS256"),
    ] {
        let faster = run.race.ratio((lane, check), ours)?;
        figures.push(Figure::new(format!("HS256 native: times faster than {name}"), faster, "").at_least(3.5));
    }
    figures.push(Figure::new("HS256 native: one check", nanoseconds, "ns").at_most(CHECK_NS));
    figures.push(Figure::new("HS256 native: on one core", 1e3 / nanoseconds, "million a second").at_least(1.38));
    let making = run.race.ns("origin", "issue/HS256")?;
    figures.push(
        Figure::new("making and signing an HS256 token at the origin, its random id included", making, "ns")
            .at_most(MAKING_NS),
    );
    Ok(figures)
}

fn webassembly(run: &Run<'_>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (place, lane, others) in [("wasmtime", "wasmtime", "wasmtime-peers"), ("V8 (Node)", "node", "node")] {
        let faster = run.race.ratio((others, "jsonwebtoken/HS256"), (lane, "check/HS256"))?;
        figures.push(
            Figure::new(format!("HS256 in {place}: times faster than jsonwebtoken there"), faster, "").at_least(2.7),
        );
    }
    let faster = run.race.ratio(("workerd", "jose/HS256"), ("workerd", "check/HS256"))?;
    figures.push(Figure::new("HS256 in workerd: times faster than jose", faster, "").at_least(4.0));
    for (place, lane) in [("wasmtime", "wasmtime"), ("V8 (Node)", "node")] {
        let share = run.race.ratio((lane, "cache/HS256"), (lane, "check/HS256"))?;
        figures.push(
            Figure::new(format!("a hit of the cache, of a full HS256 check, in {place}"), share, "").at_most(0.1),
        );
    }
    Ok(figures)
}

fn signatures(run: &Run<'_>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let faster = run.race.ratio(("node", "webcrypto/EdDSA"), ("node", "large/EdDSA"))?;
    figures
        .push(Figure::new("Ed25519 with a table in V8 (Node): times faster than WebCrypto", faster, "").at_least(1.5));
    for (place, lane) in [("natively", "native"), ("in wasmtime", "wasmtime"), ("in V8 (Node)", "node")] {
        let faster = run.race.ratio((lane, "bare/ES256"), (lane, "large/ES256"))?;
        figures.push(
            Figure::new(format!("P-256 with a table {place}: times faster than plain p256"), faster, "").at_least(4.0),
        );
    }
    Ok(figures)
}

/// By the core's `verify_all`, and by that of the component's interface: there a call has a price of its own. A batch must be seen to
/// be faster: a hundredth would be noise.
fn batches(run: &Run<'_>) -> Result<Vec<Figure>> {
    let figure = |(place, lane): (&str, &str)| -> Result<Figure> {
        let share = run.race.ratio((lane, "batch/HS256"), (lane, "singles/HS256"))?;
        Ok(Figure::new(format!("a token in a batch of {BATCH}, of a single call, {place}"), share, "").at_most(0.98))
    };
    [("natively", "native"), ("of the WIT component", "component")].into_iter().map(figure).collect()
}

fn sizes(run: &Run<'_>) -> Result<Vec<Figure>> {
    let component = fs::read(run.component).with_context(|| format!("cannot read {}", run.component.display()))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&component)?;
    let gzipped = gzip.finish()?.len() as f64 / 1e3;
    let grows = growth(run)?;
    let keys = run.race.ratio(("native", "keys/64"), ("native", "keys/1"))?;
    let (name, worst) = worst(run)?;
    Ok(vec![
        Figure::new("the WIT component with all algorithms", component.len() as f64 / 1e3, "KB").at_most(350.0),
        Figure::new("the WIT component, gzipped", gzipped, "KB").at_most(130.0),
        Figure::new("a byte of a token of 16 KiB, of a byte of one of 2 KiB", grows, "").at_most(1.3),
        Figure::new("a check with 64 keys, of one with a single key", keys, "").at_most(1.1),
        Figure::new(format!("the longest a refusal takes ({name})"), worst / 1e6, "ms").at_most(1.0),
    ])
}

/// What a byte of the largest token costs, of a byte of one of 2 KiB.
fn growth(run: &Run<'_>) -> Result<f64> {
    let lengths = |size: usize| run.kit.sized.iter().map(String::len).filter(move |length| *length <= size);
    let (large, small) = (lengths(usize::MAX).max(), lengths(2048).max());
    let (large, small) = (large.context("there are sized tokens")?, small.context("one has 2 KiB")?);
    let ratio = run.race.ratio(("native", &format!("size/{large}")), ("native", &format!("size/{small}")))?;
    Ok(ratio * small as f64 / large as f64)
}

/// The hostile token that takes longest, and how long, nanoseconds.
fn worst<'a>(run: &'a Run<'_>) -> Result<(&'a str, f64)> {
    let mut worst = ("", 0.0);
    for (nth, hostile) in run.kit.hostile.iter().enumerate() {
        let took = run.race.ns("native", &format!("reject/{nth}"))?;
        if took > worst.1 {
            worst = (&hostile.name, took);
        }
    }
    Ok(worst)
}
