//! Errors with their causes in one line.

use std::error::Error;

/// The message of an error and of its causes. Causes that a message already contains are not
/// repeated.
pub fn with_causes(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        next = cause.source();
    }
    message
}
