//! Appearance of all pages: the message catalogue, and the team's name, logo and accent colour.
//!
//! Never: unreadable text. The accent colour is darkened or lightened until text in it, and on it,
//! has the contrast that WCAG 2.2 asks for (1.4.3), in both themes.

use std::sync::Arc;

use axum::body::Bytes;
use tollgate_config::{AppearanceSettings, Color, NamedFile, SettingError};
use tollgate_messages::Catalogue;

const STYLESHEET: &str =
    concat!(include_str!("../../templates/tollgate.css"), include_str!("../../templates/console.css"));

/// Every new browser fetches the logo.
const MAX_LOGO_BYTES: usize = 256 * 1024;

/// How pages look and read, loaded once at the start.
pub struct Appearance {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) brand: Arc<Brand>,
    pub(super) stylesheet: Bytes,
}

/// The team's name and logo.
pub(crate) struct Brand {
    pub(crate) name: String,
    pub(crate) logo: Option<Logo>,
}

pub(crate) struct Logo {
    pub(super) content_type: &'static str,
    pub(super) bytes: Bytes,
}

impl Appearance {
    /// Loads what the settings name.
    ///
    /// # Errors
    /// The first file that cannot be used, by its setting.
    pub fn load(settings: &AppearanceSettings) -> Result<Appearance, SettingError> {
        let folder = settings.locales.as_ref();
        let catalogue = Catalogue::load(folder.map(|folder| folder.path.as_path()));
        let catalogue = catalogue.map_err(|error| match folder {
            Some(folder) => folder.error(error.to_string()),
            None => SettingError { name: "TOLLGATE_LOCALES".to_owned(), source: None, problem: error.to_string() },
        })?;
        let logo = settings.brand_logo.as_ref().map(Logo::read).transpose()?;
        let accent = settings.brand_color.map(accent_rules).unwrap_or_default();
        Ok(Appearance {
            catalogue: Arc::new(catalogue),
            brand: Arc::new(Brand { name: settings.brand_name.clone(), logo }),
            stylesheet: Bytes::from(format!("{STYLESHEET}{accent}")),
        })
    }
}

impl Brand {
    /// The path of the icon in browser tabs.
    pub(crate) fn icon_path(&self) -> &'static str {
        if self.logo.is_some() { "/assets/logo" } else { "/assets/tollgate.svg" }
    }
}

impl Logo {
    fn read(file: &NamedFile) -> Result<Logo, SettingError> {
        let bytes = std::fs::read(&file.path).map_err(|error| file.failed(&format!("cannot be read: {error}")))?;
        if bytes.len() > MAX_LOGO_BYTES {
            return Err(file.failed(&format!("has more than {MAX_LOGO_BYTES} bytes")));
        }
        match image_type(&bytes) {
            Some(content_type) => Ok(Logo { content_type, bytes: Bytes::from(bytes) }),
            None => Err(file.failed("is not an image in SVG, PNG, JPEG or WebP")),
        }
    }
}

/// The media type of an image, by its content: a file's name may say anything.
fn image_type(bytes: &[u8]) -> Option<&'static str> {
    let is_svg = || str::from_utf8(bytes).is_ok_and(|text| text.contains("<svg"));
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ if is_svg() => Some("image/svg+xml"),
        _ => None,
    }
}

const BLACK: Color = Color { red: 0, green: 0, blue: 0 };
const WHITE: Color = Color { red: 255, green: 255, blue: 255 };
/// The contrast of text with what is behind it (WCAG 2.2, 1.4.3).
const MIN_CONTRAST: f64 = 4.5;

/// A theme's backgrounds, as tollgate.css has them, and how an accent is made to stand out there.
struct Theme {
    card: Color,
    paper: Color,
    /// Where an accent that is too faint moves to.
    toward: Color,
    /// Text on the accent.
    on_accent: Color,
}

const LIGHT: Theme =
    Theme { card: WHITE, paper: Color { red: 0xf5, green: 0xf4, blue: 0xf0 }, toward: BLACK, on_accent: WHITE };
const DARK: Theme = Theme {
    card: Color { red: 0x1a, green: 0x21, blue: 0x26 },
    paper: Color { red: 0x12, green: 0x17, blue: 0x1b },
    toward: WHITE,
    on_accent: BLACK,
};

/// An accent colour with those that go with it.
struct Accent {
    accent: Color,
    strong: Color,
    faint: Color,
}

impl Accent {
    /// The readable accent that is nearest to a colour.
    fn nearest(color: Color, theme: &Theme) -> Accent {
        let candidates = (0..=100_u8).map(|percent| Accent::new(mix(color, theme.toward, percent), theme));
        let mut readable = candidates.filter(|candidate| candidate.is_readable(theme));
        readable.next().unwrap_or_else(|| Accent::new(theme.toward, theme))
    }

    fn new(accent: Color, theme: &Theme) -> Accent {
        Accent { accent, strong: mix(accent, theme.toward, 20), faint: mix(theme.card, accent, 12) }
    }

    fn is_readable(&self, theme: &Theme) -> bool {
        [theme.card, theme.paper, self.faint, theme.on_accent]
            .into_iter()
            .all(|other| contrast(self.accent, other) >= MIN_CONTRAST)
    }

    fn rule(&self, theme: &Theme) -> String {
        let [accent, strong, faint, on_accent] = [self.accent, self.strong, self.faint, theme.on_accent].map(hex);
        format!(
            ":root {{ --accent: {accent}; --accent-strong: {strong}; --accent-faint: {faint}; --on-accent: {on_accent}; }}"
        )
    }
}

/// The rules that override the accent colours of the stylesheet.
fn accent_rules(color: Color) -> String {
    let [light, dark] = [LIGHT, DARK].map(|theme| Accent::nearest(color, &theme).rule(&theme));
    format!("\n{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n")
}

fn hex(color: Color) -> String {
    format!("#{:02x}{:02x}{:02x}", color.red, color.green, color.blue)
}

/// A mixture that has this many percent of `second`.
fn mix(first: Color, second: Color, percent: u8) -> Color {
    let channel = |first: u8, second: u8| {
        let share = f64::from(percent) / 100.0;
        (f64::from(first) * (1.0 - share) + f64::from(second) * share).round() as u8
    };
    Color {
        red: channel(first.red, second.red),
        green: channel(first.green, second.green),
        blue: channel(first.blue, second.blue),
    }
}

/// The contrast ratio of two colours (WCAG 2.2), from 1 to 21.
fn contrast(first: Color, second: Color) -> f64 {
    let (first, second) = (luminance(first), luminance(second));
    (first.max(second) + 0.05) / (first.min(second) + 0.05)
}

/// Relative luminance (WCAG 2.2).
fn luminance(color: Color) -> f64 {
    let linear = |channel: u8| {
        let value = f64::from(channel) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(color.red) + 0.7152 * linear(color.green) + 0.0722 * linear(color.blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accent_colour_stays_readable() {
        let steps = [0, 51, 102, 153, 204, 255];
        for red in steps {
            for green in steps {
                for blue in steps {
                    let color = Color { red, green, blue };
                    for theme in [LIGHT, DARK] {
                        let accent = Accent::nearest(color, &theme);
                        assert!(accent.is_readable(&theme), "{}", hex(color));
                        assert!(contrast(accent.strong, theme.on_accent) >= MIN_CONTRAST, "{}", hex(color));
                    }
                }
            }
        }
    }

    #[test]
    fn a_readable_accent_colour_is_kept() {
        let color = Color { red: 0x0a, green: 0x6b, blue: 0x5c };
        let rules = accent_rules(color);
        assert!(rules.contains("--accent: #0a6b5c;") && rules.contains("--on-accent: #ffffff;"), "{rules}");
    }

    #[test]
    fn images_are_recognised_by_their_content() {
        assert_eq!(image_type(b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>"), Some("image/svg+xml"));
        assert_eq!(image_type(b"\x89PNG\r\n\x1a\n...."), Some("image/png"));
        assert_eq!(image_type(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!(image_type(b"RIFF\0\0\0\0WEBPVP8 "), Some("image/webp"));
        for other in [b"<html><script>".as_slice(), b"", b"GIF89a", b"\xff\xfe<svg"] {
            assert_eq!(image_type(other), None, "{other:?}");
        }
    }
}
