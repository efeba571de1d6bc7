//! One message with its values, as text or as HTML.

use std::fmt;
use std::ops::RangeInclusive;

use askama::filters::{Escaper as _, Html, Safe};
use fluent_bundle::FluentArgs;

use crate::catalogue::Messages;

/// Stand for names while a message is formatted, by their index. Names are put in afterwards, so
/// that none can pass for another.
const PLACEHOLDERS: RangeInclusive<char> = '\u{e000}'..='\u{e00f}';
/// Isolate a name of unknown direction in plain text (Unicode Bidirectional Algorithm, FSI and
/// PDI).
const FIRST_STRONG_ISOLATE: char = '\u{2068}';
const POP_DIRECTIONAL_ISOLATE: char = '\u{2069}';

/// A value in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text of another origin than the catalogue, such as a user's name: isolated from the text
    /// around it.
    Name(String),
    /// Text in the language of the page, or without letters, such as a time of day.
    Text(String),
    /// A count, which also selects the plural form.
    Number(u64),
}

/// What a message takes as a value: strings are names.
pub trait ToValue {
    /// The value.
    fn to_value(&self) -> Value;
}

impl ToValue for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value {
        Value::Name(self.to_owned())
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value {
        Value::Name(self.clone())
    }
}

impl ToValue for u64 {
    fn to_value(&self) -> Value {
        Value::Number(*self)
    }
}

impl ToValue for usize {
    fn to_value(&self) -> Value {
        Value::Number(*self as u64)
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }
}

/// A message. Displayed, it is plain text, for titles, attributes and mails; a template escapes it.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    messages: &'a Messages,
    id: &'a str,
    values: Vec<(&'a str, Value)>,
}

enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
}

impl Messages {
    /// The message of this name, to which values can be added.
    #[must_use]
    pub fn text<'a>(&'a self, id: &'a str) -> Message<'a> {
        Message { messages: self, id, values: Vec::new() }
    }
}

impl<'a> Message<'a> {
    /// The message with a value under the name that it has in the catalogue.
    #[must_use]
    pub fn with(mut self, name: &'a str, value: impl ToValue) -> Message<'a> {
        self.values.push((name, value.to_value()));
        self
    }

    /// The message as escaped HTML, each name isolated in an element of its own.
    #[must_use]
    pub fn html(&self) -> Safe<String> {
        self.to_html("<bdi>", "</bdi>")
    }

    /// As [`Message::html`], with names emphasised.
    #[must_use]
    pub fn strong(&self) -> Safe<String> {
        self.to_html("<strong dir=\"auto\">", "</strong>")
    }

    fn to_html(&self, before: &str, after: &str) -> Safe<String> {
        let mut html = String::new();
        let written = self.write_parts(|part| match part {
            Part::Text(text) => Html.write_escaped_str(&mut html, text),
            Part::Name(name) => {
                html.push_str(before);
                Html.write_escaped_str(&mut html, name)?;
                html.push_str(after);
                Ok(())
            }
        });
        debug_assert!(written.is_ok(), "writing to a string does not fail");
        Safe(html)
    }

    fn write_parts(&self, mut write: impl FnMut(Part<'_>) -> fmt::Result) -> fmt::Result {
        let formatted = self.formatted();
        let mut rest = formatted.as_str();
        while let Some((at, placeholder)) = rest.char_indices().find(|(_, char)| PLACEHOLDERS.contains(char)) {
            write(Part::Text(&rest[..at]))?;
            let index = u32::from(placeholder) - u32::from(*PLACEHOLDERS.start());
            if let Some((_, Value::Name(name))) = self.values.get(index as usize) {
                write(Part::Name(name))?;
            }
            rest = &rest[at + placeholder.len_utf8()..];
        }
        write(Part::Text(rest))
    }

    /// The message in the first language that has it, with placeholders for names.
    fn formatted(&self) -> String {
        let mut arguments = FluentArgs::with_capacity(self.values.len());
        for ((name, value), placeholder) in self.values.iter().zip(PLACEHOLDERS) {
            match value {
                Value::Name(_) => arguments.set(*name, placeholder.to_string()),
                Value::Text(text) => arguments.set(*name, text.as_str()),
                Value::Number(number) => arguments.set(*name, *number),
            }
        }
        for bundle in self.messages.bundles() {
            if let Some(pattern) = bundle.get_message(self.id).and_then(|message| message.value()) {
                return bundle.format_pattern(pattern, Some(&arguments), &mut Vec::new()).into_owned();
            }
        }
        // Tests compare all names in templates and code with the catalogue.
        self.id.to_owned()
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_parts(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Name(name) => write!(f, "{FIRST_STRONG_ISOLATE}{name}{POP_DIRECTIONAL_ISOLATE}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalogue::Catalogue;

    fn messages(language: &str) -> Messages {
        Arc::new(Catalogue::load(None).expect("the built-in files are good")).messages(language, "")
    }

    #[test]
    fn names_are_escaped_and_isolated() {
        let messages = messages("en");
        let message = messages.text("signed-in-as").with("username", "<b>\u{5d0}\u{5d3}\u{5d4}</b>");
        assert_eq!(message.to_string(), "You are signed in as \u{2068}<b>\u{5d0}\u{5d3}\u{5d4}</b>\u{2069}.");
        let name = "&#60;b&#62;\u{5d0}\u{5d3}\u{5d4}&#60;/b&#62;";
        assert_eq!(message.html().0, format!("You are signed in as <bdi>{name}</bdi>."));
        assert_eq!(message.strong().0, format!("You are signed in as <strong dir=\"auto\">{name}</strong>."));
    }

    #[test]
    fn a_name_cannot_pass_for_another_value() {
        let messages = messages("en");
        let message = messages.text("sender-browser").with("browser", "\u{e001}").with("system", "{ $browser }");
        assert_eq!(message.html().0, "<bdi>\u{e001}</bdi> on <bdi>{ $browser }</bdi>");
    }

    #[test]
    fn counts_choose_the_plural_form() {
        let text =
            |language: &str, count: u64| messages(language).text("time-days-ago").with("count", count).to_string();
        assert_eq!((text("en", 1), text("en", 2)), ("1 day ago".to_owned(), "2 days ago".to_owned()));
        assert_eq!((text("de", 1), text("de", 5)), ("vor 1 Tag".to_owned(), "vor 5 Tagen".to_owned()));
        let arabic: std::collections::BTreeSet<String> = [1, 2, 3, 11, 100].map(|count| text("ar", count)).into();
        assert_eq!(arabic.len(), 5, "{arabic:?}");
    }

    #[test]
    fn texts_and_numbers_are_not_isolated() {
        let messages = messages("en");
        let date = messages.text("time-date").with("day", 22_u64).with("month", 11_u64).with("year", 2026_u64);
        assert_eq!(date.with("time", Value::Text("08:15".to_owned())).to_string(), "22 Nov 2026, 08:15 UTC");
    }
}
