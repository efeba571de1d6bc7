//! Edges: reachable, of this issuer, with the right snapshot key, and up to date.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;
use tollgate_keys::KeyRing;
use tollgate_model::encoding::base64url;
use tollgate_model::error_chain::with_causes;

use super::{Deployment, Finding};

pub(super) const HEALTH_PATH: &str = "/_tollgate/health";
/// How often, and after what delay, an edge that is behind is asked again: changes take a moment.
const MAX_ATTEMPTS: usize = 4;
const RETRY_DELAY: Duration = Duration::from_millis(700);
/// Milliseconds after which a registered edge counts as silent.
const SILENCE_MS: u64 = 60_000;
/// How a gate reports a message that no pinned key has signed.
const WRONG_KEY: &str = "not by a pinned snapshot key";

pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let mut findings = registered(deployment).await;
    for url in deployment.all_edge_urls().await {
        findings.push(check_edge(deployment, &url).await);
    }
    if findings.is_empty() {
        return vec![Finding::skipped("no edge is registered, and no --edge given")];
    }
    findings
}

/// Registered edges that have not been heard of.
async fn registered(deployment: &Deployment) -> Vec<Finding> {
    let Some(store) = &deployment.store else { return Vec::new() };
    let edges = match store.list_edges().await {
        Ok(edges) => edges,
        Err(error) => {
            return vec![Finding::fault(
                with_causes(&error),
                "The registered edges cannot be read.",
                "Look at the log of the database.",
            )];
        }
    };
    if edges.is_empty() && deployment.settings.registered_edges_only {
        return vec![Finding::warning(
            "TOLLGATE_REGISTERED_EDGES_ONLY is true, but no edge is registered",
            "No edge gets revocations: each is stale, and refuses its requests.",
            "Register each edge by `tollgate edge add`, and start it with the key that this prints.",
        )];
    }
    let now_ms = deployment.clock.now_ms();
    let is_silent = |at_ms: Option<u64>| at_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) > SILENCE_MS);
    let silent = edges.iter().filter(|edge| is_silent(edge.contacted_at_ms));
    let finding = |edge: &tollgate_model::Edge| {
        Finding::warning(
            format!("the registered edge {} was not seen in the last minute", edge.name),
            "Changes are pushed to it in vain, or it does not say its name when it asks for changes.",
            "Start it with the TOLLGATE_EDGE_KEY that `tollgate edge key` prints, or remove it by `tollgate edge remove`.",
        )
    };
    silent.map(finding).collect()
}

async fn check_edge(deployment: &Deployment, url: &str) -> Finding {
    // The edge must reach what was the newest change before it was asked.
    let newest = newest_sequence(deployment).await;
    let mut health = Value::Null;
    for attempt in 0..MAX_ATTEMPTS {
        if attempt > 0 {
            sleep(RETRY_DELAY).await;
        }
        let answer = match deployment.get(&format!("{url}{HEALTH_PATH}")).await {
            Ok(answer) => answer,
            Err(reason) => {
                return Finding::fault(
                    format!("the edge {url} does not answer: {reason}"),
                    "Requests to the APIs behind it fail, or it cannot be reached from here.",
                    "Check that it runs, its address, and the firewall.",
                );
            }
        };
        health = answer.json();
        let sequence = health["sequence"].as_u64();
        if health["status"] == "ok" && sequence >= newest {
            return judge_issuer(deployment, url, &health)
                .unwrap_or_else(|| Finding::ok(format!("the edge {url} is up to date at {}", sequence.unwrap_or(0))));
        }
    }
    let unhealthy = judge_issuer(deployment, url, &health);
    match unhealthy {
        Some(finding) => finding,
        None => judge_replica(deployment, url, &health, newest).await,
    }
}

fn judge_issuer(deployment: &Deployment, url: &str, health: &Value) -> Option<Finding> {
    let Some(issuer) = health["issuer"].as_str() else {
        return Some(Finding::fault(
            format!("{url}{HEALTH_PATH} is not the report of an edge"),
            "Something else answers at this URL.",
            "Correct the URL. A proxy in front of an edge must forward the paths below /_tollgate.",
        ));
    };
    (issuer != deployment.issuer).then(|| {
        Finding::fault(
            format!("the edge {url} checks tokens of {issuer}, not of {}", deployment.issuer),
            "It refuses all tokens of this origin.",
            "Set its TOLLGATE_EDGE_ISSUER to the public URL of the origin, or remove it if TOLLGATE_EDGE_ORIGIN is that URL.",
        )
    })
}

/// Explains a replica that is missing, stale or behind.
async fn judge_replica(deployment: &Deployment, url: &str, health: &Value, newest: Option<u64>) -> Finding {
    let error = health["last_error"]["error"].as_str().unwrap_or("none");
    if error.contains(WRONG_KEY) {
        let pins = match pins(deployment).await {
            Some(pins) => format!("Set its TOLLGATE_EDGE_SNAPSHOT_KEY to {pins}"),
            None => "Set its TOLLGATE_EDGE_SNAPSHOT_KEY to what `tollgate key snapshot` prints".to_owned(),
        };
        return Finding::fault(
            format!("the edge {url} refuses the origin's messages: {error}"),
            "It has the snapshot key of another origin, or missed a rotation of the key.",
            &format!("{pins}. If that is the key it has, TOLLGATE_EDGE_ORIGIN leads to another origin."),
        );
    }
    let status = health["status"].as_str().unwrap_or("unknown");
    if status != "ok" {
        return Finding::fault(
            format!("the replica of the edge {url} is {status}; its last error: {error}"),
            "Its requests wait and are refused, unless their route says otherwise.",
            "Check that the edge reaches the origin (TOLLGATE_EDGE_ORIGIN), and the clocks of both.",
        );
    }
    let (sequence, newest) = (health["sequence"].as_u64().unwrap_or(0), newest.unwrap_or(0));
    Finding::fault(
        format!("the edge {url} is {} changes behind, at {sequence} of {newest}", newest.saturating_sub(sequence)),
        "It accepts tokens that are revoked.",
        "Check that the edge asks this origin (TOLLGATE_EDGE_ORIGIN), and the log of the edge.",
    )
}

async fn newest_sequence(deployment: &Deployment) -> Option<u64> {
    Some(deployment.store.as_ref()?.get_feed_head().await.ok()?.sequence)
}

/// The public keys that edges pin. They are not secret.
async fn pins(deployment: &Deployment) -> Option<String> {
    let stored = deployment.store.as_ref()?.get_stored_keys().await.ok()?;
    let master = deployment.settings.master_key.load(false).ok()?;
    let keys = KeyRing::open(&master, &stored.keys, stored.revoked, deployment.clock.now()).ok()?;
    Some(keys.snapshot_pins().iter().map(|pin| base64url(pin)).collect::<Vec<_>>().join(","))
}
