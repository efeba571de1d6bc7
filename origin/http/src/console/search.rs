//! Search and pages of long lists.

use tollgate_storage::Search;

use super::admin_session::AdminSession;

/// Rows on a page.
pub(super) const PAGE_SIZE: u64 = 50;

/// Links from one page of a list to others; empty where there is none.
pub(super) struct Pager {
    pub(super) first: String,
    pub(super) next: String,
}

/// The requested search. Asks for one row more than a page, which shows whether there is another
/// page.
pub(super) fn requested(admin: &AdminSession) -> Search {
    Search {
        text: admin.find_param("search").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
        after: admin.find_param("after").map(str::to_owned),
        newest_first: true,
        limit: PAGE_SIZE + 1,
    }
}

/// The rows of a page of search results, with links to other pages of the same search.
pub(super) fn page<T>(admin: &AdminSession, path: &str, rows: Vec<T>, id: impl Fn(&T) -> String) -> (Vec<T>, Pager) {
    filtered_page(admin, path, &["search"], "after", rows, id)
}

/// As [`page`], for a list that the parameters `filters` narrow down, and whose next page begins
/// after the row that the parameter `cursor` names.
pub(super) fn filtered_page<T>(
    admin: &AdminSession,
    path: &str,
    filters: &[&str],
    cursor: &str,
    mut rows: Vec<T>,
    id: impl Fn(&T) -> String,
) -> (Vec<T>, Pager) {
    let link = |position: Option<&str>| {
        let filters = filters.iter().filter_map(|name| Some((*name, admin.find_param(name)?)));
        let pairs = filters.chain(position.map(|position| (cursor, position)));
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    };
    let has_more = rows.len() as u64 > PAGE_SIZE;
    rows.truncate(usize::try_from(PAGE_SIZE).unwrap_or(usize::MAX));
    let next = rows.last().filter(|_| has_more).map(|last| link(Some(&id(last)))).unwrap_or_default();
    let first = admin.find_param(cursor).map(|_| link(None)).unwrap_or_default();
    (rows, Pager { first, next })
}
