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
    // The parts begin with their place in the order; what else a run leaves there does not.
    files.retain(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(|first: char| first.is_ascii_digit()) && name.ends_with(".json")
    });
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

/// What stands above the sections.
const PREFACE: &str = "# What Tollgate costs\n\nFigures belong to the machine they were measured on; what carries over to others are \
    the ratios. A figure is the median of many short batches, what is compared was measured in turn. Each section says which \
    command made it, and when.\n";
/// The sections by name, with their headings, in the order in which they stand.
const SECTIONS: [(&str, &str); 3] =
    [("token", "Checking a token"), ("revocation", "Exact revocation"), ("issuing", "Issuing tokens")];

/// The page with the section of that name as it was measured now, by `command` on `date`; the others stay as `page` has them.
///
/// # Errors
/// When there is no section of that name.
pub fn update(page: &str, name: &str, parts: &[Part], command: &str, date: &str) -> Result<String> {
    SECTIONS.iter().find(|(section, _)| *section == name).with_context(|| format!("there is no section {name}"))?;
    let mut updated = PREFACE.to_owned();
    for (section, heading) in SECTIONS {
        let (begin, end) = (format!("\n<!-- {section} -->\n"), format!("<!-- end of {section} -->\n"));
        let kept = || Some(page.split_once(&begin)?.1.split_once(&end)?.0.to_owned());
        let text = if section == name { Some(self::section(heading, parts, command, date)) } else { kept() };
        if let Some(text) = text {
            updated += &format!("{begin}{text}{end}");
        }
    }
    Ok(updated)
}

fn section(heading: &str, parts: &[Part], command: &str, date: &str) -> String {
    let mut page = format!("## {heading}\n\nMade by `{command}` on {date}, on {}.\n", machine());
    // Writing to a String cannot fail.
    for part in parts {
        let _ = write!(page, "\n### {}\n\n{}\n", part.title, part.how);
        if !part.figures.is_empty() {
            page += "\n| | measured | target | |\n|---|---:|---:|---|\n";
        }
        for figure in &part.figures {
            let (name, shown, wanted) = (&figure.name, figure.shown(), figure.wanted());
            let _ = writeln!(page, "| {name} | {shown} | {wanted} | {} |", figure.verdict());
        }
        for table in &part.tables {
            let rule = format!("|---|{}", "---:|".repeat(table.head.len().saturating_sub(1)));
            let _ = write!(page, "\n| {} |\n{rule}\n", table.head.join(" | "));
            for line in &table.lines {
                let _ = writeln!(page, "| {} |", line.join(" | "));
            }
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
