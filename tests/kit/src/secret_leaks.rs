//! Finds secrets in logs.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use tollgate_model::SecretKind;
use tracing_subscriber::EnvFilter;

/// Characters after a prefix from which on it is a secret and not just the word.
const MIN_SECRET_LENGTH: usize = 16;
const JWT: &str = "eyJ";

/// Returns the lines of `text` that contain a secret, each with its description: a secret of the
/// origin by its prefix, a JWT, a password hash, or one of `known`.
pub fn find_secrets<'a>(text: &'a str, known: &[String]) -> Vec<(String, &'a str)> {
    text.lines().filter_map(|line| Some((secret_in(line, known)?, line))).collect()
}

fn secret_in(line: &str, known: &[String]) -> Option<String> {
    if let Some(known) = known.iter().find(|known| !known.is_empty() && line.contains(known.as_str())) {
        return Some(format!("the secret {known}"));
    }
    // A JWT begins with a JSON object in base64url and has a second part. A random token id may
    // contain "eyJ" too.
    let prefixes = SecretKind::ALL.map(SecretKind::prefix).into_iter().chain([JWT]);
    let made = |prefix: &str| {
        line.match_indices(prefix).any(|(at, _)| {
            let rest = &line[at + prefix.len()..];
            let ends = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && !"-_.".contains(letter));
            let run = &rest[..ends.unwrap_or(rest.len())];
            run.len() >= MIN_SECRET_LENGTH && (prefix != JWT || run.contains('.'))
        })
    };
    let mut prefixes =
        prefixes.filter(|prefix| made(prefix)).map(|prefix| format!("a secret that begins with {prefix}"));
    prefixes.next().or_else(|| line.contains("$argon2").then(|| "a password hash".to_owned()))
}

/// Log lines with secrets that servers in this process wrote.
static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Log lines of refused requests that servers in this process wrote.
static REFUSALS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The log lines of a refused request. Empty if the test has installed its own subscriber.
pub fn refusal_lines(request_id: &str) -> Vec<String> {
    let lines = REFUSALS.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| line.contains(request_id)).cloned().collect()
}

/// Watches the logs of the servers in this process, and fails the test in which it is dropped if a
/// secret was logged.
pub struct LogMonitor(());

impl LogMonitor {
    /// Starts watching.
    pub fn start() -> Self {
        static STARTED: Once = Once::new();
        STARTED.call_once(|| {
            let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("info,tollgate=trace,sqlx=warn"));
            // If the test has installed another subscriber, that one stays.
            let _ = log.with_ansi(false).with_writer(|| SecretFilter).try_init();
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

/// Log writer that keeps only lines with secrets and those of refused requests.
struct SecretFilter;

impl io::Write for SecretFilter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let lines = find_secrets(&text, &[]).into_iter().map(|(secret, line)| format!("{secret}: {line}"));
        FOUND.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
        let refusals = text.lines().filter(|line| line.contains("request refused")).map(str::to_owned);
        REFUSALS.lock().unwrap_or_else(PoisonError::into_inner).extend(refusals);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
