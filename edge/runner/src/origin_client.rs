//! GET requests to the origin, bounded in time and size.

use crate::error_chain::error_chain;
use crate::request_id;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use std::time::Duration;
use tokio::time::timeout;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Limit on each pause of the origin, apart from the wait of a long poll.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Client of one origin.
pub(crate) struct OriginClient {
    client: reqwest::Client,
    origin: String,
}

/// An answer of the origin, whatever its status.
pub(crate) struct OriginAnswer {
    pub(crate) status: u16,
    /// Entity tag of the body.
    pub(crate) etag: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl OriginClient {
    pub(crate) fn new(origin: &str) -> reqwest::Result<OriginClient> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(crate::upstream::tls_config())
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(OriginClient { client, origin: origin.to_owned() })
    }

    /// Sends a GET for a path and query, to which the origin may hold its answer for `wait`. With
    /// `etag`, the answer may be 304. The error is one line for the log and the health report, with
    /// the ID of the trace that the origin continues.
    pub(crate) async fn get(&self, target: &str, wait: Duration, etag: Option<&str>) -> Result<OriginAnswer, String> {
        self.get_url(&format!("{}{target}", self.origin), wait, etag).await
    }

    /// Sends a GET as [`get`](Self::get) does, to another URL, such as that of a cache.
    pub(crate) async fn get_url(&self, url: &str, wait: Duration, etag: Option<&str>) -> Result<OriginAnswer, String> {
        let (trace, traceparent) = request_id::new_trace();
        let mut request = self.client.get(url).header("traceparent", traceparent);
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        read_answer(request, wait).await.map_err(|error| format!("{error} (trace {trace})"))
    }
}

async fn read_answer(request: reqwest::RequestBuilder, wait: Duration) -> Result<OriginAnswer, String> {
    let mut response = with_timeout(wait + READ_TIMEOUT, request.send()).await?;
    let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = with_timeout(READ_TIMEOUT, response.chunk()).await? {
        if body.len().saturating_add(chunk.len()) > tollgate_gate::MAX_FETCH_BYTES {
            return Err(format!("the answer is larger than {} bytes", tollgate_gate::MAX_FETCH_BYTES));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(OriginAnswer { status, etag, body })
}

async fn with_timeout<T>(limit: Duration, answer: impl Future<Output = reqwest::Result<T>>) -> Result<T, String> {
    match timeout(limit, answer).await {
        // The URL has the edge's proof, and anyone may read the health report.
        Ok(answer) => answer.map_err(|error| error_chain(&error.without_url())),
        Err(_) => Err(format!("no data for {} ms", limit.as_millis())),
    }
}
