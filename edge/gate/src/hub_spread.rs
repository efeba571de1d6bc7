//! How the isolates of a Worker spread over hubs: as many hubs as their requests need. Each hub
//! measures its load and reports it in every answer; each isolate decides by that report alone.

/// Requests to a hub in a second above which its isolates spread over twice as many hubs: those of
/// about fifty busy isolates. A Durable Object serves several times as many.
const MAX_LOAD: u32 = 200;
/// Load below which isolates share half as many hubs. Less than half of [`MAX_LOAD`], so that the
/// hubs that remain do not overflow.
const MIN_LOAD: u32 = 60;
/// How long the load is measured.
const MEASURE_MS: u64 = 5_000;
/// Delay until an isolate changes the number again: until then, hubs report loads of before.
const SETTLE_MS: u64 = 2 * MEASURE_MS;

/// Load of a hub: requests of isolates in a second.
#[derive(Debug, Clone, Copy, Default)]
pub struct HubLoad {
    since_ms: u64,
    requests: u64,
    last: u32,
}

impl HubLoad {
    /// Counts a request, and returns the load in the last completed measurement.
    pub fn count(&mut self, now_ms: u64) -> u32 {
        let elapsed_ms = now_ms.abs_diff(self.since_ms);
        if elapsed_ms >= MEASURE_MS {
            self.last = u32::try_from(self.requests.saturating_mul(1000) / elapsed_ms).unwrap_or(u32::MAX);
            (self.since_ms, self.requests) = (now_ms, 0);
        }
        self.requests += 1;
        self.last
    }
}

/// The hubs that an isolate knows to be in use at its location.
#[derive(Debug, Clone, Copy)]
pub struct HubSpread {
    /// Any number, by which the isolate chooses among the hubs.
    random: u32,
    max: u32,
    count: u32,
    changed_at_ms: u64,
}

impl HubSpread {
    /// One hub at first, at most `max`.
    pub fn new(max: u32, random: u32) -> Self {
        Self { random, max: max.max(1), count: 1, changed_at_ms: 0 }
    }

    /// Index of the isolate's hub.
    pub fn index(&self) -> u32 {
        self.random % self.count
    }

    /// Takes the load that the isolate's hub reported.
    pub fn observe(&mut self, load: u32, now_ms: u64) {
        let count = match load {
            MAX_LOAD.. => self.count.saturating_mul(2).min(self.max),
            0..MIN_LOAD => (self.count / 2).max(1),
            _ => self.count,
        };
        if count != self.count && now_ms.abs_diff(self.changed_at_ms) >= SETTLE_MS {
            (self.count, self.changed_at_ms) = (count, now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    #[test]
    fn load_is_the_rate_of_the_last_measurement() {
        let mut load = HubLoad::default();
        for request in 0..3000 {
            assert_eq!(load.count(NOW_MS + request * 5), u32::from(request >= 1000) * 200, "request {request}");
        }
        assert!(load.count(NOW_MS + 100_000) < 20, "a quiet hub");
    }

    #[test]
    fn number_of_hubs_follows_the_load_within_its_bounds() {
        // 400 isolates, each with four requests a second, and at most 16 hubs.
        let mut isolates: Vec<_> = (0..400_u32).map(|n| HubSpread::new(16, n.wrapping_mul(0x9e37_79b9) >> 8)).collect();
        let round = |isolates: &mut Vec<HubSpread>, requests: u32, at_ms: u64| {
            let mut loads = [0; 16];
            isolates.iter().for_each(|isolate| loads[isolate.index() as usize] += requests);
            isolates.iter_mut().for_each(|isolate| isolate.observe(loads[isolate.index() as usize], at_ms));
            loads.into_iter().filter(|load| *load > 0).count()
        };
        let hubs: Vec<usize> = (0..12).map(|n| round(&mut isolates, 4, NOW_MS + n * SETTLE_MS)).collect();
        assert_eq!(hubs[..2], [1, 2], "{hubs:?}");
        assert!(hubs[11] >= 8 && hubs[11] <= 16, "{hubs:?}");
        (12..24).for_each(|n| _ = round(&mut isolates, 0, NOW_MS + n * SETTLE_MS));
        assert!(isolates.iter().all(|isolate| isolate.index() == 0), "they share one hub again");
    }

    #[test]
    fn isolate_does_not_change_hubs_before_the_loads_have_settled() {
        let mut spread = HubSpread::new(64, 7);
        spread.observe(1_000, NOW_MS);
        assert_eq!(spread.count, 2);
        spread.observe(1_000, NOW_MS + SETTLE_MS - 1);
        assert_eq!(spread.count, 2);
        spread.observe(1_000, NOW_MS + SETTLE_MS);
        assert_eq!(spread.count, 4);
        assert_eq!(HubSpread::new(1, 7).index(), 0);
    }
}
