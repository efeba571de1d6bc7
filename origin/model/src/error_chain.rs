//! Errors as one line with all their causes.

use std::error::Error;

/// What the error says and what its causes add to it. Some messages hold their cause's, others leave it to the reader to ask;
/// of the former nothing is repeated here.
pub fn with_causes(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        next = cause.source();
    }
    told
}
