//! The database: reachable, migrated, this issuer's, fast, durable, with enough connections.

use std::time::Duration;

use tollgate_model::error_chain::with_causes;
use tollgate_storage::{DatabaseInspection, PostgresInspection, StoreError, inspect_database};

use super::{Deployment, Finding};

/// Response time from which each request notices the database.
const SLOW: Duration = Duration::from_millis(20);

pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let status = match &deployment.migrations {
        Ok(status) => status,
        Err(problem) => {
            return vec![Finding::fault(
                problem,
                "The origin serves nothing without its database.",
                "Check TOLLGATE_DATABASE_URL: host and port, the role's password, the name of the database, and whether a \
                 firewall is between.",
            )];
        }
    };
    if status.schema.is_none() {
        return vec![Finding::fault(
            "the database is empty or does not exist",
            "No origin has run on it yet, or TOLLGATE_DATABASE_URL names another one than the origin uses.",
            "Run `tollgate init` or `tollgate serve`, with the same settings and, for a relative path, in the same folder.",
        )];
    }
    let mut findings = Vec::new();
    if !status.pending.is_empty() {
        let action = match status.must_stop_programs() {
            true => "Stop all origins of the older release, then run `tollgate migrate`.",
            false => "Run `tollgate migrate`: origins of the older release may go on.",
        };
        let names: Vec<String> = status.pending.iter().map(|migration| migration.version.to_string()).collect();
        findings.push(Finding::warning(
            format!("migrations are pending: {}", names.join(", ")),
            "This release needs a newer schema; it applies them when it starts. Keys, accounts and edges are checked after that.",
            action,
        ));
    }
    findings.extend(other_issuer(deployment).await);
    match inspect_database(&deployment.settings.database_url, &deployment.clock).await {
        Ok(inspection) => findings.extend(judge(&inspection)),
        Err(error) => findings.push(Finding::fault(
            with_causes(&error),
            "The database answered before, and does not answer now.",
            "Look at the log of the database, and run `tollgate doctor` again.",
        )),
    }
    findings
}

async fn other_issuer(deployment: &Deployment) -> Option<Finding> {
    let wanted = deployment.settings.public_url.as_ref()?;
    match deployment.store.as_ref()?.get_issuer().await {
        Ok(stored) if stored != *wanted => Some(Finding::fault(
            format!("the database belongs to the issuer {stored}, not {wanted}"),
            "Tokens and revocations name the issuer, so `tollgate serve` refuses to start.",
            "Set TOLLGATE_PUBLIC_URL to the issuer of the database, or use another database.",
        )),
        Ok(_) | Err(StoreError::NoIssuer) => None,
        Err(error) => Some(Finding::fault(
            with_causes(&error),
            "The database cannot be read.",
            "Look at the log of the database.",
        )),
    }
}

fn judge(inspection: &DatabaseInspection) -> Vec<Finding> {
    let latency_ms = inspection.latency.as_secs_f64() * 1000.0;
    let mut findings = vec![Finding::ok(format!("{} answers in {latency_ms:.1} ms", inspection.product))];
    if inspection.latency > SLOW {
        findings.push(Finding::warning(
            format!("a statement without work takes {latency_ms:.1} ms"),
            "Each request needs at least one, so the origin is slow, too.",
            "Run the origin near its database.",
        ));
    }
    if let Some(server) = &inspection.server {
        findings.extend(judge_server(server));
    }
    findings
}

fn judge_server(server: &PostgresInspection) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !server.has_fsync {
        findings.push(Finding::fault(
            "PostgreSQL runs with fsync=off",
            "Tokens and revocations that were acknowledged are lost if its machine fails.",
            "Set fsync = on in postgresql.conf.",
        ));
    }
    if !server.is_writable {
        findings.push(Finding::fault(
            "PostgreSQL accepts no writes",
            "It is a standby or read-only, so no token can be issued.",
            "Let TOLLGATE_DATABASE_URL name the primary.",
        ));
    }
    let free = server.max_connections.saturating_sub(server.open_connections);
    if server.max_connections < server.needed_connections {
        findings.push(Finding::fault(
            format!("PostgreSQL allows {} connections", server.max_connections),
            &format!("One issuer of one origin opens up to {}.", server.needed_connections),
            "Raise max_connections in postgresql.conf.",
        ));
    } else if free < server.needed_connections {
        findings.push(Finding::warning(
            format!("{free} of {} connections of PostgreSQL are free", server.max_connections),
            &format!(
                "One more issuer or origin opens up to {}, and waits while there is none.",
                server.needed_connections
            ),
            "Raise max_connections in postgresql.conf before you add an origin.",
        ));
    }
    findings
}
