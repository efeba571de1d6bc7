//! Values that are used once or decided once: replay keys, device codes, sessions, attempts.

use tollgate_model::{
    Access, BrowserSession, BrowserSessionId, DeviceCode, DevicePollOutcome, DeviceStatus, Resource, SecretHash,
    SecretKind, Sender, UserId,
};
use tollgate_storage::{ReplayKey, Store, StoreError};

use crate::database::Database;
use crate::grant_samples::sample_code;
use crate::samples::{NOW, client, secret, termination};

on_both_databases!(
    replay_key_is_used_once,
    device_code_is_decided_once,
    concurrent_polls_are_counted_once,
    sessions_end_with_a_new_password_or_a_disabled_user,
    attempts_are_counted_in_windows,
    resource_servers_are_replaced_and_deleted,
);

async fn replay_key_is_used_once(database: &Database) {
    let key = |text: &str| ReplayKey { hash: SecretHash::of(text), expires_at: NOW + 60 };
    let batch = |texts: &[&str]| tollgate_storage::Batch {
        replay_keys: texts.iter().map(|text| key(text)).collect(),
        ..Default::default()
    };
    let first_uses = async |texts: &[&str]| database.store.apply(batch(texts)).await.expect("written").first_uses;
    assert_eq!(first_uses(&["a", "b", "a"]).await, [true, true, false]);
    assert_eq!(first_uses(&["c", "b"]).await, [true, false]);
    assert_eq!(database.store.sweep(NOW + 61).await.expect("swept").others, 3);
    assert_eq!(
        first_uses(&["a"]).await,
        [false],
        "by then its proof is expired, and whether it was shown is forgotten"
    );
}

async fn device_code(store: &Store, user_code: &str) -> DeviceCode {
    let _ = store.create_client(&client("reports").0).await;
    let access = Access {
        scope: "reports:read".parse().expect("a scope"),
        audience: "other".parse().expect("an audience"),
        details: Default::default(),
    };
    let code = DeviceCode {
        hash: secret(SecretKind::Device).hash(),
        user_code: SecretHash::of(user_code),
        client: "reports".parse().expect("an id"),
        access,
        sender: Sender::new(None, None, Some("A TV")),
        requested_at: NOW,
        status: DeviceStatus::Pending,
        expires_at: NOW + 600,
        interval: 5,
        polled_at_ms: 0,
    };
    assert!(store.create_device_code(&code).await.expect("recorded"));
    code
}

async fn device_code_is_decided_once(database: &Database) {
    let store = &database.store;
    let code = device_code(store, "one").await;
    assert!(!store.create_device_code(&DeviceCode { hash: SecretHash::of("x"), ..code.clone() }).await.expect("asked"));
    assert_eq!(store.find_device_code(&code.hash).await.expect("read").as_ref(), Some(&code));
    assert_eq!(store.find_device_code_by_user_code(&code.user_code).await.expect("read").as_ref(), Some(&code));

    let mut grant = sample_code(store).await.grant;
    grant.id = tollgate_model::GrantId::from_random(&[9; 12]);
    assert!(store.approve_device_code(&code.hash, &grant).await.expect("allowed"));
    assert!(!store.deny_device_code(&code.hash, NOW).await.expect("asked"));
    let allowed = store.find_device_code(&code.hash).await.expect("read").expect("there");
    assert_eq!(allowed.status, DeviceStatus::Approved(Box::new(grant.clone())));
    grant.id = tollgate_model::GrantId::from_random(&[8; 12]);
    assert!(!store.approve_device_code(&code.hash, &grant).await.expect("asked"));
    assert!(store.find_grant(&grant.id).await.expect("read").is_none(), "nothing is left of a second decision");

    let denied = device_code(store, "two").await;
    assert!(store.deny_device_code(&denied.hash, NOW).await.expect("denied"));
    let denied = store.find_device_code(&denied.hash).await.expect("read").expect("there");
    assert_eq!(denied.poll(&denied.client, NOW * 1000), DevicePollOutcome::Denied);
    let late = device_code(store, "three").await;
    assert!(!store.deny_device_code(&late.hash, NOW + 600).await.expect("asked"));
}

async fn concurrent_polls_are_counted_once(database: &Database) {
    let code = device_code(&database.store, "one").await;
    assert!(database.store.record_device_poll(&code, 5, NOW * 1000).await.expect("recorded"));
    assert!(!database.store.record_device_poll(&code, 5, NOW * 1000).await.expect("asked"), "another was first");
    let polled = database.store.find_device_code(&code.hash).await.expect("read").expect("there");
    assert_eq!(polled.poll(&code.client, NOW * 1000 + 100), DevicePollOutcome::SlowDown { interval: 10 });
}

async fn sessions_end_with_a_new_password_or_a_disabled_user(database: &Database) {
    let store = &database.store;
    let user = sample_code(store).await.grant.user;
    let login = |number: u8| BrowserSession {
        id: BrowserSessionId::from_random(&[number; 12]),
        hash: SecretHash::of(&number.to_string()),
        user: user.clone(),
        auth_time: NOW,
        seen_at: NOW,
        sender: Sender::new(Some([192, 0, 2, 1].into()), Some("A browser"), None),
        expires_at: NOW + 100,
    };
    store.create_session(&login(1), None).await.expect("signed in");
    store.create_session(&login(2), Some(&login(1))).await.expect("signed in again");
    assert_eq!(store.find_session(&login(1).hash, NOW).await.expect("read"), None, "the cookie changes at sign-in");
    assert_eq!(store.find_session(&login(2).hash, NOW).await.expect("read"), Some(login(2)));
    assert_eq!(store.find_session(&login(2).hash, NOW + 100).await.expect("read"), None);
    store.update_password(&user, "$argon2id$", None, &termination(NOW)).await.expect("set");
    assert_eq!(store.find_session(&login(2).hash, NOW).await.expect("read"), None);
    store.create_session(&login(3), None).await.expect("signed in");
    store.disable_user(&user, &termination(NOW)).await.expect("disabled");
    assert_eq!(store.find_session(&login(3).hash, NOW).await.expect("read"), None);
    let nobody = BrowserSession { user: UserId::from_random(&[0; 12]), ..login(4) };
    assert!(matches!(store.create_session(&nobody, None).await, Err(StoreError::UserDisabled)));
    let disabled = login(5);
    assert!(matches!(store.create_session(&disabled, None).await, Err(StoreError::UserDisabled)));
}

async fn attempts_are_counted_in_windows(database: &Database) {
    for (now, count) in [(NOW, 1), (NOW + 1, 2), (NOW + 59, 3), (NOW + 60, 1), (NOW + 61, 2)] {
        assert_eq!(database.store.count_attempt("ann", 60, now).await.expect("counted"), count, "{now}");
    }
    database.store.refund_attempt("ann").await.expect("given back");
    assert_eq!(database.store.count_attempt("ann", 60, NOW + 62).await.expect("counted"), 2);
    database.store.refund_attempt("nobody").await.expect("there is none");
    assert_eq!(database.store.count_attempt("bob", 60, NOW).await.expect("counted"), 1);
}

async fn resource_servers_are_replaced_and_deleted(database: &Database) {
    let store = &database.store;
    let resource = |name: &str| Resource {
        audience: "https://api.example".parse().expect("an audience"),
        name: name.to_owned(),
        scopes: [("read".to_owned(), "Read".to_owned())].into(),
        introspected_by: None,
        tokens: Default::default(),
    };
    for name in ["one", "two"] {
        store.save_resource(&resource(name)).await.expect("registered");
    }
    assert_eq!(store.list_resources().await.expect("read"), [resource("two")]);
    assert!(store.delete_resource(&resource("").audience).await.expect("removed"));
    assert!(!store.delete_resource(&resource("").audience).await.expect("asked"));
}
