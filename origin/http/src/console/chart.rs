//! Bar charts of the last hour: a bar for each minute, and a description.

use tollgate_messages::Messages;

/// A chart, for a view box that is [`HEIGHT`] high.
pub(super) struct Chart {
    /// What the chart shows, for screen readers.
    pub(super) description: String,
    pub(super) bars: Vec<Bar>,
}

/// The bar of a minute with a count above zero.
pub(super) struct Bar {
    pub(super) x: usize,
    pub(super) y: u64,
    pub(super) height: u64,
}

/// The width of a bar with the space after it.
const BAR_STEP: usize = 5;
/// The height of the least bar that is visible.
const MIN_BAR_HEIGHT: u64 = 2;
pub(super) const HEIGHT: u64 = 64;

impl Chart {
    /// Draws counts by minute, oldest first. `message` names the description, with the values
    /// `$sum` and `$most`.
    pub(super) fn new(messages: &Messages, message: &str, counts: impl Iterator<Item = u64>) -> Chart {
        let counts: Vec<u64> = counts.collect();
        let (sum, most) = (counts.iter().sum::<u64>(), counts.iter().copied().max().unwrap_or(0));
        let description = match sum {
            0 => messages.text("overview-chart-none").to_string(),
            _ => messages.text(message).with("sum", sum).with("most", most).to_string(),
        };
        let bar = |(index, count): (usize, &u64)| {
            let height = (count.saturating_mul(HEIGHT) / most.max(1)).max(MIN_BAR_HEIGHT);
            Bar { x: index * BAR_STEP, y: HEIGHT - height, height }
        };
        Chart { description, bars: counts.iter().enumerate().filter(|(_, count)| **count > 0).map(bar).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tollgate_messages::Catalogue;

    use super::*;

    #[test]
    fn the_highest_bar_fills_the_chart_and_the_lowest_is_visible() {
        let messages = Arc::new(Catalogue::load(None).expect("the built-in files are good")).messages("", "");
        let chart = Chart::new(&messages, "overview-chart-issued", [0, 1, 1000, 500].into_iter());
        let heights: Vec<u64> = chart.bars.iter().map(|bar| bar.height).collect();
        assert_eq!((heights, chart.bars[0].x), (vec![2, 64, 32], 5));
        assert!(chart.bars.iter().all(|bar| bar.y + bar.height == HEIGHT));
        assert_eq!(chart.description, "1501 tokens issued in the last 60 minutes, at most 1000 in one minute.");
        let none = Chart::new(&messages, "overview-chart-issued", std::iter::repeat_n(0, 60));
        assert!(none.bars.is_empty() && none.description.starts_with("None"));
        assert_eq!(Chart::new(&messages, "x", [u64::MAX / 2, 1].into_iter()).bars.len(), 2);
    }
}
