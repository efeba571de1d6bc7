//! The account pages: sessions, applications, password, sign-up and consent.

use reqwest::header::SET_COOKIE;
use tollgate_model::{Actor, AuthMethod, ClientMetadata, Resource};
use tollgate_storage::Termination;
use tollgate_system::Clock;
use tollgate_test_kit::browser::Page;
use tollgate_test_kit::users::PASSWORD;

use crate::fixture::{Origin, UserBrowser, answer, claims};

async fn start() -> Origin {
    let origin = Origin::start().await;
    origin.user("ada").await;
    origin.user("bob").await;
    origin.client("shop", ClientMetadata { owner: Some("Shops Ltd".to_owned()), ..Origin::web() }).await;
    origin
}

const SESSIONS: &str = "/account/sessions";

/// Ends a session, the grants of an application, `others` or `all` on the sessions page.
async fn end(browser: &UserBrowser<'_>, what: &str) -> Page {
    let csrf = browser.csrf(SESSIONS).await;
    browser.post(SESSIONS, &[("csrf", &csrf), ("end", what)]).await
}

/// Ids with this prefix that the sessions page offers to end.
fn ids(page: &Page, prefix: &str) -> Vec<String> {
    let fields = page.body.split("name=\"end\" value=\"").skip(1);
    let values = fields.filter_map(|rest| rest.split('"').next());
    values.filter(|value| value.starts_with(prefix)).map(str::to_owned).collect()
}

fn is_sent_to_sign_in(page: &Page) -> bool {
    page.status == 303 && page.redirect().as_deref().is_some_and(|to| to.contains("/login"))
}

#[tokio::test(flavor = "multi_thread")]
async fn user_ends_sessions_in_other_browsers() {
    let origin = start().await;
    let (here, there, third) =
        (UserBrowser::new(&origin, "ada"), UserBrowser::new(&origin, "ada"), UserBrowser::new(&origin, "ada"));
    for browser in [&here, &there, &third] {
        assert!(is_sent_to_sign_in(&browser.get(SESSIONS).await), "not signed in yet");
        browser.sign_in().await;
    }
    let page = here.get(SESSIONS).await;
    let logins = ids(&page, "tgl_");
    assert_eq!((page.status, logins.len()), (200, 3));
    assert_eq!(page.body.matches("This browser").count(), 1, "{}", page.body);
    assert!(page.body.contains("127.0.0.1"), "the address of the sign-in: {}", page.body);

    let bob = UserBrowser::new(&origin, "bob");
    bob.sign_in().await;
    for login in &logins {
        end(&bob, login).await;
    }
    assert_eq!(ids(&here.get(SESSIONS).await, "tgl_").len(), 3, "a user cannot end another user's sessions");

    let listed_there = ids(&there.get(SESSIONS).await, "tgl_");
    assert_eq!(listed_there.len(), 3);
    let done = end(&here, "others").await;
    assert_eq!((done.status, done.redirect().as_deref().is_some_and(|to| to.ends_with("done=others"))), (303, true));
    for browser in [&there, &third] {
        assert!(is_sent_to_sign_in(&browser.get(SESSIONS).await), "signed out");
    }
    let left = ids(&here.get(SESSIONS).await, "tgl_");
    assert_eq!(left.len(), 1);
    let own = end(&here, &left[0]).await;
    assert!(
        own.redirect().as_deref().is_some_and(|to| to.ends_with("/login")),
        "ending the own session signs this browser out"
    );
    assert!(is_sent_to_sign_in(&here.get(SESSIONS).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn user_revokes_an_application() {
    let origin = start().await;
    let resource = Resource {
        audience: "https://api.example".parse().expect("an audience"),
        name: "The shop's API".to_owned(),
        scopes: [("orders".to_owned(), "See your orders".to_owned())].into(),
        introspected_by: None,
        tokens: Default::default(),
    };
    origin.server.store().save_resource(&resource).await.expect("registered");
    let browser = UserBrowser::new(&origin, "ada");
    let (one, two) = (origin.code(&browser, "shop", &[]).await, origin.code(&browser, "shop", &[]).await);
    let (one, two) = (origin.redeem("shop", &one).await, origin.redeem("shop", &two).await);
    let text = |tokens: &serde_json::Value, name: &str| tokens[name].as_str().expect("a token").to_owned();

    let page = browser.get(SESSIONS).await;
    let grants = ids(&page, "tgg_");
    assert_eq!(grants.len(), 2, "{}", page.body);
    for words in ["A shop", "Shops Ltd", "Know who you are", "See your orders", "Active"] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    let sid = claims(&text(&one, "access_token"))["sid"].as_str().expect("a session").to_owned();
    let bob = UserBrowser::new(&origin, "bob");
    bob.sign_in().await;
    end(&bob, &sid).await;
    assert_eq!(
        origin.introspect("shop", &text(&one, "access_token")).await["active"],
        true,
        "a user cannot end another user's grant"
    );

    assert!(grants.contains(&sid));
    assert_eq!(end(&browser, &sid).await.status, 303);
    assert_eq!(origin.introspect("shop", &text(&one, "access_token")).await["active"], false);
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", &text(&one, "refresh_token"))];
    assert_eq!(origin.token_error("shop", &refresh).await, "invalid_grant");
    assert_eq!(
        origin.introspect("shop", &text(&two, "access_token")).await["active"],
        true,
        "the other grant is still active"
    );
    let after = browser.get(SESSIONS).await;
    assert!(after.body.contains("Ended") && ids(&after, "tgg_").len() == 1, "{}", after.body);
    assert!(after.body.contains("Revoke all"));
    assert!(
        browser.request_authorization("shop", &[]).await.redirect().expect("a redirect").contains("/consent"),
        "the origin asks for consent again"
    );

    end(&browser, "all").await;
    assert_eq!(origin.introspect("shop", &text(&two, "access_token")).await["active"], false);
    let page = browser.get(SESSIONS).await;
    assert!(ids(&page, "tgg_").is_empty());
    assert!(page.body.contains("Ended") && !page.body.contains("Revoke all"), "no grant is left to revoke");
    assert_eq!(end(&browser, "nonsense").await.status, 400);
    let (_, audit) = answer(origin.http.get(origin.url("/admin/api/audit"))).await;
    assert_ne!(audit["status"], 200, "the audit log needs an administrator");
}

#[tokio::test(flavor = "multi_thread")]
async fn password_change_ends_other_sessions() {
    let origin = start().await;
    let (here, there) = (UserBrowser::new(&origin, "ada"), UserBrowser::new(&origin, "ada"));
    assert!(is_sent_to_sign_in(&here.get("/account/password").await));
    here.sign_in().await;
    there.sign_in().await;
    let page = here.get("/account/password").await;
    let csrf = page.field("csrf").expect("a form");
    let change = async |old: &str, new: &str, again: &str| {
        here.post("/account/password", &[("csrf", &csrf), ("old", old), ("new", new), ("again", again)]).await
    };
    let new = "a battery for every horse";
    for (old, chosen, again, fault) in [
        ("wrong", new, new, "old-error"),
        (PASSWORD, "short", "short", "new-error"),
        (PASSWORD, PASSWORD, PASSWORD, "new-error"),
        (PASSWORD, new, "another", "again-error"),
        ("", new, new, "old-error"),
    ] {
        let page = change(old, chosen, again).await;
        assert_eq!(page.status, 422, "{fault}");
        assert!(page.body.contains(&format!("id=\"{fault}\"")) && !page.body.contains(chosen), "{}", page.body);
    }
    let done = change(PASSWORD, new, new).await;
    assert!(done.redirect().as_deref().is_some_and(|to| to.ends_with("/account/password?done=1")), "{}", done.body);
    assert!(here.get("/account/password?done=1").await.body.contains("is changed"));
    assert!(is_sent_to_sign_in(&there.get(SESSIONS).await), "the other browser is signed out");
    let sign_in = async |password: &str| {
        let browser = UserBrowser::new(&origin, "ada");
        let csrf = browser.csrf("/login").await;
        browser.post("/login", &[("csrf", &csrf), ("username", "ada"), ("password", password)]).await.status
    };
    assert_eq!((sign_in(PASSWORD).await, sign_in(new).await), (403, 303));
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(change("wrong", PASSWORD, PASSWORD).await.status);
    }
    assert_eq!(statuses, [[422; 9].as_slice(), &[429]].concat(), "after eleven wrong passwords, 429");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_up_works_only_where_it_is_on() {
    let closed = start().await;
    let browser = UserBrowser::new(&closed, "ada");
    let login = browser.get("/login").await;
    assert!(!login.body.contains("/register"), "{}", login.body);
    assert_eq!(browser.get("/register").await.status, 404);
    let csrf = login.field("csrf").expect("a form");
    let form = [("csrf", csrf.as_str()), ("username", "eve"), ("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(browser.post("/register", &form).await.status, 404, "a form of another page does not help");

    let origin = Origin::start_with(&[("TOLLGATE_SIGN_UP", "true")]).await;
    origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "eve");
    let login = browser.request_authorization("shop", &[]).await.redirect().expect("a redirect");
    let login = browser.get(&login).await;
    let link = login.body.split("href=\"").find(|rest| rest.starts_with("/register?request=")).expect("a link");
    let page = browser.get(&link.split('"').next().unwrap_or_default().replace("&#38;", "&")).await;
    let (csrf, request) =
        (page.field("csrf").expect("a form"), page.field("request").expect("the authorization request"));
    let register = async |name: &str, password: &str, again: &str| {
        let form = [
            ("csrf", csrf.as_str()),
            ("request", &request),
            ("username", name),
            ("password", password),
            ("again", again),
        ];
        browser.post("/register", &form).await
    };
    for (name, password, again, fault) in [
        ("ADA", "another password", "another password", "name-error"),
        ("", PASSWORD, PASSWORD, "name-error"),
        ("eve", "short", "short", "password-error"),
        ("eve@example.org", "Eve@example.org", "Eve@example.org", "password-error"),
        ("eve", PASSWORD, "another", "again-error"),
    ] {
        let page = register(name, password, again).await;
        assert_eq!(page.status, 422, "{fault}");
        assert!(page.body.contains(&format!("id=\"{fault}\"")) && !page.body.contains(PASSWORD), "{}", page.body);
    }
    let done = register("Eve", PASSWORD, PASSWORD).await;
    let to = browser.complete(done, "allow").await;
    assert!(to.contains_key("code"), "signed in, asked for consent, and back at the client: {to:?}");
    assert!(browser.get(SESSIONS).await.body.contains("eve"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_never_redirects_to_another_site() {
    let origin = start().await;
    let hostile = [
        "https://evil.example/account",
        "//evil.example",
        "/\\evil.example",
        "/account@evil.example",
        "javascript:alert(1)",
    ];
    for next in hostile {
        let browser = UserBrowser::new(&origin, "ada");
        let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
        let page = browser.get(&format!("/login?{query}")).await;
        assert!(!page.body.contains("evil") && page.field("next").is_none(), "{}", page.body);
        let csrf = page.field("csrf").expect("a form");
        let form = [("csrf", csrf.as_str()), ("username", "ada"), ("password", PASSWORD), ("next", next)];
        let location = browser.post("/login", &form).await.redirect().expect("a redirect");
        assert_eq!(location, origin.url(SESSIONS), "{next}");
    }
    for request in ["tgq_x", "https://evil.example", "../../"] {
        let query: String =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("request", request).finish();
        assert_eq!(UserBrowser::new(&origin, "ada").get(&format!("/login?{query}")).await.status, 400, "{request}");
    }
    let browser = UserBrowser::new(&origin, "ada");
    let page = browser.get("/login?next=/account/password").await;
    let (csrf, next) = (page.field("csrf").expect("a form"), page.field("next").expect("the next page"));
    let form = [("csrf", csrf.as_str()), ("username", "ada"), ("password", PASSWORD), ("next", &next)];
    assert_eq!(
        browser.post("/login", &form).await.redirect(),
        Some(origin.url("/account/password")),
        "a path of the origin is followed"
    );
    assert_eq!(
        browser.get("/login").await.redirect(),
        Some(origin.url(SESSIONS)),
        "a signed-in user is redirected to the account"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_has_the_security_headers() {
    let origin = start().await;
    let browser = UserBrowser::new(&origin, "ada");
    let mut pages =
        vec![("/login", browser.get("/login").await), ("/login?request=x", browser.get("/login?request=x").await)];
    browser.sign_in().await;
    for path in
        [SESSIONS, "/account/password", "/device", "/device?user_code=x", "/logout", "/register", "/oauth/authorize"]
    {
        pages.push((path, browser.get(path).await));
    }
    for (path, page) in pages {
        let header =
            |name: &str| page.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{path}: {policy}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(
            (header("x-frame-options"), header("x-content-type-options")),
            ("DENY".into(), "nosniff".into()),
            "{path}"
        );
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert!(header("permissions-policy").contains("camera=()"), "{path}");
        for inline in ["<script", "<style", " style=", " onclick", "javascript:"] {
            assert!(!page.body.contains(inline), "{path}: {inline}");
        }
        assert!(
            page.body.contains("<html lang=\"en\" dir=\"ltr\">") && page.body.contains("href=\"/assets/tollgate.css\""),
            "{path}"
        );
        let (forms, tokens) = (page.body.matches("<form").count(), page.body.matches("name=\"csrf\"").count());
        assert_eq!(forms, tokens, "{path}: every form has a CSRF token");
    }
    let style = browser.get("/assets/tollgate.css").await;
    assert!(style.status == 200 && style.body.contains("prefers-color-scheme: dark"));
    assert_eq!(browser.get("/assets/tollgate.svg").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_cookie_over_https_is_bound_to_the_host() {
    let origin = Origin::start_with(&[("TOLLGATE_PUBLIC_URL", "https://auth.example")]).await;
    let page = UserBrowser::new(&origin, "ada").get("/login").await;
    let cookie = page.headers.get(SET_COOKIE).and_then(|value| value.to_str().ok()).expect("a cookie");
    assert!(cookie.starts_with("__Host-tollgate=tgb_"), "{cookie}");
    for part in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Secure", "; Max-Age=604800"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_page_names_the_client_and_the_scope() {
    let origin = start().await;
    let public = ClientMetadata { first_party: true, ..Origin::web() };
    origin.client("own", public).await;
    origin.client("nobodys", ClientMetadata { auth_method: AuthMethod::None, ..Origin::web() }).await;
    let browser = UserBrowser::new(&origin, "ada");
    browser.sign_in().await;
    let consent = async |client: &str, scope: &str| {
        let to = browser.request_authorization(client, &[("scope", scope)]).await.redirect().expect("a redirect");
        if to.contains("/consent") { Some(browser.get(&to).await) } else { None }
    };
    let page = consent("shop", "openid email orders").await.expect("a consent page");
    for words in ["A shop", "Shops Ltd", "ada", "Know who you are", "See your email address", "orders", "shop.example"]
    {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    assert!(
        consent("nobodys", "openid")
            .await
            .expect("a consent page")
            .body
            .contains("publisher of this application is unknown"),
        "the page says that the client has no owner"
    );
    assert!(consent("own", "openid").await.is_none(), "a first-party client needs no consent");
    let to = browser.complete(browser.request_authorization("shop", &[("scope", "openid email")]).await, "allow").await;
    assert!(to.contains_key("code"));
    assert!(consent("shop", "openid").await.is_none(), "less than before needs no consent");
    assert!(consent("shop", "openid orders").await.is_some(), "more than before needs consent");
    let to =
        browser.complete(browser.request_authorization("shop", &[("scope", "openid orders")]).await, "allow").await;
    assert!(to.contains_key("code"));
    assert!(consent("shop", "openid email orders").await.is_none(), "consents add up");
}

/// The sign-in either comes before the change, which ends its session, or fails.
#[tokio::test(flavor = "multi_thread")]
async fn sign_in_during_a_password_change_leaves_no_session() {
    let origin = Origin::start().await;
    let (ada, store) = (origin.user("ada").await, origin.server.store());
    let hash = |password: &str| {
        let password = zeroize::Zeroizing::new(password.to_owned());
        tokio::task::block_in_place(|| tollgate_services::password_hashing::hash_password_blocking(&password))
            .expect("hashed")
    };
    let (old, new) = (hash(PASSWORD), hash("another horse battery"));
    let replace = async |hash: &str| {
        let ending = Termination::new(&Actor::command_line(None), "a test", Clock::system().now());
        store.update_password(&ada, hash, None, &ending).await.expect("replaced");
    };
    for round in 0..12 {
        replace(&old).await;
        let browser = UserBrowser::new(&origin, "ada");
        let csrf = browser.csrf("/login").await;
        let form = [("csrf", csrf.as_str()), ("username", "ada"), ("password", PASSWORD)];
        tokio::join!(browser.post("/login", &form), async {
            tokio::time::sleep(std::time::Duration::from_millis(4 * round)).await;
            replace(&new).await;
        });
        let sessions = store.list_sessions(&ada, Clock::system().now()).await.expect("listed");
        assert!(sessions.is_empty(), "round {round}: a session with the old password is left");
    }
}
