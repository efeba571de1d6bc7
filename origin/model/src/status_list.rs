//! Status list entries of tokens (Token Status List, draft-ietf-oauth-status-list).

use serde::{Deserialize, Serialize};

/// Entries of a list. A list is 16 KiB before compression and a few dozen bytes if no token in it
/// is revoked. It is large enough that a request for it does not reveal which token a verifier
/// holds (TSL §12.1).
pub const TOKENS_PER_LIST: u64 = 1 << 17;

/// Path of the lists: list 0 is at `/oauth/status/0`, the index of all lists at the path itself.
pub const STATUS_LIST_PATH: &str = "/oauth/status";

/// Seconds between `iat` and `exp` of a list: long enough for verifiers to survive a restart of the
/// origin, short enough to make a replayed old list of little use.
pub const STATUS_LIST_LIFETIME: u64 = 300;

/// The position of a token's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusIndex {
    /// Number of the list.
    pub list: u64,
    /// Position in the list.
    pub index: u64,
}

impl StatusIndex {
    /// The position for the token with this number.
    #[must_use]
    pub const fn of_token(number: u64) -> StatusIndex {
        StatusIndex { list: number / TOKENS_PER_LIST, index: number % TOKENS_PER_LIST }
    }
}

/// The URI of a list, which is also the `sub` of the list's token.
#[must_use]
pub fn uri(issuer: &str, list: u64) -> String {
    format!("{issuer}{STATUS_LIST_PATH}/{list}")
}

/// The `status` claim of an access token (TSL §6.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusClaim {
    pub status_list: StatusListReference,
}

/// Where verifiers find a token's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusListReference {
    /// Position in the list.
    pub idx: u64,
    /// URI of the list.
    pub uri: String,
}

impl StatusClaim {
    /// The claim of the token with this number.
    #[must_use]
    pub fn of_token(issuer: &str, number: u64) -> StatusClaim {
        let status_index = StatusIndex::of_token(number);
        StatusClaim {
            status_list: StatusListReference { idx: status_index.index, uri: uri(issuer, status_index.list) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_numbers_share_a_list_until_it_is_full() {
        assert_eq!(StatusIndex::of_token(0), StatusIndex { list: 0, index: 0 });
        assert_eq!(StatusIndex::of_token(TOKENS_PER_LIST - 1), StatusIndex { list: 0, index: TOKENS_PER_LIST - 1 });
        assert_eq!(StatusIndex::of_token(TOKENS_PER_LIST), StatusIndex { list: 1, index: 0 });
        let claim =
            serde_json::to_string(&StatusClaim::of_token("https://auth.example", TOKENS_PER_LIST + 7)).expect("JSON");
        assert_eq!(claim, r#"{"status_list":{"idx":7,"uri":"https://auth.example/oauth/status/1"}}"#);
    }
}
