//! The operators' pages: who is let in, and that what is done there leaves the same state as over the admin API.

use reqwest::Method;
use reqwest::header::COOKIE;
use serde_json::{Value, json};

use crate::harness::{Browser, Origin, Page, answer};

/// An origin with an administrator's client, whose token opens the admin API, and a user `root` who may use the console.
pub(crate) struct House {
    pub(crate) origin: Origin,
    pub(crate) token: String,
}

impl House {
    pub(crate) async fn build() -> House {
        let origin = Origin::start().await;
        let mut metadata = Origin::service("tollgate:admin");
        metadata.audiences = vec![origin.server.issuer().parse().expect("an audience")];
        origin.client("admin", metadata).await;
        let tokens = origin.token("admin", &[("grant_type", "client_credentials")]).await;
        let token = tokens["access_token"].as_str().expect("a token").to_owned();
        let root = origin.user("root").await;
        origin.server.store().set_admin(&root, true).await.expect("an administrator");
        House { origin, token }
    }

    /// The browser of somebody who signed in.
    pub(crate) async fn browser(&self, user: &str) -> Browser<'_> {
        let browser = Browser::of(&self.origin, user);
        browser.sign_in().await;
        browser
    }

    pub(crate) async fn api(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = self.origin.http.request(method, self.origin.url(&format!("/admin/api{path}")));
        let request = if body.is_null() { request } else { request.json(&body) };
        let (status, body) = answer(request.bearer_auth(&self.token)).await;
        (status.as_u16(), body)
    }

    pub(crate) async fn read(&self, path: &str) -> Value {
        let (status, body) = self.api(Method::GET, path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The actions in the audit log by the user with this id, the oldest first.
    async fn acts_of(&self, user: &str) -> Vec<String> {
        let log = self.read(&format!("/audit?actor=user:{user}")).await;
        let entries = log["entries"].as_array().expect("entries").iter();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        entries.map(|entry| format!("{} {}", text(&entry["action"]), text(&entry["kind"]))).collect()
    }
}

/// Fills in the form of a page and sends it to where it goes.
async fn submit(browser: &Browser<'_>, page: &str, fields: &[(&str, &str)]) -> Page {
    let shown = browser.get(page).await;
    assert_eq!(shown.status, 200, "{page}: {}", shown.body);
    let csrf = shown.field("csrf").expect("a form");
    browser.post(page.split('?').next().expect("a path"), &[&[("csrf", csrf.as_str())], fields].concat()).await
}

/// As [`submit`], and gives the page that the act leads to.
pub(crate) async fn act(browser: &Browser<'_>, page: &str, fields: &[(&str, &str)]) -> Page {
    let answer = submit(browser, page, fields).await;
    assert_eq!(answer.status, 303, "{page}: {}", answer.body);
    browser.get(answer.location.as_deref().expect("a page after it")).await
}

/// Without what differs for each: ids and times.
fn comparable(mut view: Value) -> Value {
    for name in ["client_id", "client_secret", "id", "secrets", "created_at", "revoked_at", "revoked_by", "void_after"]
    {
        view.as_object_mut().expect("an object").remove(name);
    }
    view
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_alone_are_let_in_and_forms_alone_change_anything() {
    let house = House::build().await;
    let id = house.origin.user("guest").await;
    let (guest, root) = (house.browser("guest").await, house.browser("root").await);
    let document = house.origin.http.get(house.origin.url("/openapi.json")).send().await.expect("answered");
    let document: Value = document.json().await.expect("JSON");
    let paths = document["paths"].as_object().expect("paths").iter();
    let mut seen = 0;
    for (path, item) in paths.filter(|(path, _)| path.starts_with("/admin") && !path.starts_with("/admin/api")) {
        let path = path.replace("{id}", "admin").replace("{kid}", "none").replace("{number}", "1");
        if item.get("get").is_some() {
            let stranger = Browser::of(&house.origin, "nobody");
            let to_login = stranger.get(&path).await;
            let next = url::form_urlencoded::byte_serialize(path.as_bytes()).collect::<String>();
            let login = house.origin.url(&format!("/login?next={next}"));
            assert_eq!((to_login.status.as_u16(), to_login.location), (303, Some(login)), "{path}");
            let away = guest.get(&path).await;
            assert_eq!(away.status, 403, "{path}");
            assert!(away.body.contains("for administrators"), "{path}: {}", away.body);
            seen += 1;
        }
        if item.get("post").is_some() {
            let (stranger, form) = (Browser::of(&house.origin, "nobody"), [("name", "x"), ("confirmed", "yes")]);
            let to_login = stranger.post(&path, &form).await;
            assert_eq!(to_login.status, 303, "{path}");
            assert!(to_login.location.is_some_and(|location| location.contains("/login?next=")), "{path}");
            assert_eq!(guest.post(&path, &form).await.status, 403, "{path}");
            let forged = root.post(&path, &form).await;
            assert_eq!(forged.status, 303, "{path}");
            let anew = house.origin.url(&format!("{path}?stale=1"));
            assert_eq!(forged.location.as_deref(), Some(anew.as_str()), "nothing but the form anew");
            seen += 1;
        }
    }
    assert!(seen >= 48, "{seen} pages and forms");
    assert_eq!(house.acts_of(id.as_str()).await, ["sign_in login"], "and nothing was done");
    // A token opens the API and no page; a session opens pages and not the API.
    let bearer = house.origin.http.get(house.origin.url("/admin")).bearer_auth(&house.token).send().await;
    assert_eq!(bearer.expect("answered").status(), 303);
    let cookie = root.cookie().expect("a session");
    let session = house.origin.http.get(house.origin.url("/admin/api/clients")).header(COOKIE, cookie).send().await;
    assert_eq!(session.expect("answered").status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_leads_back_to_the_page_that_was_asked_for() {
    let house = House::build().await;
    let browser = Browser::of(&house.origin, "root");
    let location = browser.get("/admin/audit?kind=client").await.location.expect("to sign in");
    let login = browser.get(&location).await;
    let (csrf, next) = (login.field("csrf").expect("a form"), login.field("next").expect("the way back"));
    let form = [("csrf", csrf.as_str()), ("next", &next), ("username", "root"), ("password", crate::harness::PASSWORD)];
    let back = browser.post("/login", &form).await.location;
    assert_eq!(back, Some(house.origin.url("/admin/audit?kind=client")));
    let page = browser.get(&back.expect("a page")).await;
    assert_eq!(page.status, 200);
    assert!(page.headers["content-security-policy"].to_str().expect("text").contains("frame-ancestors 'none'"));
    assert!(!page.body.contains("<script") && !page.body.contains("style="), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_made_on_a_page_is_the_one_made_over_the_api() {
    let house = House::build().await;
    let root = house.browser("root").await;
    let fields = [
        ("client_id", "paper"),
        ("name", "A shop"),
        ("owner", "Shop Ltd"),
        ("first_party", "on"),
        ("grant_authorization_code", "on"),
        ("grant_refresh_token", "on"),
        ("auth_method", "client_secret_post"),
        ("redirect_uris", "https://shop.example/cb\r\nhttps://shop.example/cb2"),
        ("post_logout_redirect_uris", "https://shop.example/bye"),
        ("scope", "openid  orders"),
        ("audiences", "https://api.example"),
        ("token_format", "opaque"),
        ("alg", "ES256"),
        ("more", r#"{"subject_type":"pairwise","default_max_age":60}"#),
    ];
    let shown = act(&root, "/admin/new/client", &fields).await;
    let secret = shown.body.split("<code class=\"secret\">").nth(1).expect("a secret").split('<').next().expect("text");
    assert!(secret.starts_with("tgs_") && shown.body.contains("Client \u{2068}A shop\u{2069} created."));
    assert!(!root.get("/admin/clients/paper").await.body.contains("tgs_"), "it is shown once");
    let body = json!({
        "client_id": "wire", "client_name": "A shop", "owner": "Shop Ltd", "first_party": true,
        "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "client_secret_post",
        "redirect_uris": ["https://shop.example/cb", "https://shop.example/cb2"],
        "post_logout_redirect_uris": ["https://shop.example/bye"], "scope": "openid orders",
        "audiences": ["https://api.example"], "access_token_format": "opaque",
        "access_token_signed_response_alg": "ES256", "subject_type": "pairwise", "default_max_age": 60,
    });
    assert_eq!(house.api(Method::POST, "/clients", body).await.0, 201);
    let [paper, wire] = [house.read("/clients/paper").await, house.read("/clients/wire").await];
    assert_eq!(comparable(paper.clone()), comparable(wire));
    // The form shows it all, and what it has no control for is kept when it is saved.
    let mut changed = fields.to_vec();
    changed.retain(|(name, _)| *name != "first_party");
    let edit = root.get("/admin/clients/paper/edit").await;
    assert!(edit.body.contains("pairwise") && edit.body.contains("https://shop.example/cb2"));
    act(&root, "/admin/clients/paper/edit", &changed).await;
    let after = house.read("/clients/paper").await;
    assert_eq!((&after["first_party"], &after["subject_type"]), (&json!(false), &json!("pairwise")));
    // Two secrets are good at once; a disabled client is told so.
    let rotated = act(&root, "/admin/clients/paper/secret", &[]).await;
    assert!(rotated.body.contains("tgs_") && !rotated.body.contains(secret));
    assert_eq!(house.read("/clients/paper").await["secrets"].as_array().map(Vec::len), Some(2));
    assert!(act(&root, "/admin/clients/paper/disable", &[]).await.body.contains("disabled."));
    assert!(house.read("/clients/paper").await["disabled_at"].is_u64());
    assert!(act(&root, "/admin/clients/paper/enable", &[]).await.body.contains("may authenticate again"));
    assert!(house.read("/clients/paper").await.get("disabled_at").is_none());
    let root_id = house.read("/users").await[0]["id"].as_str().expect("an id").to_owned();
    let acts = house.acts_of(&root_id).await;
    let last = "create client, update client, rotate_secret client, disable client, revoke client, enable client";
    assert!(acts.join(", ").ends_with(last), "{acts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_registered_comes_back_as_it_was_typed() {
    let house = House::build().await;
    let root = house.browser("root").await;
    let fields = [
        ("name", "<script>alert(1)</script>"),
        ("owner", "\"><img src=x onerror=alert(1)>"),
        ("grant_authorization_code", "on"),
        ("auth_method", "none"),
        ("token_format", "jwt"),
        ("alg", "EdDSA"),
        ("more", "{ not JSON"),
    ];
    let again = submit(&root, "/admin/new/client", &fields).await;
    assert_eq!(again.status, 400);
    assert!(again.body.contains("Other metadata must be a JSON object"));
    assert!(
        again.body.contains("{ not JSON")
            && again.body.contains("name=\"grant_authorization_code\" value=\"on\" checked")
    );
    assert!(!again.body.contains("<script>") && !again.body.contains("<img"), "{}", again.body);
    let mut good = fields.to_vec();
    good.retain(|(name, _)| *name != "more");
    good.extend([("client_id", "hostile"), ("redirect_uris", "https://x.example/cb")]);
    act(&root, "/admin/new/client", &good).await;
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
    // The scope that opens everything is asked for once more.
    let mut admin = good.clone();
    admin.retain(|(name, _)| !matches!(*name, "client_id" | "grant_authorization_code" | "auth_method"));
    admin.extend([
        ("client_id", "ops"),
        ("scope", "tollgate:admin"),
        ("grant_client_credentials", "on"),
        ("auth_method", "client_secret_basic"),
    ]);
    let asked = submit(&root, "/admin/new/client", &admin).await;
    assert_eq!((asked.status.as_u16(), asked.field("confirmed")), (200, Some("yes".to_owned())));
    assert_eq!(house.api(Method::GET, "/clients/ops", Value::Null).await.0, 404);
    admin.push(("confirmed", "yes"));
    act(&root, "/admin/new/client", &admin).await;
    assert_eq!(house.read("/clients/ops").await["scope"], "tollgate:admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_the_same_on_pages_and_over_the_api() {
    let house = House::build().await;
    let root = house.browser("root").await;
    let fields = [
        ("name", "Ada@example.org"),
        ("password", "correct horse"),
        ("full_name", "Ada Lovelace"),
        ("email", "ada@example.org"),
        ("claims", r#"{"locale":"en"}"#),
        ("external_id", "hr-1"),
    ];
    act(&root, "/admin/new/user", &fields).await;
    let claims = json!({ "name": "Ada Lovelace", "email": "ada@example.org", "locale": "en" });
    let grace = json!({ "name": "grace", "password": "correct horse", "claims": claims, "external_id": "hr-2" });
    assert_eq!(house.api(Method::POST, "/users", grace).await.0, 201);
    let users = house.read("/users").await;
    let find =
        |name: &str| users.as_array().expect("users").iter().find(|user| user["name"] == name).expect(name).clone();
    let (ada, grace) = (find("ada@example.org"), find("grace"));
    let same = |user: &Value| [&user["claims"], &user["is_admin"]].map(Clone::clone);
    assert_eq!(same(&ada), same(&grace));
    let page = |act: &str| format!("/admin/users/{}{act}", ada["id"].as_str().expect("an id"));
    let api = |act: &str| format!("/users/{}{act}", grace["id"].as_str().expect("an id"));
    let path = page("").replace("/admin", "");

    act(&root, &page("/admin"), &[("is_admin", "yes")]).await;
    house.api(Method::PUT, &api("/admin"), json!({ "is_admin": true })).await;
    assert_eq!(
        (house.read(&path).await["is_admin"].clone(), house.read(&api("")).await["is_admin"].clone()),
        (json!(true), json!(true))
    );
    act(&root, &page("/admin"), &[("is_admin", "no")]).await;
    house.api(Method::PUT, &api("/admin"), json!({ "is_admin": false })).await;
    let made = act(&root, &page("/password"), &[]).await;
    assert!(made.body.contains("class=\"secret\"") && made.body.contains("has a new password"));
    assert_eq!(submit(&root, &page("/password"), &[("password", "short")]).await.status, 400);
    act(&root, &page("/disable"), &[]).await;
    house.api(Method::DELETE, &api(""), Value::Null).await;
    assert!(house.read(&path).await["disabled_at"].is_u64() && house.read(&api("")).await["disabled_at"].is_u64());
    act(&root, &page("/enable"), &[]).await;
    assert_eq!(house.api(Method::POST, &api("/enable"), Value::Null).await.0, 200);
    assert!(
        house.read(&path).await.get("disabled_at").is_none() && house.read(&api("")).await.get("disabled_at").is_none()
    );

    let log = |id: &Value| format!("/audit?kind=user&target={}", id.as_str().expect("an id"));
    let actions = |log: &Value| {
        log["entries"].as_array().expect("entries").iter().map(|entry| entry["action"].clone()).collect::<Vec<_>>()
    };
    let (on_pages, over_api) = (house.read(&log(&ada["id"])).await, house.read(&log(&grace["id"])).await);
    let mut without_password = actions(&on_pages);
    without_password.retain(|action| action != "set_password");
    assert_eq!(without_password, actions(&over_api));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_locks_themselves_out() {
    let house = House::build().await;
    let root = house.browser("root").await;
    let users = house.read("/users").await;
    let own = users.as_array().expect("users").iter().find(|user| user["name"] == "root").expect("root")["id"].clone();
    let own = own.as_str().expect("an id");
    for (act, fields) in [("disable", &[][..]), ("admin", &[("is_admin", "no")][..])] {
        let refused = submit(&root, &format!("/admin/users/{own}/{act}"), fields).await;
        assert_eq!(refused.status, 409, "{}", refused.body);
    }
    assert_eq!(root.get("/admin").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn revocations_and_keys_are_the_same_on_pages_and_over_the_api() {
    let house = House::build().await;
    let root = house.browser("root").await;
    let tokens = house.origin.token("admin", &[("grant_type", "client_credentials")]).await;
    let token = tokens["access_token"].as_str().expect("a token");
    let wishes = [
        ("session", "tgg_one"),
        ("subject", "somebody"),
        ("client", "reports"),
        ("key", "no-such-kid"),
        ("token", token),
    ];
    for (kind, name) in wishes {
        let fields = [("kind", kind), ("name", name), ("reason", "it leaked")];
        let asked = submit(&root, "/admin/new/revocation", &fields).await;
        assert_eq!(asked.status, 200, "{}", asked.body);
        assert!(!asked.body.contains(token), "a token is a secret");
        let carried = asked.field("name").expect("its name");
        let fields = [("kind", kind), ("name", &carried), ("reason", "it leaked"), ("confirmed", "yes")];
        assert!(act(&root, "/admin/new/revocation", &fields).await.body.contains("edges are being notified"));
        let made = house.read(&format!("/revocations?kind={kind}")).await["revocations"][0].clone();
        let body = json!({ "kind": kind, "name": carried, "reason": "it leaked" });
        let (_, wired) = house.api(Method::POST, "/revocations", body).await;
        assert_eq!(comparable(made.clone()), comparable(wired), "{kind}");
        let number = made["id"].as_u64().expect("a number");
        act(&root, &format!("/admin/revocations/{number}/reinstate"), &[("reason", "a slip")]).await;
        assert!(house.read(&format!("/revocations/{number}")).await["lifted_at"].is_u64());
    }
    let before = [("kind", "everything"), ("before", "2026-01-01T00:00"), ("confirmed", "yes")];
    act(&root, "/admin/new/revocation", &before).await;
    assert_eq!(house.read("/revocations?kind=everything").await["revocations"][0]["before"], 1_767_225_600);
    for wrong in [("before", "soon"), ("name", "x")] {
        let kind = if wrong.0 == "before" { "everything" } else { "token" };
        let again = submit(&root, "/admin/new/revocation", &[("kind", kind), wrong, ("confirmed", "yes")]).await;
        assert_eq!(again.status, 400, "{}", again.body);
    }
    let listed = root.get("/admin/revocations?all=true&kind=subject").await;
    assert!(listed.body.contains("somebody") && listed.body.contains("Lifted") && !listed.body.contains("tgg_one"));

    act(&root, "/admin/new/key", &[("alg", "ES256")]).await;
    let keys = house.read("/keys").await;
    let of = |state: &str| {
        keys["keys"]
            .as_array()
            .expect("keys")
            .iter()
            .find(|key| key["alg"] == "ES256" && key["state"] == state)
            .cloned()
    };
    let (upcoming, active) = (of("upcoming").expect("the next"), of("active").expect("the one in use"));
    assert!(root.get("/admin/keys").await.body.contains(upcoming["kid"].as_str().expect("a kid")));
    let kid = active["kid"].as_str().expect("a kid");
    act(&root, &format!("/admin/keys/{kid}/revoke"), &[("reason", "it leaked")]).await;
    let (status, again) = house.api(Method::DELETE, &format!("/keys/{kid}"), Value::Null).await;
    assert_eq!((status, &again["already"]), (200, &json!(true)));
    assert_eq!(root.get("/admin/keys/nobody/revoke").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_and_routes_are_the_same_on_pages_and_over_the_api() {
    let house = House::build().await;
    let root = house.browser("root").await;
    let fields = [
        ("audience", "https://api.example"),
        ("name", "Orders"),
        ("scopes", "orders = See your orders\r\n\r\norders:write=Change your orders"),
        ("introspected_by", "admin"),
    ];
    act(&root, "/admin/new/resource", &fields).await;
    let resource = json!({
        "audience": "https://api.example", "name": "Orders", "introspected_by": "admin",
        "scopes": { "orders": "See your orders", "orders:write": "Change your orders" },
    });
    assert_eq!(house.read("/resources").await, json!([resource]));
    assert_eq!(submit(&root, "/admin/new/resource", &fields).await.status, 409);
    let mut changed = fields;
    changed[1] = ("name", "All orders");
    let edit = "/admin/resources/edit?audience=https%3A%2F%2Fapi.example";
    assert!(root.get(edit).await.body.contains("orders:write = Change your orders"));
    act(&root, edit, &changed).await;
    assert_eq!(house.read("/resources").await[0]["name"], "All orders");
    act(&root, "/admin/resources/remove?audience=https%3A%2F%2Fapi.example", &[("audience", "https://api.example")])
        .await;
    assert_eq!(house.read("/resources").await, json!([]));

    let fields = [("path", "/orders/*"), ("methods", "put, get"), ("scope", "orders"), ("on_stale", "allow")];
    act(&root, "/admin/new/route", &fields).await;
    let made = house.read("/routes").await;
    let route = json!({ "path": "/orders/*", "methods": ["GET", "PUT"], "scope": "orders", "on_stale": "allow" });
    assert_eq!(house.api(Method::POST, "/routes", route.clone()).await.0, 409, "it is there");
    assert_eq!(house.api(Method::DELETE, "/routes", route.clone()).await.0, 204);
    house.api(Method::POST, "/routes", route).await;
    assert_eq!(house.read("/routes").await, made);
    assert_eq!(submit(&root, "/admin/new/route", &fields).await.status, 409);
    assert_eq!(submit(&root, "/admin/new/route", &[("path", "orders")]).await.status, 400);
    let remove = "/admin/routes/remove?path=%2Forders%2F*&methods=GET+PUT";
    act(&root, remove, &[("path", "/orders/*"), ("methods", "GET PUT")]).await;
    assert_eq!(house.read("/routes").await, json!([]));
    for page in ["/admin", "/admin/edges", "/admin/keys"] {
        assert_eq!(root.get(page).await.status, 200, "{page}");
    }
    assert_eq!(house.read("/edges").await, json!([]));
    assert_eq!(house.read("/overview").await["minutes"].as_array().map(Vec::len), Some(60));
}
