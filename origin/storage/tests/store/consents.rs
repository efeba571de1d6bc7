//! Consent, for each audience separately.

use tollgate_model::{Access, AuthorizationCode, ClientId, GrantId, SecretHash, UserId};
use tollgate_storage::Store;

use crate::database::Database;
use crate::grant_samples::sample_code;

on_both_databases!(
    consent_for_one_audience_does_not_cover_another,
    consent_migration_keeps_certain_consent_and_widens_none,
);

fn access(scope: &str, audience: &str) -> Access {
    Access {
        scope: scope.parse().expect("a scope"),
        audience: audience.parse().expect("audiences"),
        details: Default::default(),
    }
}

async fn agree(store: &Store, code: &AuthorizationCode, number: u8, agreed: &Access) {
    let mut again = code.clone();
    again.hash = SecretHash::of(&number.to_string());
    again.grant.id = GrantId::from_random(&[number; 12]);
    assert!(store.create_code(&again, Some(agreed)).await.expect("recorded"));
}

async fn covers(store: &Store, user: &UserId, client: &ClientId, scope: &str, audience: &str) -> bool {
    store.get_consent(user, client).await.expect("read").covers(&access(scope, audience))
}

async fn consent_for_one_audience_does_not_cover_another(database: &Database) {
    let store = &database.store;
    let code = sample_code(store).await;
    let (user, client) = (&code.grant.user, &code.grant.client);
    database.execute("DELETE FROM consented_access").await.expect("deleted");
    agree(store, &code, 1, &access("read", "a")).await;
    agree(store, &code, 2, &access("write", "b")).await;
    agree(store, &code, 3, &access("more", "b")).await;
    for (scope, audience, is_covered) in [
        ("read", "a", true),
        ("more write", "b", true),
        ("write", "a", false),
        ("read", "b", false),
        ("read", "a b", false),
    ] {
        assert_eq!(covers(store, user, client, scope, audience).await, is_covered, "{scope} at {audience}");
    }
}

async fn consent_migration_keeps_certain_consent_and_widens_none(database: &Database) {
    let first = sample_code(&database.store).await;
    let second = sample_code(&database.store).await;
    let client = &first.grant.client;
    for sql in [
        "DROP TABLE consented_access",
        "DELETE FROM _sqlx_migrations WHERE version = 12",
        "CREATE TABLE consents (user_id TEXT NOT NULL, client_id TEXT NOT NULL, access TEXT NOT NULL, agreed_at BIGINT NOT NULL)",
    ] {
        database.execute(sql).await.expect("as before");
    }
    let kept = r#"{"scope":"read write","audience":"a","details":[{"type":"pay"}]}"#;
    let uncertain = r#"{"scope":"read write","audience":["a","b"]}"#;
    for (user, access) in [(&first.grant.user, kept), (&second.grant.user, uncertain)] {
        let sql = format!("INSERT INTO consents VALUES ('{user}', '{client}', '{access}', 7)");
        database.execute(&sql).await.expect("inserted");
    }
    let store = database.reopen().await;
    let migrated = store.get_consent(&first.grant.user, client).await.expect("read");
    assert!(migrated.covers(&access("read write", "a")) && !migrated.covers(&access("read", "b")));
    let details = r#"[{"type":"pay"}]"#;
    let details = tollgate_model::AuthorizationDetails::parse(details).expect("details");
    assert!(migrated.covers(&Access { details, ..access("read", "a") }));
    for (scope, audience) in [("read", "a"), ("write", "b"), ("", "a")] {
        assert!(!covers(&store, &second.grant.user, client, scope, audience).await, "{scope} at {audience}");
    }
    store.close().await;
}
