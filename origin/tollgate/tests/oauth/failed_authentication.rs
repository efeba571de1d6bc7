//! Audit entries of failed authentications.

use tollgate_model::{AuditAction, AuditEntry, AuditFilter};

use crate::fixture::{Origin, UserBrowser};

async fn entries(origin: &Origin, action: AuditAction) -> Vec<AuditEntry> {
    let filter = AuditFilter { action: Some(action), ..AuditFilter::default() };
    origin.server.store().list_audit_entries(&filter).await.expect("read")
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_authentication_is_audited_with_name_and_address() {
    let origin = Origin::start_with(&[("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let ada = origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let browser = UserBrowser::new(&origin, "ada");
    for name in ["Ada", "my password"] {
        let csrf = browser.csrf("/login").await;
        let form = [("csrf", csrf.as_str()), ("username", name), ("password", "wrong")];
        assert_eq!(browser.post("/login", &form).await.status, 403);
    }
    for client in ["shop", "tgs_a-secret-typed-as-a-name"] {
        let request = origin.http.post(origin.url("/oauth/token")).basic_auth(client, Some("wrong"));
        let request = request.header("x-forwarded-for", "198.51.100.7:40001").form(&[("grant_type", "x")]);
        assert_eq!(request.send().await.expect("answered").status(), 401);
    }
    let admin = origin.http.get(origin.url("/admin/api/clients"));
    assert_eq!(admin.try_clone().expect("no body").send().await.expect("answered").status(), 401, "no token");
    assert_eq!(admin.bearer_auth("wrong").send().await.expect("answered").status(), 401);

    let names_and_reasons = |entries: Vec<AuditEntry>| -> Vec<(String, String)> {
        entries.into_iter().map(|entry| (entry.name, entry.reason.unwrap_or_default())).collect()
    };
    let entry = |name: &str, reason: &str| (name.to_owned(), reason.to_owned());
    let sign_ins = names_and_reasons(entries(&origin, AuditAction::RefuseSignIn).await);
    assert_eq!(sign_ins, [entry(ada.as_str(), "from 127.0.0.1"), entry("unknown", "from 127.0.0.1")]);
    let clients = names_and_reasons(entries(&origin, AuditAction::RefuseClient).await);
    let expected = [
        entry("shop", "from 198.51.100.7"),
        entry("unknown", "from 198.51.100.7"),
        entry("unknown", "from 127.0.0.1 at the admin API"),
    ];
    assert_eq!(clients, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_failed_authentications_write_few_audit_entries() {
    let origin = Origin::start_with(&[("TOLLGATE_LIMITS", "off")]).await;
    origin.client("shop", Origin::web()).await;
    for _ in 0..300 {
        let request = origin.http.post(origin.url("/oauth/token")).basic_auth("shop", Some("wrong"));
        let answer = request.form(&[("grant_type", "x")]).send().await.expect("answered");
        assert_eq!(answer.status(), 401, "refused, audited or not");
    }
    let audited = entries(&origin, AuditAction::RefuseClient).await.len();
    assert!((60..200).contains(&audited), "{audited} entries for 300 failures");
}
