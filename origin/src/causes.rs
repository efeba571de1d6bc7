//! Errors as one line with all their causes.

use std::error::Error;

/// What the error says and what its causes add to it. Some messages hold their cause's, others leave it to the reader to ask;
/// of the former nothing is repeated here.
pub(crate) fn with_causes(error: &dyn Error) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[test]
    fn nothing_is_said_twice() {
        let error = StoreError::from(sqlx::Error::Io(std::io::Error::other("refused")));
        assert!(with_causes(&error).ends_with("refused"));
        assert_eq!(with_causes(&error).matches("refused").count(), 1);
        let error = anyhow::Error::from(error).context("while starting");
        assert!(with_causes(error.as_ref()).starts_with("while starting: the database failed"), "{error:#}");
    }
}
