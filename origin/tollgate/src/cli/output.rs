//! Prints results: JSON for programs, text for people.

use std::io::{ErrorKind, Write as _};

use serde::Serialize;

/// Output format of all commands except `serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Output {
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

impl Output {
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints `value` on one line, as JSON or as `text`: for results too large to hold in memory.
    pub(super) fn print_line<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        line(&if self.json { serde_json::to_string(value)? } else { text(value) })
    }

    /// Prints `value` as JSON, or as the text that `text` returns.
    pub(super) fn print<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(value)? } else { text(value) };
        line(&text)
    }
}

/// Prints a line to standard output. A closed pipe (`… | head`) is not an error.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A text table with aligned columns; `none` without rows.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return "none".to_owned();
    }
    let heading = heading.map(str::to_owned);
    let rows: Vec<&[String; N]> = std::iter::once(&heading).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let aligned = |row: &&[String; N]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(aligned).collect::<Vec<_>>().join("\n")
}
