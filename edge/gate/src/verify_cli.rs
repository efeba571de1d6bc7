//! What `tollgate token verify` and `tollgate-edge verify` share: the arguments, the batch reader, the lines of verdicts
//! and the exit code. Who judges is the caller's: native code there, the WebAssembly component here.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use tollgate_core::{MAX_LEEWAY_SECONDS, MAX_TOKEN_BYTES};

/// How much of a line is kept. A JSON string may spend six bytes (`\u0041`) on one of the token; a line beyond that holds a
/// token beyond the limit whatever it says, so the rest is passed over unread.
const MAX_LINE_BYTES: usize = 6 * (MAX_TOKEN_BYTES + 1) + 2;

/// Check tokens and print a verdict a line, `{"verdict":"allow"|"deny","reason":"…"}`. Exits with 1 if any is refused and
/// with 2 if the arguments cannot be used.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// File with the JWKS that checks signatures
    #[arg(long, value_name = "FILE")]
    pub jwks: PathBuf,
    /// The issuer that the token must name (iss)
    #[arg(long)]
    pub issuer: String,
    /// The audience that the token must name (aud)
    #[arg(long)]
    pub audience: String,
    /// A scope value that the token must have; repeat it or separate values by spaces
    #[arg(long)]
    pub scope: Vec<String>,
    /// Judge as of this Unix time in seconds [default: now]
    #[arg(long, value_name = "UNIX")]
    pub at: Option<u64>,
    /// Seconds that the issuer's clock may be apart, 0 to 60
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=MAX_LEEWAY_SECONDS))]
    pub leeway: u64,
    /// File with the jti of revoked tokens, one a line
    #[arg(long, value_name = "FILE")]
    pub revoked: Option<PathBuf>,
    /// Accept tokens whose type is JWT or missing, not only at+jwt
    #[arg(long)]
    pub allow_plain_jwt: bool,
    /// Read a token a line from standard input; a line that begins with " is a JSON string holding the token
    #[arg(long, conflicts_with = "token", required_unless_present = "token")]
    pub batch: bool,
    /// The token
    pub token: Option<OsString>,
}

impl VerifyArgs {
    /// Every scope value asked for.
    pub fn scope_values(&self) -> Vec<String> {
        self.scope.iter().flat_map(|values| values.split_whitespace()).map(str::to_owned).collect()
    }

    /// The bytes of the JWKS file.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn read_jwks(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.jwks).map_err(|error| unusable("--jwks", &self.jwks, &error))
    }

    /// The identifiers in the file of revoked tokens; none without one. Empty lines are passed over.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn read_revoked(&self) -> Result<Vec<String>, String> {
        let Some(path) = &self.revoked else {
            return Ok(Vec::new());
        };
        let text = std::fs::read_to_string(path).map_err(|error| unusable("--revoked", path, &error))?;
        Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// Judges what the arguments name, prints the verdicts to standard output and gives the exit code. `judge` takes a
    /// token's bytes and says whether it may pass, and why.
    ///
    /// # Errors
    /// When standard input or output fails.
    pub fn run(&self, judge: impl FnMut(&[u8]) -> (bool, String)) -> io::Result<ExitCode> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let all_allowed = match &self.token {
            Some(token) => judge_each(&mut io::Cursor::new(token.as_encoded_bytes()), &mut out, false, judge)?,
            None => judge_each(&mut io::stdin().lock(), &mut out, true, judge)?,
        };
        out.flush()?;
        Ok(ExitCode::from(u8::from(!all_allowed)))
    }
}

/// Prints an error of the arguments and gives its exit code, 2.
pub fn bad_arguments(problem: &str) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(2)
}

fn unusable(flag: &str, path: &Path, error: &io::Error) -> String {
    format!("{flag} {}: {error}", path.display())
}

#[derive(Serialize)]
struct Verdict<'a> {
    verdict: &'static str,
    reason: &'a str,
}

/// Judges the one token that is all of `input`, or in a batch one a line. True if all were allowed.
fn judge_each(
    input: &mut impl BufRead,
    out: &mut impl Write,
    batch: bool,
    mut judge: impl FnMut(&[u8]) -> (bool, String),
) -> io::Result<bool> {
    let mut all_allowed = true;
    let mut line = Vec::new();
    loop {
        let more = if batch { read_line(input, &mut line)? } else { input.read_to_end(&mut line).map(|_| true)? };
        if !more {
            return Ok(all_allowed);
        }
        let (allowed, reason) = if batch { judge(&token_of_line(&line)) } else { judge(&line) };
        all_allowed &= allowed;
        let verdict = if allowed { "allow" } else { "deny" };
        serde_json::to_writer(&mut *out, &Verdict { verdict, reason: &reason })?;
        out.write_all(b"\n")?;
        if !batch {
            return Ok(all_allowed);
        }
    }
}

/// Reads the next line without its end into `line`, keeping [`MAX_LINE_BYTES`] of it. False at the end of the input.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let buffered = match input.fill_buf() {
            Ok(buffered) => buffered,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffered.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = buffered.iter().position(|byte| *byte == b'\n');
        let (part, used) = match end {
            Some(end) => (&buffered[..end], end + 1),
            None => (buffered, buffered.len()),
        };
        let room = MAX_LINE_BYTES.saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        input.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// A line that begins with `"` is the token as a JSON string. One that is not a whole JSON string is no token in any form:
/// the judge gets the line as it stands and refuses it, for no token begins with a quote.
fn token_of_line(line: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if line.first() == Some(&b'"')
        && let Ok(token) = serde_json::from_slice::<String>(line)
    {
        return token.into_bytes().into();
    }
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(input: &[u8]) -> (bool, Vec<Vec<u8>>, String) {
        let mut seen = Vec::new();
        let mut out = Vec::new();
        let judge = |token: &[u8]| {
            seen.push(token.to_vec());
            (token == b"good", "a \"reason\"".to_owned())
        };
        let all =
            judge_each(&mut io::BufReader::with_capacity(7, input), &mut out, true, judge).expect("no I/O fails here");
        (all, seen, String::from_utf8(out).expect("JSON is UTF-8"))
    }

    #[test]
    fn each_line_is_a_token() {
        let (all, seen, out) = run(b"good\n\n\"go\\u006fd\"\n\xff\xfe\n\"broken\ngood");
        assert!(!all);
        assert_eq!(seen, [&b"good"[..], b"", b"good", b"\xff\xfe", b"\"broken", b"good"]);
        assert_eq!(out.lines().next(), Some(r#"{"verdict":"allow","reason":"a \"reason\""}"#));
        assert_eq!(out.lines().count(), 6);
        assert!(run(b"good\ngood\n").0);
        assert!(run(b"").0);
    }

    #[test]
    fn a_long_line_is_cut_but_stays_too_long() {
        let mut input = vec![b'x'; 10 * MAX_LINE_BYTES];
        input.extend_from_slice(b"\ngood\n");
        let (_, seen, _) = run(&input);
        assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_LINE_BYTES, 4]);
    }
}
