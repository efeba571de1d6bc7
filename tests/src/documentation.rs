//! Programs shown in the documentation, taken from its text: the tests run what readers copy, so
//! the two cannot differ.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

/// Returns the program in `language` from the section of `docs/{document}` whose heading names
/// `library`.
///
/// A section ends at the next heading that is not below its own. Blocks in other languages, such as
/// the commands to install the library, are passed over.
///
/// # Errors
/// If not exactly one heading names the library, or its section has not exactly one such program.
pub fn program(document: &str, library: &str, language: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(document);
    let text = std::fs::read_to_string(&path).with_context(|| format!("docs/{document}"))?;
    find_program(&text, library, language).with_context(|| format!("docs/{document}"))
}

/// What a verifier from the documentation decided about a token.
#[derive(Debug)]
pub struct Decision {
    /// Whether the program ended with status 0.
    pub is_accepted: bool,
    /// What it printed.
    pub output: String,
}

/// Runs a verifier as the documentation says: it reads `ISSUER`, `AUDIENCE` and `TOKEN` from the
/// environment, and its exit status is the decision.
///
/// # Errors
/// If the program cannot be started.
pub async fn decide(verifier: &mut Command, issuer: &str, audience: &str, token: &str) -> Result<Decision> {
    let variables = [("ISSUER", issuer), ("AUDIENCE", audience), ("TOKEN", token)];
    let output = verifier.envs(variables).stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let texts = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Decision { is_accepted: output.status.success(), output: texts.concat() })
}

fn find_program(text: &str, library: &str, language: &str) -> Result<String> {
    let lines: Vec<Line> = parse_lines(text);
    let headings = lines.iter().enumerate().filter_map(|(index, line)| match line {
        Line::Heading { level, text } => Some((index, *level, *text)),
        _ => None,
    });
    let named: Vec<(usize, usize, &str)> = headings.filter(|(_, _, heading)| names(heading, library)).collect();
    ensure!(named.len() == 1, "{} headings name {library}: {named:?}", named.len());
    let (start, level, _) = named[0];
    let is_end = |line: &&Line| matches!(line, Line::Heading { level: next, .. } if *next <= level);
    let section = lines[start + 1..].iter().take_while(|line| !is_end(line));
    let programs: Vec<&String> = section
        .filter_map(|line| match line {
            Line::Block { language: own, code } if *own == language => Some(code),
            _ => None,
        })
        .collect();
    ensure!(programs.len() == 1, "{} programs in {language} for {library}", programs.len());
    Ok(programs[0].clone())
}

/// Whether the heading has the library's name as whole words: `jose` is not in `python-jose`.
fn names(heading: &str, library: &str) -> bool {
    let (heading, library) = (words(heading), words(library));
    heading.windows(library.len().max(1)).any(|some| some == library)
}

fn words(text: &str) -> Vec<String> {
    let parts = text.split(|letter: char| letter.is_whitespace() || "(),:;`*/".contains(letter));
    parts.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// What a line, or the lines of a fenced block, of a document are.
enum Line<'a> {
    Heading { level: usize, text: &'a str },
    Block { language: &'a str, code: String },
    Other,
}

fn parse_lines(text: &str) -> Vec<Line<'_>> {
    let mut lines = text.lines();
    let mut parsed = Vec::new();
    while let Some(line) = lines.next() {
        parsed.push(if let Some(language) = line.strip_prefix("```") {
            let code = lines.by_ref().take_while(|line| !line.starts_with("```"));
            Line::Block { language: language.trim(), code: code.map(|line| format!("{line}\n")).collect() }
        } else {
            let level = line.len() - line.trim_start_matches('#').len();
            match line[level..].strip_prefix(' ') {
                Some(text) if level > 0 => Line::Heading { level, text },
                _ => Line::Other,
            }
        });
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# Verify\n\n## Python\n\n### python-jose\n\n```sh\npip install x\n```\n\n```python\n# a comment\n\
                            jose()\n```\n\n### Spring Boot, PyJWT\n\n```python\npyjwt()\n```\n\n## Go\n\n```go\nmain()\n```\n";

    #[test]
    fn program_of_a_library_is_found_in_its_section() -> Result<()> {
        assert_eq!(find_program(DOCUMENT, "python-jose", "python")?, "# a comment\njose()\n");
        for library in ["PyJWT", "Spring Boot"] {
            assert_eq!(find_program(DOCUMENT, library, "python")?, "pyjwt()\n");
        }
        assert_eq!(find_program(DOCUMENT, "go", "go")?, "main()\n");
        Ok(())
    }

    #[test]
    fn missing_or_ambiguous_programs_are_errors() {
        for (library, language) in
            [("jose", "python"), ("", "go"), ("python-jose", "go"), ("Python", "python"), ("node", "js")]
        {
            assert!(find_program(DOCUMENT, library, language).is_err(), "{library} in {language}");
        }
    }
}
