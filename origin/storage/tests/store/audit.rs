//! The audit log has one entry for each change by an administrator and each step of a grant, with
//! its actor.

use std::time::Duration;

use tollgate_model::{
    Actor, ActorClaim, AuditAction, AuditEntry, AuditFilter, AuditKind, BrowserSession, BrowserSessionId, Edge,
    NewAuditEntry, OnStale, Route, SecretKind, TokenDetails,
};
use tollgate_storage::{
    MAX_AUDIT_PAGE, RedeemCredential, RedeemOutcome, RedeemRequest, Store, StoreError, Termination, Writer,
};
use tollgate_system::Clock;

use crate::database::Database;
use crate::grant_samples::sample_code;
use crate::samples::{NOW, by, client, draft, secret, termination};

on_both_databases!(
    administrative_changes_are_audited,
    requests_that_change_nothing_are_not_audited,
    life_of_a_grant_is_audited,
    audit_entries_are_found_by_each_filter,
    audit_entries_are_dated_by_the_clock_of_the_store,
);

/// All entries that match a filter.
pub(crate) async fn audit(store: &Store, filter: AuditFilter) -> Vec<AuditEntry> {
    store.list_audit_entries(&filter).await.expect("read")
}

/// Actor, action, kind and name of each entry.
fn described(entries: &[AuditEntry]) -> Vec<(&str, &str, AuditKind, &str)> {
    entries.iter().map(|entry| (entry.actor.as_str(), entry.action.as_str(), entry.kind, entry.name.as_str())).collect()
}

fn edge() -> Edge {
    Edge {
        name: "tokyo-1".parse().expect("a name"),
        url: "http://127.0.0.1:8787".parse().expect("a URL"),
        acknowledged: 0,
        acknowledged_at_ms: None,
        contacted_at_ms: None,
        created_at: NOW,
    }
}

async fn administrative_changes_are_audited(database: &Database) {
    let store = database.store.with_actor(&by());
    let (reports, _) = client("reports");
    store.create_client(&reports).await.expect("registered");
    store.update_client(&reports.id, &reports.metadata).await.expect("changed");
    store.rotate_secret(&reports.id, &reports.secrets[0].clone(), NOW).await.expect_err("the same secret");
    let (other, _) = client("other");
    store.rotate_secret(&reports.id, &other.secrets[0], NOW).await.expect("rotated");
    store.create_edge(&edge()).await.expect("registered");
    let route = Route::new("/a/*", &["GET".to_owned()], Default::default(), false, OnStale::Deny).expect("a rule");
    store.create_route(&route).await.expect("added");
    store.delete_route(&route).await.expect("removed");
    store.delete_edge(&edge().name).await.expect("removed");
    // Without an actor.
    database.store.disable_client(&reports.id, &termination(NOW)).await.expect("disabled");
    let log = audit(&database.store, AuditFilter::default()).await;
    let who = "cli:tester";
    let expected = [
        (who, "create", AuditKind::CLIENT, "reports"),
        (who, "update", AuditKind::CLIENT, "reports"),
        (who, "rotate_secret", AuditKind::CLIENT, "reports"),
        (who, "create", AuditKind::Edge, "tokyo-1"),
        (who, "create", AuditKind::Route, "GET /a/*"),
        (who, "remove", AuditKind::Route, "GET /a/*"),
        (who, "remove", AuditKind::Edge, "tokyo-1"),
        (who, "disable", AuditKind::CLIENT, "reports"),
        (who, "revoke", AuditKind::CLIENT, "reports"),
    ];
    assert_eq!(described(&log), expected);
    assert!(log.iter().all(|entry| entry.at > NOW - 100_000_000), "they have a time");
}

async fn requests_that_change_nothing_are_not_audited(database: &Database) {
    let store = database.store.with_actor(&by());
    let (reports, _) = client("reports");
    assert!(!store.update_client(&reports.id, &reports.metadata).await.expect("asked"));
    assert!(!store.delete_edge(&edge().name).await.expect("asked"));
    assert!(store.disable_client(&reports.id, &termination(NOW)).await.expect("asked").is_none());
    store.create_client(&reports).await.expect("registered");
    assert!(matches!(store.create_client(&reports).await, Err(StoreError::AlreadyExists("client"))));
    store.disable_client(&reports.id, &termination(NOW)).await.expect("disabled");
    store.disable_client(&reports.id, &termination(NOW + 1)).await.expect("disabled before");
    let log = audit(&database.store, AuditFilter::default()).await;
    let actions: Vec<&str> = log.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["create", "disable", "revoke"]);
}

async fn life_of_a_grant_is_audited(database: &Database) {
    let store = &database.store;
    let code = sample_code(store).await;
    let (user, grant) = (Actor::user(&code.grant.user), code.grant.id.to_string());
    let cookie = secret(SecretKind::Session);
    let login = BrowserSession {
        id: BrowserSessionId::from_random(&tollgate_system::rng::random().expect("randomness")),
        hash: cookie.hash(),
        user: code.grant.user.clone(),
        auth_time: NOW,
        expires_at: NOW + 100,
        seen_at: NOW,
        sender: Default::default(),
    };
    store.create_session(&login, None).await.expect("signed in");
    let (writer, task) = Writer::new(store.clone());
    let task = tokio::spawn(task);
    let redeem = |number| RedeemRequest {
        credential: RedeemCredential::Code { hash: code.hash, refresh: None },
        grant: code.grant.id.clone(),
        issue: draft(number, NOW + 60).into(),
        at: NOW,
    };
    assert!(matches!(writer.redeem(redeem(1)).await.expect("asked"), RedeemOutcome::Issued(_)));
    assert_eq!(writer.redeem(redeem(2)).await.expect("asked"), RedeemOutcome::Replayed);
    let act = Some(ActorClaim { sub: "reports".to_owned(), client_id: Some("reports".to_owned()), act: None });
    let details = TokenDetails { act, ..TokenDetails::default() };
    let handed_on = writer.issue(tollgate_model::TokenDraft { details, ..draft(3, NOW + 60) }).await.expect("issued");
    writer.issue(draft(4, NOW + 60)).await.expect("issued");
    let refused = NewAuditEntry::new(NOW, Actor::origin(), AuditAction::RefuseSignIn, AuditKind::User, "unknown");
    writer.record_audit_note(refused).await.expect("noted");
    store.end_session(&login.id, &Termination::new(&user, "test", NOW)).await.expect("signed out");
    drop(writer);
    task.await.expect("ended");

    let log = audit(store, AuditFilter::default()).await;
    let log: Vec<_> = log.into_iter().filter(|entry| entry.action != "create").collect();
    let (who, token, login) = (user.as_str(), handed_on.id.to_string(), login.id.to_string());
    let expected = [
        (who, "grant", AuditKind::SESSION, grant.as_str()),
        (who, "sign_in", AuditKind::BrowserSession, &login),
        ("client:reports", "redeem", AuditKind::SESSION, &grant),
        ("client:reports", "revoke", AuditKind::SESSION, &grant),
        ("client:reports", "exchange", AuditKind::TOKEN, &token),
        ("origin", "refuse_sign_in", AuditKind::User, "unknown"),
        (who, "sign_out", AuditKind::BrowserSession, &login),
    ];
    assert_eq!(described(&log), expected);
    assert_eq!(log[0].reason.as_deref(), Some("reports: reports:read"));
    assert_eq!(log[4].reason.as_deref(), Some("reports acts for subject-0"));
}

async fn audit_entries_are_found_by_each_filter(database: &Database) {
    let note = |number: u64| {
        let actor = if number.is_multiple_of(2) { by() } else { Actor::origin() };
        let kind = if number.is_multiple_of(3) { AuditKind::User } else { AuditKind::Edge };
        NewAuditEntry::new(NOW + number, actor, AuditAction::Update, kind, &format!("n{}", number % 5))
    };
    let audit_notes: Vec<NewAuditEntry> = (0..30).map(note).collect();
    let batch = tollgate_storage::Batch { audit_notes, ..Default::default() };
    database.store.apply(batch).await.expect("written");
    let found = async |filter: AuditFilter| {
        let found = audit(&database.store, filter).await;
        found.iter().map(|entry| entry.at - NOW).collect::<Vec<_>>()
    };
    let all = audit(&database.store, AuditFilter::default()).await;
    assert_eq!(all.len(), 30);
    let (first, last) = (all[0].number, all[29].number);
    let none = AuditFilter::default;
    assert_eq!(found(AuditFilter { kind: Some(AuditKind::User), until: Some(NOW + 9), ..none() }).await, [0, 3, 6, 9]);
    assert_eq!(
        found(AuditFilter { actor: Some("origin".to_owned()), since: Some(NOW + 25), ..none() }).await,
        [25, 27, 29]
    );
    assert_eq!(found(AuditFilter { target: Some("n4".to_owned()), ..none() }).await, [4, 9, 14, 19, 24, 29]);
    assert_eq!(found(AuditFilter { after: Some(first + 26), ..none() }).await, [27, 28, 29]);
    assert_eq!(found(AuditFilter { newest_first: true, below: Some(last), limit: Some(2), ..none() }).await, [28, 27]);
    assert!(found(AuditFilter { action: Some(AuditAction::Create), ..none() }).await.is_empty());
    assert_eq!(found(AuditFilter { limit: Some(MAX_AUDIT_PAGE + 1), ..none() }).await.len(), 30);
}

async fn audit_entries_are_dated_by_the_clock_of_the_store(database: &Database) {
    let (clock, time) = Clock::manual(1_700_000_000_000);
    let store = Store::open_with_clock(database.url(), clock).await.expect("the database opens");
    store.create_client(&client("one").0).await.expect("registered");
    time.advance(Duration::from_secs(60));
    store.create_client(&client("two").0).await.expect("registered");
    let dates: Vec<u64> = audit(&store, AuditFilter::default()).await.iter().map(|entry| entry.at).collect();
    assert_eq!(dates, [1_700_000_000, 1_700_000_060]);
    store.close().await;
}
