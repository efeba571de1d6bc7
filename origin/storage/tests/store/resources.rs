//! Resource servers.

use tokio::task::JoinSet;
use tollgate_model::{Audience, Resource};
use tollgate_storage::ScopeError;

use crate::database::Database;

on_both_databases!(concurrent_changes_of_scope_values_are_all_kept);

async fn concurrent_changes_of_scope_values_are_all_kept(database: &Database) {
    let audience: Audience = "https://api.example".parse().expect("an audience");
    let scopes = (0..8).map(|number| (format!("old-{number}"), "To be removed".to_owned())).collect();
    let resource = Resource {
        audience: audience.clone(),
        name: "The API".to_owned(),
        scopes,
        introspected_by: None,
        tokens: Default::default(),
    };
    database.store.save_resource(&resource).await.expect("registered");
    let other_process = database.reopen().await;
    let mut changes = JoinSet::new();
    for (number, store) in [&database.store, &other_process].into_iter().cycle().take(8).enumerate() {
        let (one, other) = (store.clone(), store.clone());
        let (set_of, removed_of) = (audience.clone(), audience.clone());
        changes.spawn(async move { one.set_scope_description(&set_of, &format!("new-{number}"), "To be kept").await });
        changes.spawn(async move { other.delete_scope_description(&removed_of, &format!("old-{number}")).await });
    }
    while let Some(change) = changes.join_next().await {
        change.expect("it ended").expect("changed");
    }
    let found = database.store.find_resource(&audience).await.expect("looked up").expect("it is there");
    let values: Vec<String> = (0..8).map(|number| format!("new-{number}")).collect();
    assert_eq!(found.scopes.into_keys().collect::<Vec<_>>(), values);

    for _ in 8..64 {
        let taken =
            database.store.find_resource(&audience).await.expect("looked up").expect("it is there").scopes.len();
        database.store.set_scope_description(&audience, &format!("more-{taken}"), "More").await.expect("there is room");
    }
    let refused = database.store.set_scope_description(&audience, "one-too-many", "More").await;
    assert!(matches!(refused, Err(ScopeError::Malformed(_))), "{refused:?}");
    other_process.close().await;
}
