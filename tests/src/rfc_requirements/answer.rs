//! A response, and the paths by which rows select a part of it.

use anyhow::{Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::browser::Page;

/// A response.
#[derive(Debug, Clone)]
pub struct Answer(pub Page);

impl Answer {
    /// Selects a part of the response by `path`:
    ///
    /// - `a.b.0`: a member of the JSON body; empty: the whole body
    /// - `?name`: a parameter of the redirect
    /// - `:name`: a header
    /// - `&name`: a field of the form in the page
    /// - `~`: the body as text
    /// - any of these followed by `@a.b`: a claim of the JWT there; by `#alg`: a member of its
    ///   header
    pub fn find(&self, path: &str) -> Option<Value> {
        if let Some((token, claim)) = path.split_once('@') {
            return walk(self.jwt_part(token, 1)?, claim);
        }
        if let Some((token, member)) = path.split_once('#') {
            return walk(self.jwt_part(token, 0)?, member);
        }
        match path.chars().next() {
            Some('?') => self.0.parameter(&path[1..]).map(Value::String),
            Some('&') => self.0.field(&path[1..]).map(Value::String),
            Some(':') => self.header(&path[1..]).map(Value::String),
            Some('~') => Some(Value::String(self.0.body.clone())),
            _ => walk(serde_json::from_str(&self.0.body).ok()?, path),
        }
    }

    /// All values of a header, joined by commas.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self.0.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The part at `path` as text, for use in another request.
    pub fn text(&self, path: &str) -> Result<String> {
        match self.find(path) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Ok(other.to_string()),
            None => Err(anyhow!("no {path} in {}", self.summary())),
        }
    }

    /// The response on one line.
    pub fn summary(&self) -> String {
        let location = self.0.location().map(|url| format!(" → {url}")).unwrap_or_default();
        let body: String = self.0.body.split_whitespace().collect::<Vec<_>>().join(" ");
        let body: String = body.chars().take(300).collect();
        format!("{} {}{location} {body}", self.0.status, self.0.url.path())
    }

    fn jwt_part(&self, token: &str, part: usize) -> Option<Value> {
        let text = match token {
            "" => self.0.body.clone(),
            path => self.find(path)?.as_str()?.to_owned(),
        };
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.split('.').nth(part)?).ok()?).ok()
    }
}

fn walk(value: Value, path: &str) -> Option<Value> {
    if path.is_empty() {
        return Some(value);
    }
    // A claim name may contain dots, as URLs do. The tables address no such claim by a path.
    path.split('.').try_fold(value, |value, name| match value {
        Value::Array(mut items) => name.parse::<usize>().ok().filter(|at| *at < items.len()).map(|at| items.remove(at)),
        Value::Object(mut members) => members.remove(name),
        _ => None,
    })
}
