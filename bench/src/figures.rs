//! Measured figures and their targets.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// Limit for a figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Target {
    /// At most this value.
    AtMost(f64),
    /// At least this value.
    AtLeast(f64),
}

/// One measured number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    /// The measured quantity.
    pub name: String,
    pub value: f64,
    /// The unit, as printed after the number.
    pub unit: String,
    /// The target, if there is one.
    pub target: Option<Target>,
}

impl Figure {
    /// A figure without a target.
    pub fn new(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value, unit: unit.to_owned(), target: None }
    }

    /// Sets an upper limit as the target.
    #[must_use]
    pub fn at_most(self, limit: f64) -> Self {
        Self { target: Some(Target::AtMost(limit)), ..self }
    }

    /// Sets a lower limit as the target.
    #[must_use]
    pub fn at_least(self, limit: f64) -> Self {
        Self { target: Some(Target::AtLeast(limit)), ..self }
    }

    /// Whether the figure meets its target; `None` without a target.
    pub fn meets_target(&self) -> Option<bool> {
        Some(match self.target? {
            Target::AtMost(limit) => self.value <= limit,
            Target::AtLeast(limit) => self.value >= limit,
        })
    }

    /// The number with its unit.
    pub fn value_text(&self) -> String {
        number(self.value, &self.unit)
    }

    /// The target as text; empty without a target.
    pub fn target_text(&self) -> String {
        match self.target {
            None => String::new(),
            Some(Target::AtMost(limit)) => format!("at most {}", number(limit, &self.unit)),
            Some(Target::AtLeast(limit)) => format!("at least {}", number(limit, &self.unit)),
        }
    }

    /// `met`, or by which factor the target is missed; empty without a target.
    pub fn result_text(&self) -> String {
        match (self.meets_target(), self.target) {
            (Some(true), _) => "met".to_owned(),
            (Some(false), Some(Target::AtMost(limit))) => format!("MISSED: {:.2} times the limit", self.value / limit),
            (Some(false), Some(Target::AtLeast(limit))) => {
                format!("MISSED: {:.2} of the target", self.value / limit)
            }
            _ => String::new(),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<66} {:>16}  {:<24} {}", self.name, self.value_text(), self.target_text(), self.result_text())
    }
}

/// A part of the report: figures of one kind, with a description of the measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// Heading.
    pub title: String,
    /// Description of the measurement.
    pub description: String,
    pub figures: Vec<Figure>,
    /// Tables of figures without targets.
    #[serde(default)]
    pub tables: Vec<Table>,
    /// Plots: file name and description.
    pub plots: Vec<(String, String)>,
}

/// A table with a header and rows of the same width.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    /// Column names; the first column has the names of the rows.
    pub header: Vec<String>,
    /// Rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table without rows.
    pub fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|&column| column.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn add_row(&mut self, name: impl Into<String>, cells: impl IntoIterator<Item = String>) {
        self.rows.push([name.into()].into_iter().chain(cells).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in [&self.header].into_iter().chain(&self.rows) {
            let (name, cells) = row.split_first().map_or(("", &[][..]), |(name, cells)| (name.as_str(), cells));
            write!(f, "\n  {name:<66}")?;
            cells.iter().try_for_each(|cell| write!(f, " {cell:>14}"))?;
        }
        Ok(())
    }
}

impl Part {
    /// Creates a part without figures.
    pub fn new(title: &str, description: impl Into<String>) -> Self {
        Self {
            title: title.to_owned(),
            description: description.into(),
            figures: Vec::new(),
            tables: Vec::new(),
            plots: Vec::new(),
        }
    }

    /// Prints the part and stores it as `NAME.json` for the report.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(&self, folder: &Path, name: &str) -> Result<()> {
        println!("\n{}\n{}", self.title, wrap_for_terminal(&self.description));
        for figure in &self.figures {
            println!("{figure}");
        }
        for table in &self.tables {
            println!("{table}");
        }
        fs::create_dir_all(folder)?;
        let file = folder.join(format!("{name}.json"));
        fs::write(&file, serde_json::to_vec_pretty(self)?).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Reads a part that [`finish`](Self::finish) stored.
    ///
    /// # Errors
    /// If the file does not exist or is not a part.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// A time with three significant digits, in nanoseconds or microseconds.
pub fn time(nanoseconds: f64) -> String {
    if nanoseconds < 10_000.0 { number(nanoseconds, "ns") } else { number(nanoseconds / 1e3, "µs") }
}

/// A number with three significant digits, all digits of larger integers, and separated thousands.
pub fn number(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 || value.fract() == 0.0 => 0,
        middle if middle >= 10.0 => 1,
        small if small >= 0.1 => 2,
        _ => 3,
    };
    let plain = format!("{value:.digits$}");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut shown = String::new();
    for (index, digit) in whole.char_indices() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && !shown.ends_with('-') {
            shown.push(',');
        }
        shown.push(digit);
    }
    if !fraction.is_empty() {
        shown = format!("{shown}.{fraction}");
    }
    if unit.is_empty() { shown } else { format!("{shown} {unit}") }
}

/// Wraps a text for a terminal.
fn wrap_for_terminal(text: &str) -> String {
    let mut lines = vec![String::from(" ")];
    for word in text.split_whitespace() {
        if lines.last().is_some_and(|line| line.len() + word.len() > 118) {
            lines.push(String::from(" "));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n")
}
