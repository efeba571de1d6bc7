//! The report: every part that was measured, as a page, and the figures that miss their targets.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::figures::{Figure, Part};

/// The parts that were kept in a folder, in the order of their names.
///
/// # Errors
/// When there is none, or one cannot be read.
pub fn parts(folder: &Path) -> Result<Vec<Part>> {
    let entries = fs::read_dir(folder).with_context(|| format!("nothing was measured into {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    files.iter().map(|file| Part::read(file)).collect()
}

/// The figures that miss their targets, a line each.
pub fn missed(parts: &[Part]) -> Vec<String> {
    let all = parts.iter().flat_map(|part| &part.figures);
    let line = |figure: &Figure| {
        format!("{}: {}, wanted {}, {}", figure.name, figure.shown(), figure.wanted(), figure.verdict())
    };
    all.filter(|figure| figure.holds() == Some(false)).map(line).collect()
}

/// The page. `command` made it, on `date`.
pub fn page(parts: &[Part], command: &str, date: &str) -> String {
    let mut page = format!(
        "# What exact revocation costs\n\nMade by `{command}` on {date}, on {}. Figures belong to that machine; what carries over \
         to others are the ratios. A figure is the median of many short batches, what is compared was measured in turn.\n",
        machine()
    );
    // Writing to a String cannot fail.
    for part in parts {
        let _ = write!(page, "\n## {}\n\n{}\n\n", part.title, part.how);
        page += "| | measured | target | |\n|---|---:|---:|---|\n";
        for figure in &part.figures {
            let (name, shown, wanted) = (&figure.name, figure.shown(), figure.wanted());
            let _ = writeln!(page, "| {name} | {shown} | {wanted} | {} |", figure.verdict());
        }
        for (file, shows) in &part.plots {
            let _ = write!(page, "\n![{shows}](plots/{file})\n");
        }
    }
    page
}

/// The machine in a line.
fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let features = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let sha = if features.split(' ').any(|flag| flag == "sha_ni") { " with SHA instructions" } else { "" };
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = memory.split_whitespace().nth(1).and_then(|kibibytes| kibibytes.parse::<u64>().ok());
    let memory = kibibytes.map_or(String::new(), |kibibytes| format!(", {} GiB", kibibytes.div_ceil(1 << 20)));
    format!("{cpus} cores of {}{sha}{memory}, {}", model.unwrap_or("an unnamed processor"), std::env::consts::OS)
}
