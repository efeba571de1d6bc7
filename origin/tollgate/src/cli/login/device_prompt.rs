//! Shows the user code and its verification URL, and polls until the user has decided in a browser.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::bail;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::origin::{DeviceAuthorization, Origin, PollResult, Tokens};
use crate::cli::output::Output;

/// Shows the verification URL and the user code. As JSON this is one line, before the line with the
/// result.
pub(super) fn show(authorization: &DeviceAuthorization, with_qr_code: bool, output: &Output) -> anyhow::Result<()> {
    let complete = authorization.verification_uri_complete.as_deref();
    let value = json!({
        "user_code": authorization.user_code,
        "verification_uri": authorization.verification_uri,
        "verification_uri_complete": complete,
        "expires_in": authorization.expires_in,
    });
    output.print_line(&value, |_| {
        let qr_code =
            complete.filter(|_| with_qr_code).and_then(|url| draw_qr_code(url, std::io::stdout().is_terminal()));
        let qr_code = qr_code.map(|qr_code| format!("{qr_code}\n\n")).unwrap_or_default();
        let direct = complete.map(|url| format!("\nor directly to\n\n    {url}\n")).unwrap_or_default();
        let (uri, code) = (&authorization.verification_uri, &authorization.user_code);
        format!("{qr_code}Go to\n\n    {uri}\n{direct}\nand check that it shows this code:\n\n    {code}\n")
    })
}

/// Polls until the user has decided, at the interval that the origin allows (RFC 8628 §3.5).
pub(super) async fn wait(
    origin: &Origin,
    client_id: &str,
    authorization: &DeviceAuthorization,
    output: &Output,
) -> anyhow::Result<Tokens> {
    let start = Instant::now();
    let end = start + Duration::from_secs(authorization.expires_in);
    let mut interval = Duration::from_secs(authorization.interval.clamp(1, 60));
    let mut next = start + interval;
    let mut progress = Progress::new(output);
    let mut seconds = interval_at(start, Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        let now = Instant::now();
        if now >= end {
            bail!("the code expired before it was entered");
        }
        progress.show(end - now);
        if now < next {
            continue;
        }
        match origin.poll(client_id, &authorization.device_code).await? {
            PollResult::Tokens(tokens) => return Ok(tokens),
            PollResult::Pending(more) => interval += Duration::from_secs(more),
            // RFC 8628 §3.5: back off, because the origin may be overloaded.
            PollResult::Unavailable(reason) => {
                interval = (interval * 2).min(Duration::from_secs(60));
                tracing::debug!(reason, "poll failed");
            }
        }
        next = Instant::now() + interval;
    }
}

/// A countdown line on a terminal; removed when dropped.
struct Progress {
    is_shown: bool,
}

impl Progress {
    fn new(output: &Output) -> Progress {
        let is_shown = !output.is_json() && std::io::stderr().is_terminal();
        if !is_shown && !output.is_json() {
            eprintln!("Waiting for the browser…");
        }
        Progress { is_shown }
    }

    fn show(&mut self, left: Duration) {
        if self.is_shown {
            let (minutes, seconds) = (left.as_secs() / 60, left.as_secs() % 60);
            eprint!("\r\x1b[KWaiting for the browser… {minutes}:{seconds:02} left");
            let _ = std::io::stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}

/// The QR code of a URL, with two modules per character. With colours it is black on white, because
/// many cameras cannot read inverted codes. None if the URL is too long.
fn draw_qr_code(url: &str, colours: bool) -> Option<String> {
    let code = QrCode::with_error_correction_level(url, EcLevel::L).ok()?;
    // A full block has the foreground colour: black with the colours set below, otherwise light in
    // most terminals.
    let (dark, light) = if colours { (Dense1x2::Dark, Dense1x2::Light) } else { (Dense1x2::Light, Dense1x2::Dark) };
    let text = code.render::<Dense1x2>().dark_color(dark).light_color(light).build();
    let line = |line: &str| if colours { format!("\x1b[30;107m{line}\x1b[0m") } else { line.to_owned() };
    Some(text.lines().map(line).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qr_code_fits_a_terminal_of_80_by_24() {
        let url = "https://auth.example.org/device?user_code=BCDF-GHJK";
        let drawn = draw_qr_code(url, false).expect("it fits");
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines.len() <= 24 && lines.iter().all(|line| line.chars().count() <= 80), "{drawn}");
        // The quiet zone is light, like the light modules.
        assert!(lines[0].chars().all(|char| char == '█'), "{drawn}");
        assert!(draw_qr_code(url, true).expect("it fits").starts_with("\x1b[30;107m "));
        assert_eq!(draw_qr_code(&"x".repeat(10_000), false), None);
    }
}
