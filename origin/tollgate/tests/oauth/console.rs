//! The administrators' console: access, and the same results as the admin API.

use reqwest::Method;
use reqwest::header::COOKIE;
use serde_json::{Value, json};
use tollgate_test_kit::admin_client::AdminClient;
use tollgate_test_kit::browser::Page;
use tollgate_test_kit::users::PASSWORD;

use crate::fixture::{Origin, UserBrowser, text};

/// An origin with the client `admin`, whose token opens the admin API, and the administrator
/// `root`.
pub(crate) struct Fixture {
    pub(crate) origin: Origin,
    pub(crate) api: AdminClient,
}

impl Fixture {
    pub(crate) async fn start() -> Fixture {
        Fixture::start_with(&[]).await
    }

    pub(crate) async fn start_with(settings: &[(&'static str, &str)]) -> Fixture {
        let origin = Origin::start_with(settings).await;
        let mut metadata = Origin::service("tollgate:admin");
        metadata.audiences = vec![origin.server.issuer().parse().expect("an audience")];
        origin.client("admin", metadata).await;
        let tokens = origin.token("admin", &[("grant_type", "client_credentials")]).await;
        let api = AdminClient::with_token(&origin, text(&tokens, "access_token").to_owned());
        let root = origin.user("root").await;
        origin.server.store().set_admin(&root, true).await.expect("an administrator");
        Fixture { origin, api }
    }

    /// A browser in which the user is signed in.
    pub(crate) async fn browser(&self, user: &str) -> UserBrowser<'_> {
        let browser = UserBrowser::new(&self.origin, user);
        browser.sign_in().await;
        browser
    }

    /// Sends a request to the admin API.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let answer = self.api.send(method, path, &body).await.expect("answered");
        (answer.status, answer.body)
    }

    pub(crate) async fn read(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// A user's actions in the audit log, the oldest first.
    async fn actions_of(&self, user: &str) -> Vec<String> {
        let log = self.read(&format!("/audit?actor=user:{user}")).await;
        let entries = log["entries"].as_array().expect("entries").iter();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        entries.map(|entry| format!("{} {}", text(&entry["action"]), text(&entry["kind"]))).collect()
    }
}

/// Opens a page and submits its form with these fields to the page's path.
async fn submit(browser: &UserBrowser<'_>, page: &str, fields: &[(&str, &str)]) -> Page {
    let shown = browser.get(page).await;
    assert_eq!(shown.status, 200, "{page}: {}", shown.body);
    let csrf = shown.field("csrf").expect("a form");
    let version = shown.field("version").filter(|_| fields.iter().all(|(name, _)| *name != "version"));
    let version = version.as_deref().map(|version| ("version", version));
    let hidden: Vec<(&str, &str)> = [("csrf", csrf.as_str())].into_iter().chain(version).collect();
    browser.post(page.split('?').next().expect("a path"), &[&hidden[..], fields].concat()).await
}

/// Submits a form as [`submit`], which must succeed, and opens the page it redirects to.
pub(crate) async fn submit_and_follow(browser: &UserBrowser<'_>, page: &str, fields: &[(&str, &str)]) -> Page {
    let answer = submit(browser, page, fields).await;
    assert_eq!(answer.status, 303, "{page}: {}", answer.body);
    browser.get(answer.redirect().as_deref().expect("a page after it")).await
}

/// Without ids, secrets and times.
fn comparable(mut view: Value) -> Value {
    for name in ["client_id", "client_secret", "id", "secrets", "created_at", "revoked_at", "revoked_by", "void_after"]
    {
        view.as_object_mut().expect("an object").remove(name);
    }
    view
}

#[tokio::test(flavor = "multi_thread")]
async fn console_admits_only_administrators_and_changes_only_by_its_forms() {
    let fixture = Fixture::start().await;
    let id = fixture.origin.user("guest").await;
    let (guest, root) = (fixture.browser("guest").await, fixture.browser("root").await);
    let document = fixture.origin.http.get(fixture.origin.url("/openapi.json")).send().await.expect("answered");
    let document: Value = document.json().await.expect("JSON");
    let paths = document["paths"].as_object().expect("paths").iter();
    let mut seen = 0;
    for (path, item) in paths.filter(|(path, _)| path.starts_with("/admin") && !path.starts_with("/admin/api")) {
        let path = path.replace("{id}", "admin").replace("{kid}", "none").replace("{number}", "1");
        if item.get("get").is_some() {
            let signed_out = UserBrowser::new(&fixture.origin, "nobody");
            let redirected = signed_out.get(&path).await;
            let next = url::form_urlencoded::byte_serialize(path.as_bytes()).collect::<String>();
            let login = fixture.origin.url(&format!("/login?next={next}"));
            assert_eq!((redirected.status, redirected.redirect()), (303, Some(login)), "{path}");
            let refused = guest.get(&path).await;
            assert_eq!(refused.status, 403, "{path}");
            assert!(refused.body.contains("for administrators"), "{path}: {}", refused.body);
            seen += 1;
        }
        if item.get("post").is_some() {
            let (signed_out, form) =
                (UserBrowser::new(&fixture.origin, "nobody"), [("name", "x"), ("confirmed", "yes")]);
            let redirected = signed_out.post(&path, &form).await;
            assert_eq!(redirected.status, 303, "{path}");
            assert!(redirected.redirect().is_some_and(|location| location.contains("/login?next=")), "{path}");
            assert_eq!(guest.post(&path, &form).await.status, 403, "{path}");
            let forged = root.post(&path, &form).await;
            assert_eq!(forged.status, 303, "{path}");
            let shown_again = fixture.origin.url(&format!("{path}?stale=1"));
            assert_eq!(forged.redirect().as_deref(), Some(shown_again.as_str()), "the form is shown again");
            seen += 1;
        }
    }
    assert!(seen >= 48, "{seen} pages and forms");
    assert_eq!(fixture.actions_of(id.as_str()).await, ["sign_in login"], "nothing was changed");
    // A token opens only the API, a session only pages.
    let bearer = fixture.origin.http.get(fixture.origin.url("/admin")).bearer_auth(&fixture.api.token).send().await;
    assert_eq!(bearer.expect("answered").status(), 303);
    let cookie = root.cookies().expect("a session");
    let session = fixture.origin.http.get(fixture.origin.url("/admin/api/clients")).header(COOKIE, cookie).send().await;
    assert_eq!(session.expect("answered").status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_returns_to_the_requested_console_page() {
    let fixture = Fixture::start().await;
    let browser = UserBrowser::new(&fixture.origin, "root");
    let location = browser.get("/admin/audit?kind=client").await.redirect().expect("a redirect to /login");
    let login = browser.get(&location).await;
    let (csrf, next) = (login.field("csrf").expect("a form"), login.field("next").expect("the requested page"));
    let form = [("csrf", csrf.as_str()), ("next", &next), ("username", "root"), ("password", PASSWORD)];
    let back = browser.post("/login", &form).await.redirect();
    assert_eq!(back, Some(fixture.origin.url("/admin/audit?kind=client")));
    let page = browser.get(&back.expect("a page")).await;
    assert_eq!(page.status, 200);
    assert!(page.headers["content-security-policy"].to_str().expect("text").contains("frame-ancestors 'none'"));
    assert!(!page.body.contains("<script") && !page.body.contains("style="), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn console_and_api_register_the_same_client() {
    let fixture = Fixture::start().await;
    let root = fixture.browser("root").await;
    let fields = [
        ("client_id", "paper"),
        ("name", "A shop"),
        ("owner", "Shop Ltd"),
        ("first_party", "on"),
        ("grant_authorization_code", "on"),
        ("grant_refresh_token", "on"),
        ("auth_method", "client_secret_post"),
        ("rotation", "false"),
        ("redirect_uris", "https://shop.example/cb\r\nhttps://shop.example/cb2"),
        ("post_logout_redirect_uris", "https://shop.example/bye"),
        ("scope", "openid  orders"),
        ("audiences", "https://api.example"),
        ("token_format", "opaque"),
        ("alg", "ES256"),
        ("more", r#"{"subject_type":"pairwise","default_max_age":60}"#),
    ];
    let shown = submit_and_follow(&root, "/admin/new/client", &fields).await;
    let secret = shown
        .body
        .split("<code class=\"secret\" dir=\"ltr\">")
        .nth(1)
        .expect("a secret")
        .split('<')
        .next()
        .expect("text");
    assert!(secret.starts_with("tgs_") && shown.body.contains("Client \u{2068}A shop\u{2069} created."));
    assert!(!root.get("/admin/clients/paper").await.body.contains("tgs_"), "the secret is shown once");
    let body = json!({
        "client_id": "wire", "client_name": "A shop", "owner": "Shop Ltd", "first_party": true,
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "client_secret_post",
        "rotate_refresh_tokens": false, "redirect_uris": ["https://shop.example/cb", "https://shop.example/cb2"],
        "post_logout_redirect_uris": ["https://shop.example/bye"], "scope": "openid orders",
        "audiences": ["https://api.example"], "access_token_format": "opaque",
        "access_token_signed_response_alg": "ES256", "subject_type": "pairwise", "default_max_age": 60,
    });
    assert_eq!(fixture.send(Method::POST, "/clients", body).await.0, 201);
    let [paper, wire] = [fixture.read("/clients/paper").await, fixture.read("/clients/wire").await];
    assert_eq!(comparable(paper.clone()), comparable(wire));
    assert_eq!(paper["rotate_refresh_tokens"], json!(false));
    // The form shows the whole client, and keeps members that it has no control for.
    let mut changed = fields.to_vec();
    changed.retain(|(name, _)| *name != "first_party");
    let edit = root.get("/admin/clients/paper/edit").await;
    assert!(edit.body.contains("pairwise") && edit.body.contains("https://shop.example/cb2"));
    submit_and_follow(&root, "/admin/clients/paper/edit", &changed).await;
    let after = fixture.read("/clients/paper").await;
    assert_eq!((&after["first_party"], &after["subject_type"]), (&json!(false), &json!("pairwise")));
    // Two secrets are valid at the same time.
    let rotated = submit_and_follow(&root, "/admin/clients/paper/secret", &[]).await;
    assert!(rotated.body.contains("tgs_") && !rotated.body.contains(secret));
    assert_eq!(fixture.read("/clients/paper").await["secrets"].as_array().map(Vec::len), Some(2));
    assert!(submit_and_follow(&root, "/admin/clients/paper/disable", &[]).await.body.contains("disabled."));
    assert!(fixture.read("/clients/paper").await["disabled_at"].is_u64());
    assert!(submit_and_follow(&root, "/admin/clients/paper/enable", &[]).await.body.contains("may authenticate again"));
    assert!(fixture.read("/clients/paper").await.get("disabled_at").is_none());
    let root_id = fixture.read("/users").await[0]["id"].as_str().expect("an id").to_owned();
    let actions = fixture.actions_of(&root_id).await;
    let last = "create client, update client, rotate_secret client, disable client, revoke client, enable client";
    assert!(actions.join(", ").ends_with(last), "{actions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_client_form_is_shown_again_and_escaped() {
    let fixture = Fixture::start().await;
    let root = fixture.browser("root").await;
    let fields = [
        ("name", "<script>alert(1)</script>"),
        ("owner", "\"><img src=x onerror=alert(1)>"),
        ("grant_authorization_code", "on"),
        ("auth_method", "none"),
        ("token_format", "jwt"),
        ("alg", "EdDSA"),
        ("more", "{ not JSON"),
    ];
    let shown_again = submit(&root, "/admin/new/client", &fields).await;
    assert_eq!(shown_again.status, 400);
    assert!(shown_again.body.contains("other metadata must be a JSON object"));
    assert!(
        shown_again.body.contains("{ not JSON")
            && shown_again.body.contains("name=\"grant_authorization_code\" value=\"on\" checked")
    );
    assert!(!shown_again.body.contains("<script>") && !shown_again.body.contains("<img"), "{}", shown_again.body);
    let mut good = fields.to_vec();
    good.retain(|(name, _)| *name != "more");
    good.extend([("client_id", "hostile"), ("redirect_uris", "https://x.example/cb")]);
    submit_and_follow(&root, "/admin/new/client", &good).await;
    for page in [
        "/admin/clients",
        "/admin/clients/hostile",
        "/admin/clients/hostile/edit",
        "/admin/clients/hostile/disable",
        "/admin/audit",
    ] {
        let page = root.get(page).await;
        assert!(page.body.contains("&#60;script&#62;"), "{}", page.body);
        assert!(!page.body.contains("<script>") && !page.body.contains("<img"), "{}", page.body);
    }
    // The admin scope needs a confirmation.
    let mut admin = good.clone();
    admin.retain(|(name, _)| !matches!(*name, "client_id" | "grant_authorization_code" | "auth_method"));
    admin.extend([
        ("client_id", "ops"),
        ("scope", "tollgate:admin"),
        ("grant_client_credentials", "on"),
        ("auth_method", "client_secret_basic"),
    ]);
    let confirmation = submit(&root, "/admin/new/client", &admin).await;
    assert_eq!((confirmation.status, confirmation.field("confirmed")), (200, Some("yes".to_owned())));
    assert_eq!(fixture.send(Method::GET, "/clients/ops", Value::Null).await.0, 404);
    admin.push(("confirmed", "yes"));
    submit_and_follow(&root, "/admin/new/client", &admin).await;
    assert_eq!(fixture.read("/clients/ops").await["scope"], "tollgate:admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn console_and_api_change_users_alike() {
    let fixture = Fixture::start().await;
    let root = fixture.browser("root").await;
    let fields = [
        ("name", "Ada@example.org"),
        ("password", "correct horse"),
        ("full_name", "Ada Lovelace"),
        ("email", "ada@example.org"),
        ("claims", r#"{"locale":"en"}"#),
        ("external_id", "hr-1"),
    ];
    submit_and_follow(&root, "/admin/new/user", &fields).await;
    let claims = json!({ "name": "Ada Lovelace", "email": "ada@example.org", "locale": "en" });
    let grace = json!({ "name": "grace", "password": "correct horse", "claims": claims, "external_id": "hr-2" });
    assert_eq!(fixture.send(Method::POST, "/users", grace).await.0, 201);
    let users = fixture.read("/users").await;
    let find =
        |name: &str| users.as_array().expect("users").iter().find(|user| user["name"] == name).expect(name).clone();
    let (ada, grace) = (find("ada@example.org"), find("grace"));
    let same = |user: &Value| [&user["claims"], &user["is_admin"]].map(Clone::clone);
    assert_eq!(same(&ada), same(&grace));
    let page = |action: &str| format!("/admin/users/{}{action}", text(&ada, "id"));
    let api = |action: &str| format!("/users/{}{action}", text(&grace, "id"));
    let path = page("").replace("/admin", "");

    let (opened, edited) = (root.get(&page("/edit")).await, [("name", "Ada"), ("full_name", "Ada L."), ("email", "")]);
    let version = opened.field("version").expect("a version");
    let edited = [&edited[..], &[("version", version.as_str())]].concat();
    submit_and_follow(&root, &page("/edit"), &edited).await;
    assert_eq!(submit(&root, &page("/edit"), &edited).await.status, 409, "the form shows an earlier version");
    let patch =
        json!({ "name": "grace2", "claims": { "name": "Ada L.", "email": null, "locale": null }, "external_id": null });
    let (status, patched) = fixture.send(Method::PATCH, &api(""), patch).await;
    assert_eq!((status, &patched["name"], patched.get("external_id")), (200, &json!("grace2"), None));
    let edited = fixture.read(&path).await;
    assert_eq!((&edited["name"], same(&edited)), (&json!("ada"), same(&patched)));

    submit_and_follow(&root, &page("/admin"), &[("is_admin", "yes")]).await;
    fixture.send(Method::PUT, &api("/admin"), json!({ "is_admin": true })).await;
    assert_eq!(
        (fixture.read(&path).await["is_admin"].clone(), fixture.read(&api("")).await["is_admin"].clone()),
        (json!(true), json!(true))
    );
    submit_and_follow(&root, &page("/admin"), &[("is_admin", "no")]).await;
    fixture.send(Method::PUT, &api("/admin"), json!({ "is_admin": false })).await;
    let made = submit_and_follow(&root, &page("/password"), &[]).await;
    assert!(made.body.contains("class=\"secret\"") && made.body.contains("has a new password"));
    assert_eq!(submit(&root, &page("/password"), &[("password", "short")]).await.status, 400);
    submit_and_follow(&root, &page("/disable"), &[]).await;
    fixture.send(Method::DELETE, &api(""), Value::Null).await;
    assert!(fixture.read(&path).await["disabled_at"].is_u64() && fixture.read(&api("")).await["disabled_at"].is_u64());
    submit_and_follow(&root, &page("/enable"), &[]).await;
    assert_eq!(fixture.send(Method::POST, &api("/enable"), Value::Null).await.0, 200);
    assert!(
        fixture.read(&path).await.get("disabled_at").is_none()
            && fixture.read(&api("")).await.get("disabled_at").is_none()
    );

    let log = |id: &Value| format!("/audit?kind=user&target={}", id.as_str().expect("an id"));
    let actions = |log: &Value| {
        log["entries"].as_array().expect("entries").iter().map(|entry| entry["action"].clone()).collect::<Vec<_>>()
    };
    let (on_pages, over_api) = (fixture.read(&log(&ada["id"])).await, fixture.read(&log(&grace["id"])).await);
    let mut without_password = actions(&on_pages);
    without_password.retain(|action| action != "set_password");
    assert_eq!(without_password, actions(&over_api));
}

#[tokio::test(flavor = "multi_thread")]
async fn administrator_cannot_disable_or_demote_themselves() {
    let fixture = Fixture::start().await;
    let root = fixture.browser("root").await;
    let users = fixture.read("/users").await;
    let own = users.as_array().expect("users").iter().find(|user| user["name"] == "root").expect("root")["id"].clone();
    let own = own.as_str().expect("an id");
    for (action, fields) in [("disable", &[][..]), ("admin", &[("is_admin", "no")][..])] {
        let refused = submit(&root, &format!("/admin/users/{own}/{action}"), fields).await;
        assert_eq!(refused.status, 409, "{}", refused.body);
    }
    assert_eq!(root.get("/admin").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn console_and_api_make_the_same_revocations_and_key_changes() {
    let fixture = Fixture::start().await;
    let root = fixture.browser("root").await;
    fixture.origin.client("reports", Origin::service("orders")).await;
    let tokens = fixture.origin.token("admin", &[("grant_type", "client_credentials")]).await;
    let token = text(&tokens, "access_token");
    let revocations = [
        ("session", "tgg_one"),
        ("subject", "somebody"),
        ("client", "reports"),
        ("key", "no-such-kid"),
        ("token", token),
    ];
    for (kind, name) in revocations {
        let fields = [("kind", kind), ("name", name), ("reason", "it leaked")];
        let confirmation = submit(&root, "/admin/new/revocation", &fields).await;
        assert_eq!(confirmation.status, 200, "{}", confirmation.body);
        assert!(!confirmation.body.contains(token), "the page shows the token");
        let shown_name = confirmation.field("name").expect("the revocation's name");
        let fields = [("kind", kind), ("name", &shown_name), ("reason", "it leaked"), ("confirmed", "yes")];
        assert!(
            submit_and_follow(&root, "/admin/new/revocation", &fields).await.body.contains("edges are being notified")
        );
        let made = fixture.read(&format!("/revocations?kind={kind}")).await["revocations"][0].clone();
        let body = json!({ "kind": kind, "name": shown_name, "reason": "it leaked" });
        let (_, by_api) = fixture.send(Method::POST, "/revocations", body).await;
        assert_eq!(comparable(made.clone()), comparable(by_api), "{kind}");
        let number = made["id"].as_u64().expect("a number");
        submit_and_follow(&root, &format!("/admin/revocations/{number}/reinstate"), &[("reason", "a slip")]).await;
        assert!(fixture.read(&format!("/revocations/{number}")).await["lifted_at"].is_u64());
    }
    let before = [("kind", "everything"), ("before", "2026-01-01T00:00"), ("confirmed", "yes")];
    submit_and_follow(&root, "/admin/new/revocation", &before).await;
    assert_eq!(fixture.read("/revocations?kind=everything").await["revocations"][0]["before"], 1_767_225_600);
    for wrong in [("before", "soon"), ("name", "x")] {
        let kind = if wrong.0 == "before" { "everything" } else { "token" };
        let shown_again = submit(&root, "/admin/new/revocation", &[("kind", kind), wrong, ("confirmed", "yes")]).await;
        assert_eq!(shown_again.status, 400, "{}", shown_again.body);
    }
    let listed = root.get("/admin/revocations?all=true&kind=subject").await;
    assert!(listed.body.contains("somebody") && listed.body.contains("Lifted") && !listed.body.contains("tgg_one"));

    submit_and_follow(&root, "/admin/new/key", &[("alg", "ES256")]).await;
    let keys = fixture.read("/keys").await;
    let of = |state: &str| {
        keys["keys"]
            .as_array()
            .expect("keys")
            .iter()
            .find(|key| key["alg"] == "ES256" && key["state"] == state)
            .cloned()
    };
    let (upcoming, active) = (of("upcoming").expect("an upcoming key"), of("active").expect("an active key"));
    assert!(root.get("/admin/keys").await.body.contains(text(&upcoming, "kid")));
    let kid = text(&active, "kid");
    submit_and_follow(&root, &format!("/admin/keys/{kid}/revoke"), &[("reason", "it leaked")]).await;
    let (status, again) = fixture.send(Method::DELETE, &format!("/keys/{kid}"), Value::Null).await;
    assert_eq!((status, &again["already"]), (200, &json!(true)));
    assert_eq!(root.get("/admin/keys/nobody/revoke").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn console_and_api_change_resources_alike() {
    let fixture = Fixture::start().await;
    let root = fixture.browser("root").await;
    let fields = [
        ("audience", "https://api.example"),
        ("name", "Orders"),
        ("scopes", "orders = See your orders\r\n\r\norders:write=Change your orders"),
        ("introspected_by", "admin"),
    ];
    submit_and_follow(&root, "/admin/new/resource", &fields).await;
    let mut resource = json!({
        "audience": "https://api.example", "name": "Orders", "introspected_by": "admin",
        "scopes": { "orders": "See your orders", "orders:write": "Change your orders" },
    });
    let listed = fixture.read("/resources").await;
    resource["version"] = listed[0]["version"].clone();
    assert_eq!(listed, json!([resource]));
    assert_eq!(submit(&root, "/admin/new/resource", &fields).await.status, 409);
    let mut changed = fields;
    changed[1] = ("name", "All orders");
    let edit = "/admin/resources/edit?audience=https%3A%2F%2Fapi.example";
    assert!(root.get(edit).await.body.contains("orders:write = Change your orders"));
    submit_and_follow(&root, edit, &changed).await;
    assert_eq!(fixture.read("/resources").await[0]["name"], "All orders");
    let earlier = [&fields[..], &[("version", text(&resource, "version"))]].concat();
    assert_eq!(submit(&root, edit, &earlier).await.status, 409, "the form shows an earlier version");
    assert_eq!(fixture.send(Method::PUT, "/resources", resource.clone()).await.0, 409, "so does the request");
    assert_eq!(fixture.read("/resources").await[0]["name"], "All orders");

    let tokens = [("token_lifetime", "120"), ("token_claims", "email name"), ("alg", "ES256")];
    submit_and_follow(&root, edit, &[&changed[..], &tokens, &[("verifier", "spring")]].concat()).await;
    let by_form = fixture.read("/resources").await[0].clone();
    assert_eq!(by_form["access_token_signed_response_alg"], "RS256", "a preset replaces the algorithm");
    assert_eq!((&by_form["access_token_type"], &by_form["access_token_format"]), (&json!("JWT"), &json!("jwt")));
    let page = root.get(edit).await.body;
    assert!(page.contains("<option selected>RS256</option>") && page.contains("value=\"email name\""), "{page}");
    let mut wanted = resource.clone();
    wanted["name"] = json!("All orders");
    wanted["version"] = by_form["version"].clone();
    wanted["access_token_lifetime"] = json!(120);
    wanted["access_token_claims"] = json!(["email", "name"]);
    wanted["verifier"] = json!("spring");
    let (status, by_api) = fixture.send(Method::PUT, "/resources", wanted.clone()).await;
    assert_eq!((status, &by_api), (200, &by_form), "the API has the same presets");
    for (member, value) in [
        ("verifier", json!("carrier-pigeon")),
        ("access_token_type", json!("at")),
        ("access_token_lifetime", json!(0)),
        ("access_token_claims", json!(["client_id"])),
    ] {
        let mut wrong = wanted.clone();
        wrong[member] = value;
        assert_eq!(fixture.send(Method::PUT, "/resources", wrong).await.0, 400, "{member}");
    }
    let wrong = [&changed[..], &[("token_lifetime", "an hour")]].concat();
    assert_eq!(submit(&root, edit, &wrong).await.status, 400);
    assert_eq!(fixture.read("/resources").await, json!([by_form]));
    submit_and_follow(
        &root,
        "/admin/resources/remove?audience=https%3A%2F%2Fapi.example",
        &[("audience", "https://api.example")],
    )
    .await;
    assert_eq!(fixture.read("/resources").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn console_and_api_change_routes_alike() {
    let fixture = Fixture::start().await;
    let root = fixture.browser("root").await;
    let fields = [("path", "/orders/*"), ("methods", "put, get"), ("scope", "orders"), ("on_stale", "allow")];
    submit_and_follow(&root, "/admin/new/route", &fields).await;
    let made = fixture.read("/routes").await;
    let route = json!({ "path": "/orders/*", "methods": ["GET", "PUT"], "scope": "orders", "on_stale": "allow" });
    assert_eq!(fixture.send(Method::POST, "/routes", route.clone()).await.0, 409, "the route exists already");
    assert_eq!(fixture.send(Method::DELETE, "/routes", route.clone()).await.0, 204);
    fixture.send(Method::POST, "/routes", route).await;
    assert_eq!(fixture.read("/routes").await, made);
    assert_eq!(submit(&root, "/admin/new/route", &fields).await.status, 409);
    assert_eq!(submit(&root, "/admin/new/route", &[("path", "orders")]).await.status, 400);
    let remove = "/admin/routes/remove?path=%2Forders%2F*&methods=GET+PUT";
    submit_and_follow(&root, remove, &[("path", "/orders/*"), ("methods", "GET PUT")]).await;
    assert_eq!(fixture.read("/routes").await, json!([]));

    let more = r#"{ "claims": [{ "name": "tenant", "equals": "a" }], "max_age": 300, "upstream": "orders" }"#;
    let fields = [("path", "/orders/{id}"), ("hosts", "api.example, *.Example"), ("scope", "orders"), ("more", more)];
    submit_and_follow(&root, "/admin/new/route", &fields).await;
    let made = fixture.read("/routes").await;
    let route = json!({
        "path": "/orders/{id}", "hosts": ["*.example", "api.example"], "scope": "orders", "max_age": 300,
        "claims": [{ "name": "tenant", "equals": "a" }], "upstream": "orders",
    });
    let (status, problem) = fixture.send(Method::POST, "/routes", route.clone()).await;
    assert_eq!(status, 409, "{problem}");
    assert!(problem.to_string().contains("api.example/orders/{id}"), "{problem}");
    let page = root.get("/admin/routes").await.body;
    assert!(page.contains("claim tenant equals") && page.contains("upstream=orders"), "{page}");
    assert_eq!(fixture.send(Method::DELETE, "/routes", route.clone()).await.0, 204);
    assert_eq!(fixture.send(Method::POST, "/routes", route.clone()).await, (201, made[0].clone()));
    for (member, value) in
        [("hosts", json!(["api.example:80"])), ("claims", json!([{ "name": "a" }])), ("introspect", json!(true))]
    {
        let mut wrong = route.clone();
        wrong[member] = value;
        assert_eq!(fixture.send(Method::POST, "/routes", wrong).await.0, 400, "{member}");
    }
    for more in ["[]", "{\"path\":\"/a\"}", "{\"streams\":\"stop\"}"] {
        assert_eq!(submit(&root, "/admin/new/route", &[("path", "/b"), ("more", more)]).await.status, 400, "{more}");
    }
    let identified = [("path", "/orders/{id}"), ("hosts", "*.example api.example")];
    let remove = "/admin/routes/remove?path=%2Forders%2F%7Bid%7D&hosts=*.example+api.example";
    submit_and_follow(&root, remove, &identified).await;
    assert_eq!(fixture.read("/routes").await, json!([]));
    for page in ["/admin", "/admin/edges", "/admin/keys"] {
        assert_eq!(root.get(page).await.status, 200, "{page}");
    }
    assert_eq!(fixture.read("/edges").await, json!([]));
    assert_eq!(fixture.read("/overview").await["minutes"].as_array().map(Vec::len), Some(60));
}
