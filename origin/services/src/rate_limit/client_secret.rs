//! Wrong secrets of clients; see the module above for what limits them.

use std::net::IpAddr;
use std::time::Duration;

use tollgate_model::rate_limit::{Limit, Rate, Rule};

use super::{LimitCheck, LimitExceeded, RateLimiter, network};

/// A guess at a client's secret, counted already.
#[must_use = "a guess ends with how it went"]
pub struct SecretAttempt<'a> {
    guard: &'a RateLimiter,
    checks: Vec<LimitCheck>,
}

impl SecretAttempt<'_> {
    /// It was wrong: it counts.
    pub fn failed(self) {}

    /// It was right, or was never made: it does not count.
    pub async fn give_back(self) {
        self.guard.limiter.give_back(&self.checks).await;
    }
}

impl RateLimiter {
    /// Counts a guess of an address at the secret of a client, which need not exist. To be called
    /// before a guess is checked that costs anything, and after one that does not.
    ///
    /// # Errors
    /// The limit that it does not pass. From then on this origin remembers it for as long as it
    /// lasts, and asks nobody.
    pub async fn begin_secret_attempt(
        &self,
        client: &str,
        address: Option<IpAddr>,
    ) -> Result<SecretAttempt<'_>, LimitExceeded> {
        let checks: Vec<LimitCheck> = self.secret_checks(client, address);
        let now = self.limiter.now();
        for check in &checks {
            if let Some(wait) = self.limiter.local.remaining(&self.shut(check), now) {
                return Err(LimitExceeded::new(check.limit, check.rule, wait));
            }
        }
        let refusal = match self.limiter.take(&checks).await {
            Ok(_) => return Ok(SecretAttempt { guard: self, checks }),
            Err(refusal) => refusal,
        };
        let refused = checks.iter().find(|check| check.limit == refusal.limit);
        let rule = Rate::new(1, Duration::from_secs(u64::from(refusal.seconds()))).map(Rule::TokenBucket);
        if let (Some(check), Some(rule)) = (refused, rule) {
            // It may be there already; then that one stands.
            let _ = self.limiter.local.take(&[LimitCheck { rule, ..self.shut(check) }], self.limiter.now());
        }
        Err(refusal)
    }

    fn secret_checks(&self, client: &str, address: Option<IpAddr>) -> Vec<LimitCheck> {
        let network = address.map_or_else(|| "unknown".to_owned(), network);
        let checks = [self.check(Limit::Secrets, &[&network]), self.check(Limit::ClientSecrets, &[&network, client])];
        checks.into_iter().flatten().collect()
    }

    /// What says that a limit was not passed.
    fn shut(&self, check: &LimitCheck) -> LimitCheck {
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
    async fn wrong_secrets_of_one_client_shut_nobody_elses_door() {
        let limiter = LimitStore::new(None).expect("no Redis");
        let guard = RateLimiter::new(LimitSettings::default(), Zeroizing::new([7; 32]), limiter);
        let (here, there) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        let mut wrong = 0;
        while let Ok(guess) = guard.begin_secret_attempt("reports", here).await {
            guess.failed();
            wrong += 1;
        }
        assert_eq!(wrong, 60);
        let refusal = guard.begin_secret_attempt("reports", here).await.err().expect("shut");
        assert!(refusal.limit == Limit::ClientSecrets && (1..=61).contains(&refusal.seconds()), "{refusal:?}");
        for (client, address) in [("reports", there), ("invoices", here)] {
            guard.begin_secret_attempt(client, address).await.expect("open").failed();
        }
    }

    #[tokio::test]
    async fn right_secrets_do_not_count() {
        let limiter = LimitStore::new(None).expect("no Redis");
        let guard = RateLimiter::new(LimitSettings::default(), Zeroizing::new([7; 32]), limiter);
        for _ in 0..200 {
            guard.begin_secret_attempt("reports", "192.0.2.1".parse().ok()).await.expect("passes").give_back().await;
        }
    }
}
