//! HTTPS that the origin serves itself: protocol versions, faulty connections, and renewed
//! certificates.

use std::time::Duration;

use reqwest::Version;
use reqwest::header::SET_COOKIE;
use reqwest::tls::Version as Tls;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tollgate::Server;
use tollgate_config::Settings;
use tollgate_test_kit::certificates::{CertificateAuthority, pem};
use tollgate_test_kit::wait::wait_until;

use crate::fixture::HttpsOrigin;

/// Start of a TLS handshake: a record of 512 bytes, of which only the first is sent.
const INCOMPLETE_HANDSHAKE: [u8; 6] = [22, 3, 1, 2, 0, 1];

/// Sends bytes, and returns what the origin answers until it closes the connection.
async fn send_bytes(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    // The origin may reset the connection.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn is_live(http: &reqwest::Client, https: &HttpsOrigin) -> bool {
    http.get(https.origin.url("/health/live")).send().await.is_ok_and(|answer| answer.status() == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn https_works_with_each_version_of_http_and_tls() {
    let https = HttpsOrigin::start(None, &[]).await;
    let origin = &https.origin;
    assert!(origin.server.url().starts_with("https://127.0.0.1:"), "{}", origin.server.url());
    assert_eq!(origin.server.issuer(), origin.server.url());
    let build = |builder: reqwest::ClientBuilder| builder.build().expect("a client");
    let client = || https.authority.client_builder();
    for (what, http, version) in [
        ("HTTP/2 is preferred", build(client()), Version::HTTP_2),
        ("a client of HTTP/1.1", build(client().http1_only()), Version::HTTP_11),
        ("TLS 1.2", build(client().tls_version_max(Tls::TLS_1_2)), Version::HTTP_2),
        ("TLS 1.3", build(client().tls_version_min(Tls::TLS_1_3)), Version::HTTP_2),
    ] {
        let answer = http.get(origin.url("/.well-known/openid-configuration")).send().await.expect(what);
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version), "{what}");
        let metadata: Value = answer.json().await.expect("JSON");
        assert_eq!(metadata["token_endpoint"], origin.url("/oauth/token"), "{what}");
        assert_eq!(
            metadata["tls_client_certificate_bound_access_tokens"], false,
            "the origin asks for no client certificates"
        );
    }
    let page = origin.http.get(origin.url("/login")).send().await.expect("answered");
    let cookie = page.headers()[SET_COOKIE].to_str().expect("text");
    assert!(cookie.starts_with("__Host-tollgate") && cookie.contains("; Secure"), "{cookie}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_without_tls_is_refused_and_does_not_disturb_others() {
    let https = HttpsOrigin::start(None, &[]).await;
    let address = https.origin.server.url().replace("https://", "");
    let answer = send_bytes(&address, b"GET /health/live HTTP/1.1\r\nHost: origin.example\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 400 ") && head.contains("application/problem+json"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    let problem: Value = serde_json::from_str(body).expect("JSON");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("HTTPS")), "{problem}");
    let plain = reqwest::get(format!("http://{address}/health/live")).await.expect("an answer");
    assert_eq!(plain.status(), 400);
    for nonsense in [&b"\0\0\0\0"[..], b"SSH-2.0-x\r\n", &[22, 3, 1, 0, 1, 0], &[22; 100]] {
        let answer = send_bytes(&address, nonsense).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    assert!(is_live(&https.origin.http, &https).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_handshake_is_closed_and_does_not_delay_others() {
    let https = HttpsOrigin::start(None, &[]).await;
    let address = https.origin.server.url().replace("https://", "");
    let stalled = [&b""[..], &INCOMPLETE_HANDSHAKE].map(|bytes| {
        let address = address.clone();
        tokio::spawn(async move { send_bytes(&address, bytes).await })
    });
    let http = https.authority.client_builder().pool_max_idle_per_host(0).build().expect("a client");
    while !stalled.iter().all(tokio::task::JoinHandle::is_finished) {
        assert!(is_live(&http, &https).await, "other connections are served");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_live(&http, &https).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_connections_get_the_renewed_certificate() {
    let https = HttpsOrigin::start(None, &[]).await;
    let next = CertificateAuthority::new("the next authority");
    let on_new_connections = |authority: &CertificateAuthority| {
        authority.client_builder().pool_max_idle_per_host(0).build().expect("a client")
    };
    let (old, new) = (on_new_connections(&https.authority), on_new_connections(&next));
    assert!(is_live(&https.origin.http, &https).await && is_live(&old, &https).await);
    assert!(!is_live(&new, &https).await);
    next.issue("origin", &["127.0.0.1"]).write(https.folder.path());
    wait_until("the new certificate is used", async || is_live(&new, &https).await).await;
    assert!(!is_live(&old, &https).await, "new connections get the new certificate");
    assert!(is_live(&https.origin.http, &https).await, "open connections stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn start_fails_and_names_the_unusable_tls_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (authority, path) =
        (CertificateAuthority::new("authority"), |name: &str| folder.path().join(name).display().to_string());
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
