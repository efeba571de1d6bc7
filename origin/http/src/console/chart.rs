//! Small drawings of the last hour: a bar for each minute, and in words what they say.

/// A drawing, for a view box of [`WIDTH`] by [`HEIGHT`].
pub(super) struct Chart {
    /// What it says, for those who do not see it.
    pub(super) words: String,
    pub(super) bars: Vec<Bar>,
}

/// A minute in which something happened.
pub(super) struct Bar {
    pub(super) x: usize,
    pub(super) y: u64,
    pub(super) height: u64,
}

/// Of a minute's bar with the space after it.
const STEP: usize = 5;
pub(super) const HEIGHT: u64 = 64;

impl Chart {
    /// The figures of minutes, oldest first. `what` is what is counted, e.g. `tokens issued`.
    pub(super) fn of(what: &str, figures: impl Iterator<Item = u64>) -> Chart {
        let figures: Vec<u64> = figures.collect();
        let (sum, most) = (figures.iter().sum::<u64>(), figures.iter().copied().max().unwrap_or(0));
        let words = match sum {
            0 => format!("No {what} in the last 60 minutes."),
            _ => format!("{sum} {what} in the last 60 minutes, {most} at most in one of them."),
        };
        let bar = |(index, figure): (usize, &u64)| {
            // What is little must still be seen.
            let height = (figure.saturating_mul(HEIGHT) / most.max(1)).max(2);
            Bar { x: index * STEP, y: HEIGHT - height, height }
        };
        Chart { words, bars: figures.iter().enumerate().filter(|(_, figure)| **figure > 0).map(bar).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bar_is_as_high_as_the_drawing_and_the_lowest_is_seen() {
        let chart = Chart::of("tokens issued", [0, 1, 1000, 500].into_iter());
        let heights: Vec<u64> = chart.bars.iter().map(|bar| bar.height).collect();
        assert_eq!((heights, chart.bars[0].x), (vec![2, 64, 32], 5));
        assert!(chart.bars.iter().all(|bar| bar.y + bar.height == HEIGHT));
        assert_eq!(chart.words, "1501 tokens issued in the last 60 minutes, 1000 at most in one of them.");
        let none = Chart::of("tokens issued", std::iter::repeat_n(0, 60));
        assert!(none.bars.is_empty() && none.words.starts_with("No tokens issued"));
        assert_eq!(Chart::of("x", [u64::MAX / 2, 1].into_iter()).bars.len(), 2);
    }
}
