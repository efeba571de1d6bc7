//! Benchmarks of the component that edges run, through its interface: the time to the first answer
//! of a new instance, and the cost of single calls (`verify`) and of batches (`verify-all`).

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

/// Number of new instances.
const NEW_INSTANCES: usize = 21;
const SECRET: [u8; 32] = [3; 32];

/// Serves as a lane that verifies the kit's batch: `singles/HS256` in single calls, `batch/HS256`
/// in one call.
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
                other => bail!("unknown check {other}"),
            };
            ensure!(allowed, "{check} gave a wrong answer");
        }
        Ok(started.elapsed())
    })
}

/// The median time from compiled code and bytes in memory to the first answer, in milliseconds.
pub(crate) fn first_answer_ms(file: &Path, snapshot: &[u8]) -> Result<f64> {
    let program = Program::load(file)?;
    let signing = Signer::hs256(&SECRET)?;
    let settings = settings(ISSUER, AUDIENCE, &signing.jwk);
    let token = signing.token(&Population::token(1).to_string(), NOW);
    let heartbeat = heartbeat(ISSUER, snapshot, NOW)?;
    let mut times = Vec::with_capacity(NEW_INSTANCES);
    for _ in 0..NEW_INSTANCES {
        let (verdict, took) = seconds(|| first_verdict(&program, &settings, snapshot, &heartbeat, &token));
        let verdict = verdict?;
        ensure!(verdict.allowed, "a valid token is refused: {}", verdict.reason);
        times.push(took * 1e3);
    }
    Ok(percentile(&sorted(times), 50.0))
}

/// A signed heartbeat: nothing changed between the snapshot and the Unix second `now`. Without it
/// the replica is stale.
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

/// An instance with the snapshot and a heartbeat of the Unix second `now`.
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
        // Without the token cache, and with a staleness bound that is longer than the measurement.
        ("TOLLGATE_EDGE_CACHED_TOKENS", "0".to_owned()),
        ("TOLLGATE_EDGE_MAX_STALENESS_MS", "3600000".to_owned()),
    ];
    settings.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

fn trapped(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("the component trapped: {error:#}")
}
