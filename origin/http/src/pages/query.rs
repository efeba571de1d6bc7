//! Queries of the addresses of pages.

/// OpenID Connect Core §3.1.2.1, RP-Initiated Logout §2: the languages that the user prefers.
pub(crate) const UI_LOCALES: &str = "ui_locales";

/// One parameter of a query, encoded.
pub(crate) fn query_pair(name: &str, value: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
}
