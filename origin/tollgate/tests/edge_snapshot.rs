//! The snapshot endpoint, over HTTP.

use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
use tollgate_test_kit::origin::TestOrigin;

#[tokio::test(flavor = "multi_thread")]
async fn each_encoding_of_the_snapshot_has_its_own_etag() {
    let origin = TestOrigin::start().await.expect("started");
    let http = reqwest::Client::builder().gzip(false).build().expect("a client");
    let url = origin.url("/edge/v1/snapshot");
    let get = async |accepted_encoding: &str, etag: &str| {
        let request = http.get(&url).header(ACCEPT_ENCODING, accepted_encoding).header(IF_NONE_MATCH, etag);
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
    origin.server.shutdown().await;
}
