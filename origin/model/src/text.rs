//! Text from outside: which may be stored, which may be displayed, and values with a text form
//! (`FromStr`, `Display` and JSON).
//!
//! Every text that is stored or looked up is checked: parameters of pages and of the admin API, and
//! members of JSON, by [`is_storable`] and [`json`]; registered objects by the `checked` functions
//! of their types. OAuth parameters are parsed by types of their own, or hashed.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Whether a text can be stored: it contains no ASCII control characters except tabs and line
/// breaks. PostgreSQL stores no NUL, and reads no JSON that contains one.
pub fn is_storable(text: &str) -> bool {
    let is_bad = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r') || byte == 0x7f;
    // No early return, so that the compiler can vectorize the loop.
    !text.bytes().fold(false, |found, byte| found | is_bad(byte))
}

/// Whether a character is invisible but can change how others are read: control characters,
/// bidirectional marks, zero-width characters, fillers, tags (Unicode's
/// `Default_Ignorable_Code_Point`, `Bidi_Control` and line separators).
pub(crate) fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Whether a name can be displayed in a sentence without hiding characters or changing the
/// direction of others. A variation selector may request an emoji.
pub(crate) fn is_displayable(name: &str) -> bool {
    !name.chars().any(|char| is_invisible(char) && char != '\u{fe0f}')
}

/// A name without invisible characters, for names that were stored before these were refused.
pub fn displayable(name: &str) -> String {
    name.chars().filter(|char| !is_invisible(*char) || *char == '\u{fe0f}').collect()
}

/// A text in which invisible characters, line breaks included, are escaped: `\u{202e}`.
#[must_use]
pub fn escape_invisible(text: &str) -> String {
    let escape = |char: char| match is_invisible(char) {
        true => char.escape_unicode().to_string(),
        false => char.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Whether all strings in a value, including member names, satisfy `predicate`.
pub(crate) fn all_strings(value: &Value, predicate: fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => predicate(text),
        Value::Array(values) => values.iter().all(|value| all_strings(value, predicate)),
        Value::Object(members) => members.iter().all(|(name, value)| predicate(name) && all_strings(value, predicate)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Parses JSON from outside, in which every string can be stored.
///
/// # Errors
/// If it does not match the type, or a string in it cannot be stored.
pub fn json<'a, T: Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    check_json(json)?;
    serde_json::from_slice(json)
}

/// Checks that every string in a JSON text can be stored.
///
/// # Errors
/// If it is not JSON, or a string in it cannot be stored.
pub fn check_json(json: &[u8]) -> serde_json::Result<()> {
    serde_json::from_slice::<Storable>(json).map(drop)
}

/// JSON whose strings can be stored; discards the values.
struct Storable;

impl<'de> Deserialize<'de> for Storable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Storable, D::Error> {
        deserializer.deserialize_any(Storable)
    }
}

impl<'de> Visitor<'de> for Storable {
    type Value = Storable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Storable, E> {
        if is_storable(text) { Ok(Storable) } else { Err(E::custom("a text has control characters")) }
    }

    fn visit_unit<E>(self) -> Result<Storable, E> {
        Ok(Storable)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Storable, E> {
        Ok(Storable)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Storable, E> {
        Ok(Storable)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Storable, E> {
        Ok(Storable)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Storable, E> {
        Ok(Storable)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Storable, A::Error> {
        while values.next_element::<Storable>()?.is_some() {}
        Ok(Storable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Storable, A::Error> {
        while members.next_entry::<Storable, Storable>()?.is_some() {}
        Ok(Storable)
    }
}

/// Implements serde's traits by `FromStr` and `Display`.
macro_rules! json_as_text {
    ($($type:ty),+ $(,)?) => {
        $(impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        })+
    };
}

/// An enum with a fixed name for each variant, in both directions.
macro_rules! named_values {
    ($(#[$doc:meta])* $name:ident, $what:literal, $default:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The registered name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text),+
                }
            }
        }

        impl Default for $name {
            fn default() -> $name {
                $name::$default
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::malformed::Malformed;

            fn from_str(text: &str) -> Result<$name, $crate::malformed::Malformed> {
                let named = $name::ALL.iter().find(|one| one.as_str() == text);
                named.copied().ok_or($crate::malformed::Malformed::new($what, "is not supported"))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        json_as_text!($name);
    };
}

/// An identifier generated by this origin: a prefix, then 96 random bits in base64url. Identifiers
/// are public.
macro_rules! generated_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The identifier made from random bytes.
            #[must_use]
            pub fn from_random(random: &[u8; 12]) -> $name {
                $name(format!(concat!($prefix, "{}"), $crate::encoding::base64url(random)))
            }

            /// The random bytes, if this origin generated the identifier.
            #[must_use]
            pub fn random(&self) -> Option<[u8; 12]> {
                self.0.strip_prefix($prefix).and_then($crate::encoding::from_base64url)?.try_into().ok()
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::malformed::Malformed;

            fn from_str(text: &str) -> Result<$name, $crate::malformed::Malformed> {
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
                let rule = concat!("must be ", $prefix, " and letters, digits, - or _");
                let text = $crate::malformed::identifier($what, text, allowed, rule)?;
                if !text.starts_with($prefix) {
                    return Err($crate::malformed::Malformed::new($what, rule));
                }
                Ok($name(text))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        json_as_text!($name);
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_with_control_characters_is_refused() {
        for good in [r#"{"a":["\u00e4","two\nlines\t"],"b":{"c":null,"d":1.5,"e":-1,"f":true}}"#, "1", r#""x""#, "[]"] {
            assert!(json::<Value>(good.as_bytes()).is_ok(), "{good}");
        }
        let bad =
            [r#""\u0000""#, r#"{"a":{"b":["x","\u0007"]}}"#, r#"{"\u0000":1}"#, r#"["\u007f"]"#, "[1", r#""\ud800""#];
        for bad in bad {
            assert!(json::<Value>(bad.as_bytes()).is_err(), "{bad}");
        }
        let value = serde_json::json!({ "a": ["x", { "b\u{0}": 1 }] });
        assert!(!all_strings(&value, is_storable) && all_strings(&value["a"][0], is_storable));
    }

    #[test]
    fn displayable_name_has_no_invisible_characters() {
        for good in ["Jürgen's shop", "متجر", "חנות", "店 ☂\u{fe0f}", "Ἀθῆναι"] {
            assert!(is_displayable(good), "{good}");
        }
        for bad in [
            "shop\u{202e}knab",
            "ba\u{200b}nk",
            "bank\u{feff}",
            "\u{2066}bank\u{2069}",
            "a\u{0}",
            "a\nb",
            "a\u{ad}b",
            "\u{e0041}",
        ] {
            assert!(!is_displayable(bad) && is_displayable(&displayable(bad)), "{bad:?}");
        }
    }
}
