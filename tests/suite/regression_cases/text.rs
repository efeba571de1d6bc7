//! Untrusted text: control characters, Unicode forms, addresses with ports, foreign cookies, and
//! missing headers.

use anyhow::{Context as _, Result, ensure};
use reqwest::header::{COOKIE, HeaderValue, SET_COOKIE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tollgate_model::{User, UserClaims, UserId, UserName};
use tollgate_tests::admin_client::AdminClient;
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::regression_case::RegressionCase;
use tollgate_tests::users::{PASSWORD, register_user};

cases! {
    both {
        O8 o8_control_characters_are_refused_before_any_query,
        O30 o30_nfc_and_nfd_spellings_are_one_user,
    }
    once {
        O20 o20_foreign_cookies_are_ignored,
        O25 o25_port_is_not_part_of_a_forwarded_address,
        O26 o26_cors_preflight_for_public_documents_allows_any_header,
        O31 o31_request_must_have_exactly_one_host,
    }
}

async fn o8_control_characters_are_refused_before_any_query(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[("TOLLGATE_REGISTRATION", "open")]).await?;
    let (admin, http, url) =
        (AdminClient::register(&origin, "admin").await?, reqwest::Client::new(), origin.server.url());
    let register = async |member: &str, value: Value| -> Result<u16> {
        let mut body = json!({ "client_name": "web", "redirect_uris": ["https://web.example/cb"] });
        body[member] = value;
        Ok(http.post(format!("{url}/oauth/register")).json(&body).send().await?.status().as_u16())
    };
    let with_nul = register("tls_client_auth_san_dns", json!("\u{0}")).await?;
    ensure!(with_nul == 400, "a NUL in a registration answers {with_nul}");
    for (member, value) in [
        ("client_name", json!("we\u{0}b")),
        ("client_name", json!("bank\u{202e}")),
        ("client_name", json!("ba\u{200b}nk")),
        ("scope", json!("openid\u{0}")),
        ("jwks", json!({ "keys": [{ "kid": "\u{0}" }] })),
        ("nobody\u{0}", json!(1)),
        ("contacts", json!(["a", "\u{7}"])),
    ] {
        ensure!(register(member, value.clone()).await? == 400, "{member}: {value}");
    }
    ensure!(register("client_name", json!("Jürgen's shop")).await? == 201, "letters of other languages are accepted");
    check_refused_by_the_admin_api(&admin).await?;
    check_refused_elsewhere(&http, &url).await?;
    for search in ["web", "%C3%BC", "%25", "%5C"] {
        for list in ["clients", "users"] {
            let answer = admin.request(Method::GET, &format!("/{list}?search={search}")).send().await?;
            ensure!(answer.status() == StatusCode::OK, "{list} with {search}: {}", answer.status());
        }
    }
    case.report(format_args!("registration with a NUL: {with_nul}; searches: 200"));
    Ok(())
}

/// Every body, query and path of the admin API in which a text could be stored or searched.
async fn check_refused_by_the_admin_api(admin: &AdminClient) -> Result<()> {
    let client =
        json!({ "client_name": "a", "grant_types": ["client_credentials"], "tls_client_auth_subject_dn": "\u{0}" });
    for (path, body) in [
        ("/clients", client),
        ("/users", json!({ "name": "a\u{0}b" })),
        ("/users", json!({ "name": "a\u{200b}b" })),
        ("/users", json!({ "name": "b", "external_id": "\u{0}" })),
        ("/users", json!({ "name": "c", "claims": { "name": "\u{0}" } })),
        ("/users", json!({ "name": "d", "password": "12345678\u{0}" })),
        ("/revocations", json!({ "kind": "subject", "name": "\u{0}" })),
        ("/revocations", json!({ "kind": "subject", "name": "a", "reason": "\u{0}" })),
        ("/routes", json!({ "path": "/\u{0}", "scope": "a" })),
    ] {
        let status = admin.send(Method::POST, path, &body).await?.status;
        ensure!(status == 400, "{path} {body}: {status}");
    }
    let resource = json!({ "audience": "https://a.example", "name": "a", "scopes": { "read": "re\u{0}ad" } });
    ensure!(
        admin.request(Method::PUT, "/resources").json(&resource).send().await?.status() == 400,
        "a resource server"
    );
    for path in [
        "/clients?search=%00",
        "/users?search=%00&after=%00",
        "/users/%00",
        "/clients/a%00",
        "/audit?actor=%00",
        "/audit?target=%00",
        "/revocations?kind=subject&name=%00",
        "/revocations/%00",
    ] {
        let status = admin.request(Method::GET, path).send().await?.status();
        ensure!(status.is_client_error(), "{path}: {status}");
    }
    Ok(())
}

/// Every query and form that unauthenticated clients may send.
async fn check_refused_elsewhere(http: &reqwest::Client, url: &str) -> Result<()> {
    for path in [
        "/oauth/authorize?client_id=%00",
        "/oauth/authorize?client_id=web&state=%00",
        "/login?request=%00",
        "/login?next=%00",
        "/consent?request=%00",
        "/device?user_code=%00",
        "/oauth/logout?client_id=%00",
        "/oauth/register/%00",
        "/ssf/streams?stream_id=%00",
        "/oauth/status/%00",
        "/edge/v1/deltas?after=%00&edge=%00",
    ] {
        let status = http.get(format!("{url}{path}")).bearer_auth("x").send().await?.status();
        ensure!(status.is_client_error(), "{path}: {status}");
    }
    for path in ["/oauth/token", "/oauth/par", "/oauth/introspect", "/oauth/revoke", "/oauth/device/code", "/login"] {
        for form in ["client_id=%00", "client_id=web&client_secret=%00", "grant_type=%00&client_id=web&token=%00"] {
            let request = http.post(format!("{url}{path}")).header("content-type", "application/x-www-form-urlencoded");
            let status = request.body(form).send().await?.status();
            ensure!(status.is_client_error(), "{path} {form}: {status}");
        }
    }
    Ok(())
}

const NFC: &str = "Zo\u{eb}";
const NFD: &str = "Zoe\u{308}";

/// Whether a user signs in with these credentials.
async fn signs_in(origin: &TestOrigin, name: &str, password: &str) -> Result<bool> {
    let browser = Browser::new(&origin.server.url())?;
    let page = browser.visit(&format!("{}/login", origin.server.url()), &Person::new(name, password)).await?;
    Ok(page.url.path() == "/account/sessions")
}

async fn o30_nfc_and_nfd_spellings_are_one_user(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let admin = AdminClient::register(&origin, "admin").await?;
    let (password_nfc, password_nfd) = (format!("{NFC} walks the dog"), format!("{NFD} walks the dog"));
    let register = async |name: &str, password: &str| -> Result<u16> {
        Ok(admin.send(Method::POST, "/users", &json!({ "name": name, "password": password })).await?.status)
    };
    ensure!(register(NFC, &password_nfc).await? == 201, "the name in NFC is free");
    let again = register(NFD, &password_nfd).await?;
    ensure!(again == 409, "the same name in NFD answers {again}");
    for (name, password) in
        [(NFC, &password_nfc), (NFD, &password_nfd), ("ZOE\u{308}", &password_nfc), ("zo\u{eb}", &password_nfd)]
    {
        ensure!(signs_in(&origin, name, password).await?, "{name:?} with {password:?}");
    }
    ensure!(!signs_in(&origin, NFC, "zo\u{eb} walks the dog").await?, "the case of a password counts");

    // A user from before normalization: name and password stored as typed, and the name now taken
    // by another user.
    let hash = tollgate_services::password_hashing::hash_password_blocking(&password_nfd.clone().into())?;
    let old = User {
        password_hash: Some(hash),
        claims: UserClaims::default(),
        ..User::new(UserId::from_random(&[9; 12]), UserName::from_stored("zoe\u{308}".to_owned()), 0)
    };
    origin.server.store().create_user(&old).await?;
    for password in [&password_nfd, &password_nfc] {
        ensure!(signs_in(&origin, NFD, password).await?, "a user from before normalization with {password:?}");
    }
    let hash = origin.server.store().find_user(&old.id).await?.and_then(|user| user.password_hash);
    ensure!(hash != old.password_hash, "the password is rehashed in normalized form");
    case.report(format_args!("Zoe\u{308} next to Zo\u{eb}: {again}; both forms sign in"));
    Ok(())
}

async fn o20_foreign_cookies_are_ignored(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    register_user(&origin, "ada").await?;
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let url = format!("{}/login", origin.server.url());
    let page = http.get(&url).send().await?;
    let cookie =
        page.headers().get(SET_COOKIE).context("a cookie")?.to_str()?.split(';').next().context("a pair")?.to_owned();
    let body = page.text().await?;
    let csrf = body
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .context("a token")?
        .to_owned();
    let mut statuses = Vec::new();
    for other in ["other=Jürgen".as_bytes(), b"other=J\xfcrgen", b"other=\"a\"; x"] {
        let line = [other, b"; ", cookie.as_bytes()].concat();
        let form = [("csrf", csrf.as_str()), ("username", "ada"), ("password", PASSWORD)];
        let answer = http.post(&url).header(COOKIE, HeaderValue::from_bytes(&line)?).form(&form).send().await?;
        let location = answer.headers().get("location").context("a redirect")?.to_str()?;
        ensure!(location.ends_with("/account/sessions"), "{} {location}", answer.status());
        statuses.push(answer.status().as_u16());
    }
    case.report(format_args!("sign-ins with foreign cookies: {statuses:?}"));
    Ok(())
}

async fn o25_port_is_not_part_of_a_forwarded_address(case: &RegressionCase) -> Result<()> {
    let settings = [("TOLLGATE_TRUSTED_PROXIES", "127.0.0.0/8"), ("TOLLGATE_LIMIT_REQUESTS", "100/1h")];
    let origin = case.origin(&settings).await?;
    let http = reqwest::Client::new();
    let left = async |forwarded: &str| -> Result<String> {
        let request = http.get(format!("{}/login", origin.server.url())).header("x-forwarded-for", forwarded);
        let answer = request.send().await?;
        Ok(answer.headers().get("ratelimit").context("a limit")?.to_str()?.split(';').nth(1).context("r=")?.to_owned())
    };
    let mut all = Vec::new();
    for address in
        ["198.51.100.1:40001", "198.51.100.1:40002", "198.51.100.2:40003", "[2001:db8::1]:40004", "[2001:db8::1]"]
    {
        all.push(left(address).await?);
    }
    ensure!(all == ["r=99", "r=98", "r=99", "r=99", "r=98"], "{all:?}");
    case.report(format_args!("remaining of 100 requests: {all:?}"));
    Ok(())
}

async fn o26_cors_preflight_for_public_documents_allows_any_header(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let http = reqwest::Client::new();
    let mut allowed = Vec::new();
    for path in
        ["/.well-known/oauth-authorization-server", "/.well-known/jwks.json", "/.well-known/not-there", "/openapi.json"]
    {
        let request = http
            .request(Method::OPTIONS, format!("{}{path}", origin.server.url()))
            .header("origin", "https://a.example");
        let asked = request
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "mcp-protocol-version, x-b3");
        let answer = asked.send().await?;
        ensure!(
            answer.status() == 204 && answer.headers()["access-control-allow-origin"] == "*",
            "{path}: {}",
            answer.status()
        );
        allowed.push(answer.headers()["access-control-allow-headers"].to_str()?.to_owned());
    }
    ensure!(
        allowed.iter().all(|fields| fields.contains("mcp-protocol-version") && fields.contains("x-b3")),
        "{allowed:?}"
    );
    case.report(format_args!("allowed: {}", allowed[0]));
    Ok(())
}

async fn o31_request_must_have_exactly_one_host(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[]).await?;
    let address = origin.server.url().strip_prefix("http://").context("an address")?.to_owned();
    let ask = async |head: &str| -> Result<String> {
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(format!("GET /health/live {head}Connection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.split(' ').nth(1).context("a status")?.to_owned())
    };
    let statuses = [
        ask("HTTP/1.1\r\n").await?,
        ask("HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n").await?,
        ask("HTTP/1.1\r\nHost: a b\r\n").await?,
        ask("HTTP/1.1\r\nHost: a.example\r\n").await?,
        ask("HTTP/1.0\r\n").await?,
    ];
    ensure!(statuses == ["400", "400", "400", "200", "200"], "{statuses:?}");
    case.report(format_args!("without Host, with two, with an invalid one, with one, HTTP/1.0: {statuses:?}"));
    Ok(())
}
