//! The settings of pages: languages, and the name, logo and accent colour of the operator.
//!
//! Only the names of files are read here: commands other than `serve` need neither the files nor
//! the permission to read them.

use std::str::FromStr;

use super::setting::Setting;
use super::sources::{SettingError, Sources};
use super::tls::NamedFile;

pub(super) const SETTINGS: [Setting; 4] = [
    Setting::new("TOLLGATE_BRAND_NAME", "brand-name", "The name on all pages")
        .allowed_values("text, at most 64 characters", "Harbour Surveying")
        .default(DEFAULT_NAME),
    Setting::new("TOLLGATE_BRAND_LOGO", "brand-logo", "The logo on all pages, and their icon")
        .allowed_values("SVG, PNG, JPEG or WebP file, at most 256 KiB", "/etc/tollgate/logo.svg")
        .default_description("Tollgate's own"),
    Setting::new(
        "TOLLGATE_BRAND_COLOR",
        "brand-color",
        "Accent colour of buttons and links; adjusted where text would be hard to read",
    )
    .allowed_values("#rrggbb", "#0a6b5c")
    .default_description("a dark green"),
    Setting::new(
        "TOLLGATE_LOCALES",
        "locales",
        "Folder of message files (fr.ftl) that add languages to the pages or override messages",
    )
    .allowed_values("folder", "/etc/tollgate/locales"),
];

const DEFAULT_NAME: &str = "Tollgate";
const MAX_NAME_CHARACTERS: usize = 64;

/// The settings of pages; the content of the files is not checked.
#[derive(Debug, Clone)]
pub struct AppearanceSettings {
    pub brand_name: String,
    pub brand_logo: Option<NamedFile>,
    pub brand_color: Option<Color>,
    /// A folder with message files.
    pub locales: Option<NamedFile>,
}

/// A colour without transparency (sRGB).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color {
    /// 0 to 255.
    pub red: u8,
    /// 0 to 255.
    pub green: u8,
    /// 0 to 255.
    pub blue: u8,
}

impl FromStr for Color {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Color, &'static str> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
        let number = digits.and_then(|digits| match digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            true => u32::from_str_radix(digits, 16).ok(),
            false => None,
        });
        let [_, red, green, blue] = number.ok_or("must be a colour such as #0a6b5c")?.to_be_bytes();
        Ok(Color { red, green, blue })
    }
}

impl AppearanceSettings {
    pub(super) fn from_sources(sources: &Sources) -> Result<AppearanceSettings, SettingError> {
        Ok(AppearanceSettings {
            brand_name: sources.parse("TOLLGATE_BRAND_NAME", checked_name)?.unwrap_or_else(|| DEFAULT_NAME.to_owned()),
            brand_logo: NamedFile::from_sources(sources, "TOLLGATE_BRAND_LOGO"),
            brand_color: sources.parse("TOLLGATE_BRAND_COLOR", str::parse)?,
            locales: NamedFile::from_sources(sources, "TOLLGATE_LOCALES"),
        })
    }
}

fn checked_name(text: &str) -> Result<String, String> {
    let is_visible = !text.chars().any(char::is_control) && !text.trim().is_empty();
    match is_visible && text.chars().count() <= MAX_NAME_CHARACTERS {
        true => Ok(text.trim().to_owned()),
        false => Err(format!("must be 1 to {MAX_NAME_CHARACTERS} visible characters")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::Color;

    #[test]
    fn names_and_colours_are_checked() {
        let from = |pairs: &[(&str, &str)]| Settings::from_pairs(pairs.iter().copied());
        let appearance = from(&[("TOLLGATE_BRAND_NAME", " Harbour "), ("TOLLGATE_BRAND_COLOR", "#0A6b5c")]);
        let appearance = appearance.expect("good settings").appearance;
        assert_eq!(appearance.brand_name, "Harbour");
        assert_eq!(appearance.brand_color, Some(Color { red: 10, green: 107, blue: 92 }));
        assert_eq!(from(&[]).expect("good settings").appearance.brand_name, "Tollgate");
        for (name, value) in [
            ("TOLLGATE_BRAND_NAME", "a\nb"),
            ("TOLLGATE_BRAND_NAME", &"x".repeat(65)),
            ("TOLLGATE_BRAND_COLOR", "green"),
            ("TOLLGATE_BRAND_COLOR", "0a6b5c"),
            ("TOLLGATE_BRAND_COLOR", "#0a6b5"),
            ("TOLLGATE_BRAND_COLOR", "#+a6b5c"),
        ] {
            let error = from(&[(name, value)]).expect_err(value).to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
