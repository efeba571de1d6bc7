//! A writer for the small JSON objects in the gate's responses. The gate reads no JSON in
//! responses, and a general serializer would make up a tenth of the component.

use std::fmt::Write as _;

/// A JSON object, built member by member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonObject(String);

impl JsonObject {
    /// An empty object.
    pub fn new() -> Self {
        Self("{}".to_owned())
    }

    /// Adds a string.
    #[inline(never)]
    pub fn text(self, name: &'static str, text: &str) -> Self {
        let mut quoted = String::with_capacity(text.len() + 2);
        quote(text, &mut quoted);
        self.member(name, &quoted)
    }

    /// Adds an integer, or `null`.
    #[inline(never)]
    pub fn number(self, name: &'static str, number: impl Into<Option<u64>>) -> Self {
        self.member(name, &number.into().map_or_else(|| "null".to_owned(), |number| number.to_string()))
    }

    /// Adds an array of strings.
    pub fn texts<'a>(self, name: &'static str, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut array = String::from("[");
        for text in texts {
            if array.len() > 1 {
                array.push(',');
            }
            quote(text, &mut array);
        }
        array.push(']');
        self.member(name, &array)
    }

    /// Adds an object, or `null`.
    pub fn object(self, name: &'static str, object: Option<Self>) -> Self {
        self.member(name, object.as_ref().map_or("null", |object| &object.0))
    }

    /// Adds an array of objects.
    pub fn objects(self, name: &'static str, objects: impl IntoIterator<Item = Self>) -> Self {
        let objects: Vec<String> = objects.into_iter().map(|object| object.0).collect();
        self.member(name, &["[", &objects.join(","), "]"].concat())
    }

    /// The JSON text.
    pub fn into_text(self) -> String {
        self.0
    }

    // Not inlined, to keep components small.
    #[inline(never)]
    fn member(mut self, name: &'static str, value: &str) -> Self {
        self.0.pop(); // the closing brace
        if self.0.len() > 1 {
            self.0.push(',');
        }
        quote(name, &mut self.0);
        self.0.push(':');
        self.0.push_str(value);
        self.0.push('}');
        self
    }
}

impl Default for JsonObject {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a JSON string with only the escapes that RFC 8259 section 7 requires.
fn quote(text: &str, json: &mut String) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\0'..' ' => {
                let _ = write!(json, "\\u{:04x}", u32::from(character)); // writing to a String cannot fail
            }
            _ => json.push(character),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_objects_parse_to_the_same_values() {
        let odd = "a \"quoted\" \\ path\n\twith \u{0} and \u{1f} and \u{7f}, ü and 🚪";
        let inner = JsonObject::new().text("error", odd).number("at_ms", u64::MAX);
        let text = JsonObject::new()
            .texts("texts", [odd, ""])
            .number("none", None)
            .object("inner", Some(inner))
            .object("no", None)
            .into_text();
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let wanted = serde_json::json!({ "texts": [odd, ""], "none": null, "inner": { "error": odd, "at_ms": u64::MAX }, "no": null });
        assert_eq!(value, wanted);
        assert_eq!(JsonObject::default().into_text(), "{}");
    }
}
