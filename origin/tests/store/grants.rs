//! What users gave, and that each part of it is taken once.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tollgate::domain::{Access, Code, Grant, GrantId, SecretHash, SecretKind, Target, Terms, User, UserId};
use tollgate::store::{Claim, NewRefresh, Redeem, Redeemed, Store, Writer};

use crate::database::Database;
use crate::samples::{NOW, by, client, draft, reinstate, revoke_any, secret};

on_both_databases!(
    a_code_comes_back_as_it_was,
    of_many_that_redeem_a_code_one_gets_a_token_and_the_grant_is_revoked,
    a_refresh_token_gives_its_successor_again_for_a_while,
    reuse_after_the_grace_revokes_everything_of_the_grant,
    an_older_refresh_token_is_reuse_even_within_the_grace,
    many_refreshes_at_one_moment_have_one_successor,
    revocations_end_grants,
    a_disabled_user_gives_nothing,
    expired_grants_are_swept_with_all_that_hangs_on_them,
);

fn random() -> [u8; 12] {
    tollgate::ambient::random().expect("randomness")
}

async fn user(store: &Store) -> User {
    let name = GrantId::from_random(&random()).as_str().parse().expect("a name");
    let user = User::new(UserId::from_random(&random()), name, NOW);
    store.insert_user(&user).await.expect("registered");
    user
}

/// A grant of a new user to the client `reports`, with its code.
pub(crate) async fn given(store: &Store) -> Code {
    // The client may be there from an earlier call.
    let _ = store.insert_client(&client("reports").0).await;
    let user = user(store).await;
    let access = Access {
        scope: "reports:read".parse().expect("a scope"),
        audience: "https://api.example other".parse().expect("audiences"),
        details: Default::default(),
    };
    let terms = Terms { access, auth_time: NOW - 5, acr: "0".to_owned(), amr: vec!["pwd".to_owned()], device: None };
    let grant = Grant {
        id: GrantId::from_random(&random()),
        client: "reports".parse().expect("an id"),
        subject: user.id.to_string(),
        user: user.id,
        login: None,
        terms,
        created_at: NOW,
        ends_at: NOW + 100_000,
        ended_at: None,
    };
    let code = Code {
        hash: secret(SecretKind::Code).hash(),
        grant,
        redirect_uri: Some("https://shop.example/cb".to_owned()),
        challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".parse().expect("a challenge"),
        nonce: Some("n".to_owned()),
        jkt: None,
        expires_at: NOW + 60,
        redeemed_at: None,
    };
    assert!(store.insert_code(&code, Some(&code.grant.terms.access)).await.expect("recorded"));
    code
}

fn redeem(grant: &Grant, claim: Claim, number: u32, at: u64) -> Redeem {
    let mut draft = draft(number, at + 3600);
    draft.session = Some(grant.id.to_string());
    draft.subject.clone_from(&grant.subject);
    Redeem { claim, grant: grant.id.clone(), draft, at }
}

fn new(text: &str) -> NewRefresh {
    NewRefresh { hash: SecretHash::of(text), expires_at: NOW + 10_000, jkt: None }
}

/// Refreshes by the token `from`, whose successor is `to`.
fn refresh(grant: &Grant, from: &str, to: &str, number: u32, at: u64) -> Redeem {
    redeem(grant, Claim::Refresh { hash: SecretHash::of(from), successor: new(to), grace: 10 }, number, at)
}

/// A grant whose code was redeemed for the refresh token `r0`, which stands for `grant` in its name.
async fn with_refresh_token(database: &Database, first: &str) -> Grant {
    let code = given(&database.store).await;
    let claim = Claim::Code { hash: code.hash, refresh: Some(new(first)) };
    let redeemed = database.store.redeem(redeem(&code.grant, claim, 1, NOW)).await.expect("redeemed");
    assert!(matches!(redeemed, Redeemed::Issued(_)));
    code.grant
}

async fn is_ended(database: &Database, grant: &Grant) -> bool {
    database.store.grant(&grant.id).await.expect("read").expect("there").ended_at.is_some()
}

async fn a_code_comes_back_as_it_was(database: &Database) {
    let code = given(&database.store).await;
    let found = database.store.code(&code.hash).await.expect("read").expect("there");
    assert_eq!(found, code);
    let agreed = database.store.consent(&code.grant.user, &code.grant.client).await.expect("read");
    assert_eq!(agreed.as_ref(), Some(&code.grant.terms.access));
    assert!(database.store.code(&SecretHash::of("x")).await.expect("read").is_none());
}

async fn of_many_that_redeem_a_code_one_gets_a_token_and_the_grant_is_revoked(database: &Database) {
    let code = given(&database.store).await;
    let (writer, task) = Writer::new(database.store.clone());
    let other = database.again().await;
    let mut callers = JoinSet::new();
    for number in 0..20 {
        let claim = Claim::Code { hash: code.hash, refresh: Some(new(&format!("r{number}"))) };
        let redeem = redeem(&code.grant, claim, number, NOW + 1);
        let (writer, other) = (writer.clone(), other.clone());
        // Some by way of another process.
        callers.spawn(async move {
            match number % 5 {
                0 => other.redeem(redeem).await.expect("answered"),
                _ => writer.redeem(redeem).await.expect("answered"),
            }
        });
    }
    let task = tokio::spawn(task);
    let answers = callers.join_all().await;
    let issued: Vec<_> =
        answers.iter().filter_map(|one| if let Redeemed::Issued(token) = one { Some(token) } else { None }).collect();
    assert_eq!(issued.len(), 1, "{answers:?}");
    assert!(answers.contains(&Redeemed::Replayed));
    assert!(is_ended(database, &code.grant).await);
    assert!(database.store.is_struck(issued[0]).await.expect("asked"), "what it gave is revoked");
    drop(writer);
    task.await.expect("it ends");
    other.close().await;
}

async fn a_refresh_token_gives_its_successor_again_for_a_while(database: &Database) {
    let grant = with_refresh_token(database, "r0").await;
    let store = &database.store;
    for (number, at) in [(2, NOW + 5), (3, NOW + 5), (4, NOW + 15)] {
        let again = store.redeem(refresh(&grant, "r0", "r1", number, at)).await.expect("answered");
        assert!(matches!(again, Redeemed::Issued(_)), "{number}: {again:?}");
    }
    // The successor goes on, and there is one.
    let next = store.redeem(refresh(&grant, "r1", "r2", 5, NOW + 20)).await.expect("answered");
    assert!(matches!(next, Redeemed::Issued(_)));
    assert!(!is_ended(database, &grant).await);
    let kept = store.refresh_token(&SecretHash::of("r1")).await.expect("read").expect("there");
    assert_eq!((kept.used_at, kept.grant.id), (Some(NOW + 20), grant.id));
}

async fn reuse_after_the_grace_revokes_everything_of_the_grant(database: &Database) {
    let grant = with_refresh_token(database, "r0").await;
    let store = &database.store;
    let Redeemed::Issued(token) = store.redeem(refresh(&grant, "r0", "r1", 2, NOW + 5)).await.expect("answered") else {
        panic!("it is the first use");
    };
    let late = store.redeem(refresh(&grant, "r0", "r1", 3, NOW + 16)).await.expect("answered");
    assert_eq!(late, Redeemed::Replayed);
    assert!(is_ended(database, &grant).await && store.is_struck(&token).await.expect("asked"));
    let after = store.redeem(refresh(&grant, "r1", "r2", 4, NOW + 17)).await.expect("answered");
    assert_eq!(after, Redeemed::Ended, "the thief's or the owner's: nobody goes on");
    let revocation =
        &store.revocations(&tollgate::store::Listing { limit: 10, ..Default::default() }, NOW).await.expect("read")[0];
    assert_eq!(revocation.target, Target::Session(grant.id.to_string()));
    assert_eq!(revocation.reason.as_deref(), Some("an old refresh token was used"));
}

async fn an_older_refresh_token_is_reuse_even_within_the_grace(database: &Database) {
    let grant = with_refresh_token(database, "r0").await;
    let store = &database.store;
    for (from, to, number) in [("r0", "r1", 2), ("r1", "r2", 3)] {
        let next = store.redeem(refresh(&grant, from, to, number, NOW + 5)).await.expect("answered");
        assert!(matches!(next, Redeemed::Issued(_)));
    }
    let old = store.redeem(refresh(&grant, "r0", "r1", 4, NOW + 6)).await.expect("answered");
    assert_eq!(old, Redeemed::Replayed);
    assert!(is_ended(database, &grant).await);
}

async fn many_refreshes_at_one_moment_have_one_successor(database: &Database) {
    let grant = Arc::new(with_refresh_token(database, "r0").await);
    let (writer, task) = Writer::new(database.store.clone());
    let mut callers = JoinSet::new();
    for number in 2..22 {
        let (writer, grant) = (writer.clone(), Arc::clone(&grant));
        callers
            .spawn(async move { writer.redeem(refresh(&grant, "r0", "r1", number, NOW + 5)).await.expect("answered") });
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let task = tokio::spawn(task);
    let answers = callers.join_all().await;
    assert!(answers.iter().all(|one| matches!(one, Redeemed::Issued(_))), "{answers:?}");
    assert!(!is_ended(database, &grant).await);
    drop(writer);
    task.await.expect("it ends");
}

async fn revocations_end_grants(database: &Database) {
    let store = &database.store;
    let [by_session, by_subject, by_time, by_client] =
        [given(store).await, given(store).await, given(store).await, given(store).await].map(|code| code.grant);
    for (number, (target, grant)) in [
        (Target::Session(by_session.id.to_string()), &by_session),
        (Target::Subject(by_subject.subject.clone()), &by_subject),
    ]
    .into_iter()
    .enumerate()
    {
        store.revoke(revoke_any(target, NOW)).await.expect("revoked");
        assert!(is_ended(database, grant).await, "{number}");
        assert!(!is_ended(database, &by_client).await);
    }
    store.revoke(revoke_any(Target::Before(NOW), NOW)).await.expect("revoked");
    assert!(!is_ended(database, &by_time).await, "it was not before");
    store.revoke(revoke_any(Target::Before(NOW + 1), NOW + 1)).await.expect("revoked");
    assert!(is_ended(database, &by_time).await);
    let later = given(store).await.grant;
    store.revoke(revoke_any(Target::Client("reports".to_owned()), NOW + 2)).await.expect("revoked");
    assert!(is_ended(database, &later).await);
    // Lifting it makes access tokens good again; the user is asked anew for more.
    store.reinstate(reinstate(Target::Client("reports".to_owned()), NOW + 3)).await.expect("lifted");
    assert!(is_ended(database, &later).await);
    let claim = Claim::Code { hash: SecretHash::of("x"), refresh: None };
    assert_eq!(store.redeem(redeem(&later, claim, 9, NOW + 3)).await.expect("answered"), Redeemed::Ended);
}

async fn a_disabled_user_gives_nothing(database: &Database) {
    let store = &database.store;
    let code = given(store).await;
    store.disable_user(&code.grant.user, &by(), NOW).await.expect("disabled");
    assert!(is_ended(database, &code.grant).await);
    let grant = Grant { id: GrantId::from_random(&random()), ..code.grant.clone() };
    let late = Code { hash: secret(SecretKind::Code).hash(), grant, ..code };
    assert!(!store.insert_code(&late, None).await.expect("answered"));
    assert!(store.code(&late.hash).await.expect("read").is_none());
}

async fn expired_grants_are_swept_with_all_that_hangs_on_them(database: &Database) {
    let grant = with_refresh_token(database, "r0").await;
    let unused = given(&database.store).await;
    let store = &database.store;
    store.sweep(NOW + 61).await.expect("swept");
    assert!(store.code(&unused.hash).await.expect("read").is_none(), "nobody took it in time");
    assert!(store.grant(&unused.grant.id).await.expect("read").is_none());
    assert!(store.refresh_token(&SecretHash::of("r0")).await.expect("read").is_some());
    store.sweep(NOW + 100_001).await.expect("swept");
    assert!(store.refresh_token(&SecretHash::of("r0")).await.expect("read").is_none());
    assert!(store.grant(&grant.id).await.expect("read").is_none());
}
