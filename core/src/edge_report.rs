//! An edge's report of its work: totals since the start of one of its runs. The edge sends it to
//! its origin within a signed sync request.
//!
//! ```text
//! report = "1." run *( "." entry )
//! run    = 16 lower-case hexadecimal digits, random at the start of the run
//! entry  = counter "-" total / "refused-" reason "-" total
//! total  = decimal digits, at most 2^64 - 1
//! ```
//!
//! Totals only grow within a run, so that a report that is lost, repeated or late does no harm:
//! the next one has all that it had. Totals of 0 are left out. A counter that the reader does not
//! know is skipped, and a reason that it does not know counts as `other`, because edges may be
//! newer than their origin.

use alloc::string::String;
use core::fmt;
use core::fmt::Write as _;

/// Longest report that is read, in bytes. A report with all counters of this version fits.
pub const MAX_REPORT_BYTES: usize = 4096;
/// Most entries of a report.
const MAX_ENTRIES: usize = 128;
/// Longest name of a counter or reason in bytes.
const MAX_NAME_BYTES: usize = 32;

/// Reasons for refusing a request: the codes of [`Refusal`](crate::Refusal), then those of the gate
/// and of its hosts. The last one counts reasons that are not in this list.
pub const REFUSAL_REASONS: &[&str] = &[
    "too_large",
    "not_compact",
    "not_base64url",
    "bad_json",
    "forbidden_header",
    "missing_header",
    "bad_key_id",
    "wrong_type",
    "unknown_algorithm",
    "unknown_key",
    "wrong_algorithm",
    "bad_signature",
    "missing_claim",
    "bad_claim",
    "expired",
    "not_yet_valid",
    "wrong_issuer",
    "wrong_audience",
    "bound_to_key",
    "not_bound",
    "use_dpop_nonce",
    "invalid_dpop_proof",
    "missing_certificate",
    "wrong_certificate",
    "inactive",
    "revoked",
    "not_covered",
    "stale",
    "wrong_client",
    "wrong_claim",
    "insufficient_authentication",
    "insufficient_scope",
    "missing_token",
    "invalid_request",
    "no_snapshot",
    "rate_limited",
    "body_too_large",
    "other",
];

/// Position of a reason in [`REFUSAL_REASONS`]; that of `other` for an unknown one.
pub fn refusal_reason_index(reason: &str) -> usize {
    REFUSAL_REASONS.iter().position(|known| *known == reason).unwrap_or(REFUSAL_REASONS.len() - 1)
}

/// Counters of an edge, apart from its refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EdgeCounter {
    /// Requests that were allowed to pass.
    Passed,
    /// Tokens whose signature had been checked before.
    CacheHits,
    /// Tokens that were not in the cache.
    CacheMisses,
    /// Decisions by a fresh replica, without a wait.
    DecidedFresh,
    /// Decisions after a wait for a fetch.
    DecidedWaited,
    /// Decisions by a replica older than the staleness bound.
    DecidedStale,
    /// Streams that were opened.
    StreamsOpened,
    /// Streams that ended, for whatever reason.
    StreamsClosed,
    /// Streams that the edge ended, because their token was revoked or expired.
    StreamsCut,
    /// Responses of the upstream.
    UpstreamResponses,
    /// Requests without a response of the upstream: unreachable, or not in time.
    UpstreamFailures,
    /// Time until the upstream began its responses, in microseconds.
    UpstreamMicroseconds,
}

impl EdgeCounter {
    /// All counters, in the order of their positions.
    pub const ALL: [Self; 12] = [
        Self::Passed,
        Self::CacheHits,
        Self::CacheMisses,
        Self::DecidedFresh,
        Self::DecidedWaited,
        Self::DecidedStale,
        Self::StreamsOpened,
        Self::StreamsClosed,
        Self::StreamsCut,
        Self::UpstreamResponses,
        Self::UpstreamFailures,
        Self::UpstreamMicroseconds,
    ];

    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::CacheHits => "cache_hits",
            Self::CacheMisses => "cache_misses",
            Self::DecidedFresh => "decided_fresh",
            Self::DecidedWaited => "decided_waited",
            Self::DecidedStale => "decided_stale",
            Self::StreamsOpened => "streams_opened",
            Self::StreamsClosed => "streams_closed",
            Self::StreamsCut => "streams_cut",
            Self::UpstreamResponses => "upstream_responses",
            Self::UpstreamFailures => "upstream_failures",
            Self::UpstreamMicroseconds => "upstream_microseconds",
        }
    }
}

/// Totals of an edge. Their text form is that of a report's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeTotals {
    counts: [u64; EdgeCounter::ALL.len()],
    refused: [u64; REFUSAL_REASONS.len()],
}

impl Default for EdgeTotals {
    fn default() -> Self {
        Self { counts: [0; EdgeCounter::ALL.len()], refused: [0; REFUSAL_REASONS.len()] }
    }
}

impl EdgeTotals {
    /// The total of a counter.
    pub fn get(&self, counter: EdgeCounter) -> u64 {
        self.counts.get(counter as usize).copied().unwrap_or_default()
    }

    /// Adds to a counter.
    pub fn add(&mut self, counter: EdgeCounter, count: u64) {
        if let Some(total) = self.counts.get_mut(counter as usize) {
            *total = total.saturating_add(count);
        }
    }

    /// Adds to the refusals for a reason; an unknown one counts as `other`.
    pub fn add_refused(&mut self, reason: &str, count: u64) {
        if let Some(total) = self.refused.get_mut(refusal_reason_index(reason)) {
            *total = total.saturating_add(count);
        }
    }

    /// Refusals by reason, of which there are any.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REFUSAL_REASONS.iter().copied().zip(self.refused).filter(|(_, total)| *total > 0)
    }

    /// Refusals for all reasons.
    pub fn refused_in_all(&self) -> u64 {
        self.refused.iter().fold(0, |sum, total| sum.saturating_add(*total))
    }

    /// Streams that are open.
    pub fn open_streams(&self) -> u64 {
        self.get(EdgeCounter::StreamsOpened).saturating_sub(self.get(EdgeCounter::StreamsClosed))
    }

    /// Adds the totals of another run, or of another instance of the same run.
    pub fn merge(&mut self, other: &Self) {
        self.combine(other, u64::saturating_add);
    }

    /// Takes the higher of both totals of each counter: of two reports of one run, the newer one
    /// has them all.
    pub fn take_higher(&mut self, other: &Self) {
        self.combine(other, u64::max);
    }

    fn combine(&mut self, other: &Self, combine: fn(u64, u64) -> u64) {
        let own = self.counts.iter_mut().chain(&mut self.refused);
        for (total, other) in own.zip(other.counts.iter().chain(&other.refused)) {
            *total = combine(*total, *other);
        }
    }

    /// Parses the text form. None if it is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let mut totals = Self::default();
        if text.is_empty() {
            return Some(totals);
        }
        if text.len() > MAX_REPORT_BYTES || text.split('.').count() > MAX_ENTRIES {
            return None;
        }
        for entry in text.split('.') {
            let (name, total) = entry.rsplit_once('-')?;
            let total = parse_total(total)?;
            match name.strip_prefix("refused-") {
                Some(reason) if is_name(reason) => totals.add_refused(reason, total),
                None if is_name(name) => {
                    if let Some(counter) = EdgeCounter::ALL.into_iter().find(|counter| counter.name() == name) {
                        totals.add(counter, total);
                    }
                }
                _ => return None,
            }
        }
        Some(totals)
    }
}

impl fmt::Display for EdgeTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for counter in EdgeCounter::ALL {
            let total = self.get(counter);
            if total > 0 {
                write!(f, "{separator}{}-{total}", counter.name())?;
                separator = ".";
            }
        }
        for (reason, total) in self.refused() {
            write!(f, "{separator}refused-{reason}-{total}")?;
            separator = ".";
        }
        Ok(())
    }
}

/// A report: the totals of one run of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeReport {
    /// Random number of the run. An edge that is started again counts from 0 under another one.
    pub run: u64,
    /// Totals since the start of the run.
    pub totals: EdgeTotals,
}

impl EdgeReport {
    /// Parses a report. None if it is malformed, or of another version.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("1.").filter(|_| text.len() <= MAX_REPORT_BYTES)?;
        let (run, entries) = rest.split_once('.').unwrap_or((rest, ""));
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if run.len() != 16 || !run.bytes().all(is_digit) || rest.ends_with('.') {
            return None;
        }
        Some(Self { run: u64::from_str_radix(run, 16).ok()?, totals: EdgeTotals::parse(entries)? })
    }
}

impl fmt::Display for EdgeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entries = String::new();
        write!(entries, "{}", self.totals)?;
        let separator = if entries.is_empty() { "" } else { "." };
        write!(f, "1.{:016x}{separator}{entries}", self.run)
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(is_letter)
}

/// Digits only: `u64::from_str` would accept a sign.
fn parse_total(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString as _;

    use super::*;

    fn sample() -> EdgeReport {
        let mut totals = EdgeTotals::default();
        totals.add(EdgeCounter::Passed, 3);
        totals.add(EdgeCounter::StreamsOpened, 2);
        totals.add(EdgeCounter::StreamsClosed, 1);
        totals.add_refused("expired", 2);
        totals.add_refused("revoked", 1);
        EdgeReport { run: 0xab, totals }
    }

    #[test]
    fn reports_are_read_as_they_were_written() {
        let text = sample().to_string();
        let expected =
            "1.00000000000000ab.passed-3.streams_opened-2.streams_closed-1.refused-expired-2.refused-revoked-1";
        assert_eq!(text, expected);
        assert_eq!(EdgeReport::parse(&text), Some(sample()));
        let empty = EdgeReport { run: u64::MAX, totals: EdgeTotals::default() };
        assert_eq!(empty.to_string(), "1.ffffffffffffffff");
        assert_eq!(EdgeReport::parse(&empty.to_string()), Some(empty));
        let mut full = EdgeReport { run: 1, totals: EdgeTotals::default() };
        EdgeCounter::ALL.into_iter().for_each(|counter| full.totals.add(counter, u64::MAX));
        REFUSAL_REASONS.iter().for_each(|reason| full.totals.add_refused(reason, u64::MAX));
        let text = full.to_string();
        assert!(text.len() <= MAX_REPORT_BYTES, "{} bytes", text.len());
        assert_eq!(EdgeReport::parse(&text), Some(full));
    }

    #[test]
    fn counters_of_newer_edges_are_skipped_and_their_reasons_count_as_other() {
        let report = EdgeReport::parse("1.00000000000000ab.passed-3.teleported-9.refused-too_blue-4.refused-sleepy-1");
        let totals = report.expect("a report").totals;
        assert_eq!((totals.get(EdgeCounter::Passed), totals.refused_in_all()), (3, 5));
        assert_eq!(totals.refused().collect::<alloc::vec::Vec<_>>(), [("other", 5)]);
    }

    #[test]
    fn malformed_reports_are_refused() {
        let long_name = format!("1.00000000000000ab.{}-1", "a".repeat(MAX_NAME_BYTES + 1));
        let many = format!("1.00000000000000ab{}", ".a-1".repeat(MAX_ENTRIES + 1));
        for text in [
            "",
            "1.",
            "1.ab",
            "2.00000000000000ab",
            "1.00000000000000AB",
            "1.00000000000000ab.",
            "1.00000000000000ab..passed-1",
            "1.00000000000000ab.passed",
            "1.00000000000000ab.passed-",
            "1.00000000000000ab.passed-+1",
            "1.00000000000000ab.passed--1",
            "1.00000000000000ab.passed-18446744073709551616",
            "1.00000000000000ab.PASSED-1",
            "1.00000000000000ab.refused--1",
            "1.00000000000000ab.a b-1",
            "1.+0000000000000ab",
            &long_name,
            &many,
        ] {
            assert_eq!(EdgeReport::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_code_of_a_refusal_is_a_reason_of_its_own() {
        let source = include_str!("refusal.rs");
        let codes =
            source.split_once("pub fn code").and_then(|(_, rest)| rest.split_once("pub fn rfc")).expect("code").0;
        let codes: alloc::vec::Vec<&str> = codes.split('"').skip(1).step_by(2).collect();
        assert!(codes.contains(&"revoked") && codes.len() >= 23, "{codes:?}");
        for code in codes {
            assert_ne!(refusal_reason_index(code), REFUSAL_REASONS.len() - 1, "{code} is missing in REFUSAL_REASONS");
        }
    }

    #[test]
    fn totals_are_merged_and_never_overflow() {
        let mut sum = sample().totals;
        sum.merge(&sample().totals);
        assert_eq!((sum.get(EdgeCounter::Passed), sum.refused_in_all(), sum.open_streams()), (6, 6, 2));
        sum.take_higher(&sample().totals);
        assert_eq!(sum.get(EdgeCounter::Passed), 6);
        sum.add(EdgeCounter::Passed, u64::MAX);
        assert_eq!(sum.get(EdgeCounter::Passed), u64::MAX);
    }
}
