//! Remembered consent, so that users are not asked again for the same access.
//!
//! A scope value has a meaning only together with an audience: a user who consented to read at one
//! audience and to write at another did not consent to write at the first. Therefore consent is
//! stored for each audience separately, never as a set of values and a set of audiences.

use std::collections::BTreeMap;

use super::access::{Access, AuthorizationDetails};
use super::audience::Audience;
use super::scope::Scope;

/// Audiences of one consent. When there are more, older ones are forgotten and the user is asked
/// again.
const MAX_AUDIENCES: usize = 64;

/// The access of a client that a user consented to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consent(BTreeMap<Audience, ConsentedAccess>);

/// The access at one audience that a user consented to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsentedAccess {
    pub scope: Scope,
    /// Authorization details (RFC 9396) of the latest consent.
    pub details: AuthorizationDetails,
}

impl Consent {
    /// Whether the user consented to every scope value at every audience of `access`.
    #[must_use]
    pub fn covers(&self, access: &Access) -> bool {
        access.audience.iter().all(|audience| {
            let agreed = self.0.get(audience);
            agreed.is_some_and(|agreed| {
                access.scope.is_within(&agreed.scope) && access.details.is_within(&agreed.details)
            })
        })
    }

    /// Adds `access`. If that exceeds the limit, older consent is forgotten.
    #[must_use]
    pub fn with(mut self, access: &Access) -> Consent {
        let others = access.audience.iter().filter(|audience| !self.0.contains_key(audience)).count();
        if self.0.len() + others > MAX_AUDIENCES {
            self.0.clear();
        }
        for audience in access.audience.iter() {
            let earlier = self.0.get(audience).map(|agreed| &agreed.scope);
            let scope = earlier.and_then(|earlier| earlier.union(&access.scope).ok());
            let scope = scope.unwrap_or_else(|| access.scope.clone());
            self.0.insert(audience.clone(), ConsentedAccess { scope, details: access.details.clone() });
        }
        self
    }

    /// The consent for each audience.
    pub fn iter(&self) -> impl Iterator<Item = (&Audience, &ConsentedAccess)> {
        self.0.iter()
    }
}

impl FromIterator<(Audience, ConsentedAccess)> for Consent {
    fn from_iter<I: IntoIterator<Item = (Audience, ConsentedAccess)>>(pairs: I) -> Consent {
        Consent(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(scope: &str, audience: &str, details: &str) -> Access {
        Access {
            scope: Scope::parse(scope).expect("a scope"),
            audience: audience.parse().expect("audiences"),
            details: AuthorizationDetails::parse(details).expect("details"),
        }
    }

    fn asked(scope: &str, audience: &str) -> Access {
        access(scope, audience, "[]")
    }

    #[test]
    fn consent_at_one_audience_does_not_apply_to_another() {
        let consent = Consent::default().with(&asked("read", "a")).with(&asked("write", "b"));
        assert!(consent.covers(&asked("read", "a")) && consent.covers(&asked("write", "b")));
        for (scope, audience) in [("write", "a"), ("read", "b"), ("read", "a b"), ("read write", "a"), ("read", "c")] {
            assert!(!consent.covers(&asked(scope, audience)), "{scope} at {audience}");
        }
        let both = consent.with(&asked("read write", "a b"));
        assert!(both.covers(&asked("read write", "a b")) && both.covers(&asked("write", "a")));
    }

    #[test]
    fn consent_at_one_audience_accumulates() {
        let consent = Consent::default().with(&asked("read", "a")).with(&asked("write", "a"));
        assert!(consent.covers(&asked("read write", "a")));
        assert!(!Consent::default().covers(&asked("", "a")), "an audience without a scope is asked for, too");
    }

    #[test]
    fn details_are_those_of_the_latest_consent_at_the_audience() {
        let payment = r#"[{"type":"payment","amount":1}]"#;
        let consent = Consent::default().with(&access("pay", "a", payment)).with(&asked("pay", "b"));
        assert!(consent.covers(&access("pay", "a", payment)) && !consent.covers(&access("pay", "b", payment)));
        assert!(!consent.with(&asked("pay", "a")).covers(&access("pay", "a", payment)));
    }

    #[test]
    fn consent_beyond_the_limit_is_forgotten() {
        let mut consent = Consent::default();
        for number in 0..MAX_AUDIENCES {
            consent = consent.with(&asked("read", &format!("a{number}")));
        }
        assert!(consent.covers(&asked("read", "a0")));
        consent = consent.with(&asked("read", "one-more"));
        assert!(!consent.covers(&asked("read", "a0")) && consent.covers(&asked("read", "one-more")));
        let many = |from: usize| (from..from + 40).map(|number| format!("s{number}")).collect::<Vec<_>>().join(" ");
        let consent = Consent::default().with(&asked(&many(0), "a")).with(&asked(&many(40), "a"));
        assert!(!consent.covers(&asked("s0", "a")) && consent.covers(&asked("s40", "a")));
    }
}
