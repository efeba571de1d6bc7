//! Failed authentications have a line in the audit log with the address, and a flood of them has few.

use tollgate_model::{AuditAction, AuditEntry, AuditFilter};

use crate::harness::{Browser, Origin};

async fn lines(origin: &Origin, action: AuditAction) -> Vec<AuditEntry> {
    let filter = AuditFilter { action: Some(action), ..AuditFilter::default() };
    origin.server.store().audit(&filter).await.expect("read")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_authentication_is_noted_with_who_and_from_where() {
    let origin = Origin::with(&[("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let ada = origin.user("ada").await;
    origin.client("shop", Origin::web()).await;
    let browser = Browser::of(&origin, "ada");
    for name in ["Ada", "my password"] {
        let csrf = browser.get("/login").await.field("csrf").expect("a form");
        let form = [("csrf", csrf.as_str()), ("username", name), ("password", "wrong")];
        assert_eq!(browser.post("/login", &form).await.status, 403);
    }
    for client in ["shop", "tgs_a-secret-typed-as-a-name"] {
        let request = origin.http.post(origin.url("/oauth/token")).basic_auth(client, Some("wrong"));
        let request = request.header("x-forwarded-for", "198.51.100.7:40001").form(&[("grant_type", "x")]);
        assert_eq!(request.send().await.expect("answered").status(), 401);
    }
    let admin = origin.http.get(origin.url("/admin/api/clients"));
    assert_eq!(admin.try_clone().expect("no body").send().await.expect("answered").status(), 401, "nothing is shown");
    assert_eq!(admin.bearer_auth("wrong").send().await.expect("answered").status(), 401);

    let told = |entries: Vec<AuditEntry>| -> Vec<(String, String)> {
        entries.into_iter().map(|entry| (entry.name, entry.reason.unwrap_or_default())).collect()
    };
    let line = |name: &str, reason: &str| (name.to_owned(), reason.to_owned());
    let sign_ins = told(lines(&origin, AuditAction::RefuseSignIn).await);
    assert_eq!(sign_ins, [line(ada.as_str(), "from 127.0.0.1"), line("unknown", "from 127.0.0.1")]);
    let clients = told(lines(&origin, AuditAction::RefuseClient).await);
    let expected = [
        line("shop", "from 198.51.100.7"),
        line("unknown", "from 198.51.100.7"),
        line("unknown", "from 127.0.0.1 at the admin API"),
    ];
    assert_eq!(clients, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_failures_fills_no_log() {
    let origin = Origin::with(&[("TOLLGATE_LIMITS", "off")]).await;
    origin.client("shop", Origin::web()).await;
    for _ in 0..300 {
        let request = origin.http.post(origin.url("/oauth/token")).basic_auth("shop", Some("wrong"));
        let answer = request.form(&[("grant_type", "x")]).send().await.expect("answered");
        assert_eq!(answer.status(), 401, "refused whether it is noted or not");
    }
    let noted = lines(&origin, AuditAction::RefuseClient).await.len();
    assert!((60..200).contains(&noted), "{noted} lines of 300 failures");
}
