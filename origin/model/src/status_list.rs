//! Where a token's status is in the status lists (draft-ietf-oauth-status-list).

use serde::{Deserialize, Serialize};

/// Tokens in a list. A list is 16 KiB before compression, a few dozen bytes when nothing in it is revoked, and large enough
/// that asking for it tells nobody which of its tokens one holds (TSL section 12.1).
pub const TOKENS_PER_LIST: u64 = 1 << 17;

/// The path under which list 0 and its successors are, and all of them are named.
pub const PATH: &str = "/oauth/status";

/// `exp` after `iat`, in seconds. Long enough that verifiers survive a restart of the origin, short enough that somebody who
/// shows them an old copy does not gain much by it.
pub const STATUS_LIST_TTL: u64 = 300;

/// Where a token's status stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusIndex {
    /// The list's number.
    pub list: u64,
    /// The position in it.
    pub index: u64,
}

impl StatusIndex {
    /// The index of the token with this number.
    #[must_use]
    pub const fn of_token(number: u64) -> StatusIndex {
        StatusIndex { list: number / TOKENS_PER_LIST, index: number % TOKENS_PER_LIST }
    }
}

/// The URI of a list, which is also its token's `sub`.
#[must_use]
pub fn uri(issuer: &str, list: u64) -> String {
    format!("{issuer}{PATH}/{list}")
}

/// The `status` claim of an access token (TSL section 6.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusClaim {
    /// The one status mechanism there is.
    pub status_list: StatusListReference,
}

/// Where a verifier finds a token's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusListReference {
    /// The position in the list.
    pub idx: u64,
    /// The list.
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
    fn neighbouring_numbers_share_a_list_up_to_its_end() {
        assert_eq!(StatusIndex::of_token(0), StatusIndex { list: 0, index: 0 });
        assert_eq!(StatusIndex::of_token(TOKENS_PER_LIST - 1), StatusIndex { list: 0, index: TOKENS_PER_LIST - 1 });
        assert_eq!(StatusIndex::of_token(TOKENS_PER_LIST), StatusIndex { list: 1, index: 0 });
        let claim =
            serde_json::to_string(&StatusClaim::of_token("https://auth.example", TOKENS_PER_LIST + 7)).expect("JSON");
        assert_eq!(claim, r#"{"status_list":{"idx":7,"uri":"https://auth.example/oauth/status/1"}}"#);
    }
}
