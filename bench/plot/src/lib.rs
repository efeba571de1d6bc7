//! Plots as SVG: lines over two axes. Colors follow the reader's light or dark color scheme.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
/// Margins: left, top, right, bottom.
const MARGIN: [f64; 4] = [72.0, 46.0, 168.0, 56.0];
/// Colors with enough contrast on white and on near-black.
pub const COLORS: [&str; 5] = ["#2f81f7", "#d9730d", "#2da44e", "#bf4b8a", "#8a63d2"];

/// Scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Linear.
    Linear,
    /// Logarithmic; values below the range are drawn at its lower end.
    Log,
}

/// An axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// Label with the unit.
    pub label: String,
    /// Scale.
    pub scale: Scale,
    /// Lowest and highest value.
    pub range: (f64, f64),
}

impl Axis {
    /// Creates an axis.
    pub fn new(label: &str, scale: Scale, range: (f64, f64)) -> Self {
        Self { label: label.to_owned(), scale, range }
    }

    /// Position of a value, from 0 to 1.
    fn position(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        let share = match self.scale {
            Scale::Linear => (value - low) / (high - low),
            Scale::Log => (value.max(low) / low).ln() / (high / low).ln(),
        };
        share.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.range;
        let step = 10_f64.powf(((high - low) / 4.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * step).into_iter().find(|step| (high - low) / step <= 6.0);
        let decades = low.log10().ceil() as i32..=high.log10().floor() as i32;
        match (self.scale, step) {
            (Scale::Log, _) => decades.map(|power| 10_f64.powi(power)).collect(),
            (Scale::Linear, Some(step)) => {
                let first = (low / step).ceil() as i64;
                (first..=(high / step).floor() as i64).map(|nth| nth as f64 * step).collect()
            }
            (Scale::Linear, None) => vec![low, high],
        }
    }
}

/// A line of a plot.
#[derive(Debug, Clone)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Points in the order in which they are connected.
    pub points: Vec<(f64, f64)>,
    /// Draws a marker at each point.
    pub has_markers: bool,
    /// The series is a bound, not a measurement: it is drawn dashed.
    pub is_bound: bool,
}

impl Series {
    /// A line through these points.
    pub fn line(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), points, has_markers: false, is_bound: false }
    }

    /// The cumulative distribution of sorted values, in percent.
    pub fn distribution(name: &str, sorted: &[f64]) -> Self {
        let count = sorted.len().max(1) as f64;
        Self::line(name, sorted.iter().zip(1..).map(|(value, nth)| (*value, f64::from(nth) / count * 100.0)).collect())
    }

    /// The series with a marker at each point.
    #[must_use]
    pub fn with_markers(self) -> Self {
        Self { has_markers: true, ..self }
    }

    /// The series as a bound.
    #[must_use]
    pub fn as_bound(self) -> Self {
        Self { is_bound: true, ..self }
    }
}

/// A plot.
#[derive(Debug, Clone)]
pub struct Plot {
    /// Title.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Lines of the plot.
    pub series: Vec<Series>,
}

impl Plot {
    /// Writes the plot to a file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save(&self, file: &Path) -> Result<()> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, self.svg()).with_context(|| format!("cannot write {}", file.display()))
    }

    fn svg(&self) -> String {
        let mut svg = opening(&self.title, WIDTH, HEIGHT, MARGIN[0]);
        self.draw_axes(&mut svg);
        for ((series, color), nth) in self.series.iter().zip(COLORS.iter().cycle()).zip(0..) {
            self.draw_series(&mut svg, series, color, nth);
        }
        svg + "</svg>\n"
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let [left, top, right, bottom] = MARGIN;
        let (across, up) = (self.x.position(x), self.y.position(y));
        (left + across * (WIDTH - left - right), HEIGHT - bottom - up * (HEIGHT - top - bottom))
    }

    // Writing to a String cannot fail.
    fn draw_axes(&self, svg: &mut String) {
        let ((x0, y0), (x1, y1)) = (self.at(self.x.range.0, self.y.range.0), self.at(self.x.range.1, self.y.range.1));
        for tick in self.x.ticks() {
            let (x, text) = (self.at(tick, self.y.range.0).0, tick_text(tick));
            let _ = writeln!(svg, r#"<line class="grid" x1="{x:.1}" y1="{y0:.1}" x2="{x:.1}" y2="{y1:.1}"/>"#);
            let _ = writeln!(svg, r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#, y0 + 18.0);
        }
        for tick in self.y.ticks() {
            let (y, text) = (self.at(self.x.range.0, tick).1, tick_text(tick));
            let _ = writeln!(svg, r#"<line class="grid" x1="{x0:.1}" y1="{y:.1}" x2="{x1:.1}" y2="{y:.1}"/>"#);
            let _ = writeln!(svg, r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{text}</text>"#, x0 - 8.0, y + 4.0);
        }
        let (label_x, label_y) = (escaped(&self.x.label), escaped(&self.y.label));
        let (middle_x, middle_y) = (f64::midpoint(x0, x1), f64::midpoint(y0, y1));
        let _ =
            writeln!(svg, r#"<text x="{middle_x:.1}" y="{:.1}" text-anchor="middle">{label_x}</text>"#, HEIGHT - 14.0);
        let _ = writeln!(
            svg,
            r#"<text x="18" y="{middle_y:.1}" text-anchor="middle" transform="rotate(-90 18 {middle_y:.1})">{label_y}</text>"#
        );
    }

    fn draw_series(&self, svg: &mut String, series: &Series, color: &str, nth: u32) {
        let points: Vec<(f64, f64)> = series.points.iter().map(|(x, y)| self.at(*x, *y)).collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let dashes = if series.is_bound { r#" stroke-dasharray="6 4""# } else { "" };
        let _ = writeln!(svg, r#"<polyline stroke="{color}"{dashes} points="{}"/>"#, path.join(" "));
        for (x, y) in points.iter().filter(|_| series.has_markers) {
            let _ = writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.5" fill="{color}"/>"#);
        }
        let (x, y) = (WIDTH - MARGIN[2] + 14.0, MARGIN[1] + 12.0 + f64::from(nth) * 22.0);
        let _ = writeln!(
            svg,
            r#"<line x1="{x:.1}" y1="{y:.1}" x2="{:.1}" y2="{y:.1}" stroke="{color}" stroke-width="3"{dashes}/>"#,
            x + 18.0
        );
        let name = escaped(&series.name);
        let _ = writeln!(svg, r#"<text x="{:.1}" y="{:.1}" font-size="12">{name}</text>"#, x + 24.0, y + 4.0);
    }
}

/// The beginning of an SVG: title, background and colors for both color schemes.
pub fn opening(title: &str, width: f64, height: f64, left: f64) -> String {
    let title = escaped(title);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="13" role="img">
<title>{title}</title>
<style>
  text {{ fill: #1f2328; }} .grid {{ stroke: #d0d7de; }} .paper {{ fill: #ffffff; }}
  @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3; }} .grid {{ stroke: #3d444d; }} .paper {{ fill: #0d1117; }} }}
  polyline {{ fill: none; stroke-width: 2; stroke-linejoin: round; }}
</style>
<rect class="paper" width="{width}" height="{height}"/>
<text x="{left}" y="26" font-size="15" font-weight="600">{title}</text>
"##
    )
}

fn tick_text(tick: f64) -> String {
    if tick.abs() >= 10_000.0 { format!("{}k", tick / 1000.0) } else { format!("{}", (tick * 1e6).round() / 1e6) }
}

/// Text as the content of an element.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
