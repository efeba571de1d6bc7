//! Clients and their secrets.

use tokio::task::JoinSet;
use tollgate_model::{AuditAction, AuditFilter, ClientMetadata, ClientStatus, Secret, SecretKind, StoredSecret};
use tollgate_storage::StoreError;

use crate::database::Database;
use crate::samples::{NOW, client, secret, termination};

on_both_databases!(
    migrating_twice_changes_nothing,
    client_is_read_as_it_was_written,
    taken_client_id_is_refused,
    disabling_a_client_twice_keeps_the_first_time,
    disabled_client_can_be_enabled,
    rotation_leaves_two_valid_secrets,
    rotations_within_one_second_keep_their_order,
    concurrent_rotations_leave_two_valid_secrets,
    registration_update_after_an_operator_change_is_refused,
    change_of_a_client_that_was_changed_meanwhile_is_refused,
);

async fn change_of_a_client_that_was_changed_meanwhile_is_refused(database: &Database) {
    let (read, _) = client("reports");
    let store = &database.store;
    store.create_client(&read).await.expect("registered");
    let owned_by = |owner: &str| ClientMetadata { owner: Some(owner.to_owned()), ..read.metadata.clone() };
    store.change_client(&read, &owned_by("first")).await.expect("unchanged since it was read");
    let refused = store.change_client(&read, &owned_by("second")).await;
    assert!(matches!(refused, Err(StoreError::ConcurrentModification)), "{refused:?}");
    let found = store.find_client(&read.id).await.expect("looked up").expect("it is there");
    assert_eq!(found.metadata, owned_by("first"));
    let unknown = store.change_client(&client("nobody").0, &owned_by("x")).await;
    assert!(matches!(unknown, Err(StoreError::ConcurrentModification)), "{unknown:?}");
}

async fn migrating_twice_changes_nothing(database: &Database) {
    let (client, _) = client("reports");
    database.store.create_client(&client).await.expect("registered");
    let again = database.reopen().await;
    assert_eq!(again.list_clients().await.expect("listed").len(), 1);
    again.close().await;
}

async fn client_is_read_as_it_was_written(database: &Database) {
    let (client, secret) = client("reports");
    database.store.create_client(&client).await.expect("registered");
    let found = database.store.find_client(&client.id).await.expect("looked up").expect("it is there");
    assert_eq!(format!("{found:?}"), format!("{client:?}"));
    assert!(found.has_secret(&secret.hash(), NOW));
    assert!(!found.has_secret(&Secret::new(SecretKind::Client, &[0; 32]).hash(), NOW));
    assert!(database.store.find_client(&"nobody".parse().expect("an id")).await.expect("looked up").is_none());
}

async fn taken_client_id_is_refused(database: &Database) {
    let (first, secret) = client("reports");
    database.store.create_client(&first).await.expect("registered");
    let refused = database.store.create_client(&client("reports").0).await;
    assert!(matches!(refused, Err(StoreError::AlreadyExists("client"))), "{refused:?}");
    let found = database.store.find_client(&first.id).await.expect("looked up").expect("it is there");
    assert!(found.has_secret(&secret.hash(), NOW), "the first one's secret stays");
}

async fn disabling_a_client_twice_keeps_the_first_time(database: &Database) {
    let (client, _) = client("reports");
    database.store.create_client(&client).await.expect("registered");
    for now in [NOW + 1, NOW + 2] {
        let disabled =
            database.store.disable_client(&client.id, &termination(now)).await.expect("disabled").expect("it is there");
        assert_eq!(disabled.status, ClientStatus::Disabled { at: NOW + 1 });
    }
    let found = database.store.find_client(&client.id).await.expect("looked up").expect("it is there");
    assert_eq!(found.status, ClientStatus::Disabled { at: NOW + 1 });
    assert!(
        database
            .store
            .disable_client(&"nobody".parse().expect("an id"), &termination(NOW))
            .await
            .expect("asked")
            .is_none()
    );
}

async fn disabled_client_can_be_enabled(database: &Database) {
    let (client, secret) = client("reports");
    database.store.create_client(&client).await.expect("registered");
    database.store.disable_client(&client.id, &termination(NOW + 1)).await.expect("disabled").expect("it is there");
    for _ in 0..2 {
        let enabled = database.store.enable_client(&client.id).await.expect("enabled").expect("it is there");
        assert!(enabled.is_active() && enabled.has_secret(&secret.hash(), NOW + 2));
    }
    let filter = AuditFilter { action: Some(AuditAction::Enable), ..AuditFilter::default() };
    let lines = database.store.list_audit_entries(&filter).await.expect("read");
    assert_eq!((lines.len(), lines[0].name.as_str()), (1, "reports"), "what changes nothing leaves no line");
    assert!(database.store.enable_client(&"nobody".parse().expect("an id")).await.expect("asked").is_none());
}

async fn rotation_leaves_two_valid_secrets(database: &Database) {
    let (client, first) = client("reports");
    database.store.create_client(&client).await.expect("registered");
    let [second, third] = [1, 2].map(|_| secret(SecretKind::Client));
    let good = async |secret: &Secret, now| {
        let found = database.store.find_client(&client.id).await.expect("looked up").expect("it is there");
        found.has_secret(&secret.hash(), now)
    };
    let stored = StoredSecret::generated;
    database.store.rotate_secret(&client.id, &stored(&second, NOW + 1), NOW + 100).await.expect("rotated");
    assert!(good(&first, NOW + 99).await && good(&second, NOW + 99).await);
    assert!(!good(&first, NOW + 100).await && good(&second, NOW + 100).await);
    // With a third secret, the second stays valid for a while, and the first ends now.
    database.store.rotate_secret(&client.id, &stored(&third, NOW + 2), NOW + 100).await.expect("rotated");
    assert!(!good(&first, NOW + 3).await && good(&second, NOW + 3).await && good(&third, NOW + 3).await);
    database.store.sweep(NOW + 101).await.expect("swept");
    let left = database.store.find_client(&client.id).await.expect("looked up").expect("it is there").secrets;
    assert_eq!(left, [stored(&third, NOW + 2)]);
}

async fn rotations_within_one_second_keep_their_order(database: &Database) {
    let (client, mut before) = client("reports");
    database.store.create_client(&client).await.expect("registered");
    for number in 0..8 {
        let next = secret(SecretKind::Client);
        database
            .store
            .rotate_secret(&client.id, &StoredSecret::generated(&next, NOW), NOW + 100)
            .await
            .expect("rotated");
        let found = database.store.find_client(&client.id).await.expect("looked up").expect("it is there");
        assert!(found.has_secret(&next.hash(), NOW) && found.has_secret(&before.hash(), NOW), "{number}");
        assert_eq!(found.secrets.iter().filter(|secret| secret.is_valid(NOW)).count(), 2, "{number}");
        before = next;
    }
}

async fn concurrent_rotations_leave_two_valid_secrets(database: &Database) {
    let (client, _) = client("reports");
    database.store.create_client(&client).await.expect("registered");
    let other_process = database.reopen().await;
    let mut rotations = JoinSet::new();
    for store in [&database.store, &other_process].into_iter().cycle().take(16) {
        let (store, id, new) = (store.clone(), client.id.clone(), secret(SecretKind::Client));
        rotations.spawn(async move { store.rotate_secret(&id, &StoredSecret::generated(&new, NOW), NOW + 100).await });
    }
    while let Some(rotation) = rotations.join_next().await {
        rotation.expect("it ended").expect("rotated");
    }
    let found = database.store.find_client(&client.id).await.expect("looked up").expect("it is there");
    let valid = found.secrets.iter().filter(|secret| secret.is_valid(NOW));
    let mut ends: Vec<_> = valid.map(|secret| secret.expires_at).collect();
    ends.sort();
    assert_eq!(ends, [None, Some(NOW + 100)], "the newest, and the one before for a while");
    other_process.close().await;
}

async fn registration_update_after_an_operator_change_is_refused(database: &Database) {
    let store = &database.store;
    let (mut own, secret) = client("own");
    own.registration = Some(secret.hash());
    let (operators, _) = client("operators");
    for client in [&own, &operators] {
        store.create_client(client).await.expect("registered");
        store.update_registration(client, &client.metadata).await.expect("no concurrent modification");
        assert!(store.update_client(&client.id, &client.metadata).await.expect("changed by the operator"));
    }
    let found = async |id| store.find_client(id).await.expect("looked up").expect("it is there");
    assert_eq!(found(&own.id).await.operator_metadata, Some(own.metadata.clone()));
    assert_eq!(found(&operators.id).await.operator_metadata, None, "it has no registration of its own");
    // The client as it was read before is out of date.
    let late = store.update_registration(&own, &own.metadata).await;
    assert!(matches!(late, Err(StoreError::ConcurrentModification)), "{late:?}");
    let read = found(&own.id).await;
    store.update_registration(&read, &read.metadata).await.expect("it read again");
    store.disable_client(&own.id, &termination(NOW)).await.expect("disabled");
    let late = store.update_registration(&read, &read.metadata).await;
    assert!(matches!(late, Err(StoreError::ConcurrentModification)), "{late:?}");
}
