//! Bar charts as SVG, in the style of [`plot`](crate::plot): groups of horizontal bars over a
//! logarithmic time axis.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::figures::time;
use crate::plot::{COLORS, escaped, opening};

const WIDTH: f64 = 760.0;
/// Left edge of the bars; their names are to the left of it.
const LEFT: f64 = 250.0;
/// Right end of the longest bar; its figure is to the right of it.
const RIGHT: f64 = 680.0;
const TOP: f64 = 44.0;
/// Height of a bar with its gap.
const BAR_HEIGHT: f64 = 17.0;
/// Height of a group's name.
const GROUP_NAME_HEIGHT: f64 = 34.0;

/// Bars with a common name, such as an algorithm's.
#[derive(Debug, Clone)]
pub struct Group {
    /// The name.
    pub name: String,
    /// Name and nanoseconds of each bar.
    pub bars: Vec<(String, f64)>,
}

/// Writes the chart to a file. Bars whose name begins with `highlighted` have another color.
///
/// # Errors
/// If it cannot be written.
pub fn save(title: &str, groups: &[Group], highlighted: &str, file: &Path) -> Result<()> {
    let all = || groups.iter().flat_map(|group| &group.bars).map(|(_, length)| *length);
    let low = 10_f64.powf(all().fold(f64::MAX, f64::min).log10().floor());
    let high = all().fold(low * 10.0, f64::max);
    let position = |value: f64| LEFT + (value / low).ln() / (high / low).ln() * (RIGHT - LEFT);
    let bars: usize = groups.iter().map(|group| group.bars.len()).sum();
    let height = TOP + groups.len() as f64 * GROUP_NAME_HEIGHT + bars as f64 * BAR_HEIGHT + 40.0;
    let mut svg = opening(title, WIDTH, height, 20.0);
    // Writing to a String cannot fail.
    let mut decade = low;
    while decade <= high {
        let x = position(decade);
        let _ = writeln!(svg, r#"<line class="grid" x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{:.1}"/>"#, height - 34.0);
        let _ = writeln!(
            svg,
            r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            height - 16.0,
            axis_label(decade)
        );
        decade *= 10.0;
    }
    let mut y = TOP;
    for group in groups {
        y += GROUP_NAME_HEIGHT;
        let _ = writeln!(svg, r#"<text x="20" y="{:.1}" font-weight="600">{}</text>"#, y - 6.0, escaped(&group.name));
        for (name, length) in &group.bars {
            let color = if name.starts_with(highlighted) { COLORS[0] } else { "#8b949e" };
            let (end, middle) = (position(*length).max(LEFT + 1.0), y + BAR_HEIGHT - 5.0);
            let _ = writeln!(
                svg,
                r#"<text x="{:.1}" y="{middle:.1}" font-size="12" text-anchor="end">{}</text>"#,
                LEFT - 8.0,
                escaped(name)
            );
            let _ = writeln!(
                svg,
                r#"<rect x="{LEFT}" y="{:.1}" width="{:.1}" height="{:.1}" rx="2" fill="{color}"/>"#,
                y + 1.0,
                end - LEFT,
                BAR_HEIGHT - 4.0
            );
            let _ =
                writeln!(svg, r#"<text x="{:.1}" y="{middle:.1}" font-size="12">{}</text>"#, end + 6.0, time(*length));
            y += BAR_HEIGHT;
        }
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, svg + "</svg>\n").with_context(|| format!("cannot write {}", file.display()))
}

/// Axis label for a power of ten of nanoseconds.
fn axis_label(nanoseconds: f64) -> String {
    if nanoseconds < 1e3 {
        format!("{nanoseconds:.0} ns")
    } else if nanoseconds < 1e6 {
        format!("{:.0} µs", nanoseconds / 1e3)
    } else {
        format!("{:.0} ms", nanoseconds / 1e6)
    }
}
