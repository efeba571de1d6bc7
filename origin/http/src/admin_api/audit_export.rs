//! Download of the audit log.

use std::str::FromStr;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use tollgate_model::{AuditEntry, AuditFilter, AuditView, Malformed};
use tollgate_storage::{Store, StoreError};

use crate::problem::Problem;

/// File format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON object per line.
    JsonLines,
    /// RFC 4180, with a header line.
    Csv,
}

impl FromStr for Format {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Format, Malformed> {
        match text {
            "jsonl" => Ok(Format::JsonLines),
            "csv" => Ok(Format::Csv),
            _ => Err(Malformed::new("format", "must be jsonl or csv")),
        }
    }
}

impl Format {
    fn headers(self) -> [(axum::http::HeaderName, &'static str); 3] {
        let (media_type, file) = match self {
            Format::JsonLines => ("application/jsonl", "attachment; filename=\"tollgate-audit.jsonl\""),
            Format::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"tollgate-audit.csv\""),
        };
        [(CONTENT_TYPE, media_type), (CONTENT_DISPOSITION, file), (CACHE_CONTROL, "no-store")]
    }

    fn heading(self) -> String {
        match self {
            Format::JsonLines => String::new(),
            Format::Csv => format!("{}\r\n", AuditView::CSV_HEADING),
        }
    }

    fn line(self, entry: AuditEntry) -> String {
        let view = AuditView::from(entry);
        match self {
            Format::JsonLines => serde_json::to_string(&view).unwrap_or_default() + "\n",
            Format::Csv => view.to_csv() + "\r\n",
        }
    }
}

/// Streams all entries that match a filter, oldest first, page by page, because the log may be
/// larger than memory. If the database fails midway, the transfer ends incomplete, which clients
/// detect.
pub(crate) async fn export(store: Store, filter: AuditFilter, format: Format) -> Result<Response, Problem> {
    let filter = AuditFilter { after: Some(filter.after.unwrap_or(0)), newest_first: false, limit: None, ..filter };
    let first = store.list_audit_entries(&filter).await?;
    let rest = stream::try_unfold((store, filter, Some(first)), move |(store, mut filter, read)| async move {
        let page = match read {
            Some(page) => page,
            None => store.list_audit_entries(&filter).await?,
        };
        let Some(last) = page.last() else { return Ok::<_, StoreError>(None) };
        filter.after = Some(last.number);
        let lines: String = page.into_iter().map(|entry| format.line(entry)).collect();
        Ok(Some((Bytes::from(lines), (store, filter, None))))
    });
    let heading = stream::iter([Ok(Bytes::from(format.heading()))]);
    let body = Body::from_stream(futures::StreamExt::chain(heading, rest));
    Ok((format.headers(), body).into_response())
}
