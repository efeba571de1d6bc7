//! Rate limits of an issuer, on requests of addresses and clients.

use std::net::IpAddr;
use std::sync::Arc;

use tollgate_config::LimitSettings;
use tollgate_model::ClientId;
use tollgate_model::rate_limit::Limit;
use tollgate_model::secret::keyed;
use zeroize::Zeroizing;

use super::check::{AcceptedLimits, LimitCheck, LimitExceeded};
use super::store::LimitStore;

/// Rate limits of one issuer. All issuers of a process share a [`LimitStore`].
pub struct RateLimiter {
    pub(super) settings: LimitSettings,
    key: Zeroizing<[u8; 32]>,
    pub(super) store: Arc<LimitStore>,
}

impl RateLimiter {
    /// `key` is the issuer's key for the names of limits.
    pub fn new(settings: LimitSettings, key: Zeroizing<[u8; 32]>, store: Arc<LimitStore>) -> RateLimiter {
        RateLimiter { settings, key, store }
    }

    /// Refusals by limit since the start, of all issuers of the process.
    pub fn refusal_counts(&self) -> impl Iterator<Item = (Limit, u64)> {
        Limit::ALL.into_iter().map(|limit| (limit, self.store.refusals(limit)))
    }

    /// Whether limits are shared in Redis at present. None if Redis is not configured.
    pub fn is_redis_connected(&self) -> Option<bool> {
        self.store.is_redis_connected()
    }

    /// Counts a request of an address, and for the additional limit of its route.
    pub async fn acquire_request(
        &self,
        address: IpAddr,
        additional: Option<Limit>,
    ) -> Result<AcceptedLimits, LimitExceeded> {
        let network = network(address);
        let limits = [Some(Limit::Requests), additional];
        let checks: Vec<LimitCheck> =
            limits.into_iter().flatten().filter_map(|limit| self.check(limit, &[&network])).collect();
        self.store.acquire(&checks).await
    }

    /// Counts a request of an authenticated client.
    pub async fn acquire_client(&self, client: &ClientId) -> Result<(), LimitExceeded> {
        match self.check(Limit::Client, &[client.as_str()]) {
            Some(check) => self.store.acquire(&[check]).await.map(drop),
            None => Ok(()),
        }
    }

    /// The check of a limit for a name, if the limit is configured.
    pub(super) fn check(&self, limit: Limit, name: &[&str]) -> Option<LimitCheck> {
        let rule = self.settings.rule(limit)?;
        Some(LimitCheck { limit, name: self.name(limit, name), rule })
    }

    /// No part of a name has a line break, so different names give different texts.
    pub(super) fn name(&self, limit: Limit, parts: &[&str]) -> [u8; 16] {
        let text = Zeroizing::new(format!("{}\n{}", limit.as_str(), parts.join("\n")));
        let mut name = [0; 16];
        name.copy_from_slice(&keyed(&self.key, &text)[..16]);
        name
    }
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address.
pub fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [first, second, third, fourth, ..] = address.segments();
            format!("{first:x}:{second:x}:{third:x}:{fourth:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_addresses_of_one_64_prefix_count_as_one() {
        let of = |address: &str| network(address.parse().expect("an address"));
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(of("2001:db8:1:2:ffff::1"), of("2001:db8:1:2::"));
        assert_ne!(of("2001:db8:1:3::1"), of("2001:db8:1:2::1"));
    }
}
