//! Sample grants and redemptions.

use tollgate_model::{Access, AuthorizationCode, Grant, GrantId, GrantTerms, SecretHash, SecretKind, User, UserId};
use tollgate_storage::{NewRefreshToken, RedeemCredential, RedeemOutcome, RedeemRequest, Store};

use crate::database::Database;
use crate::samples::{NOW, client, draft, secret};

pub(crate) fn random() -> [u8; 12] {
    tollgate_system::rng::random().expect("randomness")
}

pub(crate) async fn user(store: &Store) -> User {
    let name = GrantId::from_random(&random()).as_str().parse().expect("a name");
    let user = User::new(UserId::from_random(&random()), name, NOW);
    store.create_user(&user).await.expect("registered");
    user
}

/// A grant of a new user to the client `reports`, with its code.
pub(crate) async fn sample_code(store: &Store) -> AuthorizationCode {
    // The client may exist from an earlier call.
    let _ = store.create_client(&client("reports").0).await;
    let user = user(store).await;
    let access = Access {
        scope: "reports:read".parse().expect("a scope"),
        audience: "https://api.example other".parse().expect("audiences"),
        details: Default::default(),
    };
    let terms = GrantTerms {
        access,
        auth_time: NOW - 5,
        acr: "0".to_owned(),
        amr: vec!["pwd".to_owned()],
        device: None,
        claims: Default::default(),
    };
    let grant = Grant {
        id: GrantId::from_random(&random()),
        client: "reports".parse().expect("an id"),
        subject: user.id.to_string(),
        user: user.id,
        browser_session: None,
        terms,
        created_at: NOW,
        ends_at: NOW + 100_000,
        ended_at: None,
    };
    let code = AuthorizationCode {
        hash: secret(SecretKind::Code).hash(),
        grant,
        redirect_uri: Some("https://shop.example/cb".to_owned()),
        challenge: Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".parse().expect("a challenge")),
        nonce: Some("n".to_owned()),
        jkt: None,
        expires_at: NOW + 60,
        tokens_expire_at: None,
        redeemed_at: None,
    };
    assert!(store.create_code(&code, Some(&code.grant.terms.access)).await.expect("recorded"));
    code
}

pub(crate) fn redeem(grant: &Grant, credential: RedeemCredential, number: u32, at: u64) -> RedeemRequest {
    let mut draft = draft(number, at + 3600);
    draft.session = Some(grant.id.to_string());
    draft.subject.clone_from(&grant.subject);
    RedeemRequest { credential, grant: grant.id.clone(), issue: draft.into(), at }
}

pub(crate) fn new(text: &str) -> NewRefreshToken {
    NewRefreshToken { hash: SecretHash::of(text), expires_at: NOW + 10_000, jkt: None }
}

/// Redeems the refresh token `from`, whose successor is `to`.
pub(crate) fn refresh(grant: &Grant, from: &str, to: &str, number: u32, at: u64) -> RedeemRequest {
    redeem(
        grant,
        RedeemCredential::RefreshToken { hash: SecretHash::of(from), successor: new(to), rotates: true, grace: 10 },
        number,
        at,
    )
}

/// As [`refresh`], of a client whose refresh tokens are not rotated. The token expires 10,000
/// seconds after the use.
pub(crate) fn refresh_without_rotation(grant: &Grant, from: &str, to: &str, number: u32, at: u64) -> RedeemRequest {
    let successor = NewRefreshToken { expires_at: at + 10_000, ..new(to) };
    let credential =
        RedeemCredential::RefreshToken { hash: SecretHash::of(from), successor, rotates: false, grace: 10 };
    redeem(grant, credential, number, at)
}

/// A grant whose code was redeemed for this first refresh token.
pub(crate) async fn grant_with_refresh_token(database: &Database, first: &str) -> Grant {
    numbered_grant_with_refresh_token(database, first, 1).await
}

pub(crate) async fn numbered_grant_with_refresh_token(database: &Database, first: &str, number: u32) -> Grant {
    let code = sample_code(&database.store).await;
    let credential = RedeemCredential::Code { hash: code.hash, refresh: Some(new(first)) };
    let redeemed = database.store.redeem(redeem(&code.grant, credential, number, NOW)).await.expect("redeemed");
    assert!(matches!(redeemed, RedeemOutcome::Issued(_)));
    code.grant
}

pub(crate) async fn is_ended(database: &Database, grant: &Grant) -> bool {
    database.store.find_grant(&grant.id).await.expect("read").expect("there").ended_at.is_some()
}
