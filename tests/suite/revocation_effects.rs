//! Ending means ending: for each way of ending something, what lives after it and which clients are told, as a table.
//!
//! In each row alice signed in in two browsers and gave the client `app` something in each: in the first one with and one without
//! `offline_access`, in the second one without; something more to a device, and a partner vouched for her. bob gave something in a browser of
//! his own, which has to be as it was. `app` hears of logouts.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tollgate::ambient;
use tollgate::domain::{Resource, Secret, SecretKind, UserId};
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::origin::{AUDIENCE, TestOrigin};
use tollgate_tests::parties::{LogoutListener, PASSWORD, Partner, RelyingParty, Tokens, admin_token, register_user};
use tollgate_tests::regression_case::RegressionCase;

/// Each way of ending something with what must be so afterwards. Browsers: `here` and `there`, signed in or `out`. What was given: `lives`
/// or `ended`, access token and refresh token alike. Told: of which grants the client hears; `new` is one that was given with the sign-in.
#[rustfmt::skip]
const TABLE: &[(&str, Way, &str)] = &[
    //                                                                             here there | grant offline there device partner bob     | told
    ("sign out",                                        Way::SignOut,             "out  in  | ended lives lives lives lives lives | here offline"),
    ("sign out by a client's link, with an ID token",   Way::Link,                "out  in  | ended lives lives lives lives lives | here offline"),
    ("sign out by a client's form, with an ID token",   Way::Form,                "out  in  | ended lives lives lives lives lives | here offline"),
    ("end one session at the account",                  Way::EndOne,              "out  in  | ended lives lives lives lives lives | here offline"),
    ("end all other sessions at the account",           Way::EndOthers,           "in   out | lives lives ended lives lives lives | there"),
    ("revoke one application at the account",           Way::TakeBackOne,         "in   in  | ended lives lives lives lives lives | here"),
    ("revoke all at the account",                       Way::TakeBackAll,         "in   in  | ended ended ended ended ended lives | here offline there device"),
    ("change the password",                             Way::ChangePassword,      "in   out | lives lives ended lives lives lives | there"),
    ("an administrator sets the password",              Way::ResetPassword,       "out  out | ended lives ended lives lives lives | here offline there"),
    ("disable the user",                                Way::DisableUser,         "out  out | ended ended ended ended ended lives | here offline there device"),
    ("disable the client",                              Way::DisableClient,       "in   in  | ended ended ended ended lives ended | nobody"),
    ("the client removes its registration",             Way::RemoveClient,        "in   in  | ended ended ended ended lives ended | nobody"),
    ("the same user signs in again",                    Way::SignInAgain,         "in   in  | lives lives lives lives lives lives | nobody"),
    ("the same user signs in again, then out",          Way::SignInAgainAndOut,   "out  in  | ended lives lives lives lives lives | here offline new"),
    ("another user signs in in the same browser",       Way::AnotherSignsIn,      "bob  in  | ended lives lives lives lives lives | here offline"),
    ("the session expires",                             Way::Expire,              "out  in  | ended lives lives lives lives lives | here offline"),
    ("the client revokes its refresh token",            Way::ClientRevokes,       "in   in  | ended lives lives lives lives lives | here"),
    ("an old refresh token is used",                    Way::ReuseRefresh,        "in   in  | ended lives lives lives lives lives | here"),
    ("a code is used twice",                            Way::ReuseCode,           "in   in  | ended lives lives lives lives lives | here"),
    ("an administrator revokes the session",            Way::RevokeSession,       "in   in  | ended lives lives lives lives lives | here"),
    ("an administrator revokes the subject",            Way::RevokeSubject,       "in   in  | ended ended ended ended lives lives | here offline there device"),
    ("an administrator revokes the client",             Way::RevokeClient,        "in   in  | ended ended ended ended lives ended | here offline there device bob"),
    ("an administrator revokes everything so far",      Way::RevokeAll,           "in   in  | ended ended ended ended ended ended | here offline there device bob"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    SignOut,
    Link,
    Form,
    EndOne,
    EndOthers,
    TakeBackOne,
    TakeBackAll,
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
async fn every_way_of_ending_ends_it_on_sqlite() -> Result<()> {
    table(&RegressionCase::sqlite("endings")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_ending_ends_it_on_postgres() -> Result<()> {
    let case = RegressionCase::postgres("endings").await?;
    table(&case).await?;
    case.delete_database().await
}

async fn table(case: &RegressionCase) -> Result<()> {
    let origin = case.origin(&[("TOLLGATE_REGISTRATION", "token")]).await?;
    let (admin, api) = (admin_token(&origin).await?, api(&origin).await?);
    let mut printed =
        format!("\n{:<45} | here there | grant offline there device partner bob | told\n", "way of ending");
    let mut wrong = Vec::new();
    for (number, (name, way, right)) in TABLE.iter().enumerate() {
        let mut row = Row::set_up(case, &origin, &admin, &api, number).await?;
        let before = origin.server.store().head().await?.sequence;
        row.end(*way).await.with_context(|| format!("{name}: it does not work"))?;
        let seen = row.observe(*way).await.with_context(|| format!("{name}: it cannot be observed"))?;
        let news = origin.server.store().head().await?.sequence - before;
        ensure!(
            (news > 0) == seen.contains("ended"),
            "{name}: edges and receivers of security events are told {news} things"
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

/// The API that all tokens are for: it may ask about each.
async fn api(origin: &TestOrigin) -> Result<RelyingParty> {
    let api = RelyingParty::register(origin, "api", &json!({})).await?;
    let resource = Resource {
        audience: AUDIENCE.parse()?,
        name: "The API".to_owned(),
        scopes: [("read".to_owned(), "Read".to_owned())].into(),
        introspected_by: Some(api.id.parse()?),
    };
    origin.server.store().put_resource(&resource).await?;
    Ok(api)
}

/// What there is before something ends.
struct Row<'a> {
    case: &'a RegressionCase,
    origin: &'a TestOrigin,
    admin: &'a str,
    api: &'a RelyingParty,
    heard: LogoutListener,
    alice: Person,
    alice_id: UserId,
    bob: Person,
    app: RelyingParty,
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
        admin: &'a str,
        api: &'a RelyingParty,
        number: usize,
    ) -> Result<Self> {
        let heard = LogoutListener::start().await?;
        let more = json!({ "backchannel_logout_uri": heard.url, "first_party": true });
        let app = RelyingParty::register(origin, &format!("app{number}"), &more).await?;
        // A user is known to it under a name of its own.
        let pairwise = json!({ "subject_type": "pairwise", "redirect_uris": ["https://partner.example/cb"] });
        let partner = Partner::register(origin, &format!("partner{number}"), &pairwise).await?;
        let (alice_id, alice) = register_user(origin, &format!("alice{number}"), false).await?;
        let (_, bob) = register_user(origin, &format!("bob{number}"), false).await?;
        let browser = || Browser::new(&origin.server.url());
        let (mut here, mut there, mut his) = (browser()?, browser()?, browser()?);
        let grant = app.tokens(&mut here, &alice, "openid read", &[]).await?;
        let offline = app.tokens(&mut here, &alice, "openid read offline_access", &[]).await?;
        let elsewhere = app.tokens(&mut there, &alice, "openid read", &[]).await?;
        let device = app.device_tokens(&mut there, &alice, "openid read").await?;
        let (_, vouched) = partner.vouch(&alice.username).await?;
        let vouched = Tokens::read(&vouched).with_context(|| format!("{vouched}"))?;
        let bobs = app.tokens(&mut his, &bob, "openid read", &[]).await?;
        Ok(Self {
            case,
            origin,
            admin,
            api,
            heard,
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
        format!("{}{path}", self.origin.server.url())
    }

    async fn end(&mut self, way: Way) -> Result<()> {
        let (mut here, mut there) = (self.here.clone(), self.there.clone());
        match way {
            Way::SignOut
            | Way::Link
            | Way::Form
            | Way::EndOne
            | Way::EndOthers
            | Way::TakeBackOne
            | Way::TakeBackAll => {
                self.user_ends(way, &mut here, &mut there).await?;
            }
            Way::SignInAgain | Way::SignInAgainAndOut | Way::AnotherSignsIn | Way::ChangePassword => {
                self.user_signs_in(way, &mut here).await?;
            }
            Way::RemoveClient | Way::ClientRevokes | Way::ReuseRefresh | Way::ReuseCode => {
                self.client_ends(way).await?
            }
            Way::Expire => self.expire(&mut here).await?,
            _ => self.admin_ends(way).await?,
        }
        (self.here, self.there) = (here, there);
        Ok(())
    }

    async fn user_ends(&self, way: Way, here: &mut Browser, there: &mut Browser) -> Result<()> {
        let account = self.url("/account/sessions");
        match way {
            Way::SignOut => self.sign_out(here).await,
            Way::Link => {
                let page = here.open(&self.url(&format!("/oauth/logout?id_token_hint={}", self.grant.id))).await?;
                ensure!(page.status == 200 && page.body.contains("signed out"), "{}", page.body);
                Ok(())
            }
            // Without its cookie, which the browser does not send with it.
            Way::Form => {
                let form = [("id_token_hint", &self.grant.id)];
                let answer = reqwest::Client::new().post(self.url("/oauth/logout")).form(&form).send().await?;
                ensure!(answer.status() == 200 && !answer.headers().contains_key("set-cookie"), "{answer:?}");
                Ok(())
            }
            Way::EndOne => {
                let login = self.login_of(here).await?;
                there.submit_form(&account, &[("end", &login)]).await.map(drop)
            }
            Way::EndOthers => here.submit_form(&account, &[("end", "others")]).await.map(drop),
            Way::TakeBackOne => here.submit_form(&account, &[("end", &self.grant.sid)]).await.map(drop),
            _ => here.submit_form(&account, &[("end", "all")]).await.map(drop),
        }
    }

    async fn user_signs_in(&self, way: Way, here: &mut Browser) -> Result<()> {
        if way == Way::ChangePassword {
            let new = "a battery for every horse";
            let fields = [("old", PASSWORD), ("new", new), ("again", new)];
            return here.submit_form(&self.url("/account/password"), &fields).await.map(drop);
        }
        let person = if way == Way::AnotherSignsIn { &self.bob } else { &self.alice };
        let page = self.app.authorize(here, person, "openid read", &[("prompt", "login")]).await?;
        ensure!(page.parameter("code").is_some(), "{} {}", page.status, page.body);
        if way == Way::SignInAgainAndOut { self.sign_out(here).await } else { Ok(()) }
    }

    async fn client_ends(&self, way: Way) -> Result<()> {
        match way {
            Way::RemoveClient => {
                let url = self.url(&format!("/oauth/register/{}", self.app.id));
                let token = self.hand_over_registration().await?;
                let answer = reqwest::Client::new().delete(url).bearer_auth(token).send().await?;
                ensure!(answer.status() == 204, "{}", answer.status());
            }
            Way::ClientRevokes => {
                let (status, body) = self.app.post("/oauth/revoke", &[("token", &self.grant.refresh)]).await?;
                ensure!(status == 200, "{status} {body}");
            }
            Way::ReuseRefresh => {
                let (_, next) = self.app.refresh(&self.grant.refresh).await?;
                self.app.refresh(next["refresh_token"].as_str().context("a refresh token")?).await?;
                refused(&self.app.refresh(&self.grant.refresh).await?)?;
            }
            _ => refused(&self.app.redeem(&self.grant.code).await?)?,
        }
        Ok(())
    }

    /// Makes the client one that registered itself; gives the token that manages its registration.
    async fn hand_over_registration(&self) -> Result<String> {
        let token = Secret::new(SecretKind::Registration, &ambient::random()?);
        let hash: String = token.hash().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let hash = if self.case.is_postgres() { format!("'\\x{hash}'") } else { format!("x'{hash}'") };
        let sql = format!("UPDATE clients SET registration = {hash} WHERE id = '{}'", self.app.id);
        self.case.execute(self.origin, &sql).await?;
        Ok(token.reveal().to_owned())
    }

    async fn admin_ends(&self, way: Way) -> Result<()> {
        let user = format!("/admin/api/users/{}", self.alice_id);
        match way {
            Way::ResetPassword => {
                let body = json!({ "password": "another battery" });
                self.ask_admin(Method::PUT, &format!("{user}/password"), Some(body)).await
            }
            Way::DisableUser => self.ask_admin(Method::DELETE, &user, None).await,
            Way::DisableClient => {
                self.ask_admin(Method::DELETE, &format!("/admin/api/clients/{}", self.app.id), None).await
            }
            Way::RevokeSession => self.revoke("session", json!(self.grant.sid)).await,
            Way::RevokeSubject => self.revoke("subject", json!(self.alice_id)).await,
            Way::RevokeClient => self.revoke("client", json!(self.app.id)).await,
            _ => {
                // What was issued in this very second is not before it.
                tokio::time::sleep(Duration::from_millis(1100)).await;
                self.revoke("everything", json!(ambient::now())).await
            }
        }
    }

    async fn revoke(&self, kind: &str, name: Value) -> Result<()> {
        let body = if kind == "everything" { json!({ "before": name }) } else { json!({ "kind": kind, "name": name }) };
        self.ask_admin(Method::POST, "/admin/api/revocations", Some(body)).await
    }

    async fn ask_admin(&self, method: Method, path: &str, body: Option<Value>) -> Result<()> {
        let request = reqwest::Client::new().request(method, self.url(path)).bearer_auth(self.admin);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{path}: {status} {}", answer.text().await?);
        Ok(())
    }

    async fn sign_out(&self, browser: &mut Browser) -> Result<()> {
        browser.submit_form(&self.url("/logout"), &[]).await.map(drop)
    }

    /// The id of the session in this browser.
    async fn login_of(&self, browser: &mut Browser) -> Result<String> {
        let page = browser.open(&self.url("/account/sessions")).await?;
        let row = page.body.split("<tr>").find(|row| row.contains("this browser")).context("a row of this browser")?;
        tollgate_tests::browser::field(row, "end").context("a session")
    }

    /// Lets the time of the session pass in the database, then has the origin do what it does once a minute.
    async fn expire(&self, browser: &mut Browser) -> Result<()> {
        let login = self.login_of(browser).await?;
        let sql = format!("UPDATE logins SET expires_at = 1 WHERE id = '{login}'");
        self.case.execute(self.origin, &sql).await?;
        let ended = self.origin.server.store().end_expired_sessions(ambient::now()).await?;
        ensure!(ended == 1, "{ended} sessions ended");
        Ok(())
    }

    /// What lives, and who was told.
    async fn observe(&mut self, way: Way) -> Result<String> {
        let told = self.heard.heard(self.origin).await?;
        match way {
            // What ended stays so.
            Way::DisableUser => {
                self.ask_admin(Method::POST, &format!("/admin/api/users/{}/enable", self.alice_id), None).await?;
            }
            Way::DisableClient | Way::RemoveClient => {
                self.ask_admin(Method::POST, &format!("/admin/api/clients/{}/enable", self.app.id), None).await?;
            }
            _ => {}
        }
        let (here, there) = (self.here.clone(), self.there.clone());
        let (here, there) = (self.signed_in(here).await?, self.signed_in(there).await?);
        let given = [&self.grant, &self.offline, &self.elsewhere, &self.device, &self.vouched, &self.bobs];
        let mut lives = Vec::new();
        for tokens in given {
            lives.push(self.lives(tokens).await?);
        }
        Ok(format!("{here} {there} | {} | {}", lives.join(" "), self.names(&told)))
    }

    async fn signed_in(&self, mut browser: Browser) -> Result<&'static str> {
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
            refresh => self.app.refresh(refresh).await?.0 == 200,
        };
        Ok(match (access, refresh) {
            (true, true) => "lives",
            (false, false) => "ended",
            (true, false) => "its-access-token-lives",
            (false, true) => "its-refresh-token-lives",
        })
    }

    fn names(&self, told: &BTreeSet<String>) -> String {
        let named = [
            ("here", &self.grant),
            ("offline", &self.offline),
            ("there", &self.elsewhere),
            ("device", &self.device),
            ("bob", &self.bobs),
        ];
        let known = named.iter().filter(|(_, tokens)| told.contains(&tokens.sid)).map(|(name, _)| *name);
        let mut names: Vec<&str> = known.collect();
        names.extend(std::iter::repeat_n("new", told.len() - names.len()));
        if names.is_empty() { "nobody".to_owned() } else { names.join(" ") }
    }
}

fn refused((status, body): &(u16, Value)) -> Result<()> {
    ensure!(*status == 400 && body["error"] == "invalid_grant", "{status} {body}");
    Ok(())
}
