//! Wrong secrets of clients; see the module above for what limits them.

use std::net::IpAddr;
use std::time::Duration;

use super::{Check, Guard, Limit, Rate, Refusal, Rule, network};

impl Guard {
    /// Counts a wrong secret that an address sent for a client, which need not exist.
    ///
    /// # Errors
    /// The limit that it does not pass. From then on this origin remembers it for as long as it lasts.
    pub(crate) async fn wrong_secret(&self, client: &str, address: Option<IpAddr>) -> Result<(), Refusal> {
        let checks: Vec<Check> = self.secret_checks(client, address);
        let refusal = match self.limiter.take(&checks).await {
            Ok(_) => return Ok(()),
            Err(refusal) => refusal,
        };
        let refused = checks.iter().find(|check| check.limit == refusal.limit);
        let rule = Rate::new(1, Duration::from_secs(u64::from(refusal.seconds()))).map(Rule::Bucket);
        if let (Some(check), Some(rule)) = (refused, rule) {
            // It may be there already; then that one stands.
            let _ = self.limiter.local.take(&[Check { rule, ..self.shut(check) }], self.limiter.now());
        }
        Err(refusal)
    }

    /// Whether guesses at the secret of a client are still taken from an address. Asked of this origin alone, before a guess costs
    /// anything.
    ///
    /// # Errors
    /// The limit that was not passed a short while ago.
    pub(crate) fn may_guess_secret(&self, client: &str, address: Option<IpAddr>) -> Result<(), Refusal> {
        let now = self.limiter.now();
        for check in self.secret_checks(client, address) {
            if let Some(wait) = self.limiter.local.remaining(&self.shut(&check), now) {
                return Err(Refusal::new(check.limit, check.rule, wait));
            }
        }
        Ok(())
    }

    fn secret_checks(&self, client: &str, address: Option<IpAddr>) -> Vec<Check> {
        let network = address.map_or_else(|| "unknown".to_owned(), network);
        let checks = [self.check(Limit::Secrets, &[&network]), self.check(Limit::ClientSecrets, &[&network, client])];
        checks.into_iter().flatten().collect()
    }

    /// What says that a limit was not passed.
    fn shut(&self, check: &Check) -> Check {
        let mut name = check.name;
        name[15] ^= 0xff;
        Check { name, ..*check }
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::guard::Limiter;
    use crate::settings::LimitSettings;

    #[tokio::test]
    async fn wrong_secrets_of_one_client_shut_nobody_elses_door() {
        let limiter = Limiter::new(None).expect("no Redis");
        let guard = Guard::new(LimitSettings::default(), Zeroizing::new([7; 32]), limiter);
        let (here, there) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        let mut wrong = 0;
        while guard.wrong_secret("reports", here).await.is_ok() {
            assert!(guard.may_guess_secret("reports", here).is_ok());
            wrong += 1;
        }
        assert_eq!(wrong, 60);
        let refusal = guard.may_guess_secret("reports", here).expect_err("shut");
        assert!(refusal.limit == Limit::ClientSecrets && (1..=61).contains(&refusal.seconds()), "{refusal:?}");
        assert!(guard.may_guess_secret("reports", there).is_ok() && guard.may_guess_secret("invoices", here).is_ok());
    }
}
