//! CORS: which sites may read the origin's responses in browsers.

use reqwest::header::{HeaderMap, ORIGIN};
use reqwest::{Method, Response};
use tollgate_model::{AuthMethod, ClientMetadata};
use tollgate_test_kit::wait::wait_until;

use crate::fixture::{Origin, UserBrowser, redemption};

/// The site of a single-page application, whose redirect URI is registered.
const APP: &str = "https://shop.example";

/// Sends a request as a browser does for a script of this site. `is_preflight`: with the headers of
/// a CORS preflight.
async fn send(origin: &Origin, method: Method, path: &str, site: &str, is_preflight: bool) -> Response {
    let request = origin.http.request(method, origin.url(path)).header(ORIGIN, site);
    let request = match is_preflight {
        true => request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type"),
        false => request,
    };
    request.send().await.expect("answered")
}

fn allowed_site(headers: &HeaderMap) -> Option<&str> {
    headers.get("access-control-allow-origin").map(|value| value.to_str().expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_lets_only_registered_origins_read_tokens() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    for path in ["/oauth/token", "/oauth/revoke", "/oauth/userinfo"] {
        assert_eq!(
            allowed_site(send(&origin, Method::OPTIONS, path, APP, true).await.headers()),
            None,
            "{path}: no client yet"
        );
    }
    origin.client("app", ClientMetadata { auth_method: AuthMethod::None, ..Origin::web() }).await;
    // The origin remembers for a second that it knows no such site.
    wait_until("the client's site is known", async || {
        allowed_site(send(&origin, Method::OPTIONS, "/oauth/token", APP, true).await.headers()).is_some()
    })
    .await;
    for path in ["/oauth/token", "/token", "/oauth/revoke", "/revoke", "/oauth/userinfo"] {
        let answer = send(&origin, Method::OPTIONS, path, APP, true).await;
        assert_eq!((answer.status().as_u16(), allowed_site(answer.headers())), (204, Some(APP)), "{path}");
        assert_eq!(answer.headers()["access-control-allow-methods"], "GET, POST");
        assert_eq!(answer.headers()["access-control-allow-headers"], "authorization, content-type, dpop");
        assert!(!answer.headers().contains_key("access-control-allow-credentials"), "no cookies");
        for site in ["https://evil.example", "http://shop.example", "https://shop.example:444", "null"] {
            let answer = send(&origin, Method::OPTIONS, path, site, true).await;
            assert_eq!(allowed_site(answer.headers()), None, "{path} {site}");
        }
    }
    let code = origin.code(&UserBrowser::new(&origin, "ada"), "app", &[]).await;
    let answer = origin.form("/oauth/token", "app", &redemption(&code)).header(ORIGIN, APP).send().await;
    let answer = answer.expect("answered");
    assert_eq!((answer.status().as_u16(), allowed_site(answer.headers())), (200, Some(APP)));
    assert!(answer.headers()["access-control-expose-headers"].to_str().expect("text").contains("DPoP-Nonce"));
    let answer = origin.form("/oauth/token", "app", &[]).header(ORIGIN, "https://evil.example").send().await;
    assert_eq!(allowed_site(answer.expect("answered").headers()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_lets_every_site_read_only_public_documents() {
    let origin = Origin::start().await;
    origin.client("shop", Origin::web()).await;
    for path in
        ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]
    {
        let answer = send(&origin, Method::GET, path, "https://anybody.example", false).await;
        assert_eq!((answer.status().as_u16(), allowed_site(answer.headers())), (200, Some("*")), "{path}");
        let answer = send(&origin, Method::OPTIONS, path, "https://anybody.example", true).await;
        assert_eq!((answer.status().as_u16(), allowed_site(answer.headers())), (204, Some("*")), "{path}");
    }
    // `shop` is a confidential client, which is no single-page application.
    for path in ["/oauth/token", "/oauth/introspect", "/oauth/authorize", "/login", "/admin/api/clients", "/oauth/par"]
    {
        for method in [Method::OPTIONS, Method::POST] {
            let answer = send(&origin, method, path, APP, true).await;
            assert_eq!(allowed_site(answer.headers()), None, "{path}");
        }
    }
}
