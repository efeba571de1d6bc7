//! Search parameters and `Link` headers (RFC 8288) of lists.

use axum::http::header::LINK;
use axum::http::{HeaderMap, HeaderValue};
use tollgate_storage::{MAX_SEARCH_PAGE, Search};

use super::request::AdminQuery;
use crate::issuer::Issuer;
use crate::problem::Problem;

/// Parses `search`, `after` and `limit`.
pub(super) fn parse_search(query: &AdminQuery) -> Result<Search, Problem> {
    let limit = query.get("limit").map_or(Ok(MAX_SEARCH_PAGE), str::parse);
    let limit = limit.ok().filter(|limit| (1..=MAX_SEARCH_PAGE).contains(limit));
    let limit = limit.ok_or_else(|| Problem::bad_request("limit must be from 1 to 1000"))?;
    let text = |name: &str| query.get(name).map(str::to_owned);
    Ok(Search { text: text("search"), after: text("after"), newest_first: false, limit })
}

/// `Link` to the next page, if a page with `count` entries and this last ID may have one.
pub(super) fn next_page_link(
    issuer: &Issuer,
    path: &str,
    search: &Search,
    count: usize,
    last: Option<&str>,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(last) = last.filter(|_| count as u64 == search.limit) {
        let text = search.text.as_deref().map(|text| ("search", text));
        let limit = search.limit.to_string();
        let pairs = text.into_iter().chain([("after", last), ("limit", limit.as_str())]);
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let link = format!("<{}?{query}>; rel=\"next\"", issuer.issuer_path(path));
        headers.extend(HeaderValue::try_from(link).ok().map(|link| (LINK, link)));
    }
    headers
}
