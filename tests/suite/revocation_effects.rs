//! What each way of ending a session, a grant, a user or a client revokes, and which
//! clients get logout tokens, as a table.
//!
//! In each row alice signs in in two browsers and grants the client `app` access: in
//! the first browser with and without `offline_access`, in the second without, and
//! once more on a device. A partner vouches for her by the JWT bearer grant. bob
//! grants access in his own browser, and must not be affected. `app` receives
//! back-channel logout tokens.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tollgate_model::{Secret, SecretKind, UserId};
use tollgate_system::{Clock, rng};
use tollgate_tests::admin_client::AdminClient;
use tollgate_tests::browser::{self, Browser, Person};
use tollgate_tests::client::{TestClient, Tokens, register_resource};
use tollgate_tests::logout_listener::LogoutListener;
use tollgate_tests::origin::{AUDIENCE, TestOrigin};
use tollgate_tests::partner::Partner;
use tollgate_tests::regression_case::RegressionCase;
use tollgate_tests::users::{PASSWORD, register_user};

/// Each trigger and the expected state afterwards. Browsers `here` and `there`: signed `in` or
/// `out`. Grants: access and refresh token `lives` or `ended`. Notified: the grants for which the
/// client gets a logout token; `new` is the grant of the second sign-in.
#[rustfmt::skip]
const TABLE: &[(&str, Trigger, &str)] = &[
    //                                                                             here there | grant offline there device partner bob     | notified
    ("sign out",                                        Trigger::SignOut,             "out  in  | ended lives lives lives lives lives | here offline"),
    ("sign out by a client's link, with an ID token",   Trigger::LogoutLink,                "out  in  | ended lives lives lives lives lives | here offline"),
    ("sign out by a client's form, with an ID token",   Trigger::LogoutForm,                "out  in  | ended lives lives lives lives lives | here offline"),
    ("end one session at the account",                  Trigger::EndSession,              "out  in  | ended lives lives lives lives lives | here offline"),
    ("end all other sessions at the account",           Trigger::EndOtherSessions,           "in   out | lives lives ended lives lives lives | there"),
    ("revoke one application at the account",           Trigger::RevokeApplication,         "in   in  | ended lives lives lives lives lives | here"),
    ("revoke all at the account",                       Trigger::RevokeAllApplications,         "in   in  | ended ended ended ended ended lives | here offline there device"),
    ("change the password",                             Trigger::ChangePassword,      "in   out | lives lives ended lives lives lives | there"),
    ("an administrator sets the password",              Trigger::ResetPassword,       "out  out | ended lives ended lives lives lives | here offline there"),
    ("disable the user",                                Trigger::DisableUser,         "out  out | ended ended ended ended ended lives | here offline there device"),
    ("disable the client",                              Trigger::DisableClient,       "in   in  | ended ended ended ended lives ended | none"),
    ("the client removes its registration",             Trigger::RemoveClient,        "in   in  | ended ended ended ended lives ended | none"),
    ("the same user signs in again",                    Trigger::SignInAgain,         "in   in  | lives lives lives lives lives lives | none"),
    ("the same user signs in again, then out",          Trigger::SignInAgainAndOut,   "out  in  | ended lives lives lives lives lives | here offline new"),
    ("another user signs in in the same browser",       Trigger::AnotherSignsIn,      "bob  in  | ended lives lives lives lives lives | here offline"),
    ("the session expires",                             Trigger::Expire,              "out  in  | ended lives lives lives lives lives | here offline"),
    ("the client revokes its refresh token",            Trigger::ClientRevokes,       "in   in  | ended lives lives lives lives lives | here"),
    ("an old refresh token is used",                    Trigger::ReuseRefresh,        "in   in  | ended lives lives lives lives lives | here"),
    ("a code is used twice",                            Trigger::ReuseCode,           "in   in  | ended lives lives lives lives lives | here"),
    ("an administrator revokes the session",            Trigger::RevokeSession,       "in   in  | ended lives lives lives lives lives | here"),
    ("an administrator revokes the subject",            Trigger::RevokeSubject,       "in   in  | ended ended ended ended lives lives | here offline there device"),
    ("an administrator revokes the client",             Trigger::RevokeClient,        "in   in  | ended ended ended ended lives ended | here offline there device bob"),
    ("an administrator revokes everything so far",      Trigger::RevokeAll,           "in   in  | ended ended ended ended ended ended | here offline there device bob"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    SignOut,
    LogoutLink,
    LogoutForm,
    EndSession,
    EndOtherSessions,
    RevokeApplication,
    RevokeAllApplications,
    ChangePassword,
    ResetPassword,
    DisableUser,
    DisableClient,
    RemoveClient,
    SignInAgain,
    SignInAgainAndOut,
    AnotherSignsIn,
    Expire,
    ClientRevokes,
    ReuseRefresh,
    ReuseCode,
    RevokeSession,
    RevokeSubject,
    RevokeClient,
    RevokeAll,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trigger_revokes_what_the_table_says_on_sqlite() -> Result<()> {
    table(&RegressionCase::sqlite("endings")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trigger_revokes_what_the_table_says_on_postgres() -> Result<()> {
    let case = RegressionCase::postgres("endings").await?;
    table(&case).await?;
    case.delete_database().await
}

async fn table(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[("TOLLGATE_REGISTRATION", "token")]).await?;
    let admin = AdminClient::register(&origin, "operator").await?;
    // The resource server of all tokens, which may introspect each.
    let api = TestClient::register_web_app(&origin, "api", &json!({})).await?;
    register_resource(&origin, AUDIENCE, &api).await?;
    let mut printed = format!("\n{:<45} | here there | grant offline there device partner bob | notified\n", "trigger");
    let mut wrong = Vec::new();
    for (number, (name, trigger, right)) in TABLE.iter().enumerate() {
        let row = Row::set_up(case, &origin, &admin, &api, number).await?;
        let before = origin.server.store().get_feed_head().await?.sequence;
        row.apply(*trigger).await.with_context(|| format!("{name}: the trigger fails"))?;
        let seen = row.observe(*trigger).await.with_context(|| format!("{name}: the state cannot be observed"))?;
        let news = origin.server.store().get_feed_head().await?.sequence - before;
        ensure!(
            (news > 0) == seen.contains("ended"),
            "{name}: {news} changes are published to edges and security event receivers"
        );
        writeln!(printed, "{name:<45} | {seen}")?;
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        if words(right) != words(&seen) {
            wrong.push(format!("{name}:\n  is     {seen}\n  should {right}"));
        }
    }
    println!("{printed}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A row's clients, browsers and grants.
struct Row<'a> {
    case: &'a RegressionCase,
    origin: &'a TestOrigin,
    admin: &'a AdminClient,
    api: &'a TestClient,
    listener: LogoutListener,
    alice: Person,
    alice_id: UserId,
    bob: Person,
    app: TestClient,
    here: Browser,
    there: Browser,
    grant: Tokens,
    offline: Tokens,
    elsewhere: Tokens,
    device: Tokens,
    vouched: Tokens,
    bobs: Tokens,
}

impl<'a> Row<'a> {
    async fn set_up(
        case: &'a RegressionCase,
        origin: &'a TestOrigin,
        admin: &'a AdminClient,
        api: &'a TestClient,
        number: usize,
    ) -> Result<Self> {
        let listener = LogoutListener::start().await?;
        let changes = json!({
            "backchannel_logout_uri": listener.url,
            "first_party": true,
            "scope": "openid read offline_access",
        });
        let app = TestClient::register_web_app(origin, &format!("app{number}"), &changes).await?;
        // The partner knows the user by a pairwise subject.
        let pairwise = json!({ "subject_type": "pairwise", "redirect_uris": ["https://partner.example/cb"] });
        let partner = Partner::register(origin, &format!("partner{number}"), &pairwise).await?;
        let (alice_id, alice) = register_user(origin, &format!("alice{number}")).await?;
        let (_, bob) = register_user(origin, &format!("bob{number}")).await?;
        let browser = || Browser::new(&origin.server.url());
        let (here, there, his) = (browser()?, browser()?, browser()?);
        let grant = app.user_tokens(&here, &alice, &[("scope", "openid read")]).await?;
        let offline = app.user_tokens(&here, &alice, &[("scope", "openid read offline_access")]).await?;
        let elsewhere = app.user_tokens(&there, &alice, &[("scope", "openid read")]).await?;
        let device = app.device_tokens(&there, &alice, "openid read").await?;
        let vouched = Tokens::read(&partner.vouch(&alice.username).await?.success()?.body)?;
        let bobs = app.user_tokens(&his, &bob, &[("scope", "openid read")]).await?;
        Ok(Self {
            case,
            origin,
            admin,
            api,
            listener,
            alice,
            alice_id,
            bob,
            app,
            here,
            there,
            grant,
            offline,
            elsewhere,
            device,
            vouched,
            bobs,
        })
    }

    fn url(&self, path: &str) -> String {
        self.origin.url(path)
    }

    async fn apply(&self, trigger: Trigger) -> Result<()> {
        match trigger {
            Trigger::SignOut
            | Trigger::LogoutLink
            | Trigger::LogoutForm
            | Trigger::EndSession
            | Trigger::EndOtherSessions
            | Trigger::RevokeApplication
            | Trigger::RevokeAllApplications => self.user_ends(trigger).await,
            Trigger::SignInAgain | Trigger::SignInAgainAndOut | Trigger::AnotherSignsIn | Trigger::ChangePassword => {
                self.user_signs_in(trigger).await
            }
            Trigger::RemoveClient | Trigger::ClientRevokes | Trigger::ReuseRefresh | Trigger::ReuseCode => {
                self.client_ends(trigger).await
            }
            Trigger::Expire => self.expire().await,
            _ => self.admin_ends(trigger).await,
        }
    }

    async fn user_ends(&self, trigger: Trigger) -> Result<()> {
        let (here, there) = (&self.here, &self.there);
        let account = self.url("/account/sessions");
        match trigger {
            Trigger::SignOut => self.sign_out(here).await,
            Trigger::LogoutLink => {
                let page = here.open(&self.url(&format!("/oauth/logout?id_token_hint={}", self.grant.id))).await?;
                ensure!(page.status == 200 && page.body.contains("signed out"), "{}", page.body);
                Ok(())
            }
            // Without the session cookie, which browsers do not send with another site's form.
            Trigger::LogoutForm => {
                let form = [("id_token_hint", &self.grant.id)];
                let answer = reqwest::Client::new().post(self.url("/oauth/logout")).form(&form).send().await?;
                ensure!(answer.status() == 200 && !answer.headers().contains_key("set-cookie"), "{answer:?}");
                Ok(())
            }
            Trigger::EndSession => {
                let login = self.session_id(here).await?;
                there.submit_form(&account, &[("end", &login)]).await.map(drop)
            }
            Trigger::EndOtherSessions => here.submit_form(&account, &[("end", "others")]).await.map(drop),
            Trigger::RevokeApplication => here.submit_form(&account, &[("end", &self.grant.sid)]).await.map(drop),
            _ => here.submit_form(&account, &[("end", "all")]).await.map(drop),
        }
    }

    async fn user_signs_in(&self, trigger: Trigger) -> Result<()> {
        let here = &self.here;
        if trigger == Trigger::ChangePassword {
            let new = "a battery for every horse";
            let fields = [("old", PASSWORD), ("new", new), ("again", new)];
            return here.submit_form(&self.url("/account/password"), &fields).await.map(drop);
        }
        let person = if trigger == Trigger::AnotherSignsIn { &self.bob } else { &self.alice };
        let page = self.app.authorize(here, person, &[("scope", "openid read"), ("prompt", "login")]).await?;
        ensure!(page.parameter("code").is_some(), "{} {}", page.status, page.body);
        if trigger == Trigger::SignInAgainAndOut { self.sign_out(here).await } else { Ok(()) }
    }

    async fn client_ends(&self, trigger: Trigger) -> Result<()> {
        match trigger {
            Trigger::RemoveClient => {
                let url = self.url(&format!("/oauth/register/{}", self.app.id));
                let token = self.make_self_registered().await?;
                let answer = reqwest::Client::new().delete(url).bearer_auth(token).send().await?;
                ensure!(answer.status() == 204, "{}", answer.status());
            }
            Trigger::ClientRevokes => {
                self.app.revoke(&self.grant.refresh).await?;
            }
            Trigger::ReuseRefresh => {
                let next = self.app.refresh(&self.grant.refresh).await?.text("refresh_token")?;
                self.app.refresh(&next).await?;
                self.app.refresh(&self.grant.refresh).await?.invalid_grant()?;
            }
            _ => self.app.redeem(&self.grant.code).await?.invalid_grant()?,
        }
        Ok(())
    }

    /// Turns the client into one that registered itself, and returns its registration
    /// access token.
    async fn make_self_registered(&self) -> Result<String> {
        let token = Secret::new(SecretKind::Registration, &rng::random()?);
        let hash: String = token.hash().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let hash = if self.case.is_postgres() { format!("'\\x{hash}'") } else { format!("x'{hash}'") };
        let sql = format!("UPDATE clients SET registration = {hash} WHERE id = '{}'", self.app.id);
        self.case.execute(self.origin, &sql).await?;
        Ok(token.reveal().to_owned())
    }

    async fn admin_ends(&self, trigger: Trigger) -> Result<()> {
        let user = format!("/users/{}", self.alice_id);
        match trigger {
            Trigger::ResetPassword => {
                let body = json!({ "password": "another battery" });
                self.send_as_admin(Method::PUT, &format!("{user}/password"), &body).await
            }
            Trigger::DisableUser => self.send_as_admin(Method::DELETE, &user, &Value::Null).await,
            Trigger::DisableClient => {
                self.send_as_admin(Method::DELETE, &format!("/clients/{}", self.app.id), &Value::Null).await
            }
            Trigger::RevokeSession => self.revoke("session", json!(self.grant.sid)).await,
            Trigger::RevokeSubject => self.revoke("subject", json!(self.alice_id)).await,
            Trigger::RevokeClient => self.revoke("client", json!(self.app.id)).await,
            _ => {
                // Tokens issued in this second are not before it.
                let issued_at = Clock::system().now();
                while Clock::system().now() == issued_at {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                self.revoke("everything", json!(Clock::system().now())).await
            }
        }
    }

    async fn revoke(&self, kind: &str, name: Value) -> Result<()> {
        let body = if kind == "everything" { json!({ "before": name }) } else { json!({ "kind": kind, "name": name }) };
        self.send_as_admin(Method::POST, "/revocations", &body).await
    }

    async fn send_as_admin(&self, method: Method, path: &str, body: &Value) -> Result<()> {
        let answer = self.admin.send(method, path, body).await?;
        ensure!((200..300).contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
        Ok(())
    }

    async fn sign_out(&self, browser: &Browser) -> Result<()> {
        browser.submit_form(&self.url("/logout"), &[]).await.map(drop)
    }

    /// Id of the session in this browser.
    async fn session_id(&self, browser: &Browser) -> Result<String> {
        let page = browser.open(&self.url("/account/sessions")).await?;
        let row = page.body.split("<tr>").find(|row| row.contains("This browser")).context("a row of this browser")?;
        browser::field(row, "end").context("a session")
    }

    /// Expires the session in the database, and runs the origin's sweep of expired
    /// sessions.
    async fn expire(&self) -> Result<()> {
        let login = self.session_id(&self.here).await?;
        let sql = format!("UPDATE browser_sessions SET expires_at = 1 WHERE id = '{login}'");
        self.case.execute(self.origin, &sql).await?;
        let ended = self.origin.server.store().end_expired_sessions(Clock::system().now()).await?;
        ensure!(ended == 1, "{ended} sessions ended");
        Ok(())
    }

    /// Which browsers and grants are alive, and which grants the client was notified
    /// of.
    async fn observe(&self, trigger: Trigger) -> Result<String> {
        let notified = self.listener.notified_grants(self.origin).await?;
        match trigger {
            // Enables it again: what was revoked must stay revoked.
            Trigger::DisableUser => {
                self.send_as_admin(Method::POST, &format!("/users/{}/enable", self.alice_id), &Value::Null).await?;
            }
            Trigger::DisableClient | Trigger::RemoveClient => {
                self.send_as_admin(Method::POST, &format!("/clients/{}/enable", self.app.id), &Value::Null).await?;
            }
            _ => {}
        }
        let (here, there) = (self.signed_in(&self.here).await?, self.signed_in(&self.there).await?);
        let all_tokens = [&self.grant, &self.offline, &self.elsewhere, &self.device, &self.vouched, &self.bobs];
        let mut lives = Vec::new();
        for tokens in all_tokens {
            lives.push(self.lives(tokens).await?);
        }
        Ok(format!("{here} {there} | {} | {}", lives.join(" "), self.names(&notified)))
    }

    async fn signed_in(&self, browser: &Browser) -> Result<&'static str> {
        let page = browser.open(&self.url("/account/sessions")).await?;
        Ok(match () {
            () if page.body.contains(&self.alice.username) => "in",
            () if page.body.contains(&self.bob.username) => "bob",
            () => "out",
        })
    }

    async fn lives(&self, tokens: &Tokens) -> Result<&'static str> {
        let access = self.api.is_active(&tokens.access).await?;
        let refresh = match tokens.refresh.as_str() {
            "" => access,
            refresh => self.app.refresh(refresh).await?.status == 200,
        };
        Ok(match (access, refresh) {
            (true, true) => "lives",
            (false, false) => "ended",
            (true, false) => "its-access-token-lives",
            (false, true) => "its-refresh-token-lives",
        })
    }

    fn names(&self, notified: &BTreeSet<String>) -> String {
        let named = [
            ("here", &self.grant),
            ("offline", &self.offline),
            ("there", &self.elsewhere),
            ("device", &self.device),
            ("bob", &self.bobs),
        ];
        let known = named.iter().filter(|(_, tokens)| notified.contains(&tokens.sid)).map(|(name, _)| *name);
        let mut names: Vec<&str> = known.collect();
        names.extend(std::iter::repeat_n("new", notified.len() - names.len()));
        if names.is_empty() { "none".to_owned() } else { names.join(" ") }
    }
}
