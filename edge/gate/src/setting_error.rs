//! The error of a setting.

use std::fmt;

/// A missing or invalid setting; displays as one line that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// The setting's name.
    pub name: &'static str,
    /// The rest of a sentence that begins with the name.
    pub problem: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.problem)
    }
}

impl std::error::Error for SettingError {}
