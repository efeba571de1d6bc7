//! Proof that a push to an edge is the origin's, for the edge to check before it reads the body.
//!
//! ```text
//! header = "push&at=" 1*DIGIT "&proof=" 64HEXDIG   ; HTTP header `Tollgate-Push`
//! ```
//! The time is the origin's, in Unix milliseconds. The proof is that of [`EdgeKey::sign`] over what
//! precedes it. No question of an edge begins with `push`, so neither can be used as the other.

use alloc::format;
use alloc::string::String;

use crate::sync_request::EdgeKey;

const PUSH_PREFIX: &str = "push&at=";

impl EdgeKey {
    /// The header of a push at this time.
    pub fn sign_push(&self, at_ms: u64) -> String {
        self.sign(format!("{PUSH_PREFIX}{at_ms}"))
    }

    /// The time of a push whose header has this key's proof; none if the proof is not valid.
    pub fn push_time(&self, header: &str) -> Option<u64> {
        let (at_ms, _) = header.strip_prefix(PUSH_PREFIX)?.split_once('&')?;
        at_ms.parse().ok().filter(|_| self.has_signed(header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_proven_by_the_key_of_its_edge_only() {
        let (key, other) = (EdgeKey::new(&[1; 32]), EdgeKey::new(&[2; 32]));
        let header = key.sign_push(1_790_000_000_000);
        assert_eq!(key.push_time(&header), Some(1_790_000_000_000));
        assert_eq!(other.push_time(&header), None);
        let later = header.replace("1790", "1791");
        for header in [later.as_str(), "push&at=1790000000000", "push&at=", "", &header[1..]] {
            assert_eq!(key.push_time(header), None, "{header}");
        }
    }

    #[test]
    fn a_question_of_the_edge_proves_no_push() {
        let key = EdgeKey::new(&[1; 32]);
        let question = key.sign("after=7&wait=0.000&edge=near&number=1&at=1790000000000".into());
        assert_eq!(key.push_time(&question), None);
    }
}
