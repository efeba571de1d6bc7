//! The upstreams that route rules name, for hosts without health checks.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::setting_error::SettingError;
use crate::settings::url;

const UPSTREAMS: &str = "TOLLGATE_EDGE_UPSTREAMS";

/// URLs of upstreams by name. Several of one upstream get requests in turn.
#[derive(Debug, Default)]
pub struct NamedUpstreams {
    urls: BTreeMap<String, Vec<String>>,
    next: Cell<usize>,
}

impl NamedUpstreams {
    /// Reads `TOLLGATE_EDGE_UPSTREAMS` through `get`: `name=URL,URL;name=URL`, where commas and
    /// semicolons mean the same.
    ///
    /// # Errors
    /// If the setting has another form, or a name twice.
    pub fn from_lookup(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let text = get(UPSTREAMS).unwrap_or_default();
        let invalid = || SettingError {
            name: UPSTREAMS,
            problem: format!("must be name=URL,URL;name=URL, each name once, not {text:?}"),
        };
        let mut urls = BTreeMap::<String, Vec<String>>::new();
        let mut current = None;
        for part in text.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()) {
            let (name, address) = match part.split_once('=').filter(|(name, _)| !name.contains("://")) {
                Some((name, address)) => {
                    let is_new = !name.trim().is_empty() && !urls.contains_key(name.trim());
                    current = is_new.then(|| name.trim().to_owned());
                    (current.clone(), address.trim())
                }
                None => (current.clone(), part),
            };
            urls.entry(name.ok_or_else(invalid)?).or_default().push(url(UPSTREAMS, address)?);
        }
        Ok(Self { urls, next: Cell::new(0) })
    }

    /// URL of the upstream of this name; none if the setting has no such upstream.
    pub fn url(&self, name: &str) -> Option<&str> {
        let urls = self.urls.get(name)?;
        self.next.set(self.next.get().wrapping_add(1));
        urls.get(self.next.get() % urls.len()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<NamedUpstreams, String> {
        NamedUpstreams::from_lookup(|_| Some(text.to_owned())).map_err(|error| error.to_string())
    }

    #[test]
    fn requests_go_to_the_urls_of_a_name_in_turn() {
        for text in
            ["orders=http://a/,http://b;media=https://m/x", " orders = http://a ; http://b , media=https://m/x;"]
        {
            let upstreams = read(text).expect("good upstreams");
            let orders: Vec<_> = (0..3).map(|_| upstreams.url("orders")).collect();
            assert!(orders == [Some("http://b"), Some("http://a"), Some("http://b")], "{orders:?}");
            assert_eq!((upstreams.url("media"), upstreams.url("other")), (Some("https://m/x"), None));
        }
        assert_eq!(read("").expect("none").url("orders"), None);
    }

    #[test]
    fn other_forms_are_refused() {
        for invalid in ["http://a", "orders", "=http://a", "a=http://a;a=http://b", "a=", "a=http://a;ftp://b"] {
            let error = read(invalid).expect_err(invalid);
            assert!(error.starts_with(UPSTREAMS), "{error}");
        }
    }
}
