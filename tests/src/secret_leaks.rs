//! Looking for secrets where none may stand: in what servers write.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use tollgate::domain::SecretKind;
use tracing_subscriber::EnvFilter;

/// Characters after a prefix that make it a secret and not the word.
const LEAST: usize = 16;
const JWT: &str = "eyJ";

/// The lines of `text` in which something secret stands, with what it is: one of the secrets of the origin's making, by its prefix; a
/// JWT; the hash of a password; or one of `known`.
pub fn find_secrets<'a>(text: &'a str, known: &[String]) -> Vec<(String, &'a str)> {
    text.lines().filter_map(|line| Some((secret_in(line, known)?, line))).collect()
}

fn secret_in(line: &str, known: &[String]) -> Option<String> {
    if let Some(known) = known.iter().find(|known| !known.is_empty() && line.contains(known.as_str())) {
        return Some(format!("the secret {known}"));
    }
    // A JWT begins with a JSON object in base64url and has a second part; the random id of a token may have such letters, too.
    let prefixes = SecretKind::ALL.map(SecretKind::prefix).into_iter().chain([JWT]);
    let made = |prefix: &str| {
        line.match_indices(prefix).any(|(at, _)| {
            let rest = &line[at + prefix.len()..];
            let ends = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && !"-_.".contains(letter));
            let run = &rest[..ends.unwrap_or(rest.len())];
            run.len() >= LEAST && (prefix != JWT || run.contains('.'))
        })
    };
    let mut prefixes =
        prefixes.filter(|prefix| made(prefix)).map(|prefix| format!("something that begins with {prefix}"));
    prefixes.next().or_else(|| line.contains("$argon2").then(|| "the hash of a password".to_owned()))
}

/// The lines that the servers in this process wrote with secrets in them.
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Reads along what the servers in this process log, and fails the test that it is dropped in if there was a secret.
pub struct LogMonitor(());

impl LogMonitor {
    /// Reads along from now on.
    pub fn start() -> Self {
        static BEGUN: Once = Once::new();
        BEGUN.call_once(|| {
            let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("info,tollgate=trace,sqlx=warn"));
            // A test may have a log of its own; then that is what there is.
            let _ = log.with_ansi(false).with_writer(|| Reader).try_init();
        });
        Self(())
    }
}

impl Drop for LogMonitor {
    fn drop(&mut self) {
        let found = std::mem::take(&mut *FOUND.lock().unwrap_or_else(PoisonError::into_inner));
        assert!(found.is_empty() || std::thread::panicking(), "secrets in the log: {found:#?}");
    }
}

/// Takes the log, an event at a time, and keeps nothing but what should not be there.
struct Reader;

impl io::Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let lines = find_secrets(&text, &[]).into_iter().map(|(secret, line)| format!("{secret}: {line}"));
        FOUND.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
