//! Concurrent guesses are counted one by one, so they do not exceed a limit.

use std::collections::BTreeMap;

use futures::future::join_all;
use tollgate_model::{AuthMethod, Client, ClientMetadata, GrantType, StoredSecret};
use tollgate_system::rng;
use tollgate_test_kit::users::PASSWORD;
use zeroize::Zeroizing;

use crate::fixture::{Origin, UserBrowser, answer, text};

/// Concurrent guesses.
const CONCURRENT_GUESSES: u16 = 50;

/// How often each status occurs.
async fn statuses(guesses: impl Iterator<Item = impl Future<Output = u16>>) -> BTreeMap<u16, usize> {
    let mut statuses = BTreeMap::new();
    for status in join_all(guesses).await {
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_user_code_guesses_do_not_exceed_the_limit() {
    const DEVICE: GrantType = GrantType::DeviceCode;
    let origin = Origin::start().await;
    for user in ["ada", "bob"] {
        origin.user(user).await;
    }
    let metadata = ClientMetadata { auth_method: AuthMethod::None, grant_types: vec![DEVICE], ..Origin::web() };
    origin.client("tv", metadata).await;
    let (_, started) = origin.post("/oauth/device/code", "tv", &[]).await;
    let right = text(&started, "user_code");

    let ada = UserBrowser::new(&origin, "ada");
    ada.sign_in().await;
    // Right user codes do not count.
    for _ in 0..30 {
        assert_eq!(ada.get(&format!("/device?user_code={right}")).await.status, 200);
    }
    let csrf = ada.csrf("/device").await;
    let guess = async |_| {
        let wrong = "BCDF-GHJK";
        ada.post("/device", &[("csrf", &csrf), ("user_code", wrong)]).await.status
    };
    assert_eq!(statuses((0..CONCURRENT_GUESSES).map(guess)).await, BTreeMap::from([(404, 10), (429, 40)]));
    assert_eq!(ada.get(&format!("/device?user_code={right}")).await.status, 429, "even the right one is refused");
    let bob = UserBrowser::new(&origin, "bob");
    bob.sign_in().await;
    assert_eq!(bob.get(&format!("/device?user_code={right}")).await.status, 200, "other users are not locked out");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_password_guesses_do_not_exceed_the_limit() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let browser = UserBrowser::new(&origin, "ada");
    let csrf = browser.csrf("/login").await;
    let guess = async |nth: u16| {
        let password = format!("guess number {nth}");
        let form = [("csrf", csrf.as_str()), ("username", "ada"), ("password", &password)];
        browser.post("/login", &form).await.status
    };
    assert_eq!(statuses((0..CONCURRENT_GUESSES).map(guess)).await, BTreeMap::from([(403, 5), (429, 45)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_guesses_of_the_old_password_do_not_exceed_the_limit() {
    let origin = Origin::start().await;
    origin.user("ada").await;
    let ada = UserBrowser::new(&origin, "ada");
    ada.sign_in().await;
    let csrf = ada.csrf("/account/password").await;
    let change = async |old: String| {
        let new = "a better one than before";
        let form = [("csrf", csrf.as_str()), ("old", &old), ("new", new), ("again", new)];
        ada.post("/account/password", &form).await.status
    };
    let guesses = (0..CONCURRENT_GUESSES).map(|nth| change(format!("guess number {nth}")));
    assert_eq!(statuses(guesses).await, BTreeMap::from([(422, 10), (429, 40)]));
    assert_eq!(change(PASSWORD.to_owned()).await, 429, "even the right one is refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_client_secret_guesses_do_not_exceed_the_limit() {
    const SECRET: &str = "chosen by a person";
    let origin = Origin::start_with(&[("TOLLGATE_LIMIT_CLIENT_SECRETS", "5/10m")]).await;
    let secret = Zeroizing::new(SECRET.to_owned());
    let hash = tokio::task::block_in_place(|| tollgate_services::password_hashing::hash_password_blocking(&secret))
        .expect("hashed");
    for id in ["guessed", "used"] {
        let mut client = Client::new(id.parse().expect("an id"), Origin::service("orders"), 0);
        client.secrets.push(StoredSecret::chosen(hash.clone(), rng::random().expect("randomness"), 0));
        origin.server.store().create_client(&client).await.expect("registered");
    }
    let by = async |id: &'static str, secret: Zeroizing<String>| {
        let request = origin.http.post(origin.url("/oauth/token")).basic_auth(id, Some(secret.as_str()));
        answer(request.form(&[("grant_type", "client_credentials")])).await.0
    };
    let hashed = origin.server.password_hasher().load().done;
    let guesses = (0..CONCURRENT_GUESSES).map(|nth| by("guessed", Zeroizing::new(format!("guess number {nth}"))));
    assert_eq!(statuses(guesses).await, BTreeMap::from([(401, 5), (429, 45)]));
    assert_eq!(origin.server.password_hasher().load().done, hashed + 5, "guesses above the limit cost no hash");
    assert_eq!(by("guessed", Zeroizing::new(SECRET.to_owned())).await, 429, "even the right one is refused");
    // Right secrets do not count, even while none of them has been checked yet.
    let uses = (0..CONCURRENT_GUESSES).map(|_| by("used", Zeroizing::new(SECRET.to_owned())));
    assert_eq!(statuses(uses).await, BTreeMap::from([(200, usize::from(CONCURRENT_GUESSES))]));
}
