//! HTTPS that the origin serves itself: as clients of both protocols meet it, strangers, and operators who renew certificates.

use std::time::Duration;

use reqwest::Version;
use reqwest::header::SET_COOKIE;
use reqwest::tls::Version as Tls;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tollgate::Server;
use tollgate_config::Settings;

use crate::pki::{Authority, Secured, pem};

/// The beginning of a TLS handshake: a record of 512 bytes, of which one comes.
const HALF_HANDSHAKE: [u8; 6] = [22, 3, 1, 2, 0, 1];

/// What this sends, until the other end closes.
async fn told(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    // A reset says as much as an end does.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn is_live(http: &reqwest::Client, secured: &Secured) -> bool {
    http.get(secured.origin.url("/health/live")).send().await.is_ok_and(|answer| answer.status() == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_served_in_every_version() {
    let secured = Secured::start(None, &[]).await;
    let origin = &secured.origin;
    assert!(origin.server.url().starts_with("https://127.0.0.1:"), "{}", origin.server.url());
    assert_eq!(origin.server.issuer(), origin.server.url());
    let build = |builder: reqwest::ClientBuilder| builder.build().expect("a client");
    let client = || secured.authority.client();
    for (what, http, version) in [
        ("h2 is preferred", build(client()), Version::HTTP_2),
        ("who knows HTTP/1.1 alone", build(client().http1_only()), Version::HTTP_11),
        ("TLS 1.2", build(client().tls_version_max(Tls::TLS_1_2)), Version::HTTP_2),
        ("TLS 1.3", build(client().tls_version_min(Tls::TLS_1_3)), Version::HTTP_2),
    ] {
        let answer = http.get(origin.url("/.well-known/openid-configuration")).send().await.expect(what);
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version), "{what}");
        let metadata: Value = answer.json().await.expect("JSON");
        assert_eq!(metadata["token_endpoint"], origin.url("/oauth/token"), "{what}");
        assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], false, "nobody is asked for certificates");
    }
    let page = origin.http.get(origin.url("/login")).send().await.expect("answered");
    let cookie = page.headers()[SET_COOKIE].to_str().expect("text");
    assert!(cookie.starts_with("__Host-tollgate") && cookie.contains("; Secure"), "{cookie}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tls_is_refused_and_others_are_served() {
    let secured = Secured::start(None, &[]).await;
    let address = secured.origin.server.url().replace("https://", "");
    let answer = told(&address, b"GET /health/live HTTP/1.1\r\nHost: origin.example\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 400 ") && head.contains("application/problem+json"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    let problem: Value = serde_json::from_str(body).expect("JSON");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("HTTPS")), "{problem}");
    let plain = reqwest::get(format!("http://{address}/health/live")).await.expect("an answer");
    assert_eq!(plain.status(), 400);
    for nonsense in [&b"\0\0\0\0"[..], b"SSH-2.0-x\r\n", &[22, 3, 1, 0, 1, 0], &[22; 100]] {
        let answer = told(&address, nonsense).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    assert!(is_live(&secured.origin.http, &secured).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_stalls_is_cut_and_holds_up_nobody() {
    let secured = Secured::start(None, &[]).await;
    let address = secured.origin.server.url().replace("https://", "");
    let stalled = [&b""[..], &HALF_HANDSHAKE].map(|bytes| {
        let address = address.clone();
        tokio::spawn(async move { told(&address, bytes).await })
    });
    let http = secured.authority.client().pool_max_idle_per_host(0).build().expect("a client");
    while !stalled.iter().all(tokio::task::JoinHandle::is_finished) {
        assert!(is_live(&http, &secured).await, "others are served");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_live(&http, &secured).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_served_to_the_next_connection() {
    let secured = Secured::start(None, &[]).await;
    let next = Authority::new("the next authority");
    let on_new_connections =
        |authority: &Authority| authority.client().pool_max_idle_per_host(0).build().expect("a client");
    let (old, new) = (on_new_connections(&secured.authority), on_new_connections(&next));
    assert!(is_live(&secured.origin.http, &secured).await && is_live(&old, &secured).await);
    assert!(!is_live(&new, &secured).await);
    next.issue("origin", &["127.0.0.1"]).write(secured.folder.path());
    while !is_live(&new, &secured).await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!is_live(&old, &secured).await, "new connections have the new certificate");
    assert!(is_live(&secured.origin.http, &secured).await, "those that there are go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_good_stop_the_start_and_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (authority, path) = (Authority::new("authority"), |name: &str| folder.path().join(name).display().to_string());
    authority.issue("origin", &[]).write(folder.path());
    let other = authority.issue("another", &[]);
    for (name, text) in [
        ("empty", String::new()),
        ("text", "no PEM at all\n".to_owned()),
        ("other.key", other.key_pem()),
        ("broken", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_owned()),
        ("garbage", pem("CERTIFICATE", b"no certificate")),
        ("garbage.key", pem("PRIVATE KEY", b"no key")),
        ("locked.key", pem("ENCRYPTED PRIVATE KEY", b"sealed")),
        ("large", "\n".repeat(1024 * 1024 + 1)),
    ] {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let (certificate, key, ca) = ("TOLLGATE_TLS_CERTIFICATE", "TOLLGATE_TLS_KEY", "TOLLGATE_TLS_CLIENT_CA");
    for (setting, file, problem) in [
        (certificate, "missing", "cannot be read: "),
        (certificate, "empty", "has no certificate in it"),
        (certificate, "text", "has no certificate in it"),
        (certificate, "tls.key", "has no certificate in it"),
        (certificate, "broken", "is not a PEM file"),
        (certificate, "garbage", "has a certificate that cannot be used: "),
        (certificate, "large", "is larger than 1 MiB"),
        (key, "missing", "cannot be read: "),
        (key, "tls.crt", "has no private key in it that is readable without a password"),
        (key, "locked.key", "has no private key in it that is readable without a password"),
        (key, "garbage.key", "has a private key of a kind that cannot be used"),
        (key, "other.key", "is not the key of the certificate in "),
        (ca, "missing", "cannot be read: "),
        (ca, "empty", "has no certificate in it"),
        (ca, "garbage", "has a certificate that cannot be used: "),
    ] {
        let mut settings = vec![
            ("TOLLGATE_LISTEN", "127.0.0.1:0".to_owned()),
            ("TOLLGATE_DATABASE_URL", format!("sqlite://{}", path("origin.db"))),
            ("TOLLGATE_MASTER_KEY_FILE", path("origin.key")),
            (certificate, path("tls.crt")),
            (key, path("tls.key")),
        ];
        settings.retain(|(name, _)| *name != setting);
        settings.push((setting, path(file)));
        let started = Server::start(Settings::from_pairs(settings).expect("good settings")).await;
        let error = started.err().expect(file).to_string();
        assert!(error.starts_with(&format!("{setting} (environment): {} {problem}", path(file))), "{error}");
        assert!(!error.contains('\n') && !error.contains("no PEM"), "{error}");
    }
}
