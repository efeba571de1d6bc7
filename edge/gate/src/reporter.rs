//! When an edge reports its work to its origin, and how a hub hands the reports of others on.

use std::collections::VecDeque;

use tollgate_core::{EdgeReport, EdgeTotals};

/// Time between two reports, while the edge has work.
const MIN_INTERVAL_MS: u64 = 5_000;
/// Time after which a report is repeated although nothing has changed: the origin counts open
/// streams only of runs that have reported lately.
const MAX_INTERVAL_MS: u64 = 30_000;
/// Reports in a queue.
const MAX_QUEUED: usize = 256;

/// The reports of one run of an edge.
#[derive(Debug, Clone)]
pub struct Reporter {
    run: u64,
    /// Time and totals of the last report.
    last: Option<(u64, EdgeTotals)>,
}

impl Reporter {
    /// The reports of a run with this random number.
    pub fn new(run: u64) -> Self {
        Self { run, last: None }
    }

    /// Whether a report may be due, so that the totals are worth reading.
    pub fn may_be_due(&self, now_ms: u64) -> bool {
        self.last.is_none_or(|(at_ms, _)| now_ms.abs_diff(at_ms) >= MIN_INTERVAL_MS)
    }

    /// The report to send now, if one is due. It counts as sent. If it is lost, the next one has
    /// all that it had.
    pub fn take_due(&mut self, totals: EdgeTotals, now_ms: u64) -> Option<EdgeReport> {
        let has_news =
            self.last.is_none_or(|(at_ms, last)| last != totals || now_ms.abs_diff(at_ms) >= MAX_INTERVAL_MS);
        if !has_news || !self.may_be_due(now_ms) {
            return None;
        }
        self.last = Some((now_ms, totals));
        Some(EdgeReport { run: self.run, totals })
    }
}

/// Reports of several runs, of which each request to the origin takes one.
#[derive(Debug, Default)]
pub struct ReportQueue(VecDeque<EdgeReport>);

impl ReportQueue {
    /// Adds a report, or replaces the older one of the same run. Beyond 256 runs, further ones are
    /// left out.
    pub fn push(&mut self, report: EdgeReport) {
        if let Some(queued) = self.0.iter_mut().find(|queued| queued.run == report.run) {
            *queued = report;
        } else if self.0.len() < MAX_QUEUED {
            self.0.push_back(report);
        }
    }

    /// The report that was added first.
    pub fn pop(&mut self) -> Option<EdgeReport> {
        self.0.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::EdgeCounter;

    use super::*;

    fn passed(count: u64) -> EdgeTotals {
        let mut totals = EdgeTotals::default();
        totals.add(EdgeCounter::Passed, count);
        totals
    }

    #[test]
    fn reports_are_sent_when_there_is_news_and_not_too_often() {
        let mut reporter = Reporter::new(7);
        let mut sent = |count, now_ms| reporter.take_due(passed(count), now_ms).map(|report| report.run);
        assert_eq!(sent(0, 100_000), Some(7), "the origin learns of the run");
        assert_eq!(sent(1, 104_999), None, "too early");
        assert_eq!(sent(1, 105_000), Some(7));
        assert_eq!(sent(1, 120_000), None, "no news");
        assert_eq!(sent(1, 135_000), Some(7), "still alive");
        assert_eq!(sent(2, 50_000), Some(7), "the clock was set back");
    }

    #[test]
    fn a_queue_has_the_newest_report_of_each_run_in_the_order_of_arrival() {
        let mut queue = ReportQueue::default();
        for (run, count) in [(2, 1), (1, 1), (2, 5)] {
            queue.push(EdgeReport { run, totals: passed(count) });
        }
        let popped: Vec<EdgeReport> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(popped, [EdgeReport { run: 2, totals: passed(5) }, EdgeReport { run: 1, totals: passed(1) }]);
        (0..1000).for_each(|run| queue.push(EdgeReport { run, totals: passed(1) }));
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), MAX_QUEUED);
    }
}
