//! Grants, and that each credential is redeemed once.

use std::sync::Arc;

use tokio::task::JoinSet;
use tollgate_model::{
    AuthorizationCode, Grant, GrantId, PresentedRefreshToken, RefreshTokenGeneration, SecretHash, SecretKind, Target,
};
use tollgate_storage::{Batch, NewRefreshToken, RedeemCredential, RedeemOutcome, RedeemRequest, Store, Writer};

use crate::database::Database;
use crate::grant_samples::{
    grant_with_refresh_token, is_ended, new, numbered_grant_with_refresh_token, random, redeem, refresh,
    refresh_without_rotation, sample_code,
};
use crate::samples::{NOW, reinstate, revoke_any, secret, termination, wait_until_queued};

on_both_databases!(
    code_is_read_as_it_was_written,
    concurrent_redemption_of_a_code_issues_once_and_revokes_the_grant,
    refresh_within_the_grace_returns_the_same_successor,
    refresh_token_reuse_after_the_grace_revokes_the_grant,
    late_retry_is_allowed_once,
    refresh_requires_an_active_user,
    older_refresh_token_is_reuse_even_within_the_grace,
    unused_refresh_token_expires,
    concurrent_refreshes_get_one_successor,
    two_refreshes_in_one_batch_get_one_successor,
    batch_judges_each_grant_by_itself,
    grant_without_refresh_token_has_none,
    refresh_token_keeps_its_expiry_and_key,
    concurrent_refreshes_of_many_grants_do_not_deadlock,
    revocations_end_grants,
    grant_of_a_disabled_user_is_not_created,
    sweep_deletes_expired_grants_with_their_codes,
    sweep_keeps_a_grant_as_long_as_tokens_beside_its_code,
    refresh_without_rotation_keeps_the_token_and_extends_its_expiry,
    refresh_without_rotation_keeps_reuse_detection_of_older_tokens,
    refreshes_without_rotation_in_one_batch_are_judged_by_grant,
    refresh_without_rotation_ends_with_the_grant,
);

/// Generations of the grant's refresh tokens among these texts.
async fn generations(store: &Store, grant: &Grant, texts: &[&str]) -> Vec<RefreshTokenGeneration> {
    let presented = |text: &&str| PresentedRefreshToken { grant: grant.id.clone(), hash: SecretHash::of(text) };
    let found = store.find_refresh_tokens(&texts.iter().map(presented).collect::<Vec<_>>()).await.expect("read");
    assert_eq!(found.len(), texts.len(), "an answer for each");
    found.into_iter().flatten().map(|token| token.generation).collect()
}

async fn code_is_read_as_it_was_written(database: &Database) {
    let code = sample_code(&database.store).await;
    let found = database.store.find_code(&code.hash).await.expect("read").expect("there");
    assert_eq!(found, code);
    let agreed = database.store.get_consent(&code.grant.user, &code.grant.client).await.expect("read");
    assert!(agreed.covers(&code.grant.terms.access));
    assert!(database.store.find_code(&SecretHash::of("x")).await.expect("read").is_none());
}

async fn concurrent_redemption_of_a_code_issues_once_and_revokes_the_grant(database: &Database) {
    let code = sample_code(&database.store).await;
    let (writer, task) = Writer::new(database.store.clone());
    let other = database.reopen().await;
    let mut callers = JoinSet::new();
    for number in 0..20 {
        let credential = RedeemCredential::Code { hash: code.hash, refresh: Some(new(&format!("r{number}"))) };
        let redeem = redeem(&code.grant, credential, number, NOW + 1);
        let (writer, other) = (writer.clone(), other.clone());
        // Some by another process.
        callers.spawn(async move {
            match number % 5 {
                0 => other.redeem(redeem).await.expect("answered"),
                _ => writer.redeem(redeem).await.expect("answered"),
            }
        });
    }
    let task = tokio::spawn(task);
    let answers = callers.join_all().await;
    let issued: Vec<_> = answers
        .iter()
        .filter_map(|one| if let RedeemOutcome::Issued(token) = one { Some(token) } else { None })
        .collect();
    assert_eq!(issued.len(), 1, "{answers:?}");
    assert!(answers.contains(&RedeemOutcome::Replayed));
    assert!(is_ended(database, &code.grant).await);
    assert!(database.store.is_token_revoked(issued[0]).await.expect("asked"), "what it gave is revoked");
    drop(writer);
    task.await.expect("it ends");
    other.close().await;
}

async fn refresh_within_the_grace_returns_the_same_successor(database: &Database) {
    let grant = grant_with_refresh_token(database, "r0").await;
    let store = &database.store;
    for (number, at) in [(2, NOW + 5), (3, NOW + 5), (4, NOW + 15)] {
        let again = store.redeem(refresh(&grant, "r0", "r1", number, at)).await.expect("answered");
        assert!(matches!(again, RedeemOutcome::Issued(_)), "{number}: {again:?}");
    }
    // There is one successor, and it can be used.
    let next = store.redeem(refresh(&grant, "r1", "r2", 5, NOW + 20)).await.expect("answered");
    assert!(matches!(next, RedeemOutcome::Issued(_)));
    assert!(!is_ended(database, &grant).await);
    assert_eq!(
        generations(store, &grant, &["r2", "r1", "r0"]).await,
        [RefreshTokenGeneration::Current, RefreshTokenGeneration::Previous, RefreshTokenGeneration::Older]
    );
}

async fn refresh_token_reuse_after_the_grace_revokes_the_grant(database: &Database) {
    let grant = grant_with_refresh_token(database, "r0").await;
    let store = &database.store;
    let RedeemOutcome::Issued(token) = store.redeem(refresh(&grant, "r0", "r1", 2, NOW + 5)).await.expect("answered")
    else {
        panic!("it is the first use");
    };
    let next = store.redeem(refresh(&grant, "r1", "r2", 3, NOW + 6)).await.expect("answered");
    assert!(matches!(next, RedeemOutcome::Issued(_)));
    // Its unused successor belongs to another caller now.
    let late = store.redeem(refresh(&grant, "r0", "r1", 4, NOW + 17)).await.expect("answered");
    assert_eq!(late, RedeemOutcome::Replayed);
    assert!(is_ended(database, &grant).await && store.is_token_revoked(&token).await.expect("asked"));
    let after = store.redeem(refresh(&grant, "r2", "r3", 5, NOW + 18)).await.expect("answered");
    assert_eq!(after, RedeemOutcome::Ended, "the thief's or the owner's: no refresh token is left");
    let revocation = &store
        .list_revocations(&tollgate_storage::RevocationFilter { limit: 10, ..Default::default() }, NOW)
        .await
        .expect("read")[0];
    assert_eq!(revocation.target, Target::Session(grant.id.to_string()));
    assert_eq!(revocation.reason.as_deref(), Some("an old refresh token was used"));
}

/// The state is stored each time, by the fast path where possible.
async fn late_retry_is_allowed_once(database: &Database) {
    let store = &database.store;
    let grant = grant_with_refresh_token(database, "r0").await;
    let mut number = 10;
    let mut use_it = async |from: &str, to: &str, at: u64| {
        number += 1;
        store.redeem(refresh(&grant, from, to, number, NOW + at)).await.expect("answered")
    };
    for (from, to, at) in [("r0", "r1", 5), ("r0", "r1", 60), ("r0", "r1", 65), ("r1", "r2", 70), ("r2", "r3", 80)] {
        assert!(matches!(use_it(from, to, at).await, RedeemOutcome::Issued(_)), "{from} at {at}");
    }
    assert!(matches!(use_it("r2", "r3", 200).await, RedeemOutcome::Issued(_)), "the next outage");
    assert!(matches!(use_it("r3", "r4", 210).await, RedeemOutcome::Issued(_)));
    assert_eq!(use_it("r3", "r4", 300).await, RedeemOutcome::Replayed, "two have what was given late");
    assert!(is_ended(database, &grant).await);
}

async fn refresh_requires_an_active_user(database: &Database) {
    let store = &database.store;
    let grant = grant_with_refresh_token(database, "r0").await;
    database.execute(&format!("UPDATE users SET disabled_at = 1 WHERE id = '{}'", grant.user)).await.expect("updated");
    assert_eq!(store.redeem(refresh(&grant, "r0", "r1", 2, NOW + 5)).await.expect("answered"), RedeemOutcome::Ended);
    database
        .execute(&format!("UPDATE users SET disabled_at = NULL WHERE id = '{}'", grant.user))
        .await
        .expect("updated");
    let again = store.redeem(refresh(&grant, "r0", "r1", 3, NOW + 5)).await.expect("answered");
    assert!(matches!(again, RedeemOutcome::Issued(_)), "{again:?}");
}

async fn older_refresh_token_is_reuse_even_within_the_grace(database: &Database) {
    let grant = grant_with_refresh_token(database, "r0").await;
    let store = &database.store;
    for (from, to, number) in [("r0", "r1", 2), ("r1", "r2", 3)] {
        let next = store.redeem(refresh(&grant, from, to, number, NOW + 5)).await.expect("answered");
        assert!(matches!(next, RedeemOutcome::Issued(_)));
    }
    let old = store.redeem(refresh(&grant, "r0", "r1", 4, NOW + 6)).await.expect("answered");
    assert_eq!(old, RedeemOutcome::Replayed);
    assert!(is_ended(database, &grant).await);
}

async fn unused_refresh_token_expires(database: &Database) {
    let grant = grant_with_refresh_token(database, "r0").await;
    let store = &database.store;
    let late = refresh(&grant, "r0", "r1", 2, NOW + 10_000);
    assert_eq!(store.redeem(late.clone()).await.expect("answered"), RedeemOutcome::Expired);
    assert!(!is_ended(database, &grant).await, "nothing was redeemed twice");
    let in_time = RedeemRequest { at: NOW + 9_999, ..late };
    assert!(matches!(store.redeem(in_time).await.expect("answered"), RedeemOutcome::Issued(_)));
    let used = refresh(&grant, "r0", "r1", 3, NOW + 20_000);
    assert_eq!(store.redeem(used).await.expect("answered"), RedeemOutcome::Expired, "what it gave lay unused, too");
    assert!(!is_ended(database, &grant).await, "nothing was redeemed twice");
}

async fn concurrent_refreshes_get_one_successor(database: &Database) {
    let grant = Arc::new(grant_with_refresh_token(database, "r0").await);
    let (writer, task) = Writer::new(database.store.clone());
    let mut callers = JoinSet::new();
    for number in 2..22 {
        let (writer, grant) = (writer.clone(), Arc::clone(&grant));
        callers
            .spawn(async move { writer.redeem(refresh(&grant, "r0", "r1", number, NOW + 5)).await.expect("answered") });
    }
    wait_until_queued(&writer, 20).await;
    let task = tokio::spawn(task);
    let answers = callers.join_all().await;
    assert!(answers.iter().all(|one| matches!(one, RedeemOutcome::Issued(_))), "{answers:?}");
    assert!(!is_ended(database, &grant).await);
    drop(writer);
    task.await.expect("it ends");
}

/// Results of redemptions in one batch.
async fn together(store: &Store, redemptions: Vec<RedeemRequest>) -> Vec<RedeemOutcome> {
    let outcome = store.apply(Batch { redemptions, ..Batch::default() }).await.expect("written");
    outcome.redeemed.into_iter().map(|redeemed| redeemed.expect("its key is good")).collect()
}

async fn two_refreshes_in_one_batch_get_one_successor(database: &Database) {
    let grant = grant_with_refresh_token(database, "r0").await;
    let store = &database.store;
    let both = together(store, [2, 3].map(|number| refresh(&grant, "r0", "r1", number, NOW + 5)).into()).await;
    assert!(both.iter().all(|one| matches!(one, RedeemOutcome::Issued(_))), "{both:?}");
    assert_eq!(
        generations(store, &grant, &["r1", "r0"]).await,
        [RefreshTokenGeneration::Current, RefreshTokenGeneration::Previous]
    );
    // With another successor, the previous token is reused.
    let both =
        together(store, vec![refresh(&grant, "r1", "r2", 4, NOW + 6), refresh(&grant, "r1", "other", 5, NOW + 6)])
            .await;
    assert!(matches!(both.as_slice(), [RedeemOutcome::Issued(_), RedeemOutcome::Replayed]), "{both:?}");
    assert!(is_ended(database, &grant).await);
}

async fn batch_judges_each_grant_by_itself(database: &Database) {
    let store = &database.store;
    // More grants than one statement has rows, and not a power of two.
    let mut grants = Vec::new();
    for number in 0..131 {
        grants.push(numbered_grant_with_refresh_token(database, "r0", number).await);
    }
    let replayed = &grants[7];
    together(store, vec![refresh(replayed, "r0", "r1", 1000, NOW + 1)]).await;
    together(store, vec![refresh(replayed, "r1", "r2", 1001, NOW + 1)]).await;
    let mut redemptions: Vec<RedeemRequest> =
        (2000..).zip(&grants).map(|(n, grant)| refresh(grant, "r0", "r1", n, NOW + 60)).collect();
    redemptions.push(refresh(&grants[0], "r1", "r2", 3000, NOW + 60));
    let answers = together(store, redemptions).await;
    for (index, (grant, answer)) in grants.iter().zip(&answers).enumerate() {
        match index {
            7 => assert_eq!(*answer, RedeemOutcome::Replayed),
            _ => assert!(matches!(answer, RedeemOutcome::Issued(_)), "{index}: {answer:?}"),
        }
        assert_eq!(is_ended(database, grant).await, index == 7);
        let current = if index == 0 || index == 7 { "r2" } else { "r1" };
        assert_eq!(generations(store, grant, &[current]).await, [RefreshTokenGeneration::Current], "{index}");
    }
}

async fn grant_without_refresh_token_has_none(database: &Database) {
    let code = sample_code(&database.store).await;
    let store = &database.store;
    let credential = RedeemCredential::Code { hash: code.hash, refresh: None };
    let redeemed = store.redeem(redeem(&code.grant, credential, 1, NOW)).await.expect("redeemed");
    assert!(matches!(redeemed, RedeemOutcome::Issued(_)));
    assert!(generations(store, &code.grant, &["r0"]).await.is_empty());
    let made_up = store.redeem(refresh(&code.grant, "r0", "r1", 2, NOW)).await.expect("answered");
    assert_eq!(made_up, RedeemOutcome::Ended);
    assert!(!is_ended(database, &code.grant).await, "nothing was taken twice");
}

async fn refresh_token_keeps_its_expiry_and_key(database: &Database) {
    let code = sample_code(&database.store).await;
    let store = &database.store;
    let bound = |text: &str, expires_at| NewRefreshToken { expires_at, jkt: Some("key".to_owned()), ..new(text) };
    let credential = RedeemCredential::Code { hash: code.hash, refresh: Some(bound("r0", NOW + 50)) };
    store.redeem(redeem(&code.grant, credential, 1, NOW)).await.expect("redeemed");
    let seen = async |text: &str| {
        let presented = PresentedRefreshToken { grant: code.grant.id.clone(), hash: SecretHash::of(text) };
        let token = store.find_refresh_token(presented).await.expect("read").expect("there");
        assert_eq!(token.family.grant, code.grant);
        (token.generation, token.expires_at, token.family.jkt.clone())
    };
    assert_eq!(seen("r0").await, (RefreshTokenGeneration::Current, NOW + 50, Some("key".to_owned())));
    let grants = store.list_user_grants(&code.grant.user, None, 10, NOW).await.expect("read");
    assert_eq!(grants[0].used_at, NOW, "the code was redeemed then");
    let credential = RedeemCredential::RefreshToken {
        hash: SecretHash::of("r0"),
        successor: bound("r1", NOW + 90),
        rotates: true,
        grace: 10,
    };
    store.redeem(redeem(&code.grant, credential, 2, NOW + 40)).await.expect("redeemed");
    assert_eq!(seen("r0").await, (RefreshTokenGeneration::Previous, NOW + 90, Some("key".to_owned())));
    assert_eq!(seen("r1").await, (RefreshTokenGeneration::Current, NOW + 90, Some("key".to_owned())));
    let grants = store.list_user_grants(&code.grant.user, None, 10, NOW + 40).await.expect("read");
    assert_eq!(grants[0].used_at, NOW + 40);
}

/// Eight batches on two handles refresh the same grants in opposite orders, or only require that
/// they are active.
async fn concurrent_refreshes_of_many_grants_do_not_deadlock(database: &Database) {
    let mut grants = Vec::new();
    for number in 0..20 {
        grants.push(numbered_grant_with_refresh_token(database, "0", number).await);
    }
    let other_process = database.reopen().await;
    let mut number = 1000;
    let mut at_once = async |from: &str, to: &str, at: u64| {
        let mut tasks = JoinSet::new();
        for task in 0..8 {
            let mut redemptions = Vec::new();
            for grant in &grants {
                number += 1;
                redemptions.push(match task {
                    6 | 7 => redeem(grant, RedeemCredential::ActiveGrant, number, at),
                    _ => refresh(grant, from, to, number, at),
                });
            }
            if task / 2 % 2 == 0 {
                redemptions.reverse();
            }
            let store = if task % 2 == 0 { database.store.clone() } else { other_process.clone() };
            tasks.spawn(async move { together(&store, redemptions).await });
        }
        tasks.join_all().await.concat()
    };
    for round in 0..10_u32 {
        let answers = at_once(&round.to_string(), &(round + 1).to_string(), NOW + 5).await;
        assert!(answers.iter().all(|one| matches!(one, RedeemOutcome::Issued(_))), "{round}: {answers:?}");
    }
    let answers = at_once("0", "1", NOW + 5).await;
    assert!(answers.contains(&RedeemOutcome::Replayed));
    for grant in &grants {
        assert!(is_ended(database, grant).await);
    }
    other_process.close().await;
}

async fn revocations_end_grants(database: &Database) {
    let store = &database.store;
    let [by_session, by_subject, by_time, by_client] =
        [sample_code(store).await, sample_code(store).await, sample_code(store).await, sample_code(store).await]
            .map(|code| code.grant);
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
    let later = sample_code(store).await.grant;
    store.revoke(revoke_any(Target::Client("reports".to_owned()), NOW + 2)).await.expect("revoked");
    assert!(is_ended(database, &later).await);
    // Reinstatement makes the access tokens valid again, but does not restore the grants.
    store.reinstate(reinstate(Target::Client("reports".to_owned()), NOW + 3)).await.expect("lifted");
    assert!(is_ended(database, &later).await);
    let credential = RedeemCredential::Code { hash: SecretHash::of("x"), refresh: None };
    assert_eq!(store.redeem(redeem(&later, credential, 9, NOW + 3)).await.expect("answered"), RedeemOutcome::Ended);
}

async fn grant_of_a_disabled_user_is_not_created(database: &Database) {
    let store = &database.store;
    let code = sample_code(store).await;
    store.disable_user(&code.grant.user, &termination(NOW)).await.expect("disabled");
    assert!(is_ended(database, &code.grant).await);
    let grant = Grant { id: GrantId::from_random(&random()), ..code.grant.clone() };
    let late = AuthorizationCode { hash: secret(SecretKind::Code).hash(), grant, ..code };
    assert!(!store.create_code(&late, None).await.expect("answered"));
    assert!(store.find_code(&late.hash).await.expect("read").is_none());
}

async fn sweep_deletes_expired_grants_with_their_codes(database: &Database) {
    let grant = grant_with_refresh_token(database, "r0").await;
    let unused = sample_code(&database.store).await;
    let store = &database.store;
    store.sweep(NOW + 61).await.expect("swept");
    assert!(store.find_code(&unused.hash).await.expect("read").is_none(), "not redeemed in time");
    assert!(store.find_grant(&unused.grant.id).await.expect("read").is_none());
    assert_eq!(generations(store, &grant, &["r0"]).await, [RefreshTokenGeneration::Current]);
    store.sweep(NOW + 100_001).await.expect("swept");
    assert!(generations(store, &grant, &["r0"]).await.is_empty());
    assert!(store.find_grant(&grant.id).await.expect("read").is_none());
}

async fn sweep_keeps_a_grant_as_long_as_tokens_beside_its_code(database: &Database) {
    let store = &database.store;
    let code = sample_code(store).await;
    let grant = Grant { id: GrantId::from_random(&random()), ..code.grant.clone() };
    let tokens_expire_at = Some(NOW + 3600);
    let hybrid = AuthorizationCode { hash: secret(SecretKind::Code).hash(), grant, tokens_expire_at, ..code.clone() };
    assert!(store.create_code(&hybrid, None).await.expect("recorded"));
    assert_eq!(store.find_code(&hybrid.hash).await.expect("read").as_ref(), Some(&hybrid));
    store.sweep(NOW + 3600).await.expect("swept");
    assert!(store.find_grant(&code.grant.id).await.expect("read").is_none(), "nothing else names it");
    assert!(store.find_grant(&hybrid.grant.id).await.expect("read").is_some(), "its token can be used still");
    store.sweep(NOW + 3601).await.expect("swept");
    assert!(store.find_grant(&hybrid.grant.id).await.expect("read").is_none());
}

fn is_kept(outcome: &RedeemOutcome) -> bool {
    matches!(outcome, RedeemOutcome::IssuedWithoutRotation(_))
}

async fn refresh_without_rotation_keeps_the_token_and_extends_its_expiry(database: &Database) {
    let grant = grant_with_refresh_token(database, "r0").await;
    let store = &database.store;
    let mut number = 2;
    for at in [NOW + 5, NOW + 60, NOW + 9_000, NOW + 18_000] {
        let used = refresh_without_rotation(&grant, "r0", "r1", number, at);
        let outcome = store.redeem(used).await.expect("answered");
        let RedeemOutcome::IssuedWithoutRotation(token) = outcome else { panic!("{at}: {outcome:?}") };
        assert_eq!(store.find_token(token.id).await.expect("read").as_ref(), Some(&*token));
        let presented = PresentedRefreshToken { grant: grant.id.clone(), hash: SecretHash::of("r0") };
        let found = store.find_refresh_token(presented).await.expect("read").expect("there");
        assert_eq!((found.generation, found.expires_at), (RefreshTokenGeneration::Current, at + 10_000));
        let grants = store.list_user_grants(&grant.user, None, 10, at).await.expect("read");
        assert_eq!(grants[0].used_at, at);
        number += 1;
    }
    let late = refresh_without_rotation(&grant, "r0", "r1", number, NOW + 28_000);
    assert_eq!(store.redeem(late).await.expect("answered"), RedeemOutcome::Expired);
    assert!(!is_ended(database, &grant).await);
}

async fn refresh_without_rotation_keeps_reuse_detection_of_older_tokens(database: &Database) {
    let store = &database.store;
    for (first, old, at) in [(10, "r1", NOW + 7), (20, "r0", NOW + 7), (30, "r1", NOW + 60)] {
        let grant = numbered_grant_with_refresh_token(database, "r0", first).await;
        for (from, to, number) in [("r0", "r1", first + 1), ("r1", "r2", first + 2)] {
            store.redeem(refresh(&grant, from, to, number, NOW + 5)).await.expect("answered");
        }
        // From now on without rotation. A response that was lost before is repeated.
        let mut number = first + 2;
        let mut keep = async |from: &str, to: &str, at: u64| {
            number += 1;
            store.redeem(refresh_without_rotation(&grant, from, to, number, at)).await.expect("answered")
        };
        let again = keep("r1", "r2", NOW + 6).await;
        assert!(matches!(again, RedeemOutcome::Issued(_)), "{again:?}");
        let used = keep("r2", "r3", NOW + 6).await;
        assert!(is_kept(&used), "{used:?}");
        assert_eq!(keep(old, "r2", at).await, RedeemOutcome::Replayed, "{old} at {at}");
        assert!(is_ended(database, &grant).await);
        assert_eq!(keep("r2", "r3", at).await, RedeemOutcome::Ended);
    }
}

async fn refreshes_without_rotation_in_one_batch_are_judged_by_grant(database: &Database) {
    let store = &database.store;
    let mut grants = Vec::new();
    for number in 0..3 {
        grants.push(numbered_grant_with_refresh_token(database, "r0", number).await);
    }
    let keep = |nth: usize, from: &str, number| refresh_without_rotation(&grants[nth], from, "r1", number, NOW + 5);
    // The normal path, because two requests are about one grant, then the fast path.
    let answers = together(store, vec![keep(0, "r0", 10), keep(0, "r0", 11), keep(1, "r0", 12)]).await;
    assert!(answers.iter().all(is_kept), "{answers:?}");
    let rotated = refresh(&grants[2], "r0", "r1", 20, NOW + 5);
    let answers = together(store, vec![keep(0, "r0", 21), rotated, keep(1, "r0", 22)]).await;
    assert!(
        matches!(
            answers.as_slice(),
            [
                RedeemOutcome::IssuedWithoutRotation(_),
                RedeemOutcome::Issued(_),
                RedeemOutcome::IssuedWithoutRotation(_)
            ]
        ),
        "{answers:?}"
    );
    // A foreign token ends its own grant alone.
    let answers = together(store, vec![keep(0, "x", 30), keep(1, "r0", 31), keep(2, "r1", 32)]).await;
    assert_eq!((&answers[0], is_kept(&answers[1]), is_kept(&answers[2])), (&RedeemOutcome::Replayed, true, true));
    for (grant, ended) in grants.iter().zip([true, false, false]) {
        assert_eq!(is_ended(database, grant).await, ended);
    }
}

async fn refresh_without_rotation_ends_with_the_grant(database: &Database) {
    let grant = grant_with_refresh_token(database, "r0").await;
    let store = &database.store;
    let keep = |number, at| refresh_without_rotation(&grant, "r0", "r1", number, at);
    assert!(is_kept(&store.redeem(keep(2, NOW + 5)).await.expect("answered")));
    let other_process = database.reopen().await;
    other_process.revoke(revoke_any(Target::Session(grant.id.to_string()), NOW + 6)).await.expect("revoked");
    assert_eq!(store.redeem(keep(3, NOW + 7)).await.expect("answered"), RedeemOutcome::Ended);
    other_process.close().await;
    let lasting = numbered_grant_with_refresh_token(database, "r0", 10).await;
    for (number, at) in (20..).zip((1..=11).map(|nth| NOW + nth * 9_000)) {
        let used = store.redeem(refresh_without_rotation(&lasting, "r0", "r1", number, at)).await.expect("answered");
        assert!(is_kept(&used), "{at}: {used:?}");
    }
    let over = refresh_without_rotation(&lasting, "r0", "r1", 40, NOW + 100_000);
    assert_eq!(store.redeem(over).await.expect("answered"), RedeemOutcome::Ended, "however often it was used");
}
