//! Users, browser sessions, grants and consent, as their users see and end them.

use tollgate_model::{
    Access, Actor, AuthSource, BrowserSession, BrowserSessionId, SecretHash, Sender, Target, User, UserClaims, UserId,
};
use tollgate_storage::{StoreError, Termination};

use crate::database::Database;
use crate::grant_samples::sample_code;
use crate::samples::{NOW, revoke_any, termination};

on_both_databases!(
    user_is_read_as_written_and_names_are_unique,
    sessions_are_listed_by_user_and_end_with_the_password,
    grants_are_listed_until_a_day_after_their_end,
    administrators_cannot_disable_each_other,
    consent_is_withdrawn_for_one_client_or_all,
    stored_user_names_are_prepared_when_the_database_is_opened,
);

fn login(user: &UserId, number: u8) -> BrowserSession {
    BrowserSession {
        id: BrowserSessionId::from_random(&[number; 12]),
        hash: SecretHash::of(&number.to_string()),
        user: user.clone(),
        auth_time: NOW + u64::from(number),
        seen_at: NOW + u64::from(number),
        sender: Sender::new(Some([192, 0, 2, number].into()), Some("A browser"), None),
        expires_at: NOW + 1000,
    }
}

async fn user_is_read_as_written_and_names_are_unique(database: &Database) {
    let store = &database.store;
    assert!(!store.has_users().await.expect("read"));
    let named =
        |name: &str, number: u8| User::new(UserId::from_random(&[number; 12]), name.parse().expect("a name"), NOW);
    let grace = User {
        external_id: Some("u-42".to_owned()),
        auth_source: AuthSource::HttpApi,
        is_admin: true,
        ..named("grace", 1)
    };
    assert!(!store.has_active_admin().await.expect("read"));
    store.create_user(&grace).await.expect("registered");
    assert!(store.has_users().await.expect("read") && store.has_active_admin().await.expect("read"));
    assert_eq!(store.find_user_by_external_id("u-42").await.expect("read").as_ref(), Some(&grace));
    for taken in [named("grace", 2), User { external_id: grace.external_id.clone(), ..named("other", 2) }] {
        assert!(matches!(store.create_user(&taken).await, Err(StoreError::AlreadyExists(_))));
    }
    let claims = UserClaims::parse(r#"{"name":"Grace"}"#).expect("claims");
    store.update_user_claims(&grace.id, &claims).await.expect("set");
    let read = User { claims, ..grace };
    assert_eq!(store.find_user(&read.id).await.expect("read").as_ref(), Some(&read));

    // A change applies only to what was read, and takes no name that another user has.
    let ada = named("ada", 3);
    store.create_user(&ada).await.expect("registered");
    let taken = User { name: ada.name.clone(), ..read.clone() };
    assert!(matches!(store.change_user(&read, &taken).await, Err(StoreError::AlreadyExists("user"))));
    let changed = User { name: "hopper".parse().expect("a name"), is_admin: false, external_id: None, ..read.clone() };
    store.change_user(&read, &changed).await.expect("unchanged since it was read");
    assert_eq!(store.find_user(&read.id).await.expect("read").as_ref(), Some(&changed));
    assert!(matches!(store.change_user(&read, &changed).await, Err(StoreError::ConcurrentModification)));
}

async fn sessions_are_listed_by_user_and_end_with_the_password(database: &Database) {
    let store = &database.store;
    let (ada, bob) = (sample_code(store).await.grant.user, sample_code(store).await.grant.user);
    for login in [login(&ada, 1), login(&ada, 2), login(&bob, 3)] {
        store.create_session(&login, None).await.expect("signed in");
    }
    assert_eq!(
        store.list_sessions(&ada, NOW).await.expect("read"),
        [login(&ada, 2), login(&ada, 1)],
        "the newest first"
    );
    assert_eq!(store.list_sessions(&ada, NOW + 1000).await.expect("read"), [], "over");
    store.record_session_activity(&login(&ada, 1).id, NOW + 500).await.expect("recorded");
    let seen = store.find_session(&login(&ada, 1).hash, NOW).await.expect("read").expect("there");
    assert_eq!(seen, BrowserSession { seen_at: NOW + 500, ..login(&ada, 1) });
    store.update_password(&ada, "$argon2id$", Some(&login(&ada, 1).id), &termination(NOW)).await.expect("changed");
    assert_eq!(store.list_sessions(&ada, NOW).await.expect("read").len(), 1, "the one in which they changed it");
    assert_eq!(store.list_sessions(&bob, NOW).await.expect("read").len(), 1);
}

async fn grants_are_listed_until_a_day_after_their_end(database: &Database) {
    let store = &database.store;
    let (one, other) = (sample_code(store).await.grant, sample_code(store).await.grant);
    let seen = store.list_user_grants(&one.user, None, 10, NOW + 1).await.expect("read");
    assert_eq!((seen.len(), &seen[0].grant, seen[0].used_at), (1, &one, one.created_at));
    store.revoke(revoke_any(Target::Session(one.id.to_string()), NOW)).await.expect("revoked");
    let ended = store.list_user_grants(&one.user, None, 10, NOW + 1).await.expect("read");
    assert!(ended[0].grant.ended_at.is_some(), "what was just ended is still seen");
    assert!(
        store.list_user_grants(&one.user, None, 10, NOW + 2 * 86_400).await.expect("read").is_empty(),
        "but not for long"
    );
    assert!(
        store.list_user_grants(&other.user, None, 10, other.ends_at).await.expect("read").is_empty(),
        "nor what is over by itself"
    );
}

/// Two administrators disable each other, or take the console from each other, concurrently and
/// repeatedly.
async fn administrators_cannot_disable_each_other(database: &Database) {
    let (store, other_process) = (&database.store, database.reopen().await);
    for round in 0..20_u8 {
        let admin = |number: u8| {
            let name = format!("admin {number} of {round}").parse().expect("a name");
            User { is_admin: true, ..User::new(UserId::from_random(&[100 + 2 * round + number; 12]), name, NOW) }
        };
        let (one, other) = (admin(0), admin(1));
        for user in [&one, &other] {
            store.create_user(user).await.expect("registered");
        }
        let ends = [&one, &other].map(|user| Termination::new(&Actor::user(&user.id), "test", NOW));
        let refused = match round % 2 {
            0 => {
                let both = tokio::join!(
                    store.disable_user(&other.id, &ends[0]),
                    other_process.disable_user(&one.id, &ends[1])
                );
                [both.0, both.1]
            }
            _ => {
                let (by_one, by_other) = (store.with_actor(&ends[0].by), other_process.with_actor(&ends[1].by));
                let both = tokio::join!(by_one.set_admin(&other.id, false), by_other.set_admin(&one.id, false));
                [both.0, both.1]
            }
        };
        let refused: Vec<_> = refused.into_iter().filter_map(Result::err).collect();
        assert!(matches!(refused.as_slice(), [StoreError::NotAdministrator]), "{round}: {refused:?}");
        let mut left = 0;
        for user in [&one, &other] {
            let user = store.find_user(&user.id).await.expect("read").expect("there");
            left += usize::from(user.is_admin && user.is_active());
        }
        assert_eq!(left, 1, "{round}");
    }
    other_process.close().await;
}

async fn consent_is_withdrawn_for_one_client_or_all(database: &Database) {
    let store = &database.store;
    let code = sample_code(store).await;
    let (user, client) = (code.grant.user.clone(), code.grant.client.clone());
    let agree = async |number: u8| {
        let mut again = code.clone();
        again.hash = SecretHash::of(&number.to_string());
        again.grant.id = tollgate_model::GrantId::from_random(&[number; 12]);
        let agreed: Access = code.grant.terms.access.clone();
        assert!(store.create_code(&again, Some(&agreed)).await.expect("recorded"));
    };
    let is_remembered =
        async || store.get_consent(&user, &client).await.expect("read").covers(&code.grant.terms.access);
    agree(1).await;
    let (grant, another) = (code.grant.id.clone(), "another".parse().expect("an id"));
    store.withdraw_consent(&user, Some((&grant, &another)), &termination(NOW)).await.expect("taken back");
    assert!(is_remembered().await);
    store.withdraw_consent(&user, Some((&grant, &client)), &termination(NOW)).await.expect("taken back");
    assert!(!is_remembered().await);
    agree(2).await;
    store.withdraw_consent(&user, None, &termination(NOW)).await.expect("taken back");
    assert!(!is_remembered().await);
}

async fn stored_user_names_are_prepared_when_the_database_is_opened(database: &Database) {
    let add = async |id: &str, name: &str| {
        let columns = "id, name, claims, auth_source, created_at";
        let insert = format!("INSERT INTO users ({columns}) VALUES ('{id}', '{name}', '{{}}', 'local', 0)");
        database.execute(&insert).await.expect("added");
    };
    let id = |number: u8| UserId::from_random(&[number; 12]);
    add(id(1).as_str(), "zoe\u{308}").await;
    add(id(2).as_str(), "rene\u{301}").await;
    add(id(3).as_str(), "ren\u{e9}").await;
    add(id(4).as_str(), "a\u{200b}da").await;
    let store = database.reopen().await;
    let found = async |typed: &str| store.find_user_by_typed_name(typed).await.expect("read").map(|user| user.id);
    for typed in ["zo\u{eb}", "Zoe\u{308}"] {
        assert_eq!(found(typed).await, Some(id(1)), "{typed:?}");
    }
    // Two users whose names differed only by composition keep their names.
    assert_eq!((found("rene\u{301}").await, found("Ren\u{e9}").await), (Some(id(2)), Some(id(3))));
    assert_eq!((found("a\u{200b}da").await, found("ada").await), (Some(id(4)), None));
    let new = User::new(id(5), "Zoe\u{308}".parse().expect("a name"), NOW);
    assert!(matches!(store.create_user(&new).await, Err(StoreError::AlreadyExists(_))));
    store.close().await;
}
