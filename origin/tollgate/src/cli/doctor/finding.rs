//! Findings of a diagnosis: what was checked, and for a problem what it means and what to do.

use serde::Serialize;

/// Verdict of a finding, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    /// Not checked, and why.
    Skipped,
    /// Works, but should be changed.
    Warning,
    /// Does not work, or is unsafe.
    Fault,
}

/// One finding. Never: a secret in a text.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) status: Status,
    /// What was found.
    pub(super) text: String,
    /// What it means for the deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) meaning: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<String>,
}

impl Finding {
    pub(super) fn ok(text: impl Into<String>) -> Finding {
        Finding { status: Status::Ok, text: text.into(), meaning: None, action: None }
    }

    pub(super) fn skipped(text: impl Into<String>) -> Finding {
        Finding { status: Status::Skipped, text: text.into(), meaning: None, action: None }
    }

    pub(super) fn warning(text: impl Into<String>, meaning: &str, action: &str) -> Finding {
        Finding::problem(Status::Warning, text, meaning, action)
    }

    pub(super) fn fault(text: impl Into<String>, meaning: &str, action: &str) -> Finding {
        Finding::problem(Status::Fault, text, meaning, action)
    }

    fn problem(status: Status, text: impl Into<String>, meaning: &str, action: &str) -> Finding {
        Finding { status, text: text.into(), meaning: Some(meaning.to_owned()), action: Some(action.to_owned()) }
    }

    /// `finding`, or the good news if there is none.
    pub(super) fn or_ok(findings: Vec<Finding>, good: impl Into<String>) -> Vec<Finding> {
        if findings.is_empty() { vec![Finding::ok(good)] } else { findings }
    }
}
