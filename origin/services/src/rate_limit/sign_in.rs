//! Limits on password attempts, see [`super`].

use std::net::IpAddr;
use std::time::Duration;

use tollgate_model::rate_limit::{Limit, Rate, Rule};

use super::check::{LimitCheck, LimitExceeded};
use super::limiter::{RateLimiter, network};

/// How long an address counts as known after a user signed in from it.
const KNOWN_ADDRESS_LIFETIME: Duration = Duration::from_secs(30 * 86400);

/// An attempt to sign in, counted already.
#[must_use = "report the outcome of the attempt"]
pub struct SignInAttempt<'a> {
    rate_limiter: &'a RateLimiter,
    checks: Vec<LimitCheck>,
    /// Marks the address as known for this account.
    known_address: Option<LimitCheck>,
}

impl RateLimiter {
    /// Counts a password attempt for an account, which need not exist. `device` is the id in a
    /// valid device cookie of this account.
    ///
    /// # Errors
    /// The limit that is exceeded; nothing was counted then.
    pub async fn begin_sign_in(
        &self,
        account: &str,
        address: Option<IpAddr>,
        device: Option<&str>,
    ) -> Result<SignInAttempt<'_>, LimitExceeded> {
        let network = address.map_or_else(|| "unknown".to_owned(), network);
        let known_address = self.known_address(account, &network);
        let is_stranger = device.is_none()
            && match &known_address {
                Some(known_address) => !self.store.is_counted(known_address).await,
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
        self.store.acquire(&checks).await?;
        Ok(SignInAttempt { rate_limiter: self, checks, known_address })
    }

    fn known_address(&self, account: &str, network: &str) -> Option<LimitCheck> {
        self.settings.rule(Limit::Account)?;
        let rule = Rule::TokenBucket(Rate::new(1, KNOWN_ADDRESS_LIFETIME)?);
        Some(LimitCheck { limit: Limit::Account, name: self.name(Limit::Account, &[account, network]), rule })
    }
}

impl SignInAttempt<'_> {
    /// The password was wrong: the attempt counts.
    pub fn failed(self) {}

    /// The password was correct: only the hash counts ([`Limit::SignIns`]), and the address is
    /// known from now on.
    pub async fn succeeded(self) {
        let store = &self.rate_limiter.store;
        let of = |limit| self.checks.iter().copied().filter(move |check| check.limit == limit);
        let refunded: Vec<LimitCheck> = of(Limit::WrongPasswords).chain(of(Limit::Account)).collect();
        store.refund(&refunded).await;
        let reset: Vec<LimitCheck> = of(Limit::Guesses).chain(self.known_address).collect();
        store.reset(&reset).await;
        if let Some(known_address) = self.known_address {
            // Its lifetime begins again. It was reset above, so it is not exceeded.
            let _ = store.acquire(&[known_address]).await;
        }
    }

    /// The password was not checked, because the server was too busy: nothing counts.
    pub async fn cancel(self) {
        self.rate_limiter.store.refund(&self.checks).await;
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::rate_limit::LimitStore;
    use tollgate_config::LimitSettings;

    fn rate_limiter() -> RateLimiter {
        let store = LimitStore::new(None).expect("no Redis");
        RateLimiter::new(LimitSettings::default(), Zeroizing::new([7; 32]), store)
    }

    fn address(last: u32) -> Option<IpAddr> {
        Some(std::net::Ipv4Addr::from_bits(0x0a00_0000 + last).into())
    }

    /// Tries wrong passwords until one is refused. Returns their number and the limit.
    async fn guess(
        rate_limiter: &RateLimiter,
        account: &str,
        address: Option<IpAddr>,
        device: Option<&str>,
    ) -> (u32, Limit) {
        for accepted in 0.. {
            match rate_limiter.begin_sign_in(account, address, device).await {
                Ok(attempt) => attempt.failed(),
                Err(refusal) => return (accepted, refusal.limit),
            }
        }
        unreachable!("there is a limit")
    }

    #[tokio::test]
    async fn wrong_passwords_lock_out_only_their_address() {
        let rate_limiter = rate_limiter();
        assert_eq!(guess(&rate_limiter, "ada", address(1), None).await, (5, Limit::Guesses));
        assert_eq!(guess(&rate_limiter, "bob", address(1), None).await, (5, Limit::Guesses), "another account");
        let attempt = rate_limiter.begin_sign_in("ada", address(2), None).await.expect("another address");
        attempt.succeeded().await;
        assert!(rate_limiter.begin_sign_in("ada", address(1), None).await.is_err());
        assert_eq!(guess(&rate_limiter, "no-one", address(3), None).await, (5, Limit::Guesses), "no such account");
    }

    #[tokio::test]
    async fn attack_from_many_addresses_does_not_lock_out_known_ones() {
        let rate_limiter = rate_limiter();
        rate_limiter.begin_sign_in("ada", address(1), None).await.expect("accepted").succeeded().await;
        let mut guesses = 0;
        for last in 100.. {
            let (accepted, limit) = guess(&rate_limiter, "ada", address(last), None).await;
            guesses += accepted;
            if limit == Limit::Account {
                break;
            }
        }
        assert_eq!(guesses, 100, "of strangers at all addresses");
        rate_limiter.begin_sign_in("ada", address(1), None).await.expect("from a known address").succeeded().await;
        rate_limiter
            .begin_sign_in("ada", address(99), Some("a device"))
            .await
            .expect("with a known device")
            .succeeded()
            .await;
        assert!(rate_limiter.begin_sign_in("ada", address(98), None).await.is_err(), "a stranger");
        rate_limiter.begin_sign_in("bob", address(98), None).await.expect("another account").succeeded().await;
    }

    #[tokio::test]
    async fn known_device_is_not_locked_out_by_its_address() {
        let rate_limiter = rate_limiter();
        assert_eq!(guess(&rate_limiter, "ada", address(1), None).await, (5, Limit::Guesses));
        rate_limiter.begin_sign_in("ada", address(1), Some("a device")).await.expect("accepted").succeeded().await;
        assert_eq!(
            guess(&rate_limiter, "ada", address(1), Some("a device")).await,
            (5, Limit::Guesses),
            "the device has five attempts as well"
        );
    }

    #[tokio::test]
    async fn password_spraying_is_limited() {
        let rate_limiter = rate_limiter();
        let mut attempts = 0;
        loop {
            match rate_limiter.begin_sign_in(&format!("user {attempts}"), address(1), None).await {
                Ok(attempt) => attempt.failed(),
                Err(refusal) => {
                    assert_eq!((attempts, refusal.limit), (300, Limit::WrongPasswords));
                    break;
                }
            }
            attempts += 1;
        }
        rate_limiter.begin_sign_in("user 1", address(2), None).await.expect("another address").failed();
    }

    #[tokio::test]
    async fn correct_and_cancelled_attempts_do_not_count() {
        let rate_limiter = rate_limiter();
        for nth in 0..500 {
            rate_limiter
                .begin_sign_in(&format!("user {nth}"), address(1), None)
                .await
                .expect("accepted")
                .succeeded()
                .await;
        }
        let rate_limiter = self::rate_limiter();
        for _ in 0..1000 {
            rate_limiter.begin_sign_in("ada", address(1), None).await.expect("accepted").cancel().await;
        }
    }
}
