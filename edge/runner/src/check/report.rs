//! The result of a check, as text and as JSON.

use serde_json::{Value, json};
use std::fmt;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Works, but may not be meant so.
    Warning,
    /// The edge could not serve.
    Failed,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, in one line.
    pub detail: String,
}

impl Finding {
    pub(crate) fn ok(detail: impl Into<String>) -> Finding {
        Finding { outcome: Outcome::Ok, detail: detail.into() }
    }

    pub(crate) fn warning(detail: impl Into<String>) -> Finding {
        Finding { outcome: Outcome::Warning, detail: detail.into() }
    }

    /// A finding for which the check fails.
    pub fn failed(detail: impl Into<String>) -> Finding {
        Finding { outcome: Outcome::Failed, detail: detail.into() }
    }
}

/// All findings, each with what was checked. Displays as one line for each.
#[derive(Debug, Clone, Default)]
pub struct Report(Vec<(String, Finding)>);

impl Report {
    /// Adds a finding.
    pub fn add(&mut self, checked: &str, finding: Finding) {
        self.0.push((checked.to_owned(), finding));
    }

    /// Whether no check failed.
    pub fn is_ok(&self) -> bool {
        self.0.iter().all(|(_, finding)| finding.outcome != Outcome::Failed)
    }

    /// The findings for programs.
    pub fn json(&self) -> Value {
        let finding = |(checked, finding): &(String, Finding)| json!({ "check": checked, "outcome": finding.outcome.name(), "detail": finding.detail });
        json!({ "ok": self.is_ok(), "checks": self.0.iter().map(finding).collect::<Vec<_>>() })
    }
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Failed => "failed",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (checked, finding) in &self.0 {
            writeln!(f, "{:<8} {checked}: {}", finding.outcome.name(), finding.detail)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_check_fails_the_report() {
        let mut report = Report::default();
        report.add("listen", Finding::warning("in use"));
        assert!(report.is_ok());
        report.add("origin", Finding::failed("away"));
        assert!(!report.is_ok());
        assert_eq!(report.to_string(), "warning  listen: in use\nfailed   origin: away\n");
        assert_eq!(report.json()["checks"][1]["outcome"], "failed");
    }
}
