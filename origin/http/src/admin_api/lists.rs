//! Lists of many over the API: what is looked for, and the way to the next page (RFC 8288).

use axum::http::header::LINK;
use axum::http::{HeaderMap, HeaderValue};
use tollgate_storage::{MAX_SEARCH_PAGE, Search};

use crate::App;
use crate::oauth::parameters::Parameters;
use crate::problem::Problem;

/// What a query asks for.
pub(super) fn asked(query: Option<&str>) -> Result<Search, Problem> {
    let query = Parameters::from_form(query.unwrap_or_default()).and_then(Parameters::storable);
    let query = query.map_err(|error| Problem::bad_request(&error.to_string()))?;
    let limit = query.get("limit").map_or(Ok(MAX_SEARCH_PAGE), str::parse);
    let limit = limit.ok().filter(|limit| (1..=MAX_SEARCH_PAGE).contains(limit));
    let limit = limit.ok_or_else(|| Problem::bad_request("limit must be 1 to 1000"))?;
    let text = |name: &str| query.get(name).map(str::to_owned);
    Ok(Search { text: text("search"), after: text("after"), newest_first: false, limit })
}

/// The header that leads to the page after one that ends with `last` and has `count` entries, if
/// there may be one.
pub(super) fn next(app: &App, path: &str, search: &Search, count: usize, last: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(last) = last.filter(|_| count as u64 == search.limit) {
        let text = search.text.as_deref().map(|text| ("search", text));
        let limit = search.limit.to_string();
        let pairs = text.into_iter().chain([("after", last), ("limit", limit.as_str())]);
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let link = format!("<{}?{query}>; rel=\"next\"", app.issuer_path(path));
        headers.extend(HeaderValue::try_from(link).ok().map(|link| (LINK, link)));
    }
    headers
}
