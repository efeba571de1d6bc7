//! Apps that run in browsers: their pages may read what the origin answers them, and other pages may not.

use reqwest::header::{HeaderMap, ORIGIN};
use reqwest::{Method, Response};
use tollgate_model::{AuthMethod, ClientMetadata};

use crate::harness::{Browser, Origin, redemption};

const APP: &str = "https://shop.example";

/// A request as a browser sends it for a page of this origin.
async fn send(origin: &Origin, method: Method, path: &str, page: &str, asks: bool) -> Response {
    let request = origin.http.request(method, origin.url(path)).header(ORIGIN, page);
    let request = match asks {
        true => request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type"),
        false => request,
    };
    request.send().await.expect("answered")
}

fn allowed(headers: &HeaderMap) -> Option<&str> {
    headers.get("access-control-allow-origin").map(|value| value.to_str().expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_in_a_browser_gets_tokens_and_other_pages_read_nothing() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    for path in ["/oauth/token", "/oauth/revoke", "/oauth/userinfo"] {
        assert_eq!(
            allowed(send(&origin, Method::OPTIONS, path, APP, true).await.headers()),
            None,
            "{path}: no app yet"
        );
    }
    origin.client("app", ClientMetadata { auth_method: AuthMethod::None, ..Origin::web() }).await;
    // What was not known a moment ago is looked for again after a second.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    for path in ["/oauth/token", "/token", "/oauth/revoke", "/revoke", "/oauth/userinfo"] {
        let answer = send(&origin, Method::OPTIONS, path, APP, true).await;
        assert_eq!((answer.status().as_u16(), allowed(answer.headers())), (204, Some(APP)), "{path}");
        assert_eq!(answer.headers()["access-control-allow-methods"], "GET, POST");
        assert_eq!(answer.headers()["access-control-allow-headers"], "authorization, content-type, dpop");
        assert!(!answer.headers().contains_key("access-control-allow-credentials"), "cookies stay at home");
        for page in ["https://evil.example", "http://shop.example", "https://shop.example:444", "null"] {
            let answer = send(&origin, Method::OPTIONS, path, page, true).await;
            assert_eq!(allowed(answer.headers()), None, "{path} {page}");
        }
    }
    let code = origin.code(&Browser::of(&origin, "ada"), "app", &[]).await;
    let answer = origin.form("/oauth/token", "app", &redemption(&code)).header(ORIGIN, APP).send().await;
    let answer = answer.expect("answered");
    assert_eq!((answer.status().as_u16(), allowed(answer.headers())), (200, Some(APP)));
    assert!(answer.headers()["access-control-expose-headers"].to_str().expect("text").contains("DPoP-Nonce"));
    let answer = origin.form("/oauth/token", "app", &[]).header(ORIGIN, "https://evil.example").send().await;
    assert_eq!(allowed(answer.expect("answered").headers()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_public_may_be_read_by_all_and_the_rest_by_none() {
    let origin = Origin::start().await;
    origin.client("shop", Origin::web()).await;
    for path in
        ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]
    {
        let answer = send(&origin, Method::GET, path, "https://anybody.example", false).await;
        assert_eq!((answer.status().as_u16(), allowed(answer.headers())), (200, Some("*")), "{path}");
        let answer = send(&origin, Method::OPTIONS, path, "https://anybody.example", true).await;
        assert_eq!((answer.status().as_u16(), allowed(answer.headers())), (204, Some("*")), "{path}");
    }
    // A client that keeps a secret is no app in a browser.
    for path in ["/oauth/token", "/oauth/introspect", "/oauth/authorize", "/login", "/admin/api/clients", "/oauth/par"]
    {
        for method in [Method::OPTIONS, Method::POST] {
            let answer = send(&origin, method, path, APP, true).await;
            assert_eq!(allowed(answer.headers()), None, "{path}");
        }
    }
}
