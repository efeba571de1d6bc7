//! The part that `tollgate token verify` and `tollgate-edge verify` share: arguments, batch reader,
//! printed verdicts and exit code. The caller verifies: the origin with native code, the edge with
//! the WebAssembly component.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use tollgate_core::{MAX_LEEWAY_SECONDS, MAX_TOKEN_BYTES};

/// A JSON string may need six bytes (`\u0041`) for one byte of the token. A longer line has a token
/// above the limit in any case, so the rest of it is skipped.
const MAX_LINE_BYTES: usize = 6 * (MAX_TOKEN_BYTES + 1) + 2;

/// Verify tokens and print one verdict per line: `{"verdict":"allow"|"deny","reason":"…"}`. Exit
/// code 1 if a token is refused, 2 if an argument is invalid.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// File with the JWK set to verify signatures with
    #[arg(long, value_name = "FILE")]
    pub jwks: PathBuf,
    /// Required issuer (iss)
    #[arg(long)]
    pub issuer: String,
    /// Required audience (aud)
    #[arg(long)]
    pub audience: String,
    /// Required scope value; repeat the option, or separate values by spaces
    #[arg(long)]
    pub scope: Vec<String>,
    /// Verify as of this Unix time in seconds [default: now]
    #[arg(long, value_name = "UNIX")]
    pub at: Option<u64>,
    /// Accepted clock difference in seconds, 0 to 60
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=MAX_LEEWAY_SECONDS))]
    pub leeway: u64,
    /// File with the jti of revoked tokens, one per line
    #[arg(long, value_name = "FILE")]
    pub revoked: Option<PathBuf>,
    /// Accept tokens of type JWT or without a type, not only at+jwt
    #[arg(long)]
    pub allow_plain_jwt: bool,
    /// Read one token per line from standard input; a line that begins with " is a JSON string
    #[arg(long, conflicts_with = "token", required_unless_present = "token")]
    pub batch: bool,
    /// The token
    pub token: Option<OsString>,
}

impl VerifyArgs {
    /// All required scope values.
    pub fn scope_values(&self) -> Vec<String> {
        self.scope.iter().flat_map(|values| values.split_whitespace()).map(str::to_owned).collect()
    }

    /// Reads the JWK set file.
    ///
    /// # Errors
    /// Names the file in one line.
    pub fn read_jwks(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.jwks).map_err(|error| file_error("--jwks", &self.jwks, &error))
    }

    /// Reads the `jti` values in the file of revoked tokens, without empty lines; none without a
    /// file.
    ///
    /// # Errors
    /// Names the file in one line.
    pub fn read_revoked(&self) -> Result<Vec<String>, String> {
        let Some(path) = &self.revoked else {
            return Ok(Vec::new());
        };
        let text = std::fs::read_to_string(path).map_err(|error| file_error("--revoked", path, &error))?;
        Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// Verifies the token or batch, prints the verdicts to standard output and returns the exit
    /// code. `verify` returns for a token's bytes whether it may pass, and the reason.
    ///
    /// # Errors
    /// If standard input or output fails.
    pub fn run(&self, verify: impl FnMut(&[u8]) -> (bool, String)) -> io::Result<ExitCode> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let all_allowed = match &self.token {
            Some(token) => verify_each(&mut io::Cursor::new(token.as_encoded_bytes()), &mut out, false, verify)?,
            None => verify_each(&mut io::stdin().lock(), &mut out, true, verify)?,
        };
        out.flush()?;
        Ok(ExitCode::from(u8::from(!all_allowed)))
    }
}

/// Prints an error of the arguments and returns its exit code, 2.
pub fn bad_arguments(problem: &str) -> ExitCode {
    eprintln!("error: {problem}");
    ExitCode::from(2)
}

fn file_error(flag: &str, path: &Path, error: &io::Error) -> String {
    format!("{flag} {}: {error}", path.display())
}

#[derive(Serialize)]
struct Verdict<'a> {
    verdict: &'static str,
    reason: &'a str,
}

/// Verifies all of `input` as one token, or in a batch one token per line. Returns true if all were
/// allowed.
fn verify_each(
    input: &mut impl BufRead,
    out: &mut impl Write,
    is_batch: bool,
    mut verify: impl FnMut(&[u8]) -> (bool, String),
) -> io::Result<bool> {
    let mut all_allowed = true;
    let mut line = Vec::new();
    loop {
        let has_more =
            if is_batch { read_line(input, &mut line)? } else { input.read_to_end(&mut line).map(|_| true)? };
        if !has_more {
            return Ok(all_allowed);
        }
        let (allowed, reason) = if is_batch { verify(&token_in_line(&line)) } else { verify(&line) };
        all_allowed &= allowed;
        let verdict = if allowed { "allow" } else { "deny" };
        serde_json::to_writer(&mut *out, &Verdict { verdict, reason: &reason })?;
        out.write_all(b"\n")?;
        if !is_batch {
            return Ok(all_allowed);
        }
    }
}

/// Reads the next line into `line`, without its end and at most [`MAX_LINE_BYTES`]. Returns false
/// at the end of the input.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut has_line = false;
    loop {
        let buffered = match input.fill_buf() {
            Ok(buffered) => buffered,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffered.is_empty() {
            return Ok(has_line);
        }
        has_line = true;
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

/// The token in a line: a line that begins with `"` is a JSON string. If it is not valid JSON, the
/// line itself is returned, which is refused because no token begins with a quote.
fn token_in_line(line: &[u8]) -> std::borrow::Cow<'_, [u8]> {
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
        let verify = |token: &[u8]| {
            seen.push(token.to_vec());
            (token == b"good", "a \"reason\"".to_owned())
        };
        let all = verify_each(&mut io::BufReader::with_capacity(7, input), &mut out, true, verify)
            .expect("no I/O fails here");
        (all, seen, String::from_utf8(out).expect("JSON is UTF-8"))
    }

    #[test]
    fn batch_has_one_token_per_line() {
        let (all, seen, out) = run(b"good\n\n\"go\\u006fd\"\n\xff\xfe\n\"broken\ngood");
        assert!(!all);
        assert_eq!(seen, [&b"good"[..], b"", b"good", b"\xff\xfe", b"\"broken", b"good"]);
        assert_eq!(out.lines().next(), Some(r#"{"verdict":"allow","reason":"a \"reason\""}"#));
        assert_eq!(out.lines().count(), 6);
        assert!(run(b"good\ngood\n").0);
        assert!(run(b"").0);
    }

    #[test]
    fn long_line_is_truncated_but_still_too_long() {
        let mut input = vec![b'x'; 10 * MAX_LINE_BYTES];
        input.extend_from_slice(b"\ngood\n");
        let (_, seen, _) = run(&input);
        assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_LINE_BYTES, 4]);
    }
}
