//! Limits on wrong client secrets, see [`super`].

use std::net::IpAddr;
use std::time::Duration;

use tollgate_model::rate_limit::{Limit, Rate, Rule};

use super::check::{LimitCheck, LimitExceeded};
use super::limiter::{RateLimiter, network};

/// A verification of a client secret, counted already.
#[must_use = "report the outcome of the attempt"]
pub struct SecretAttempt<'a> {
    rate_limiter: &'a RateLimiter,
    checks: Vec<LimitCheck>,
}

impl SecretAttempt<'_> {
    /// The secret was wrong: the attempt counts.
    pub fn failed(self) {}

    /// The secret was correct or was not checked: the attempt does not count.
    pub async fn refund(self) {
        self.rate_limiter.store.refund(&self.checks).await;
    }
}

impl RateLimiter {
    /// Counts an attempt of an address for a client, which need not exist. Called before a check
    /// that costs a hash, and after a check that does not.
    ///
    /// # Errors
    /// The limit that is exceeded. This origin remembers it in memory until it ends, so further
    /// attempts cause no request to Redis.
    pub async fn begin_secret_attempt(
        &self,
        client: &str,
        address: Option<IpAddr>,
    ) -> Result<SecretAttempt<'_>, LimitExceeded> {
        let checks: Vec<LimitCheck> = self.secret_checks(client, address);
        let now = self.store.now();
        for check in &checks {
            if let Some(wait) = self.store.local.remaining(&self.exceeded_mark(check), now) {
                return Err(LimitExceeded::new(check.limit, check.rule, wait));
            }
        }
        let refusal = match self.store.acquire(&checks).await {
            Ok(_) => return Ok(SecretAttempt { rate_limiter: self, checks }),
            Err(refusal) => refusal,
        };
        let refused = checks.iter().find(|check| check.limit == refusal.limit);
        let rule = Rate::new(1, Duration::from_secs(u64::from(refusal.seconds()))).map(Rule::TokenBucket);
        if let (Some(check), Some(rule)) = (refused, rule) {
            // Fails if it is remembered already.
            let _ = self.store.local.acquire(&[LimitCheck { rule, ..self.exceeded_mark(check) }], self.store.now());
        }
        Err(refusal)
    }

    fn secret_checks(&self, client: &str, address: Option<IpAddr>) -> Vec<LimitCheck> {
        let network = address.map_or_else(|| "unknown".to_owned(), network);
        let checks = [self.check(Limit::Secrets, &[&network]), self.check(Limit::ClientSecrets, &[&network, client])];
        checks.into_iter().flatten().collect()
    }

    /// Under this name, memory remembers that the limit is exceeded.
    fn exceeded_mark(&self, check: &LimitCheck) -> LimitCheck {
        let mut name = check.name;
        name[15] ^= 0xff;
        LimitCheck { name, ..*check }
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::rate_limit::LimitStore;
    use tollgate_config::LimitSettings;

    #[tokio::test]
    async fn wrong_secrets_limit_one_client_at_one_address() {
        let store = LimitStore::new(None).expect("no Redis");
        let rate_limiter = RateLimiter::new(LimitSettings::default(), Zeroizing::new([7; 32]), store);
        let (here, there) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        let mut wrong = 0;
        while let Ok(attempt) = rate_limiter.begin_secret_attempt("reports", here).await {
            attempt.failed();
            wrong += 1;
        }
        assert_eq!(wrong, 60);
        let refusal = rate_limiter.begin_secret_attempt("reports", here).await.err().expect("refused");
        assert!(refusal.limit == Limit::ClientSecrets && (1..=61).contains(&refusal.seconds()), "{refusal:?}");
        for (client, address) in [("reports", there), ("invoices", here)] {
            rate_limiter.begin_secret_attempt(client, address).await.expect("accepted").failed();
        }
    }

    #[tokio::test]
    async fn correct_secrets_do_not_count() {
        let store = LimitStore::new(None).expect("no Redis");
        let rate_limiter = RateLimiter::new(LimitSettings::default(), Zeroizing::new([7; 32]), store);
        for _ in 0..200 {
            rate_limiter
                .begin_secret_attempt("reports", "192.0.2.1".parse().ok())
                .await
                .expect("accepted")
                .refund()
                .await;
        }
    }
}
