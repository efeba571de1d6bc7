//! Health of the running origin, part by part.

use serde_json::Value;

use super::{Deployment, Finding};

/// A part of `/health`: its member, the value that is good, and what another one means.
type Part = (&'static [&'static str], &'static str, &'static str, &'static str);

const PARTS: [Part; 9] = [
    (
        &["database", "status"],
        "ok",
        "The running origin cannot read its database.",
        "See the finding about the database, and the network between the two machines.",
    ),
    (
        &["database", "writes"],
        "ok",
        "The running origin cannot write, so it issues no tokens: the database is full, read-only or away.",
        "See the findings about the database and the disk.",
    ),
    (
        &["clock", "status"],
        "ok",
        "The origin's clock differs from the database's, or jumped.",
        "Let NTP (chrony or systemd-timesyncd) set the clocks of both machines.",
    ),
    (
        &["feed", "status"],
        "ok",
        "The origin does not notice changes that other processes make in the database.",
        "Look for errors in the log of the origin. On PostgreSQL, LISTEN must reach the server: no pooler in transaction mode.",
    ),
    (
        &["feed", "snapshots"],
        "ok",
        "The origin cannot publish snapshots, so edges that start have old data.",
        "Look for errors about snapshots in the log of the origin.",
    ),
    (&["keys", "status"], "ok", "No key signs, so no tokens are issued.", "See the findings about keys."),
    (
        &["writer", "status"],
        "ok",
        "The write queue is full: requests are refused with 503.",
        "The database is too slow for the load: see its latency.",
    ),
    (
        &["hashing", "status"],
        "ok",
        "The password hashing queue is full: sign-ins are refused with 503.",
        "Raise TOLLGATE_HASH_WORKERS if processors are idle, or add an origin.",
    ),
    (
        &["redis", "status"],
        "ok",
        "The running origin has lost Redis and applies limits by itself.",
        "See the finding about Redis.",
    ),
];

pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let url = format!("{}/health", deployment.url);
    let answer = match deployment.get(&url).await {
        Ok(answer) => answer,
        Err(reason) => return vec![Finding::skipped(format!("{url} does not answer: {reason}"))],
    };
    let health = answer.json();
    let Some(version) = health["version"].as_str() else {
        return vec![Finding::skipped(format!("{url} responds with {} and no report", answer.status))];
    };
    let mut findings: Vec<Finding> = PARTS.iter().filter_map(|part| judge(&health, *part)).collect();
    if health["status"] == "draining" {
        findings.push(Finding::warning(
            "the origin is shutting down",
            "A load balancer sends it no more requests.",
            "Nothing, if the shutdown is intended.",
        ));
    }
    if version != env!("CARGO_PKG_VERSION") {
        findings.push(Finding::warning(
            format!("the origin runs version {version}, this is {}", env!("CARGO_PKG_VERSION")),
            "This program may judge it by other rules.",
            "Use the `tollgate doctor` of the release that runs.",
        ));
    }
    Finding::or_ok(findings, format!("all parts of the origin at {} work", deployment.url))
}

fn judge(health: &Value, (path, good, meaning, action): Part) -> Option<Finding> {
    let found = path.iter().fold(health, |value, member| &value[member]);
    let found = found.as_str().filter(|found| *found != good)?;
    Some(Finding::fault(format!("{} is {found}", path.join(" ")), meaning, action))
}
