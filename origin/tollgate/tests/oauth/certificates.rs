//! Clients' certificates of connections that end at the origin (RFC 8705): whom they authenticate, and what is bound to them.

use std::sync::Arc;

use reqwest::tls::Version as Tls;
use reqwest::{Client, StatusCode};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use serde_json::{Value, json};
use tollgate_model::{AuthMethod, ClientMetadata};

use crate::harness::{Browser, Key, Origin, answer, claims};
use crate::pki::{Authority, Holder, Secured};

const SERVICE: [(&str, &str); 1] = [("grant_type", "client_credentials")];
const ANY: [(&str, &str); 1] = [("TOLLGATE_TLS_CLIENT_CERTIFICATES", "any")];

/// A service that is known by the names that an authority vouches for.
fn named(subject: &str) -> ClientMetadata {
    ClientMetadata {
        auth_method: AuthMethod::TlsClientAuth,
        tls_client_auth_subject_dn: Some(subject.to_owned()),
        tls_client_certificate_bound_access_tokens: true,
        ..Origin::service("orders")
    }
}

/// A service that is known by this very certificate.
fn registered(holder: &Holder) -> ClientMetadata {
    let mut jwk = Key::new().jwk();
    jwk["x5t#S256"] = json!(holder.thumbprint());
    ClientMetadata {
        auth_method: AuthMethod::SelfSignedTlsClientAuth,
        jwks: Some(json!({ "keys": [jwk] })),
        tls_client_certificate_bound_access_tokens: true,
        ..Origin::service("orders")
    }
}

async fn post(http: &Client, url: String, client: &str, form: &[(&str, &str)]) -> (StatusCode, Value) {
    answer(http.post(url).form(&[form, &[("client_id", client)]].concat())).await
}

/// A client's answer at the token endpoint: the error, or what its token is bound to.
async fn ask(http: &Client, secured: &Secured, client: &str) -> Result<String, String> {
    let (status, tokens) = post(http, secured.origin.url("/oauth/token"), client, &SERVICE).await;
    match tokens["access_token"].as_str() {
        Some(token) => Ok(claims(token)["cnf"]["x5t#S256"].as_str().expect("it is bound").to_owned()),
        None => Err(format!("{} {}", status.as_u16(), tokens["error"].as_str().expect("an error"))),
    }
}

fn refused() -> Result<String, String> {
    Err("401 invalid_client".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_known_by_names_that_an_authority_vouches_for() {
    let (authority, other) = (Authority::new("clients"), Authority::new("others"));
    // What a client is told of the authorities, or not, changes nothing of what is believed.
    for settings in [&[][..], &ANY] {
        let secured = Secured::start(Some(&authority), settings).await;
        secured.origin.client("robot", named("CN=robot")).await;
        let by_host = ClientMetadata {
            tls_client_auth_subject_dn: None,
            tls_client_auth_san_dns: Some("robot.example".to_owned()),
            ..named("")
        };
        secured.origin.client("by-host", by_host).await;
        let metadata: Value =
            answer(secured.origin.http.get(secured.origin.url("/.well-known/openid-configuration"))).await.1;
        let methods = metadata["token_endpoint_auth_methods_supported"].as_array().expect("a list");
        assert!(["tls_client_auth", "self_signed_tls_client_auth"].iter().all(|way| methods.contains(&json!(way))));
        assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], true);

        let robot = authority.issue("robot", &["robot.example"]);
        let http = secured.showing(&robot);
        // Again on resumed sessions.
        for _ in 0..3 {
            assert_eq!(ask(&http, &secured, "robot").await, Ok(robot.thumbprint()));
            assert_eq!(ask(&http, &secured, "by-host").await, Ok(robot.thumbprint()));
        }
        let old = secured.authority.client().identity(robot.identity()).tls_version_max(Tls::TLS_1_2);
        assert_eq!(ask(&old.build().expect("a client"), &secured, "robot").await, Ok(robot.thumbprint()));
        for (what, holder) in [
            ("another name", authority.issue("somebody", &["else.example"])),
            ("another authority", other.issue("robot", &["robot.example"])),
            ("nobody vouches", Holder::self_made("robot")),
            ("the server's authority", secured.authority.issue("robot", &["robot.example"])),
        ] {
            for client in ["robot", "by-host"] {
                assert_eq!(ask(&secured.showing(&holder), &secured, client).await, refused(), "{what}");
            }
        }
        assert_eq!(ask(&secured.origin.http, &secured, "robot").await, refused(), "no certificate");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_ones_own_making_is_known_by_registration_alone() {
    let authority = Authority::new("clients");
    for clients in [None, Some(&authority)] {
        let secured = Secured::start(clients, &ANY).await;
        let robot = Holder::self_made("robot");
        secured.origin.client("robot", registered(&robot)).await;
        secured.origin.client("named", named("CN=robot")).await;
        let http = secured.showing(&robot);
        assert_eq!(ask(&http, &secured, "robot").await, Ok(robot.thumbprint()));
        assert_eq!(ask(&http, &secured, "named").await, refused(), "nobody vouches for its names");
        assert_eq!(ask(&secured.showing(&Holder::self_made("robot")), &secured, "robot").await, refused());
        assert_eq!(ask(&secured.origin.http, &secured, "robot").await, refused());
        let metadata: Value =
            answer(secured.origin.http.get(secured.origin.url("/.well-known/openid-configuration"))).await.1;
        let methods = metadata["token_endpoint_auth_methods_supported"].as_array().expect("a list");
        assert!(methods.contains(&json!("self_signed_tls_client_auth")));
        assert_eq!(methods.contains(&json!("tls_client_auth")), clients.is_some(), "{methods:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_its_key_is_worth_nothing() {
    let authority = Authority::new("clients");
    let secured = Secured::start(Some(&authority), &ANY).await;
    let (robot, thief) = (authority.issue("robot", &[]), Holder::self_made("thief"));
    secured.origin.client("robot", named("CN=robot")).await;
    secured.origin.client("registered", registered(&robot)).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (holder, is_answered) in [(&robot, true), (&thief, false)] {
            let http = mixed(&secured, version, &robot, holder);
            for client in ["robot", "registered"] {
                let request = http.post(secured.origin.url("/oauth/token"));
                let answered = request.form(&[SERVICE[0], ("client_id", client)]).send().await;
                assert_eq!(answered.is_ok_and(|answer| answer.status() == 200), is_answered, "{version:?} {client}");
            }
        }
    }
}

/// A client that shows the certificate of one and has the key of another.
fn mixed(
    secured: &Secured,
    version: &'static rustls::SupportedProtocolVersion,
    shown: &Holder,
    signing: &Holder,
) -> Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing.key.clone()));
    let key = provider.key_provider.load_private_key(key).expect("a key");
    let shown = CertifiedKey::new(vec![CertificateDer::from(shown.certificate.clone())], key);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(secured.authority.der())).expect("an authority");
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    Client::builder().tls_backend_preconfigured(config).build().expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_is_good_with_its_certificate_alone() {
    let authority = Authority::new("clients");
    let mut secured = Secured::start(Some(&authority), &[]).await;
    let (shop, other) = (authority.issue("shop", &[]), authority.issue("other", &[]));
    secured.origin.user("ada").await;
    let metadata = ClientMetadata { scope: Origin::web().scope, ..named("CN=shop") };
    let web = ClientMetadata {
        grant_types: Origin::web().grant_types,
        redirect_uris: Origin::web().redirect_uris,
        ..metadata
    };
    secured.origin.client("shop", web).await;
    let unbound = ClientMetadata { tls_client_certificate_bound_access_tokens: false, ..named("CN=other") };
    secured.origin.client("other", unbound).await;
    let (bare, with_shop, with_other) = (secured.origin.http.clone(), secured.showing(&shop), secured.showing(&other));
    secured.origin.http = with_shop.clone();
    let origin = &secured.origin;
    let code = origin.code(&Browser::of(origin, "ada"), "shop", &[]).await;
    let tokens = origin.redeem("shop", &code).await;
    let token = tokens["access_token"].as_str().expect("a token");
    assert_eq!(claims(token)["cnf"]["x5t#S256"], json!(shop.thumbprint()));

    let userinfo = async |http: &Client| answer(http.get(origin.url("/oauth/userinfo")).bearer_auth(token)).await.0;
    assert_eq!(userinfo(&with_shop).await, 200);
    assert_eq!(userinfo(&with_other).await, 401, "another certificate");
    assert_eq!(userinfo(&bare).await, 401, "none");
    let introspect =
        async |http: &Client| post(http, origin.url("/oauth/introspect"), "shop", &[("token", token)]).await;
    let (status, found) = introspect(&with_shop).await;
    assert_eq!((status.as_u16(), &found["cnf"]["x5t#S256"]), (200, &json!(shop.thumbprint())), "{found}");
    assert_eq!(introspect(&with_other).await.0, 401);
    assert_eq!(introspect(&bare).await.0, 401);
    // A refresh token is the client's, who must authenticate.
    let form = [("grant_type", "refresh_token"), ("refresh_token", tokens["refresh_token"].as_str().expect("a token"))];
    assert_eq!(post(&with_other, origin.url("/oauth/token"), "shop", &form).await.0, 401);
    assert_eq!(post(&with_shop, origin.url("/oauth/token"), "shop", &form).await.0, 200);
    // A client that need not bind its tokens has none that it did not ask for.
    let (status, tokens) = post(&with_other, origin.url("/oauth/token"), "other", &SERVICE).await;
    assert_eq!(
        (status.as_u16(), &claims(tokens["access_token"].as_str().expect("a token"))["cnf"]),
        (200, &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_tells_of_certificates_and_has_none_of_its_clients() {
    let authority = Authority::new("clients");
    let (robot, proxy) = (authority.issue("robot", &[]), authority.issue("proxy", &[]));
    let header = ("TOLLGATE_CLIENT_CERTIFICATE_HEADER", "Client-Cert");
    let told = format!(":{}:", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &robot.certificate));
    let ask_through = async |secured: &Secured, shown: &Holder, client: &str| {
        let form = [SERVICE[0], ("client_id", client)];
        let request = secured.showing(shown).post(secured.origin.url("/oauth/token")).form(&form);
        answer(request.header("client-cert", &told)).await.0.as_u16()
    };
    let trusting = Secured::start(Some(&authority), &[header, ("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let distrustful = Secured::start(Some(&authority), &[header, ("TOLLGATE_TRUSTED_PROXIES", "192.0.2.1")]).await;
    for (secured, robot_by_header) in [(&trusting, 200), (&distrustful, 401)] {
        secured.origin.client("robot", named("CN=robot")).await;
        secured.origin.client("proxy", named("CN=proxy")).await;
        assert_eq!(ask_through(secured, &proxy, "robot").await, robot_by_header);
        assert_eq!(ask_through(secured, &proxy, "proxy").await, 601 - robot_by_header, "one or the other");
    }
    // Of a client that shows none to it, a proxy tells nothing: its own certificate is not that client's.
    assert_eq!(ask(&trusting.showing(&proxy), &trusting, "proxy").await, refused());
    assert_eq!(ask(&distrustful.showing(&proxy), &distrustful, "proxy").await, Ok(proxy.thumbprint()));
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_are_renewed_too() {
    let (first, second) = (Authority::new("clients"), Authority::new("clients of the next year"));
    let secured = Secured::start(Some(&first), &[]).await;
    secured.origin.client("robot", named("CN=robot")).await;
    let (old, new) = (first.issue("robot", &[]), second.issue("robot", &[]));
    let (with_old, with_new) = (secured.showing(&old), secured.showing(&new));
    assert_eq!(ask(&with_old, &secured, "robot").await, Ok(old.thumbprint()));
    assert_eq!(ask(&with_new, &secured, "robot").await, refused());
    std::fs::write(secured.folder.path().join("clients.crt"), second.pem()).expect("written");
    while ask(&with_new, &secured, "robot").await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // Sessions that it could resume are of no more use to it than new ones.
    assert_eq!(ask(&with_old, &secured, "robot").await, refused());
}
