//! Figures with their targets, and whether they hold.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// What a figure must be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Target {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

/// One measured number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// The number.
    pub value: f64,
    /// Its unit, as it stands behind the number.
    pub unit: String,
    /// What it must be, if that was promised.
    pub target: Option<Target>,
}

impl Figure {
    /// A figure without a target.
    pub fn new(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value, unit: unit.to_owned(), target: None }
    }

    /// The figure, to be at most this.
    #[must_use]
    pub fn at_most(self, limit: f64) -> Self {
        Self { target: Some(Target::AtMost(limit)), ..self }
    }

    /// The figure, to be at least this.
    #[must_use]
    pub fn at_least(self, limit: f64) -> Self {
        Self { target: Some(Target::AtLeast(limit)), ..self }
    }

    /// Whether it holds; nothing without a target.
    pub fn holds(&self) -> Option<bool> {
        Some(match self.target? {
            Target::AtMost(limit) => self.value <= limit,
            Target::AtLeast(limit) => self.value >= limit,
        })
    }

    /// The number with its unit.
    pub fn shown(&self) -> String {
        number(self.value, &self.unit)
    }

    /// The target in words; empty without one.
    pub fn wanted(&self) -> String {
        match self.target {
            None => String::new(),
            Some(Target::AtMost(limit)) => format!("at most {}", number(limit, &self.unit)),
            Some(Target::AtLeast(limit)) => format!("at least {}", number(limit, &self.unit)),
        }
    }

    /// `holds`, or by how much it does not; empty without a target.
    pub fn verdict(&self) -> String {
        match (self.holds(), self.target) {
            (Some(true), _) => "holds".to_owned(),
            (Some(false), Some(Target::AtMost(limit))) => format!("MISSED: {:.2} times the limit", self.value / limit),
            (Some(false), Some(Target::AtLeast(limit))) => {
                format!("MISSED: {:.2} of what it must be", self.value / limit)
            }
            _ => String::new(),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<66} {:>16}  {:<24} {}", self.name, self.shown(), self.wanted(), self.verdict())
    }
}

/// Figures of one kind, with what a reader must know to judge them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// Its heading.
    pub title: String,
    /// How it was measured, in sentences.
    pub how: String,
    /// The figures.
    pub figures: Vec<Figure>,
    /// Tables of what has no target of its own.
    #[serde(default)]
    pub tables: Vec<Table>,
    /// Plots: the file's name and what it shows.
    pub plots: Vec<(String, String)>,
}

/// A table: one line of heads, then lines as wide.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    /// What the columns tell; the first names the lines.
    pub head: Vec<String>,
    /// The lines.
    pub lines: Vec<Vec<String>>,
}

impl Table {
    /// A table without lines yet.
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|&column| column.to_owned()).collect(), lines: Vec::new() }
    }

    /// Adds a line.
    pub fn line(&mut self, name: impl Into<String>, cells: impl IntoIterator<Item = String>) {
        self.lines.push([name.into()].into_iter().chain(cells).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in [&self.head].into_iter().chain(&self.lines) {
            let (name, cells) = line.split_first().map_or(("", &[][..]), |(name, cells)| (name.as_str(), cells));
            write!(f, "\n  {name:<66}")?;
            cells.iter().try_for_each(|cell| write!(f, " {cell:>14}"))?;
        }
        Ok(())
    }
}

impl Part {
    /// A part without figures yet.
    pub fn new(title: &str, how: impl Into<String>) -> Self {
        Self { title: title.to_owned(), how: how.into(), figures: Vec::new(), tables: Vec::new(), plots: Vec::new() }
    }

    /// Prints the part and keeps it as `NAME.json` for the report.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&self, folder: &Path, name: &str) -> Result<()> {
        println!("\n{}\n{}", self.title, wrapped(&self.how));
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

    /// A part as [`finish`](Self::finish) kept it.
    ///
    /// # Errors
    /// When the file is not there or no part.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// As much of a time as counts, in nanoseconds or microseconds.
pub fn time(nanoseconds: f64) -> String {
    if nanoseconds < 10_000.0 { number(nanoseconds, "ns") } else { number(nanoseconds / 1e3, "µs") }
}

/// Three digits that count, more for large numbers, with separated thousands.
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
    for (place, digit) in whole.char_indices() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) && !shown.ends_with('-') {
            shown.push(',');
        }
        shown.push(digit);
    }
    if !fraction.is_empty() {
        shown = format!("{shown}.{fraction}");
    }
    if unit.is_empty() { shown } else { format!("{shown} {unit}") }
}

/// The text in lines that fit a terminal.
fn wrapped(text: &str) -> String {
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
