//! Client certificates of TLS connections to the origin (RFC 8705): authentication, and tokens
//! bound to them.

use std::sync::Arc;

use reqwest::Client;
use reqwest::tls::Version as Tls;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use serde_json::{Value, json};
use tollgate_model::{AuthMethod, ClientMetadata};
use tollgate_test_kit::certificates::{Certificate, CertificateAuthority};
use tollgate_test_kit::jwt::ClientKey;
use tollgate_test_kit::wait::wait_until;

use crate::fixture::{HttpsOrigin, Origin, UserBrowser, answer, claims, text};

const CLIENT_CREDENTIALS: [(&str, &str); 1] = [("grant_type", "client_credentials")];
/// Accepts certificates of any authority, and self-signed ones.
const ANY_CERTIFICATE: [(&str, &str); 1] = [("TOLLGATE_TLS_CLIENT_AUTH", "any")];

/// Metadata of a service with `tls_client_auth` and this subject.
fn tls_service(subject: &str) -> ClientMetadata {
    ClientMetadata {
        auth_method: AuthMethod::TlsClientAuth,
        tls_client_auth_subject_dn: Some(subject.to_owned()),
        tls_client_certificate_bound_access_tokens: true,
        ..Origin::service("orders")
    }
}

/// Metadata of a service with this self-signed certificate.
fn self_signed_service(certificate: &Certificate) -> ClientMetadata {
    let mut jwk = ClientKey::generate().jwk();
    jwk["x5t#S256"] = json!(certificate.thumbprint());
    ClientMetadata {
        auth_method: AuthMethod::SelfSignedTlsClientAuth,
        jwks: Some(json!({ "keys": [jwk] })),
        tls_client_certificate_bound_access_tokens: true,
        ..Origin::service("orders")
    }
}

async fn post(http: &Client, url: String, client: &str, form: &[(&str, &str)]) -> (u16, Value) {
    answer(http.post(url).form(&[form, &[("client_id", client)]].concat())).await
}

/// Requests a token. Returns the thumbprint that it is bound to, or the error.
async fn ask(http: &Client, https: &HttpsOrigin, client: &str) -> Result<String, String> {
    let (status, tokens) = post(http, https.origin.url("/oauth/token"), client, &CLIENT_CREDENTIALS).await;
    match tokens["access_token"].as_str() {
        Some(token) => Ok(claims(token)["cnf"]["x5t#S256"].as_str().expect("it is bound").to_owned()),
        None => Err(format!("{} {}", status, text(&tokens, "error"))),
    }
}

fn invalid_client() -> Result<String, String> {
    Err("401 invalid_client".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_client_auth_needs_a_trusted_certificate_with_the_registered_name() {
    let (authority, other) = (CertificateAuthority::new("clients"), CertificateAuthority::new("others"));
    // Whether the origin names its authorities in the handshake makes no difference.
    for settings in [&[][..], &ANY_CERTIFICATE] {
        let https = HttpsOrigin::start(Some(&authority), settings).await;
        https.origin.client("robot", tls_service("CN=robot")).await;
        let by_host = ClientMetadata {
            tls_client_auth_subject_dn: None,
            tls_client_auth_san_dns: Some("robot.example".to_owned()),
            ..tls_service("")
        };
        https.origin.client("by-host", by_host).await;
        let metadata: Value =
            answer(https.origin.http.get(https.origin.url("/.well-known/openid-configuration"))).await.1;
        let methods = metadata["token_endpoint_auth_methods_supported"].as_array().expect("a list");
        assert!(["tls_client_auth", "self_signed_tls_client_auth"].iter().all(|way| methods.contains(&json!(way))));
        assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], true);

        let robot = authority.issue("robot", &["robot.example"]);
        let http = https.client_with(&robot);
        // The later requests resume TLS sessions.
        for _ in 0..3 {
            assert_eq!(ask(&http, &https, "robot").await, Ok(robot.thumbprint()));
            assert_eq!(ask(&http, &https, "by-host").await, Ok(robot.thumbprint()));
        }
        let old = https.authority.client_builder().identity(robot.identity()).tls_version_max(Tls::TLS_1_2);
        assert_eq!(ask(&old.build().expect("a client"), &https, "robot").await, Ok(robot.thumbprint()));
        for (what, certificate) in [
            ("another name", authority.issue("somebody", &["else.example"])),
            ("another authority", other.issue("robot", &["robot.example"])),
            ("self-signed", Certificate::self_signed("robot")),
            ("the origin's own authority", https.authority.issue("robot", &["robot.example"])),
        ] {
            for client in ["robot", "by-host"] {
                assert_eq!(ask(&https.client_with(&certificate), &https, client).await, invalid_client(), "{what}");
            }
        }
        assert_eq!(ask(&https.origin.http, &https, "robot").await, invalid_client(), "no certificate");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn self_signed_certificate_authenticates_only_by_registration() {
    let authority = CertificateAuthority::new("clients");
    for clients in [None, Some(&authority)] {
        let https = HttpsOrigin::start(clients, &ANY_CERTIFICATE).await;
        let robot = Certificate::self_signed("robot");
        https.origin.client("robot", self_signed_service(&robot)).await;
        https.origin.client("named", tls_service("CN=robot")).await;
        let http = https.client_with(&robot);
        assert_eq!(ask(&http, &https, "robot").await, Ok(robot.thumbprint()));
        assert_eq!(ask(&http, &https, "named").await, invalid_client(), "no authority vouches for its name");
        assert_eq!(
            ask(&https.client_with(&Certificate::self_signed("robot")), &https, "robot").await,
            invalid_client()
        );
        assert_eq!(ask(&https.origin.http, &https, "robot").await, invalid_client());
        let metadata: Value =
            answer(https.origin.http.get(https.origin.url("/.well-known/openid-configuration"))).await.1;
        let methods = metadata["token_endpoint_auth_methods_supported"].as_array().expect("a list");
        assert!(methods.contains(&json!("self_signed_tls_client_auth")));
        assert_eq!(methods.contains(&json!("tls_client_auth")), clients.is_some(), "{methods:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_without_its_key_does_not_authenticate() {
    let authority = CertificateAuthority::new("clients");
    let https = HttpsOrigin::start(Some(&authority), &ANY_CERTIFICATE).await;
    let (robot, other) = (authority.issue("robot", &[]), Certificate::self_signed("other"));
    https.origin.client("robot", tls_service("CN=robot")).await;
    https.origin.client("registered", self_signed_service(&robot)).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (key_holder, succeeds) in [(&robot, true), (&other, false)] {
            let http = client_with_mixed_certificate(&https, version, &robot, key_holder);
            for client in ["robot", "registered"] {
                let request = http.post(https.origin.url("/oauth/token"));
                let answered = request.form(&[CLIENT_CREDENTIALS[0], ("client_id", client)]).send().await;
                assert_eq!(answered.is_ok_and(|answer| answer.status() == 200), succeeds, "{version:?} {client}");
            }
        }
    }
}

/// An HTTP client that presents one certificate and signs with the key of another.
fn client_with_mixed_certificate(
    https: &HttpsOrigin,
    version: &'static rustls::SupportedProtocolVersion,
    presented: &Certificate,
    signing: &Certificate,
) -> Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing.key.clone()));
    let key = provider.key_provider.load_private_key(key).expect("a key");
    let presented = CertifiedKey::new(vec![CertificateDer::from(presented.certificate.clone())], key);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(https.authority.der())).expect("an authority");
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(presented)));
    Client::builder().tls_backend_preconfigured(config).build().expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_bound_token_needs_the_certificate() {
    let authority = CertificateAuthority::new("clients");
    let mut https = HttpsOrigin::start(Some(&authority), &[]).await;
    let (shop, other) = (authority.issue("shop", &[]), authority.issue("other", &[]));
    https.origin.user("ada").await;
    let metadata = ClientMetadata { scope: Origin::web().scope, ..tls_service("CN=shop") };
    let web = ClientMetadata {
        grant_types: Origin::web().grant_types,
        redirect_uris: Origin::web().redirect_uris,
        ..metadata
    };
    https.origin.client("shop", web).await;
    let unbound = ClientMetadata { tls_client_certificate_bound_access_tokens: false, ..tls_service("CN=other") };
    https.origin.client("other", unbound).await;
    let (without, with_shop, with_other) =
        (https.origin.http.clone(), https.client_with(&shop), https.client_with(&other));
    https.origin.http = with_shop.clone();
    let origin = &https.origin;
    let code = origin.code(&UserBrowser::new(origin, "ada"), "shop", &[]).await;
    let tokens = origin.redeem("shop", &code).await;
    let token = text(&tokens, "access_token");
    assert_eq!(claims(token)["cnf"]["x5t#S256"], json!(shop.thumbprint()));

    let userinfo = async |http: &Client| answer(http.get(origin.url("/oauth/userinfo")).bearer_auth(token)).await.0;
    assert_eq!(userinfo(&with_shop).await, 200);
    assert_eq!(userinfo(&with_other).await, 401, "with another certificate");
    assert_eq!(userinfo(&without).await, 401, "without a certificate");
    let introspect =
        async |http: &Client| post(http, origin.url("/oauth/introspect"), "shop", &[("token", token)]).await;
    let (status, found) = introspect(&with_shop).await;
    assert_eq!((status, &found["cnf"]["x5t#S256"]), (200, &json!(shop.thumbprint())), "{found}");
    assert_eq!(introspect(&with_other).await.0, 401);
    assert_eq!(introspect(&without).await.0, 401);
    // A refresh needs client authentication, and so the certificate.
    let form = [("grant_type", "refresh_token"), ("refresh_token", text(&tokens, "refresh_token"))];
    assert_eq!(post(&with_other, origin.url("/oauth/token"), "shop", &form).await.0, 401);
    assert_eq!(post(&with_shop, origin.url("/oauth/token"), "shop", &form).await.0, 200);
    // Tokens are bound only for clients registered so.
    let (status, tokens) = post(&with_other, origin.url("/oauth/token"), "other", &CLIENT_CREDENTIALS).await;
    assert_eq!((status, &claims(text(&tokens, "access_token"))["cnf"]), (200, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_header_counts_only_from_trusted_proxies() {
    let authority = CertificateAuthority::new("clients");
    let (robot, proxy) = (authority.issue("robot", &[]), authority.issue("proxy", &[]));
    let header = ("TOLLGATE_CLIENT_CERTIFICATE_HEADER", "Client-Cert");
    let forwarded =
        format!(":{}:", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &robot.certificate));
    let ask_through = async |https: &HttpsOrigin, presented: &Certificate, client: &str| {
        let form = [CLIENT_CREDENTIALS[0], ("client_id", client)];
        let request = https.client_with(presented).post(https.origin.url("/oauth/token")).form(&form);
        answer(request.header("client-cert", &forwarded)).await.0
    };
    let with_proxy = HttpsOrigin::start(Some(&authority), &[header, ("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let without_proxy =
        HttpsOrigin::start(Some(&authority), &[header, ("TOLLGATE_TRUSTED_PROXIES", "192.0.2.1")]).await;
    for (https, robot_by_header) in [(&with_proxy, 200), (&without_proxy, 401)] {
        https.origin.client("robot", tls_service("CN=robot")).await;
        https.origin.client("proxy", tls_service("CN=proxy")).await;
        assert_eq!(ask_through(https, &proxy, "robot").await, robot_by_header);
        assert_eq!(
            ask_through(https, &proxy, "proxy").await,
            601 - robot_by_header,
            "either the header or the connection counts"
        );
    }
    // A proxy's own certificate is not that of a client.
    assert_eq!(ask(&with_proxy.client_with(&proxy), &with_proxy, "proxy").await, invalid_client());
    assert_eq!(ask(&without_proxy.client_with(&proxy), &without_proxy, "proxy").await, Ok(proxy.thumbprint()));
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_client_authority_applies_to_new_connections() {
    let (first, second) = (CertificateAuthority::new("clients"), CertificateAuthority::new("clients of the next year"));
    let https = HttpsOrigin::start(Some(&first), &[]).await;
    https.origin.client("robot", tls_service("CN=robot")).await;
    let (old, new) = (first.issue("robot", &[]), second.issue("robot", &[]));
    let (with_old, with_new) = (https.client_with(&old), https.client_with(&new));
    assert_eq!(ask(&with_old, &https, "robot").await, Ok(old.thumbprint()));
    assert_eq!(ask(&with_new, &https, "robot").await, invalid_client());
    std::fs::write(https.folder.path().join("clients.crt"), second.pem()).expect("written");
    wait_until("the new authority is used", async || ask(&with_new, &https, "robot").await.is_ok()).await;
    // TLS sessions of before do not help the old certificate either.
    assert_eq!(ask(&with_old, &https, "robot").await, invalid_client());
}
