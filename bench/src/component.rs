//! The component that edges run, over its own interface: how soon a fresh instance gives its first verdict, and what a verdict costs
//! when tokens are handed over one by one (`verify`) or many at once (`verify-all`).

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tollgate_bench::lanes;
use tollgate_bench::measure::{percentile, seconds, sorted};
use tollgate_bench::population::{Population, signer};
use tollgate_bench::tokens::{AUDIENCE, ISSUER, NOW, Signer};
use tollgate_bench_lane::Kit;
use tollgate_core::{DeltaParts, Nonce, Snapshot, build_deltas};
use tollgate_edge::{Program, Question, Validator, Verdict};

/// Fresh instances of the component.
const FRESH: usize = 21;
const SECRET: [u8; 32] = [3; 32];

/// Judges the kit's batch on demand: `singles/HS256` a token a call, `batch/HS256` all in one.
#[expect(clippy::disallowed_methods, reason = "tokens are verified at the time of the run")]
pub(crate) fn lane(program: &Path, folder: &Path) -> Result<()> {
    let kit: Kit = serde_json::from_slice(&fs::read(folder.join("kit.json"))?)?;
    let snapshot = fs::read(folder.join("kit.snapshot"))?;
    let settings = settings(&kit.issuer, &kit.audience, &kit.token("HS256")?.jwk);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let heartbeat = heartbeat(&kit.issuer, &snapshot, now)?;
    let mut validator = ready(&Program::load(program)?, &settings, &snapshot, &heartbeat, now)?;
    let tokens: Vec<Vec<u8>> = kit.batch.iter().map(|token| token.clone().into_bytes()).collect();
    lanes::serve(|check, count| {
        let started = Instant::now();
        for _ in 0..count {
            let allowed = match check {
                "singles/HS256" => {
                    let verdicts = tokens.iter().map(|token| validator.verify(token, &[], now).map_err(trapped));
                    verdicts.collect::<Result<Vec<_>>>()?.iter().all(|verdict| verdict.allowed)
                }
                "batch/HS256" => {
                    let verdicts = validator.verify_all(&tokens, &[], now).map_err(trapped)?;
                    verdicts.len() == tokens.len() && verdicts.iter().all(|verdict| verdict.allowed)
                }
                other => bail!("there is no check {other}"),
            };
            ensure!(allowed, "{check} came out wrong");
        }
        Ok(started.elapsed())
    })
}

/// The median time from nothing but compiled code and bytes in memory to a verdict, milliseconds.
pub(crate) fn fresh(file: &Path, snapshot: &[u8]) -> Result<f64> {
    let program = Program::load(file)?;
    let signing = Signer::hs256(&SECRET)?;
    let settings = settings(ISSUER, AUDIENCE, &signing.jwk);
    let token = signing.token(&Population::token(1).to_string(), NOW);
    let heartbeat = heartbeat(ISSUER, snapshot, NOW)?;
    let mut times = Vec::with_capacity(FRESH);
    for _ in 0..FRESH {
        let (verdict, took) = seconds(|| first_verdict(&program, &settings, snapshot, &heartbeat, &token));
        let verdict = verdict?;
        ensure!(verdict.allowed, "the token is good, and yet {}", verdict.reason);
        times.push(took * 1e3);
    }
    Ok(percentile(&sorted(times), 50.0))
}

/// A signed word that nothing changed from the snapshot until the Unix second `now`: without it no verdict is fresh.
fn heartbeat(issuer: &str, snapshot: &[u8], now: u64) -> Result<Vec<u8>> {
    let snapshot = Snapshot::decode(snapshot.to_vec(), &[signer().public_key()])?;
    let parts = DeltaParts {
        issuer,
        after: snapshot.sequence(),
        head: snapshot.sequence(),
        as_of_ms: now * 1000,
        chain: snapshot.chain(),
        config: snapshot.config_digest(),
        epoch: snapshot.epoch() + 1,
        deltas: &[],
        nonce: Some(Nonce::from_bytes([0; Nonce::LEN])),
    };
    Ok(build_deltas(&parts, &signer())?)
}

fn first_verdict(
    program: &Program,
    settings: &[(String, String)],
    snapshot: &[u8],
    heartbeat: &[u8],
    token: &str,
) -> Result<Verdict> {
    let mut validator = ready(program, settings, snapshot, heartbeat, NOW)?;
    validator.verify(token.as_bytes(), &[], NOW).map_err(trapped)
}

/// An instance that has the snapshot, and heard at the Unix second `now` that nothing changed since.
fn ready(
    program: &Program,
    settings: &[(String, String)],
    snapshot: &[u8],
    heartbeat: &[u8],
    now: u64,
) -> Result<Validator> {
    let mut validator = Validator::open(program, settings).map_err(|error| anyhow!("{error}"))?;
    validator.warm(snapshot).map_err(trapped)?.map_err(anyhow::Error::msg)?;
    let question = Question { asked_at_ms: now * 1000, nonce: (0, 0) };
    validator.accept(200, heartbeat, question).map_err(trapped)?.map_err(anyhow::Error::msg)?;
    Ok(validator)
}

fn settings(issuer: &str, audience: &str, jwk: &Value) -> Vec<(String, String)> {
    let settings = [
        ("TOLLGATE_EDGE_ORIGIN", issuer.to_owned()),
        ("TOLLGATE_EDGE_UPSTREAM", "http://127.0.0.1:9".to_owned()),
        ("TOLLGATE_EDGE_SNAPSHOT_KEY", URL_SAFE_NO_PAD.encode(signer().public_key())),
        ("TOLLGATE_EDGE_SECRET_KEYS", json!({ "keys": [jwk] }).to_string()),
        ("TOLLGATE_EDGE_AUDIENCE", audience.to_owned()),
        // What is measured is checking, not remembering; and as long as it takes.
        ("TOLLGATE_EDGE_CACHED_TOKENS", "0".to_owned()),
        ("TOLLGATE_EDGE_MAX_STALENESS_MS", "3600000".to_owned()),
    ];
    settings.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

fn trapped(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("the component trapped: {error:#}")
}
