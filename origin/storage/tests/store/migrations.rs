//! Migrations keep the data of older versions.

use tollgate_model::{
    AuthorizationCode, BrowserSession, BrowserSessionId, DeviceCode, DeviceStatus, Grant, GrantId, SecretHash,
    SecretKind, Sender,
};
use tollgate_storage::{MigrationPhase, MigrationStatus, ReplayKey, Store, StoreError};

use crate::database::Database;
use crate::grant_samples::{random, sample_code};
use crate::samples::{NOW, secret};

on_both_databases!(
    renaming_tables_keeps_sessions_grants_codes_and_replay_keys,
    codes_are_kept_when_the_challenge_becomes_optional,
    reading_the_status_applies_no_migration,
    programs_open_a_newer_schema_unless_it_lacks_what_they_use,
);

async fn renaming_tables_keeps_sessions_grants_codes_and_replay_keys(database: &Database) {
    let store = &database.store;
    let first = sample_code(store).await;
    let session = BrowserSession {
        id: BrowserSessionId::from_random(&random()),
        hash: SecretHash::of("cookie"),
        user: first.grant.user.clone(),
        auth_time: NOW,
        seen_at: NOW,
        sender: Sender::new(None, Some("A browser"), None),
        expires_at: NOW + 1000,
    };
    store.create_session(&session, None).await.expect("signed in");
    let in_session =
        Grant { id: GrantId::from_random(&random()), browser_session: Some(session.id.clone()), ..first.grant.clone() };
    let code = AuthorizationCode { hash: secret(SecretKind::Code).hash(), grant: in_session, ..first.clone() };
    assert!(store.create_code(&code, None).await.expect("recorded"));
    let device = DeviceCode {
        hash: secret(SecretKind::Device).hash(),
        user_code: SecretHash::of("user code"),
        client: first.grant.client.clone(),
        access: first.grant.terms.access.clone(),
        sender: Sender::new(None, None, Some("A TV")),
        requested_at: NOW,
        status: DeviceStatus::Pending,
        expires_at: NOW + 600,
        interval: 5,
        polled_at_ms: 0,
    };
    assert!(store.create_device_code(&device).await.expect("recorded"));
    let used = ReplayKey { hash: SecretHash::of("jti"), expires_at: NOW + 60 };
    assert!(store.record_first_use(used).await.expect("recorded"));
    for sql in [
        "DELETE FROM _sqlx_migrations WHERE version = 18",
        "ALTER TABLE replay_keys RENAME TO seen",
        "DROP INDEX replay_keys_by_expiry",
        "CREATE INDEX seen_by_end ON seen (expires_at)",
        "ALTER TABLE browser_sessions RENAME TO logins",
        "DROP INDEX browser_sessions_by_expiry",
        "DROP INDEX browser_sessions_by_user",
        "CREATE INDEX logins_by_end ON logins (expires_at)",
        "CREATE INDEX logins_by_user ON logins (user_id)",
        "ALTER TABLE grants RENAME COLUMN browser_session_id TO login_id",
        "DROP INDEX grants_by_browser_session",
        "CREATE INDEX grants_by_login ON grants (login_id)",
        "ALTER TABLE device_codes RENAME COLUMN requested_at TO asked_at",
        "ALTER TABLE signals RENAME COLUMN is_reinstatement TO lifting",
    ] {
        database.execute(sql).await.expect("the schema of the version before");
    }
    let store = database.reopen().await;
    assert_eq!(store.find_session(&session.hash, NOW).await.expect("read"), Some(session));
    assert_eq!(store.find_code(&code.hash).await.expect("read"), Some(code));
    assert_eq!(store.find_device_code(&device.hash).await.expect("read"), Some(device));
    assert!(!store.record_first_use(used).await.expect("recorded"), "a replay stays a replay");
    store.close().await;
}

async fn codes_are_kept_when_the_challenge_becomes_optional(database: &Database) {
    let code = sample_code(&database.store).await;
    // SQLite cannot restore the constraint either; its migration writes the table again anyway.
    let constraint = match database.url().starts_with("postgres") {
        true => "ALTER TABLE codes ALTER COLUMN challenge SET NOT NULL",
        false => "SELECT 1",
    };
    for sql in [
        "DELETE FROM _sqlx_migrations WHERE version IN (19, 20)",
        "ALTER TABLE codes DROP COLUMN tokens_expire_at",
        constraint,
    ] {
        database.execute(sql).await.expect("the schema of the version before");
    }
    let store = database.reopen().await;
    assert_eq!(store.find_code(&code.hash).await.expect("read"), Some(code.clone()));
    let grant = Grant { id: GrantId::from_random(&random()), ..code.grant.clone() };
    let without = AuthorizationCode { hash: secret(SecretKind::Code).hash(), grant, challenge: None, ..code };
    assert!(store.create_code(&without, None).await.expect("recorded"));
    assert_eq!(store.find_code(&without.hash).await.expect("read"), Some(without));
    store.close().await;
}

async fn reading_the_status_applies_no_migration(database: &Database) {
    let status = MigrationStatus::read(database.url()).await.expect("read");
    assert_eq!((status.pending.as_slice(), status.must_stop_programs()), ([].as_slice(), false));
    let newest = status.schema.expect("migrations");
    let delete = format!("DELETE FROM _sqlx_migrations WHERE version IN ({newest}, 19)");
    database.execute(&delete).await.expect("the version before");
    for _ in 0..2 {
        let status = MigrationStatus::read(database.url()).await.expect("read");
        let pending: Vec<i64> = status.pending.iter().map(|migration| migration.version).collect();
        assert_eq!((pending.first(), pending.last()), (Some(&19), Some(&newest)));
        assert_eq!(status.pending[0].phase, MigrationPhase::Contract, "its name does not say that it only adds");
        assert!(status.must_stop_programs());
    }
    let file = std::env::temp_dir().join(format!("tollgate-none-{}.db", std::process::id()));
    let new = MigrationStatus::read(&format!("sqlite://{}", file.display())).await.expect("read");
    assert_eq!((new.schema, new.must_stop_programs(), file.exists()), (None, false, false));
    assert!(new.pending.len() > 10);
}

async fn programs_open_a_newer_schema_unless_it_lacks_what_they_use(database: &Database) {
    let newest = MigrationStatus::read(database.url()).await.expect("read").schema.expect("migrations");
    for (name, is_opened) in [
        ("expand something".to_owned(), true),
        (format!("contract {newest:04} something"), true),
        (format!("contract {} something", newest + 1), false),
        ("something".to_owned(), false),
    ] {
        let bytes = if database.url().starts_with("postgres") { r"'\x00'::bytea" } else { "x'00'" };
        let insert = format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9001, '{name}', TRUE, {bytes}, 0)"
        );
        database.execute(&insert).await.expect("a migration of a newer program");
        match Store::open(database.url()).await {
            Ok(store) => {
                assert!(is_opened, "{name}");
                store.close().await;
            }
            Err(error) => {
                assert!(!is_opened, "{name}: {error}");
                assert!(matches!(error, StoreError::NewerSchema { version: 9001, .. }), "{error:?}");
            }
        }
        assert_eq!(MigrationStatus::read(database.url()).await.is_ok(), is_opened, "{name}");
        database.execute("DELETE FROM _sqlx_migrations WHERE version = 9001").await.expect("deleted");
    }
}
