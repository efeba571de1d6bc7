//! Tries at a password; see the module above for what limits them.

use std::net::IpAddr;
use std::time::Duration;

use tollgate_model::rate_limit::{Limit, Rate, Rule};

use super::{AcceptedLimits, LimitCheck, LimitExceeded, RateLimiter, network};

/// How long an address is known from which a user signed in.
const KNOWN: Duration = Duration::from_secs(30 * 86400);

/// One try, counted already.
#[must_use = "a try ends with how it went"]
pub struct SignInAttempt<'a> {
    guard: &'a RateLimiter,
    passed: Vec<LimitCheck>,
    /// What says that the account's user signed in at this address.
    known: Option<LimitCheck>,
}

impl RateLimiter {
    /// Counts a try at the password of the account of this name, which need not exist. `device`:
    /// the one that the browser shows to be its user's.
    ///
    /// # Errors
    /// The limit that it does not pass; then nothing was counted.
    pub async fn begin_sign_in(
        &self,
        account: &str,
        address: Option<IpAddr>,
        device: Option<&str>,
    ) -> Result<SignInAttempt<'_>, LimitExceeded> {
        let network = address.map_or_else(|| "unknown".to_owned(), network);
        let known = self.known(account, &network);
        let is_stranger = device.is_none()
            && match &known {
                Some(known) => !self.limiter.holds(known).await,
                None => true,
            };
        let by_device = device.map(|device| format!("device {device}"));
        let checks = [
            self.check(Limit::SignIns, &[&network]),
            self.check(Limit::WrongPasswords, &[&network]),
            self.check(Limit::Account, &[account]).filter(|_| is_stranger),
            self.check(Limit::Guesses, &[account, by_device.as_deref().unwrap_or(&network)]),
        ];
        let checks: Vec<LimitCheck> = checks.into_iter().flatten().collect();
        let passed: AcceptedLimits = self.limiter.take(&checks).await?;
        Ok(SignInAttempt { guard: self, passed: passed.into_iter().map(|(check, _)| check).collect(), known })
    }

    fn known(&self, account: &str, network: &str) -> Option<LimitCheck> {
        self.settings.rule(Limit::Account)?;
        let rule = Rule::TokenBucket(Rate::new(1, KNOWN)?);
        Some(LimitCheck { limit: Limit::Account, name: self.name(Limit::Account, &[account, network]), rule })
    }
}

impl SignInAttempt<'_> {
    /// The password was wrong: the try counts.
    pub fn failed(self) {}

    /// It was right: of the try nothing counts but the hash that it cost, and the address is known
    /// from now on.
    pub async fn succeeded(self) {
        let limiter = &self.guard.limiter;
        let of = |limit| self.passed.iter().copied().filter(move |check| check.limit == limit);
        let back: Vec<LimitCheck> = of(Limit::WrongPasswords).chain(of(Limit::Account)).collect();
        limiter.give_back(&back).await;
        let forgotten: Vec<LimitCheck> = of(Limit::Guesses).chain(self.known).collect();
        limiter.forget(&forgotten).await;
        if let Some(known) = self.known {
            // Just forgotten, so it passes: it is known anew.
            let _ = limiter.take(&[known]).await;
        }
    }

    /// It was never made, for the server was too busy.
    pub async fn undone(self) {
        self.guard.limiter.give_back(&self.passed).await;
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::rate_limit::LimitStore;
    use tollgate_config::LimitSettings;

    fn guard() -> RateLimiter {
        let limiter = LimitStore::new(None).expect("no Redis");
        RateLimiter::new(LimitSettings::default(), Zeroizing::new([7; 32]), limiter)
    }

    fn address(last: u32) -> Option<IpAddr> {
        Some(std::net::Ipv4Addr::from_bits(0x0a00_0000 + last).into())
    }

    /// Tries wrong passwords until refused; how many passed, and what refused.
    async fn guess(guard: &RateLimiter, account: &str, address: Option<IpAddr>, device: Option<&str>) -> (u32, Limit) {
        for passed in 0.. {
            match guard.begin_sign_in(account, address, device).await {
                Ok(attempt) => attempt.failed(),
                Err(refusal) => return (passed, refusal.limit),
            }
        }
        unreachable!("there is a limit")
    }

    #[tokio::test]
    async fn who_guesses_locks_out_their_own_address_alone() {
        let guard = guard();
        assert_eq!(guess(&guard, "ada", address(1), None).await, (5, Limit::Guesses));
        assert_eq!(guess(&guard, "bob", address(1), None).await, (5, Limit::Guesses), "another account");
        let attempt = guard.begin_sign_in("ada", address(2), None).await.expect("another address");
        attempt.succeeded().await;
        assert!(guard.begin_sign_in("ada", address(1), None).await.is_err());
        assert_eq!(guess(&guard, "nobody", address(3), None).await, (5, Limit::Guesses), "no such account");
    }

    #[tokio::test]
    async fn many_addresses_do_not_keep_out_who_is_known() {
        let guard = guard();
        guard.begin_sign_in("ada", address(1), None).await.expect("passes").succeeded().await;
        let mut guesses = 0;
        for last in 100.. {
            let (passed, limit) = guess(&guard, "ada", address(last), None).await;
            guesses += passed;
            if limit == Limit::Account {
                break;
            }
        }
        assert_eq!(guesses, 100, "of strangers, whatever their addresses");
        guard.begin_sign_in("ada", address(1), None).await.expect("from a known address").succeeded().await;
        guard.begin_sign_in("ada", address(99), Some("a device")).await.expect("with a known device").succeeded().await;
        assert!(guard.begin_sign_in("ada", address(98), None).await.is_err(), "a stranger");
        guard.begin_sign_in("bob", address(98), None).await.expect("another account").succeeded().await;
    }

    #[tokio::test]
    async fn a_device_is_not_kept_out_by_its_neighbours() {
        let guard = guard();
        assert_eq!(guess(&guard, "ada", address(1), None).await, (5, Limit::Guesses));
        guard.begin_sign_in("ada", address(1), Some("a device")).await.expect("passes").succeeded().await;
        assert_eq!(
            guess(&guard, "ada", address(1), Some("a device")).await,
            (5, Limit::Guesses),
            "it has no more tries"
        );
    }

    #[tokio::test]
    async fn one_password_for_many_accounts_is_noticed() {
        let guard = guard();
        let mut tries = 0;
        loop {
            match guard.begin_sign_in(&format!("user {tries}"), address(1), None).await {
                Ok(attempt) => attempt.failed(),
                Err(refusal) => {
                    assert_eq!((tries, refusal.limit), (300, Limit::WrongPasswords));
                    break;
                }
            }
            tries += 1;
        }
        guard.begin_sign_in("user 1", address(2), None).await.expect("another address").failed();
    }

    #[tokio::test]
    async fn an_office_signs_in_and_what_was_never_tried_does_not_count() {
        let guard = guard();
        for nth in 0..500 {
            guard.begin_sign_in(&format!("user {nth}"), address(1), None).await.expect("passes").succeeded().await;
        }
        let guard = self::guard();
        for _ in 0..1000 {
            guard.begin_sign_in("ada", address(1), None).await.expect("passes").undone().await;
        }
    }
}
