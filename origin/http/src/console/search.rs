//! Lists of many: what is looked for, and the way to the next page.

use tollgate_storage::Search;

use super::operator::Operator;

/// Rows of a page.
pub(super) const ROWS: u64 = 50;

/// The ways from a page of a list to others; empty where there is none.
pub(super) struct Pager {
    pub(super) first: String,
    pub(super) next: String,
}

/// What is looked for: a page and one row more, which tells whether there is another page.
pub(super) fn asked(operator: &Operator) -> Search {
    Search {
        text: operator.given("search").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
        after: operator.given("after").map(str::to_owned),
        newest_first: true,
        limit: ROWS + 1,
    }
}

/// The rows of a page, and the ways to others of the same search.
pub(super) fn page<T>(operator: &Operator, path: &str, rows: Vec<T>, id: impl Fn(&T) -> String) -> (Vec<T>, Pager) {
    pages(operator, path, &["search"], "after", rows, id)
}

/// As [`page`], for a list that is narrowed down by these parameters, and whose next page begins after the one that `mark` names.
pub(super) fn pages<T>(
    operator: &Operator,
    path: &str,
    kept: &[&str],
    mark: &str,
    mut rows: Vec<T>,
    id: impl Fn(&T) -> String,
) -> (Vec<T>, Pager) {
    let way = |place: Option<&str>| {
        let kept = kept.iter().filter_map(|name| Some((*name, operator.given(name)?)));
        let pairs = kept.chain(place.map(|place| (mark, place)));
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    };
    let is_full = rows.len() as u64 > ROWS;
    rows.truncate(usize::try_from(ROWS).unwrap_or(usize::MAX));
    let next = rows.last().filter(|_| is_full).map(|last| way(Some(&id(last)))).unwrap_or_default();
    let first = operator.given(mark).map(|_| way(None)).unwrap_or_default();
    (rows, Pager { first, next })
}
