//! The origin and its snapshot, which a gate of its own takes as the edge's gate would.

use super::{Finding, Report};
use crate::Settings;
use crate::origin_client::OriginClient;
use crate::response::now_ms;
use crate::sync::new_question;
use std::time::Duration;
use tollgate_core::{Route, Snapshot};
use tollgate_gate::{Gate, Nonce, Question};

/// Answers until the replica is complete: a snapshot and the changes after it.
const MAX_ANSWERS: usize = 16;

/// Fetches the snapshot and what follows it. Returns the routes that name an upstream, each with
/// that name.
pub(super) async fn check(settings: &Settings, report: &mut Report) -> Vec<(String, String)> {
    let get =
        |name: &str| settings.gate_settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let gate = match tollgate_gate::Settings::from_lookup(get) {
        Ok(parsed) => Box::new(Gate::new(parsed)),
        Err(error) => {
            report.add("origin", Finding::failed(error.to_string()));
            return Vec::new();
        }
    };
    match fetch(settings, gate).await {
        Ok(gate) => {
            report.add("origin", Finding::ok(format!("{} answers", settings.origin)));
            snapshot(&gate, report)
        }
        Err(problem) => {
            report.add("origin", Finding::failed(format!("{}: {problem}", settings.origin)));
            Vec::new()
        }
    }
}

/// Takes the origin's answers until there is nothing more to fetch.
async fn fetch(settings: &Settings, mut gate: Box<Gate>) -> Result<Box<Gate>, String> {
    let client = OriginClient::new(&settings.origin).map_err(|error| error.to_string())?;
    for _ in 0..MAX_ANSWERS {
        let question = question()?;
        let answer = client.get(&gate.next_fetch(0, &question), Duration::ZERO, None).await?;
        if !gate.accept(answer.status, &answer.body, &question).map_err(|error| error.to_string())? {
            return Ok(gate);
        }
    }
    Err("the changes after the snapshot have no end".to_owned())
}

/// Reports what the snapshot has.
fn snapshot(gate: &Gate, report: &mut Report) -> Vec<(String, String)> {
    let bytes = gate.snapshot().unwrap_or_default();
    let snapshot = match Snapshot::decode(bytes.to_vec(), &gate.settings().snapshot_keys) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            report.add("snapshot", Finding::failed(error.to_string()));
            return Vec::new();
        }
    };
    let (routes, age) = (snapshot.config().routes(), gate.replica_age_ms(now_ms()));
    let detail = format!(
        "issuer {}, {} bytes, {} routes, at change {}, fresh as of {} ms ago",
        snapshot.issuer(),
        bytes.len(),
        routes.len(),
        gate.sequence().unwrap_or_default(),
        age.unwrap_or_default()
    );
    report.add("snapshot", if age.is_some() { Finding::ok(detail) } else { Finding::failed("is not fresh") });
    let named = |route: &Route| Some((route.path().to_owned(), route.upstream()?.to_owned()));
    routes.iter().filter_map(named).collect()
}

fn question() -> Result<Question, String> {
    let random = new_question()?;
    let (first, second) = random.nonce;
    let mut nonce = [0; Nonce::LEN];
    nonce[..8].copy_from_slice(&first.to_be_bytes());
    nonce[8..].copy_from_slice(&second.to_be_bytes());
    Ok(Question { nonce: Nonce::from_bytes(nonce), asked_at_ms: random.asked_at_ms })
}
