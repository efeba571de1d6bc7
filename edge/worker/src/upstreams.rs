//! The upstreams of the Worker: the default one, and those that route rules name.

use std::cell::Cell;
use std::collections::BTreeMap;

use worker::Env;

use crate::setting;

/// Setting: upstreams by name, as for `tollgate-edge`.
const UPSTREAMS: &str = "TOLLGATE_EDGE_UPSTREAMS";

/// URLs of the upstreams that route rules name, without trailing slashes. Several of one upstream
/// get requests in turn.
pub(crate) struct Upstreams {
    named: BTreeMap<String, Vec<String>>,
    next: Cell<usize>,
}

impl Upstreams {
    /// Reads the setting. The error is one line that names it.
    pub(crate) fn from_env(env: &Env) -> Result<Self, String> {
        let text = setting(env, UPSTREAMS).unwrap_or_default();
        let entries = text.split(';').map(str::trim).filter(|entry| !entry.is_empty());
        let named = entries.map(|entry| parse(entry).ok_or_else(|| invalid(entry))).collect::<Result<_, _>>()?;
        Ok(Self { named, next: Cell::new(0) })
    }

    /// URL of the upstream of this name; none if the settings have no such upstream.
    pub(crate) fn url(&self, name: &str) -> Option<&str> {
        let urls = self.named.get(name)?;
        self.next.set(self.next.get().wrapping_add(1));
        urls.get(self.next.get() % urls.len()).map(String::as_str)
    }
}

fn parse(entry: &str) -> Option<(String, Vec<String>)> {
    let (name, urls) = entry.split_once('=')?;
    let url = |url: &str| {
        let url = url.trim().trim_end_matches('/');
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
        let is_valid =
            !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control() || "?#@\\".contains(c));
        is_valid.then(|| url.to_owned())
    };
    let urls: Option<Vec<String>> = urls.split(',').map(url).collect();
    urls.filter(|_| !name.trim().is_empty()).map(|urls| (name.trim().to_owned(), urls))
}

fn invalid(entry: &str) -> String {
    format!("{UPSTREAMS} must be NAME=URL,URL;NAME=URL with http or https URLs, not {entry:?}")
}
