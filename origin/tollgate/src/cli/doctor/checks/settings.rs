//! Settings that are unknown, deprecated, or contradict each other.

use super::{Deployment, Finding};

pub(super) fn check(deployment: &Deployment) -> Vec<Finding> {
    let unknown = deployment.sources.unknown().map(|(name, source)| {
        Finding::warning(
            format!("{name} ({source}) is no setting"),
            "It has no effect. Probably it is misspelt.",
            "Correct or remove it: `tollgate config show` lists the settings.",
        )
    });
    let deprecated = deployment.sources.deprecated().map(|deprecated| {
        Finding::warning(
            format!("{} ({}) is deprecated", deprecated.name, deprecated.source),
            "It works until 1.0.",
            &format!("Rename it to {}.", deprecated.new_name),
        )
    });
    let findings = unknown.chain(deprecated).chain(contradictions(deployment)).collect();
    Finding::or_ok(findings, "all settings are known and valid")
}

/// Pairs of settings of which one makes the other useless.
fn contradictions(deployment: &Deployment) -> Vec<Finding> {
    let (settings, mut findings) = (&deployment.settings, Vec::new());
    if settings.telemetry.metrics_public && settings.telemetry.metrics_listen.is_some() {
        findings.push(Finding::warning(
            "TOLLGATE_METRICS_PUBLIC is true although TOLLGATE_METRICS_LISTEN is set",
            "Metrics are served to clients, too, which the separate listener is meant to prevent.",
            "Remove TOLLGATE_METRICS_PUBLIC.",
        ));
    }
    let are_limits_off = deployment.sources.get("TOLLGATE_LIMITS").is_some_and(|value| value.text == "off");
    let is_limit = |name: &str| name.starts_with("TOLLGATE_LIMIT_") || name == "TOLLGATE_REDIS_URL";
    let limits = tollgate_config::all().map(|setting| setting.name).filter(|name| is_limit(name));
    let useless: Vec<&str> = limits.filter(|name| deployment.is_set(name)).collect();
    if are_limits_off && !useless.is_empty() {
        findings.push(Finding::warning(
            format!("TOLLGATE_LIMITS is off although {} is set", useless.join(", ")),
            "There are no rate limits, so these settings have no effect.",
            "Remove TOLLGATE_LIMITS, or remove the others.",
        ));
    }
    let is_https = deployment.issuer.starts_with("https://");
    if deployment.is_set("TOLLGATE_HSTS") && !is_https && settings.hsts > 0 {
        findings.push(Finding::warning(
            "TOLLGATE_HSTS is set although the public URL is http",
            "The header is sent with https only.",
            "Set TOLLGATE_PUBLIC_URL to an https URL, or remove TOLLGATE_HSTS.",
        ));
    }
    findings
}
