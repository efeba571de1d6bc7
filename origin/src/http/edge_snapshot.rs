//! `GET /edge/v1/snapshot`: everything an edge needs, signed. Public, for it holds no secrets: identifiers of revoked
//! tokens are hashes, keys are public ones.
//!
//! It is sent plain or compressed. These are two representations, and a strong entity tag names one (RFC 9110 §8.8.3): the
//! compressed one has the plain one's tag with `-gzip` at its end.

use axum::extract::State;
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::problem::Problem;
use crate::http::openapi::refusals::Unavailable;
use crate::http::{header_list, problem};

/// Everything that an edge needs, signed.
#[utoipa::path(
    get, path = "/edge/v1/snapshot",
    responses(
        (status = 200, description = "The snapshot", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "It is the one held"),
        Unavailable,
        (
            status = 500,
            description = "What is there cannot be read",
            body = problem::Body,
            content_type = "application/problem+json",
        ),
    ),
)]
pub(super) async fn get(State(app): State<AppState>, headers: HeaderMap) -> Result<Response, Problem> {
    let snapshot = app.publisher.snapshot().await?;
    let common = [(CACHE_CONTROL, "no-cache"), (VARY, ACCEPT_ENCODING.as_str())];
    if let Some(held) = held(&headers, &snapshot.etag) {
        return Ok((StatusCode::NOT_MODIFIED, common, [(ETAG, held)]).into_response());
    }
    let media_type = [(CONTENT_TYPE, "application/octet-stream")];
    Ok((common, media_type, [(ETAG, snapshot.etag.clone())], snapshot.bytes.clone()).into_response())
}

/// Gives an answer that was compressed after [`get`] the tag of that representation.
pub(super) async fn tag_encoded(mut response: Response) -> Response {
    if response.headers().contains_key(CONTENT_ENCODING)
        && let Some(plain) = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok())
        && let Ok(tag) = HeaderValue::try_from(encoded(plain))
    {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// The compressed representation's tag.
fn encoded(plain: &str) -> String {
    format!("{}-gzip\"", plain.trim_end_matches('"'))
}

/// The tag that `If-None-Match` names, of those this document has; compared weakly, as RFC 9110 §13.1.2 asks. Either is good
/// whatever encoding is accepted now: who has one representation has the snapshot.
pub(super) fn held(headers: &HeaderMap, plain: &str) -> Option<String> {
    let mut tags = header_list::members(headers, IF_NONE_MATCH).map(|tag| tag.trim_start_matches("W/"));
    let encoded = encoded(plain);
    tags.find_map(|tag| match tag {
        "*" => Some(plain.to_owned()),
        tag => [plain, &encoded].contains(&tag).then(|| tag.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Server, Settings};

    #[tokio::test(flavor = "multi_thread")]
    async fn each_representation_has_a_tag_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name).display().to_string();
        let settings = Settings::from_pairs([
            ("TOLLGATE_LISTEN", "127.0.0.1:0".to_owned()),
            ("TOLLGATE_DATABASE_URL", format!("sqlite://{}", file("origin.db"))),
            ("TOLLGATE_MASTER_KEY_FILE", file("origin.key")),
        ]);
        let server = Server::start(settings.expect("good settings")).await.expect("started");
        let http = reqwest::Client::builder().gzip(false).build().expect("a client");
        let url = format!("{}/edge/v1/snapshot", server.url());
        let get = async |accepted: &str, held: &str| {
            let request = http.get(&url).header(ACCEPT_ENCODING, accepted).header(IF_NONE_MATCH, held);
            let answer = request.send().await.expect("answered");
            assert_eq!(answer.headers().get_all(VARY).iter().collect::<Vec<_>>(), ["accept-encoding"]);
            let tag = answer.headers()[ETAG].to_str().expect("text").to_owned();
            (answer.status().as_u16(), answer.headers().contains_key(CONTENT_ENCODING), tag)
        };

        let (status, encoded, plain_tag) = get("identity", "\"other\"").await;
        assert_eq!((status, encoded), (200, false));
        let (status, encoded, gzip_tag) = get("gzip", "\"other\"").await;
        assert_eq!((status, encoded), (200, true));
        assert_eq!(gzip_tag, format!("{}-gzip\"", plain_tag.trim_end_matches('"')));
        for accepted in ["identity", "gzip"] {
            for held in [&plain_tag, &gzip_tag, &format!("W/{gzip_tag}"), &format!("\"x\", {plain_tag}")] {
                let confirmed = held.trim_start_matches("\"x\", ").trim_start_matches("W/");
                assert_eq!(get(accepted, held).await, (304, false, confirmed.to_owned()), "{held}");
            }
            assert_eq!(get(accepted, "*").await.0, 304);
        }
        server.shutdown().await;
    }
}
