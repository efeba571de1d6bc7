//! Expectations on a response.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::fixture::RequirementRun;

/// Checks of one response; all must hold.
#[derive(Debug, Clone)]
pub struct Expectation(Vec<Check>);

#[derive(Debug, Clone)]
enum Check {
    Status(&'static [u16]),
    Is(&'static str, Value),
    Differs(&'static str, Value),
    OneOf(&'static str, Vec<Value>),
    Has(&'static str),
    Lacks(&'static str),
    Contains(&'static str, String),
    Omits(&'static str, String),
    Holds(&'static str, Value),
    Longer(&'static str, usize),
    Text(&'static str, &'static str, fn(&str) -> bool),
    Stays,
    Leaves(String),
    NoEmptyLists,
}

/// Status 200.
pub fn ok() -> Expectation {
    status(&[200])
}

/// One of these statuses.
pub fn status(statuses: &'static [u16]) -> Expectation {
    Expectation(vec![Check::Status(statuses)])
}

/// An OAuth error (RFC 6749 §5.2).
pub fn error(code: &'static [u16], error: &'static str) -> Expectation {
    status(code).is("error", error).contains(":content-type", "application/json")
}

/// An OAuth error with status 400.
pub fn refused(name: &'static str) -> Expectation {
    error(&[400], name)
}

/// Status 401 with a challenge that names the error (RFC 6750 §3).
pub fn challenged(error: &'static str) -> Expectation {
    status(&[401]).contains(":www-authenticate", &format!("error=\"{error}\""))
}

/// An error page of the origin, without a redirect.
pub fn page() -> Expectation {
    Expectation(vec![Check::Status(&[400]), Check::Stays])
}

/// A redirect to this URI, by 303 or 302 (RFC 9700 §4.12).
pub fn redirected(uri: &str) -> Expectation {
    Expectation(vec![Check::Status(&[302, 303]), Check::Leaves(uri.to_owned())])
}

impl Expectation {
    fn and(mut self, check: Check) -> Self {
        self.0.push(check);
        self
    }

    /// The part equals this value.
    pub fn is(self, path: &'static str, value: impl Into<Value>) -> Self {
        self.and(Check::Is(path, value.into()))
    }

    /// The part exists and has another value.
    pub fn differs(self, path: &'static str, value: impl Into<Value>) -> Self {
        self.and(Check::Differs(path, value.into()))
    }

    /// The part is one of these values.
    pub fn one_of(self, path: &'static str, values: &[&str]) -> Self {
        self.and(Check::OneOf(path, values.iter().map(|value| json!(value)).collect()))
    }

    /// The part exists.
    pub fn has(self, path: &'static str) -> Self {
        self.and(Check::Has(path))
    }

    /// The part does not exist.
    pub fn lacks(self, path: &'static str) -> Self {
        self.and(Check::Lacks(path))
    }

    /// The text contains this text.
    pub fn contains(self, path: &'static str, text: &str) -> Self {
        self.and(Check::Contains(path, text.to_owned()))
    }

    /// The text does not contain this text.
    pub fn omits(self, path: &'static str, text: &str) -> Self {
        self.and(Check::Omits(path, text.to_owned()))
    }

    /// The list contains this item, or the space-separated text this word.
    pub fn holds(self, path: &'static str, item: impl Into<Value>) -> Self {
        self.and(Check::Holds(path, item.into()))
    }

    /// The text has at least this many characters.
    pub fn longer(self, path: &'static str, than: usize) -> Self {
        self.and(Check::Longer(path, than))
    }

    /// The text satisfies `holds`, which `words` describes.
    pub fn text(self, path: &'static str, words: &'static str, holds: fn(&str) -> bool) -> Self {
        self.and(Check::Text(path, words, holds))
    }

    /// The response does not redirect to another site.
    pub fn stays(self) -> Self {
        self.and(Check::Stays)
    }

    /// The JSON object has no member that is an empty list.
    pub fn no_empty_lists(self) -> Self {
        self.and(Check::NoEmptyLists)
    }

    pub(super) async fn check(&self, run: &RequirementRun<'_>) -> Result<()> {
        for check in &self.0 {
            check.verify(run).await.map_err(|why| why.context(run.last().summary()))?;
        }
        Ok(())
    }
}

impl Check {
    async fn verify(&self, run: &RequirementRun<'_>) -> Result<()> {
        let answer = run.last();
        let found = |path: &str| answer.find(path).unwrap_or(Value::Null);
        match self {
            Check::Status(any) => ensure!(any.contains(&answer.0.status), "the status is not in {any:?}"),
            Check::Is(path, value) => {
                let (found, value) = (found(path), run.fill_value(value).await?);
                ensure!(found == value, "{path} is {found}, not {value}");
            }
            Check::Differs(path, value) => {
                let (found, value) = (found(path), run.fill_value(value).await?);
                ensure!(!found.is_null() && found != value, "{path} is {found}");
            }
            Check::OneOf(path, values) => {
                let found = found(path);
                ensure!(values.contains(&found), "{path} is {found}, none of {values:?}");
            }
            Check::Has(path) => ensure!(!found(path).is_null(), "no {path}"),
            Check::Lacks(path) => ensure!(found(path).is_null(), "there is {path}: {}", found(path)),
            Check::Contains(path, text) => {
                let text = run.fill(text).await?;
                ensure!(answer.text(path)?.contains(&text), "{path} is {}, without {text}", found(path));
            }
            Check::Omits(path, text) => {
                let text = run.fill(text).await?;
                ensure!(!answer.text(path).unwrap_or_default().contains(&text), "{path} holds {text}");
            }
            Check::Holds(path, item) => {
                let item = run.fill_value(item).await?;
                ensure!(holds(&found(path), &item), "{path} is {}, without {item}", found(path));
            }
            Check::Longer(path, than) => {
                let length = answer.text(path)?.len();
                ensure!(length >= *than, "{path} has {length} characters, fewer than {than}");
            }
            Check::Text(path, words, holds) => ensure!(holds(&answer.text(path)?), "{path} is not {words}"),
            Check::Stays => match answer.0.location() {
                Some(url) if !url.as_str().starts_with(&run.fill("{issuer}/").await?) => bail!("redirected to {url}"),
                _ => {}
            },
            Check::Leaves(uri) => {
                let (uri, location) = (run.fill(uri).await?, answer.header("location").unwrap_or_default());
                ensure!(location.starts_with(&uri), "sent to {location:?}, not to {uri}");
            }
            Check::NoEmptyLists => {
                let Value::Object(members) = found("") else { bail!("the body is not a JSON object") };
                let empty: Vec<&String> =
                    members.iter().filter(|(_, value)| **value == json!([])).map(|(name, _)| name).collect();
                ensure!(empty.is_empty(), "these are empty lists: {empty:?}");
            }
        }
        Ok(())
    }
}

fn holds(found: &Value, item: &Value) -> bool {
    match found {
        Value::Array(items) => items.contains(item),
        Value::String(text) => item.as_str().is_some_and(|item| text.split(' ').any(|word| word == item)),
        _ => false,
    }
}
