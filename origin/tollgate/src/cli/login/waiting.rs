//! What a person sees while a browser elsewhere has their answer: the code, where to type it, and
//! how long it is good.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::bail;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::origin::{Asked, Origin, Polled, Tokens};
use crate::cli::output::Output;

/// Shows where the user goes and what they type there. As JSON it is one line, before the one with
/// the result.
pub(super) fn show(asked: &Asked, qr: bool, output: &Output) -> anyhow::Result<()> {
    let complete = asked.verification_uri_complete.as_deref();
    let value = json!({
        "user_code": asked.user_code,
        "verification_uri": asked.verification_uri,
        "verification_uri_complete": complete,
        "expires_in": asked.expires_in,
    });
    output.print_line(&value, |_| {
        let drawn = complete.filter(|_| qr).and_then(|url| draw(url, std::io::stdout().is_terminal()));
        let drawn = drawn.map(|drawn| format!("{drawn}\n\n")).unwrap_or_default();
        let straight = complete.map(|url| format!("\nor straight to\n\n    {url}\n")).unwrap_or_default();
        let (uri, code) = (&asked.verification_uri, &asked.user_code);
        format!("{drawn}Go to\n\n    {uri}\n{straight}\nand make sure that it shows this code:\n\n    {code}\n")
    })
}

/// Asks the origin until the user has decided, no faster than it lets us (RFC 8628 §3.5).
pub(super) async fn wait(origin: &Origin, client_id: &str, asked: &Asked, output: &Output) -> anyhow::Result<Tokens> {
    let begun = Instant::now();
    let end = begun + Duration::from_secs(asked.expires_in);
    let mut pause = Duration::from_secs(asked.interval.clamp(1, 60));
    let mut next = begun + pause;
    let mut progress = Progress::new(output);
    let mut seconds = interval_at(begun, Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        let now = Instant::now();
        if now >= end {
            bail!("the code expired before anybody typed it");
        }
        progress.tell(end - now);
        if now < next {
            continue;
        }
        match origin.poll(client_id, &asked.device_code).await? {
            Polled::Tokens(tokens) => return Ok(tokens),
            Polled::Later(more) => pause += Duration::from_secs(more),
            // RFC 8628 §3.5: back off, for the origin may have too much to do.
            Polled::Away(why) => {
                pause = (pause * 2).min(Duration::from_secs(60));
                tracing::debug!(why, "a poll failed");
            }
        }
        next = Instant::now() + pause;
    }
}

/// A line that counts down, on a terminal; it is gone when the wait is over.
struct Progress {
    shown: bool,
}

impl Progress {
    fn new(output: &Output) -> Progress {
        let shown = !output.is_json() && std::io::stderr().is_terminal();
        if !shown && !output.is_json() {
            eprintln!("Waiting for the browser…");
        }
        Progress { shown }
    }

    fn tell(&mut self, left: Duration) {
        if self.shown {
            let (minutes, seconds) = (left.as_secs() / 60, left.as_secs() % 60);
            eprint!("\r\x1b[KWaiting for the browser… {minutes}:{seconds:02} left");
            let _ = std::io::stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

/// The QR code of a URL, two modules a character. On a terminal in black on white whatever its
/// colours are: many cameras read no other. Nothing for a URL that is too long for one.
fn draw(url: &str, colours: bool) -> Option<String> {
    let code = QrCode::with_error_correction_level(url, EcLevel::L).ok()?;
    // A full block is the terminal's own ink: dark on white if we say so, and light on dark in most
    // terminals otherwise.
    let (dark, light) = if colours { (Dense1x2::Dark, Dense1x2::Light) } else { (Dense1x2::Light, Dense1x2::Dark) };
    let text = code.render::<Dense1x2>().dark_color(dark).light_color(light).build();
    let line = |line: &str| if colours { format!("\x1b[30;107m{line}\x1b[0m") } else { line.to_owned() };
    Some(text.lines().map(line).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_drawn_within_a_usual_terminal() {
        let url = "https://auth.example.org/device?user_code=BCDF-GHJK";
        let drawn = draw(url, false).expect("it fits");
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines.len() <= 24 && lines.iter().all(|line| line.chars().count() <= 80), "{drawn}");
        // The quiet zone around it is as bright as what is not printed is dark.
        assert!(lines[0].chars().all(|char| char == '█'), "{drawn}");
        assert!(draw(url, true).expect("it fits").starts_with("\x1b[30;107m "));
        assert_eq!(draw(&"x".repeat(10_000), false), None);
    }
}
