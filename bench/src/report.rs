//! The report: a page of all measured parts, and the list of missed targets.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::figures::{Figure, Part};

/// The parts stored in a folder, in the order of their names.
///
/// # Errors
/// If the folder does not exist or a part cannot be read.
pub fn parts(folder: &Path) -> Result<Vec<Part>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no results in {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    // File names of parts begin with a number for the order; other files of a run do not.
    files.retain(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(|first: char| first.is_ascii_digit()) && name.ends_with(".json")
    });
    files.sort();
    files.iter().map(|file| Part::read(file)).collect()
}

/// The figures that miss their targets, one line each.
pub fn missed_targets(parts: &[Part]) -> Vec<String> {
    let all = parts.iter().flat_map(|part| &part.figures);
    let line = |figure: &Figure| {
        format!("{}: {}, target {}, {}", figure.name, figure.value_text(), figure.target_text(), figure.result_text())
    };
    all.filter(|figure| figure.meets_target() == Some(false)).map(line).collect()
}

/// Text before the sections.
const PREFACE: &str = "# Benchmark results\n\nAbsolute figures are specific to the machine; ratios carry over to others. A figure is the \
    median of many short batches, and alternatives are measured in alternation. Each section names its command and date.\n";
/// Name and heading of each section, in the order of the page.
const SECTIONS: [(&str, &str); 5] = [
    ("token", "Token verification"),
    ("revocation", "Revocation"),
    ("edge", "Edges, end to end"),
    ("issuing", "Token issuance"),
    ("accounts", "Sign-in"),
];

/// Replaces the section `name` of the page by the results of `command` on `date`, and keeps the
/// other sections.
///
/// # Errors
/// If the section is unknown.
pub fn update(page: &str, name: &str, parts: &[Part], command: &str, date: &str) -> Result<String> {
    SECTIONS.iter().find(|(section, _)| *section == name).with_context(|| format!("unknown section {name}"))?;
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
    let mut page = format!("## {heading}\n\nMeasured by `{command}` on {date}, on {}.\n", machine());
    // Writing to a String cannot fail.
    for part in parts {
        let _ = write!(page, "\n### {}\n\n{}\n", part.title, part.description);
        if !part.figures.is_empty() {
            page += "\n| | measured | target | |\n|---|---:|---:|---|\n";
        }
        for figure in &part.figures {
            let (name, value, target) = (&figure.name, figure.value_text(), figure.target_text());
            let _ = writeln!(page, "| {name} | {value} | {target} | {} |", figure.result_text());
        }
        for table in &part.tables {
            let rule = format!("|---|{}", "---:|".repeat(table.header.len().saturating_sub(1)));
            let _ = write!(page, "\n| {} |\n{rule}\n", table.header.join(" | "));
            for row in &table.rows {
                let _ = writeln!(page, "| {} |", row.join(" | "));
            }
        }
        for (file, description) in &part.plots {
            let _ = write!(page, "\n![{description}](plots/{file})\n");
        }
    }
    page
}

/// Description of the machine in one line.
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
