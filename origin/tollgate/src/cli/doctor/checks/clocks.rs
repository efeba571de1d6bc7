//! Clocks: this machine's against those of the database, the origin and the edges.

use tollgate_storage::inspect_database;

use super::edges::HEALTH_PATH;
use super::{Deployment, Finding};

/// Milliseconds by which an origin's clock may differ from the database's.
const MAX_SKEW_MS: u64 = 5_000;
/// Milliseconds by which an edge's clock may differ from its origin's.
const MAX_EDGE_SKEW_MS: u64 = 60_000;
/// Milliseconds: dates in HTTP have no fractions.
const DATE_ERROR_MS: u64 = 1_000;

const NTP: &str = "Let NTP (chrony or systemd-timesyncd) set the clocks of all machines.";

pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let mut findings = Vec::from_iter(check_database(deployment).await);
    findings.extend(check_date(deployment, &deployment.url, "/health/live", MAX_SKEW_MS).await);
    for url in deployment.all_edge_urls().await {
        findings.extend(check_date(deployment, &url, HEALTH_PATH, MAX_EDGE_SKEW_MS).await);
    }
    if findings.is_empty() {
        return vec![Finding::skipped("there is no other clock: SQLite has none, and neither origin nor edge answers")];
    }
    findings
}

async fn check_database(deployment: &Deployment) -> Option<Finding> {
    let inspection = inspect_database(&deployment.settings.database_url, &deployment.clock).await.ok()?;
    let server = inspection.server?;
    let ahead_ms = server.clock_ahead_ms;
    let is_wrong = ahead_ms.unsigned_abs() > MAX_SKEW_MS.saturating_add(server.clock_error_ms);
    Some(match is_wrong {
        true => Finding::fault(
            format!("this machine's clock is {} the database's", difference(ahead_ms)),
            "With more than 5 s /health/ready answers 503: tokens would have wrong dates.",
            NTP,
        ),
        false => Finding::ok(format!("this machine's clock is {} the database's", difference(ahead_ms))),
    })
}

/// Compares with the `Date` of a response. None if there is no response, which other checks report.
async fn check_date(deployment: &Deployment, url: &str, path: &str, max_skew_ms: u64) -> Option<Finding> {
    let ahead_ms = deployment.get(&format!("{url}{path}")).await.ok()?.date_behind_ms?;
    let text = format!("this machine's clock is {} that of {url}", difference(ahead_ms));
    Some(match ahead_ms.unsigned_abs() > max_skew_ms + DATE_ERROR_MS {
        true => Finding::fault(
            text,
            "Tokens expire early or late, and an edge that is more than a minute off accepts nothing from its origin.",
            NTP,
        ),
        false => Finding::ok(text),
    })
}

fn difference(ahead_ms: i64) -> String {
    let seconds = ahead_ms.unsigned_abs() as f64 / 1000.0;
    match ahead_ms {
        -1000..=1000 => "within a second of".to_owned(),
        1001.. => format!("{seconds:.1} s ahead of"),
        _ => format!("{seconds:.1} s behind"),
    }
}
