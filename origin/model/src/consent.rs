//! What users agreed to, so that they are not asked for the same again.
//!
//! A scope value means something at an audience only: whoever agreed to read here and to write there did not agree to write here. So
//! consent is kept for each audience by itself, and never as a set of scope values beside a set of audiences.

use std::collections::BTreeMap;

use super::{Access, Audience, AuthorizationDetails, Scope};

/// Audiences that a consent is remembered for at most; beyond that the older ones are forgotten, and the user is asked again.
const MAX_AUDIENCES: usize = 64;

/// What a user agreed that a client may have without asking again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consent(BTreeMap<Audience, ConsentedAccess>);

/// What a user agreed to at one audience.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsentedAccess {
    /// Scope values.
    pub scope: Scope,
    /// Authorization details (RFC 9396): those of the latest consent.
    pub details: AuthorizationDetails,
}

impl Consent {
    /// Whether the user agreed to all of this: to each scope value at each audience.
    #[must_use]
    pub fn covers(&self, access: &Access) -> bool {
        access.audience.iter().all(|audience| {
            let agreed = self.0.get(audience);
            agreed.is_some_and(|agreed| {
                access.scope.is_within(&agreed.scope) && access.details.is_within(&agreed.details)
            })
        })
    }

    /// The consent of a user who agreed to this, too. What is too much to keep is forgotten, never guessed.
    #[must_use]
    pub fn with(mut self, access: &Access) -> Consent {
        let others = access.audience.iter().filter(|audience| !self.0.contains_key(audience)).count();
        if self.0.len() + others > MAX_AUDIENCES {
            self.0.clear();
        }
        for audience in access.audience.iter() {
            let earlier = self.0.get(audience).map(|agreed| &agreed.scope);
            let scope = earlier.and_then(|earlier| earlier.joined(&access.scope).ok());
            let scope = scope.unwrap_or_else(|| access.scope.clone());
            self.0.insert(audience.clone(), ConsentedAccess { scope, details: access.details.clone() });
        }
        self
    }

    /// Each audience, with what the user agreed to there.
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
    fn scopes_agreed_to_at_two_audiences_are_not_mixed() {
        let consent = Consent::default().with(&asked("read", "a")).with(&asked("write", "b"));
        assert!(consent.covers(&asked("read", "a")) && consent.covers(&asked("write", "b")));
        for (scope, audience) in [("write", "a"), ("read", "b"), ("read", "a b"), ("read write", "a"), ("read", "c")] {
            assert!(!consent.covers(&asked(scope, audience)), "{scope} at {audience}");
        }
        let both = consent.with(&asked("read write", "a b"));
        assert!(both.covers(&asked("read write", "a b")) && both.covers(&asked("write", "a")));
    }

    #[test]
    fn consent_at_one_audience_adds_up() {
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
    fn what_is_too_much_to_keep_is_forgotten() {
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
