//! Values that are one text: read by `FromStr`, written by `Display`, and the same in JSON.

/// Gives a type that has `FromStr` and `Display` the same form in JSON.
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

/// An identifier that this origin makes: a prefix and 96 random bits in base64url. Public, so no secret.
macro_rules! made_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The identifier of these random bytes.
            #[must_use]
            pub fn from_random(random: &[u8; 12]) -> $name {
                $name(format!(concat!($prefix, "{}"), $crate::encoding::base64url(random)))
            }

            /// The random bytes that it is of, if it is of our making.
            #[must_use]
            pub fn random(&self) -> Option<[u8; 12]> {
                self.0.strip_prefix($prefix).and_then($crate::encoding::from_base64url)?.try_into().ok()
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::Malformed;

            fn from_str(text: &str) -> Result<$name, $crate::domain::Malformed> {
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
                let rule = concat!("must be ", $prefix, " and letters, digits, - or _");
                let text = $crate::domain::identifier($what, text, allowed, rule)?;
                if !text.starts_with($prefix) {
                    return Err($crate::domain::Malformed::new($what, rule));
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
