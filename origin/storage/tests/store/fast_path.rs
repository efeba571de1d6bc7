//! The fast path relies on what the previous batch observed. Changes made since, by any process,
//! are obeyed, and results are the same as on the normal path.

use tollgate_model::{AccessToken, Target, TokenDetails, TokenDraft};
use tollgate_storage::{Batch, IssueRequest, RedeemOutcome, RedeemRequest, Store, StoreError};

use crate::database::Database;
use crate::grant_samples::{is_ended, numbered_grant_with_refresh_token, refresh};
use crate::samples::{NOW, client, draft, issue_tokens, reinstate, revoke_any};

on_both_databases!(
    fast_path_records_each_token_unchanged,
    epoch_closed_by_another_process_gets_no_more_tokens,
    key_revoked_by_another_process_issues_no_more_tokens,
    stale_registrations_version_is_refused,
    refused_refresh_does_not_affect_others_in_the_batch,
    grant_ended_by_another_process_is_not_refreshed,
);

async fn issue_all(store: &Store, drafts: impl IntoIterator<Item = TokenDraft>) -> Vec<AccessToken> {
    let issuances = drafts.into_iter().map(IssueRequest::from).collect();
    let outcome = store.apply(Batch { issuances, ..Batch::default() }).await.expect("written");
    outcome.issued.into_iter().map(|token| *token.expect("nothing bars it")).collect()
}

/// Drafts that share values with their neighbours in all combinations.
fn different(number: u32) -> TokenDraft {
    let said =
        |nth: u32, one: &str, other: &str| if number >> nth & 1 == 0 { one.to_owned() } else { other.to_owned() };
    TokenDraft {
        key_id: said(0, "key-1", "key-2"),
        scope: said(1, "reports:read", "reports:read reports:write").parse().expect("a scope"),
        audience: said(2, "https://api.example", "https://api.example other").parse().expect("audiences"),
        subject: said(3, "ada", "key-1"),
        session: (number >> 4 & 1 == 0).then(|| said(5, "ada", "session")),
        details: TokenDetails { acr: number.is_multiple_of(3).then(|| said(0, "0", "1")), ..TokenDetails::default() },
        ..draft(number, NOW + 3600 + u64::from(number))
    }
}

async fn fast_path_records_each_token_unchanged(database: &Database) {
    let store = &database.store;
    let mut last = issue_tokens(store, &[draft(0, NOW + 3600)]).await[0].number;
    let mut numbers = 1..;
    for count in [1, 2, 3, 64, 77, 256, 300] {
        for token in issue_all(store, numbers.by_ref().take(count).map(different)).await {
            assert!(token.number > last, "in their order");
            last = token.number;
            assert_eq!(store.find_token(token.id).await.expect("read").as_ref(), Some(&token));
        }
    }
}

async fn epoch_closed_by_another_process_gets_no_more_tokens(database: &Database) {
    let (store, other_process) = (&database.store, database.reopen().await);
    let mut epoch = issue_tokens(store, &[draft(1, NOW + 3600)]).await[0].id.epoch();
    for number in 1..4 {
        assert_eq!(other_process.close_epoch().await.expect("closed"), epoch);
        epoch += 1;
        for token in issue_all(store, (0..3).map(|nth| draft(100 * number + nth, NOW + 3600))).await {
            assert_eq!((token.id.epoch(), store.find_token(token.id).await.expect("read")), (epoch, Some(token)));
        }
        let again = store.issue(draft(100 * number + 50, NOW + 3600)).await.expect("issued");
        assert_eq!(again.id.epoch(), epoch);
    }
    other_process.close().await;
}

async fn key_revoked_by_another_process_issues_no_more_tokens(database: &Database) {
    let (store, other_process) = (&database.store, database.reopen().await);
    let by_other_key = |number| TokenDraft { key_id: "key-2".to_owned(), ..draft(number, NOW + 3600) };
    issue_tokens(store, &[draft(1, NOW + 3600), draft(2, NOW + 3600)]).await;
    let key = Target::Key("key-1".to_owned());
    other_process.revoke(revoke_any(key.clone(), NOW)).await.expect("revoked");
    for number in [10, 20] {
        let issuances = vec![draft(number, NOW + 3600).into(), by_other_key(number + 1).into()];
        let issued = store.apply(Batch { issuances, ..Batch::default() }).await.expect("written").issued;
        assert!(matches!(issued.as_slice(), [Err(StoreError::KeyRevoked(_)), Ok(_)]), "{issued:?}");
    }
    other_process.reinstate(reinstate(key, NOW)).await.expect("lifted");
    issue_tokens(store, &[draft(30, NOW + 3600), draft(31, NOW + 3600)]).await;
    other_process.close().await;
}

async fn stale_registrations_version_is_refused(database: &Database) {
    let (store, other_process) = (&database.store, database.reopen().await);
    issue_tokens(store, &[draft(1, NOW + 3600)]).await;
    let registrations = async || store.get_versions().await.expect("read").registrations;
    let issue =
        |number, registrations_version| IssueRequest { registrations_version, ..draft(number, NOW + 3600).into() };
    let then = registrations().await;
    store.issue(issue(2, Some(then))).await.expect("it holds");
    other_process.create_client(&client("another").0).await.expect("registered");
    let refused = store.issue(issue(3, Some(then))).await;
    assert!(matches!(refused, Err(StoreError::ConcurrentModification)), "{refused:?}");
    let issuances = vec![issue(4, Some(then)), issue(5, Some(registrations().await)), issue(6, None)];
    let issued = store.apply(Batch { issuances, ..Batch::default() }).await.expect("written").issued;
    assert!(matches!(issued.as_slice(), [Err(StoreError::ConcurrentModification), Ok(_), Ok(_)]), "{issued:?}");
    other_process.close().await;
}

/// Redeems all in one batch that also issues a token.
async fn refresh_all(store: &Store, redemptions: Vec<RedeemRequest>, additional: u32) -> Vec<RedeemOutcome> {
    let issuances = vec![draft(additional, NOW + 3600).into()];
    let outcome = store.apply(Batch { redemptions, issuances, ..Batch::default() }).await.expect("written");
    let additional = outcome.issued[0].as_ref().expect("issued");
    assert_eq!(store.find_token(additional.id).await.expect("read").as_ref(), Some(&**additional));
    let redeemed: Vec<RedeemOutcome> =
        outcome.redeemed.into_iter().map(|redeemed| redeemed.expect("not barred")).collect();
    for redeemed in &redeemed {
        if let RedeemOutcome::Issued(token) = redeemed {
            assert_eq!(store.find_token(token.id).await.expect("read").as_ref(), Some(&**token));
        }
    }
    redeemed
}

async fn refused_refresh_does_not_affect_others_in_the_batch(database: &Database) {
    let store = &database.store;
    let mut grants = Vec::new();
    for number in 0..9 {
        grants.push(numbered_grant_with_refresh_token(database, "r0", number).await);
    }
    let all = |from: &str, to: &str, number: u32, at| -> Vec<RedeemRequest> {
        (number..).zip(&grants).map(|(number, grant)| refresh(grant, from, to, number, at)).collect()
    };
    let issued = |redeemed: &RedeemOutcome| matches!(redeemed, RedeemOutcome::Issued(_));
    assert!(refresh_all(store, all("r0", "r1", 100, NOW + 1), 90).await.iter().all(issued));
    assert!(refresh_all(store, all("r1", "r2", 200, NOW + 2), 91).await.iter().all(issued));
    // One request presents an older refresh token, one the previous, the others the current one.
    let mut mixed = all("r2", "r3", 300, NOW + 3);
    mixed[4] = refresh(&grants[4], "r0", "r1", 304, NOW + 3);
    mixed[6] = refresh(&grants[6], "r1", "r2", 306, NOW + 3);
    let answers = refresh_all(store, mixed, 92).await;
    for (nth, (answer, grant)) in answers.iter().zip(&grants).enumerate() {
        assert_eq!((issued(answer), is_ended(database, grant).await), (nth != 4, nth == 4), "{nth}: {answer:?}");
    }
    assert_eq!(answers[4], RedeemOutcome::Replayed);
    // All refresh tokens have expired unused.
    let late = refresh_all(store, all("r3", "r4", 400, NOW + 10_000), 93).await;
    assert!((0..9).all(|nth| [4, 6].contains(&nth) || late[nth] == RedeemOutcome::Expired), "{late:?}");
}

async fn grant_ended_by_another_process_is_not_refreshed(database: &Database) {
    let (store, other_process) = (&database.store, database.reopen().await);
    let (one, other) = (
        numbered_grant_with_refresh_token(database, "r0", 1).await,
        numbered_grant_with_refresh_token(database, "r0", 2).await,
    );
    let both =
        |from, to, number, at| vec![refresh(&one, from, to, number, at), refresh(&other, from, to, number + 1, at)];
    let answers = refresh_all(store, both("r0", "r1", 10, NOW + 1), 90).await;
    assert!(answers.iter().all(|answer| matches!(answer, RedeemOutcome::Issued(_))), "{answers:?}");
    other_process.revoke(revoke_any(Target::Session(one.id.to_string()), NOW + 1)).await.expect("revoked");
    let answers = refresh_all(store, both("r1", "r2", 20, NOW + 2), 91).await;
    assert!(matches!(answers.as_slice(), [RedeemOutcome::Ended, RedeemOutcome::Issued(_)]), "{answers:?}");
    let key = Target::Key("key-1".to_owned());
    other_process.revoke(revoke_any(key, NOW + 2)).await.expect("revoked");
    let refused = store.redeem(refresh(&other, "r2", "r3", 30, NOW + 3)).await;
    assert!(matches!(refused, Err(StoreError::KeyRevoked(_))), "{refused:?}");
    // Nothing was redeemed.
    let mut by_other_key = refresh(&other, "r2", "r3", 31, NOW + 3);
    by_other_key.issue.draft.key_id = "key-2".to_owned();
    assert!(matches!(store.redeem(by_other_key).await.expect("redeemed"), RedeemOutcome::Issued(_)));
    other_process.close().await;
}
