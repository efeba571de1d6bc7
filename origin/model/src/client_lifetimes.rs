//! Lifetimes by client, within those of the server and of its resource servers. Only the operator
//! sets them.

use serde::{Deserialize, Serialize};

use super::malformed::Malformed;
use super::token_lifetime::{
    AUTHORIZATION_CODE_LIFETIME, DEVICE_CODE_LIFETIME, MAX_TOKEN_LIFETIME, RefreshTokenPolicy,
};

/// Seconds.
const MAX_REFRESH_LIFETIME: u64 = 366 * 24 * 60 * 60;

/// Lifetimes in seconds of what a client gets; what is absent is as for other clients. Those of
/// access, ID and refresh tokens can only be shorter than the server's: keys and revocations are
/// kept as long as the server's lifetimes require.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct ClientLifetimes {
    /// Lifetime of its access tokens in seconds, 10 to 86400; at most the server's and the resource
    /// servers'.
    #[serde(rename = "access_token_lifetime", skip_serializing_if = "Option::is_none")]
    pub access_token: Option<u64>,
    /// Lifetime of its ID tokens in seconds, 10 to 86400; at most the server's.
    #[serde(rename = "id_token_lifetime", skip_serializing_if = "Option::is_none")]
    pub id_token: Option<u64>,
    /// Seconds after which its grants end, however often they are refreshed; at most the server's.
    #[serde(rename = "refresh_token_lifetime", skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<u64>,
    /// Seconds after which an unused refresh token expires; at most the server's.
    #[serde(rename = "refresh_token_idle_lifetime", skip_serializing_if = "Option::is_none")]
    pub refresh_token_idle: Option<u64>,
    /// Lifetime of its authorization codes in seconds, 10 to 600; 60 by default.
    #[serde(rename = "authorization_code_lifetime", skip_serializing_if = "Option::is_none")]
    pub authorization_code: Option<u64>,
    /// Lifetime of its device codes in seconds, 60 to 1800; 600 by default.
    #[serde(rename = "device_code_lifetime", skip_serializing_if = "Option::is_none")]
    pub device_code: Option<u64>,
}

impl ClientLifetimes {
    /// Checks that each lifetime is in its range.
    pub(crate) fn check(&self) -> Result<(), Malformed> {
        const REFRESH_RULE: &str = "must be 60 to 31622400 seconds";
        let (token, refresh) = (10..=MAX_TOKEN_LIFETIME, 60..=MAX_REFRESH_LIFETIME);
        let checks = [
            ("access_token_lifetime", self.access_token, token.clone(), "must be 10 to 86400 seconds"),
            ("id_token_lifetime", self.id_token, token, "must be 10 to 86400 seconds"),
            ("refresh_token_lifetime", self.refresh_token, refresh.clone(), REFRESH_RULE),
            ("refresh_token_idle_lifetime", self.refresh_token_idle, refresh, REFRESH_RULE),
            ("authorization_code_lifetime", self.authorization_code, 10..=600, "must be 10 to 600 seconds"),
            ("device_code_lifetime", self.device_code, 60..=1800, "must be 60 to 1800 seconds"),
        ];
        let is_wrong = |seconds: Option<u64>, range: &std::ops::RangeInclusive<u64>| {
            seconds.is_some_and(|seconds| !range.contains(&seconds))
        };
        match checks.into_iter().find(|(_, seconds, range, _)| is_wrong(*seconds, range)) {
            Some((member, _, _, problem)) => Err(Malformed::new(member, problem)),
            None => Ok(()),
        }
    }

    /// Seconds, given the longest lifetime that server and resource servers allow.
    #[must_use]
    pub fn access_token_within(&self, longest: u64) -> u64 {
        self.access_token.unwrap_or(longest).min(longest)
    }

    /// Seconds, given the server's lifetime.
    #[must_use]
    pub fn id_token_within(&self, longest: u64) -> u64 {
        self.id_token.unwrap_or(longest).min(longest)
    }

    /// Seconds.
    #[must_use]
    pub fn of_authorization_code(&self) -> u64 {
        self.authorization_code.unwrap_or(AUTHORIZATION_CODE_LIFETIME)
    }

    /// Seconds.
    #[must_use]
    pub fn of_device_code(&self) -> u64 {
        self.device_code.unwrap_or(DEVICE_CODE_LIFETIME)
    }

    /// The rules for the client's refresh tokens, given the server's.
    #[must_use]
    pub fn refresh_within(&self, server: RefreshTokenPolicy) -> RefreshTokenPolicy {
        RefreshTokenPolicy {
            idle_timeout: self.refresh_token_idle.unwrap_or(u64::MAX).min(server.idle_timeout),
            lifetime: self.refresh_token.unwrap_or(u64::MAX).min(server.lifetime),
            ..server
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_within_the_servers() {
        let lifetimes = ClientLifetimes {
            access_token: Some(120),
            refresh_token: Some(1000),
            refresh_token_idle: Some(5000),
            ..ClientLifetimes::default()
        };
        assert_eq!((lifetimes.access_token_within(3600), lifetimes.access_token_within(60)), (120, 60));
        assert_eq!((lifetimes.id_token_within(3600), ClientLifetimes::default().access_token_within(60)), (3600, 60));
        let server = RefreshTokenPolicy { reuse_grace: 5, idle_timeout: 2000, lifetime: 9000 };
        let own = RefreshTokenPolicy { lifetime: 1000, ..server };
        assert_eq!(lifetimes.refresh_within(server), own);
        assert_eq!(ClientLifetimes::default().refresh_within(server), server);
    }

    #[test]
    fn lifetimes_out_of_range_are_refused_by_name() {
        for (member, seconds) in [
            ("access_token_lifetime", 9),
            ("id_token_lifetime", MAX_TOKEN_LIFETIME + 1),
            ("refresh_token_lifetime", 59),
            ("refresh_token_idle_lifetime", u64::MAX),
            ("authorization_code_lifetime", 601),
            ("device_code_lifetime", 0),
        ] {
            let lifetimes: ClientLifetimes =
                serde_json::from_value(serde_json::json!({ member: seconds })).expect("a member");
            assert_eq!(lifetimes.check().expect_err("refused").what, member);
        }
        assert_eq!(ClientLifetimes::default().check(), Ok(()));
    }
}
