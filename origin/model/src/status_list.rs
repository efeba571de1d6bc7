//! Where a token's status is in the status lists (draft-ietf-oauth-status-list).

use serde::{Deserialize, Serialize};

/// Tokens in a list. A list is 16 KiB before compression, a few dozen bytes when nothing in it is revoked, and large enough
/// that asking for it tells nobody which of its tokens one holds (TSL section 12.1).
pub const TOKENS_PER_LIST: u64 = 1 << 17;

/// The path under which list 0 and its successors are, and all of them are named.
pub const PATH: &str = "/oauth/status";

/// `exp` after `iat`, in seconds. Long enough that verifiers survive a restart of the origin, short enough that somebody who
/// shows them an old copy does not gain much by it.
pub const LASTS: u64 = 300;

/// Where a token's status stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The list's number.
    pub list: u64,
    /// The position in it.
    pub index: u64,
}

impl Place {
    /// The place of the token with this number.
    #[must_use]
    pub const fn of(number: u64) -> Place {
        Place { list: number / TOKENS_PER_LIST, index: number % TOKENS_PER_LIST }
    }
}

/// The URI of a list, which is also its token's `sub`.
#[must_use]
pub fn uri(issuer: &str, list: u64) -> String {
    format!("{issuer}{PATH}/{list}")
}

/// The `status` claim of an access token (TSL section 6.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The one status mechanism there is.
    pub status_list: Reference,
}

/// Where a verifier finds a token's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The position in the list.
    pub idx: u64,
    /// The list.
    pub uri: String,
}

impl Claim {
    /// The claim of the token with this number.
    #[must_use]
    pub fn of(issuer: &str, number: u64) -> Claim {
        let place = Place::of(number);
        Claim { status_list: Reference { idx: place.index, uri: uri(issuer, place.list) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_numbers_share_a_list_up_to_its_end() {
        assert_eq!(Place::of(0), Place { list: 0, index: 0 });
        assert_eq!(Place::of(TOKENS_PER_LIST - 1), Place { list: 0, index: TOKENS_PER_LIST - 1 });
        assert_eq!(Place::of(TOKENS_PER_LIST), Place { list: 1, index: 0 });
        let claim = serde_json::to_string(&Claim::of("https://auth.example", TOKENS_PER_LIST + 7)).expect("JSON");
        assert_eq!(claim, r#"{"status_list":{"idx":7,"uri":"https://auth.example/oauth/status/1"}}"#);
    }
}
