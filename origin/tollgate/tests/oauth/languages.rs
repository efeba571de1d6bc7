//! Pages in the reader's language, and with the operator's name, logo and colour.

use std::fs;

use tollgate::Server;
use tollgate_config::Settings;

use crate::fixture::{Origin, UserBrowser, authorization_query, text};

async fn page(origin: &Origin, path: &str, accept_language: &str) -> String {
    let request = origin.http.get(origin.url(path)).header("accept-language", accept_language);
    request.send().await.expect("answered").text().await.expect("a page")
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_accept_language() {
    let origin = Origin::start().await;
    for (language, tag, title) in [
        ("de-AT,de;q=0.9,en;q=0.5", "<html lang=\"de\" dir=\"ltr\">", "<h1>Anmelden</h1>"),
        ("ar", "<html lang=\"ar\" dir=\"rtl\">", "<h1>تسجيل الدخول</h1>"),
        ("tlh", "<html lang=\"en\" dir=\"ltr\">", "<h1>Sign in</h1>"),
    ] {
        let body = page(&origin, "/login", language).await;
        assert!(body.contains(tag) && body.contains(title), "{language}: {body}");
        let error = page(&origin, "/consent?request=forgotten", language).await;
        assert!(error.contains(tag), "error pages: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ui_locales_of_an_authorization_request_reach_every_page() {
    let origin = Origin::start().await;
    origin.client("shop", Origin::web()).await;
    origin.user("ada").await;
    let browser = UserBrowser::new(&origin, "ada");
    let login = browser
        .request_authorization("shop", &[("ui_locales", "tlh de")])
        .await
        .redirect()
        .expect("a redirect to /login");
    let login = browser.get(&login).await;
    assert!(login.body.contains("Weiter zu <strong dir=\"auto\">A shop</strong>"), "{}", login.body);
    assert_eq!(login.field("ui_locales").as_deref(), Some("tlh de"), "the form keeps it");
    browser.sign_in().await;
    let consent = browser
        .request_authorization("shop", &[("ui_locales", "ar")])
        .await
        .redirect()
        .expect("a redirect to /consent");
    let consent = browser.get(&consent).await.body;
    assert!(consent.contains("dir=\"rtl\"") && consent.contains("<bdi>A shop</bdi>"), "{consent}");

    let request = authorization_query("shop", &[("ui_locales", "de")]);
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(request.as_bytes()).into_owned().collect();
    let pushed: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (status, answer) = origin.post("/oauth/par", "shop", &pushed).await;
    assert_eq!(status, 201, "{answer}");
    let uri = text(&answer, "request_uri");
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", "shop")
        .append_pair("request_uri", uri)
        .finish();
    let consent = browser.get(&format!("/oauth/authorize?{query}")).await.redirect().expect("a redirect to /consent");
    assert!(browser.get(&consent).await.body.contains("lang=\"de\""), "a pushed request keeps ui_locales");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_add_a_language_and_a_brand() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    fs::write(file("fr.ftl"), "sign-in = Se connecter\n").expect("a file");
    fs::write(file("en.ftl"), "login-no-account = No account yet?\n").expect("a file");
    fs::write(file("logo.svg"), "<svg xmlns=\"http://www.w3.org/2000/svg\"/>").expect("a file");
    let settings = [
        ("TOLLGATE_LOCALES", folder.path().display().to_string()),
        ("TOLLGATE_BRAND_NAME", "Harbour <Surveying>".to_owned()),
        ("TOLLGATE_BRAND_LOGO", file("logo.svg")),
        ("TOLLGATE_BRAND_COLOR", "#ffee00".to_owned()),
        ("TOLLGATE_SIGN_UP", "true".to_owned()),
    ];
    let origin =
        Origin::start_with(&settings.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>()).await;
    let body = page(&origin, "/login", "fr").await;
    for part in [
        "<html lang=\"fr\" dir=\"ltr\">",
        "<h1>Se connecter</h1>",
        "No account yet?",
        "Harbour &#60;Surveying&#62;",
        "src=\"/assets/logo\"",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
    let logo = origin.http.get(origin.url("/assets/logo")).send().await.expect("answered");
    let header = |name: &str| logo.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), "image/svg+xml");
    assert!(header("content-security-policy").contains("sandbox"), "its scripts do not run");
    let style = page(&origin, "/assets/tollgate.css", "").await;
    assert_eq!(style.matches("--accent: #ffee00;").count(), 1, "yellow stays on dark, and is darkened on white");
}

#[tokio::test(flavor = "multi_thread")]
async fn start_fails_and_names_the_invalid_message_file() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("fr.ftl"), "sign-in = Se connecter\nno-such-message = x\n").expect("a file");
    let locales = folder.path().display().to_string();
    let database = format!("sqlite://{}", folder.path().join("origin.db").display());
    let key = folder.path().join("origin.key").display().to_string();
    let settings = Settings::from_pairs([
        ("TOLLGATE_LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_DATABASE_URL", database.as_str()),
        ("TOLLGATE_MASTER_KEY_FILE", key.as_str()),
        ("TOLLGATE_LOCALES", locales.as_str()),
    ]);
    let error = Server::start(settings.expect("good settings")).await.err().expect("refused").to_string();
    assert!(error.starts_with("TOLLGATE_LOCALES") && error.contains("fr.ftl:2: "), "{error}");
    assert!(error.contains("no-such-message"), "{error}");
}
