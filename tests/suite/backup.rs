//! Backups of a running origin, restored after a loss or for a move, with an edge that follows
//! through it; kills in the middle of both; and damaged files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::client::{REDIRECT_URI, TestClient};
use tollgate_tests::database::TestDatabase;
use tollgate_tests::documentation::program;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::install_tls_provider;
use tollgate_tests::origin_process::OriginProcess;

/// More rows than a pipe holds.
const TOKENS: usize = 1500;

/// An origin in its own process, a client, and a folder with a passphrase.
struct Fixture {
    origin: OriginProcess,
    client: TestClient,
    http: reqwest::Client,
    folder: tempfile::TempDir,
}

impl Fixture {
    async fn start(database: TestDatabase) -> Result<Self> {
        install_tls_provider();
        let (mut origin, http) = (OriginProcess::new(database)?, reqwest::Client::new());
        origin.start(&http).await?;
        let created = origin.cli(&["client", "create", "--json", "--name", "reports", "--scope", "a"])?;
        let client = TestClient::from_cli_output(&origin.url, &created)?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("passphrase"), "correct horse battery staple\n")?;
        Ok(Self { origin, client, http, folder })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Arguments of a command with the passphrase.
    fn arguments<'a>(&'a self, arguments: &[&'a str], passphrase: &'a str) -> Vec<&'a str> {
        [arguments, &["--json", "--passphrase-file", passphrase]].concat()
    }

    /// Runs a command with the passphrase, and returns its JSON.
    fn run(&self, arguments: &[&str]) -> Result<Value> {
        let passphrase = self.path("passphrase");
        Ok(serde_json::from_str(&self.origin.cli(&self.arguments(arguments, &passphrase))?)?)
    }

    /// Starts a command with the passphrase, and kills it when it reports this. Returns what it had
    /// written to standard output.
    async fn kill_at(
        &self,
        arguments: &[&str],
        report: &str,
        meanwhile: impl Future<Output = Result<()>>,
    ) -> Result<Vec<u8>> {
        let passphrase = self.path("passphrase");
        let mut child = self.origin.spawn(&self.arguments(arguments, &passphrase))?;
        let mut lines = BufReader::new(child.stderr.take().context("standard error")?).lines();
        while lines.next().transpose()?.context("it ended without the report")? != report {}
        meanwhile.await?;
        child.kill()?;
        child.wait()?;
        let mut written = Vec::new();
        child.stdout.take().context("standard output")?.read_to_end(&mut written)?;
        Ok(written)
    }

    async fn edge(&self, upstream: &Upstream) -> Result<TestEdge> {
        let key = self.origin.cli(&["key", "snapshot"])?.trim().to_owned();
        let settings = BTreeMap::from([
            ("TOLLGATE_EDGE_LISTEN", "127.0.0.1:0".to_owned()),
            ("TOLLGATE_EDGE_ORIGIN", self.origin.url.clone()),
            ("TOLLGATE_EDGE_UPSTREAM", upstream.url.clone()),
            ("TOLLGATE_EDGE_SNAPSHOT_KEY", key),
        ]);
        TestEdge::start(EdgeKind::Runner, &settings).await
    }

    async fn stop(&mut self) -> Result<()> {
        self.origin.terminate()?;
        self.origin.wait_for_exit().await?;
        self.origin.kill();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_follows_a_restored_origin_on_sqlite_and_refuses_what_was_issued_before() -> Result<()> {
    follow_after_loss(TestDatabase::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_follows_a_restored_origin_on_postgres_and_refuses_what_was_issued_before() -> Result<()> {
    follow_after_loss(TestDatabase::postgres("restored").await?).await
}

async fn follow_after_loss(database: TestDatabase) -> Result<()> {
    let is_sqlite = matches!(database, TestDatabase::Sqlite);
    let (mut test, upstream) = (Fixture::start(database).await?, Upstream::start()?);
    let edge = test.edge(&upstream).await?;
    let (client, url) = (test.client.clone(), edge.url.clone());
    let (valid, revoked) = (client.token("a").await?, client.token("a").await?);
    client.wait_for_status(&url, &valid, 200).await?;
    client.revoke(&revoked).await?;
    client.wait_for_status(&url, &revoked, 401).await?;

    let file = test.path("backup");
    let made = test.run(&["backup", "create", &file])?;
    assert_eq!(made["has_master_key"], false);
    assert_eq!((&made["tables"]["clients"], &made["tables"]["tokens"]), (&Value::from(1), &Value::from(2)));
    // What the backup lacks: a revocation and a token.
    client.revoke(&valid).await?;
    client.wait_for_status(&url, &valid, 401).await?;
    let lost = client.token("a").await?;
    client.wait_for_status(&url, &lost, 200).await?;

    test.origin.kill();
    let mut restore = vec!["restore", file.as_str()];
    if is_sqlite {
        test.origin.delete_files()?;
    } else {
        ensure!(test.run(&restore).is_err(), "a database that is not empty is not replaced");
        restore.push("--force");
    }
    let restored = test.run(&restore)?;
    assert_eq!((&restored["tables"], &restored["rows"]), (&made["tables"], &made["rows"]));
    assert_eq!(restored["opens_keys"], true);
    test.origin.start(&test.http).await?;

    let new = client.token("a").await?;
    client.wait_for_status(&url, &new, 200).await?;
    for (token, what) in [(&revoked, "revoked before"), (&valid, "revoked after the backup"), (&lost, "lost")] {
        assert_eq!(client.status(&url, token).await?, 401, "{what}");
    }
    assert_eq!(client.introspect(&lost).await?["active"], false);
    client.revoke(&new).await?;
    client.wait_for_status(&url, &new, 401).await?;
    test.origin.delete().await
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_origin_moves_to_postgres_and_back_with_all_tokens() -> Result<()> {
    let (mut test, upstream) = (Fixture::start(TestDatabase::Sqlite).await?, Upstream::start()?);
    let sqlite = test.origin.database_url().to_owned();
    let postgres = TestDatabase::postgres("moved").await?;
    test.origin.cli_with(&["user", "create", "alice", "--password-stdin"], "correct horse battery")?;
    let app = ["client", "create", "--json", "--name", "app", "--redirect-uri", REDIRECT_URI, "--scope", "openid a"];
    let app = TestClient::from_cli_output(&test.origin.url, &test.origin.cli(&app)?)?;
    let alice = Person::new("alice", "correct horse battery");
    let mut tokens = app.user_tokens(&Browser::new(&test.origin.url)?, &alice, &[("scope", "openid a")]).await?;
    let edge = test.edge(&upstream).await?;
    let revoked = test.client.token("a").await?;
    test.client.revoke(&revoked).await?;

    for (nth, url) in [postgres.url(test.folder.path())?, sqlite].into_iter().enumerate() {
        test.stop().await?;
        let file = test.path(&format!("backup {nth}"));
        let made = test.run(&["backup", "create", &file])?;
        test.origin.set("TOLLGATE_DATABASE_URL", &url);
        let mut restore = vec!["restore", file.as_str(), "--moved"];
        restore.extend((nth == 1).then_some("--force"));
        let restored = test.run(&restore)?;
        assert_eq!((&restored["tables"], &restored["revoked_before"]), (&made["tables"], &Value::Null));
        test.origin.start(&test.http).await?;
        let refreshed = app.refresh(&tokens.refresh).await?.success()?;
        assert!(app.is_active(&tokens.access).await?, "move {nth}");
        tokens.refresh = refreshed.text("refresh_token")?;
        let new = refreshed.text("access_token")?;
        app.wait_for_status(&edge.url, &new, 200).await?;
        assert_eq!(app.status(&edge.url, &tokens.access).await?, 200, "move {nth}");
        assert_eq!(app.status(&edge.url, &revoked).await?, 401, "move {nth}");
    }
    postgres.delete().await?;
    test.origin.delete().await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_backup_leaves_no_file_and_killed_restore_changes_nothing_on_sqlite() -> Result<()> {
    kill_in_the_middle(TestDatabase::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_backup_leaves_no_file_and_killed_restore_changes_nothing_on_postgres() -> Result<()> {
    kill_in_the_middle(TestDatabase::postgres("killed").await?).await
}

async fn kill_in_the_middle(database: TestDatabase) -> Result<()> {
    let mut test = Fixture::start(database).await?;
    for _ in 0..TOKENS {
        test.client.token("a").await?;
    }
    // Nothing reads the pipe before the kill, so this backup is in the middle then.
    let meanwhile = async { test.client.token("a").await.map(drop).context("the origin serves meanwhile") };
    let part = test.kill_at(&["backup", "create", "-"], "reading tokens", meanwhile).await?;
    fs::write(test.path("part"), &part)?;
    ensure!(test.run(&["backup", "verify", &test.path("part")]).is_err(), "{} bytes are no backup", part.len());

    let nothing = || async { Ok(()) };
    test.kill_at(&["backup", "create", &test.path("killed")], "reading clients", nothing()).await?;
    let is_there = Path::new(&test.path("killed")).exists();
    ensure!(!is_there || test.run(&["backup", "verify", &test.path("killed")]).is_ok(), "a part has the file's name");

    let file = test.path("backup");
    test.stop().await?;
    let made = test.run(&["backup", "create", &file])?;
    assert_eq!(made["tables"]["tokens"], TOKENS + 1);
    let clients = || -> Result<usize> {
        let listed: Value = serde_json::from_str(&test.origin.cli(&["client", "list", "--json"])?)?;
        Ok(listed.as_array().context("a list")?.len())
    };
    test.kill_at(&["restore", &file, "--force"], "writing tokens", nothing()).await?;
    assert_eq!(clients()?, 1, "the database is as before, or restored");
    let restored = test.run(&["restore", &file, "--force"])?;
    assert_eq!(restored["tables"], made["tables"]);
    assert_eq!(clients()?, 1);
    test.origin.delete().await
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_backup_is_refused_before_the_database_is_touched() -> Result<()> {
    let mut test = Fixture::start(TestDatabase::Sqlite).await?;
    let file = test.path("backup");
    test.run(&["backup", "create", &file, "--with-keys"])?;
    ensure!(test.run(&["backup", "create", &file]).is_err(), "an existing file is not overwritten");
    let content = fs::read(&file)?;
    ensure!(!content.windows(7).any(|window| window == b"reports"), "it is encrypted");
    test.origin.kill();
    test.origin.delete_files()?;
    let key = test.origin.master_key();
    fs::remove_file(&key)?;

    let middle = content.len() / 2;
    let flipped: Vec<u8> = content.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == middle)).collect();
    let damaged: [(&str, &[u8]); 4] =
        [("flipped", &flipped), ("truncated", &content[..middle]), ("short", &content[..10]), ("empty", &[])];
    for (name, bytes) in damaged {
        let damaged = test.path(name);
        fs::write(&damaged, bytes)?;
        ensure!(test.run(&["backup", "verify", &damaged]).is_err(), "{name}");
        ensure!(test.run(&["restore", &damaged]).is_err(), "{name}");
    }
    let other = test.path("other passphrase");
    fs::write(&other, "another passphrase")?;
    let refused = test.origin.cli(&test.arguments(&["restore", &file], &other)).map_err(|error| error.to_string());
    ensure!(refused.as_ref().is_err_and(|error| error.contains("wrong passphrase")), "{refused:?}");
    let database = PathBuf::from(test.origin.database_url().trim_start_matches("sqlite://"));
    ensure!(!database.exists() && !key.exists(), "nothing was created");

    let restored = test.run(&["restore", &file])?;
    assert_eq!((&restored["has_master_key"], &restored["opens_keys"]), (&Value::Bool(true), &Value::Bool(true)));
    test.origin.start(&test.http).await?;
    test.client.token("a").await?;
    test.origin.delete().await
}

/// The origin does not start without it, so the command must say it.
#[tokio::test(flavor = "multi_thread")]
async fn restore_says_when_the_master_key_is_another_one() -> Result<()> {
    let mut test = Fixture::start(TestDatabase::Sqlite).await?;
    let (file, with_keys) = (test.path("backup"), test.path("with keys"));
    test.run(&["backup", "create", &file])?;
    test.run(&["backup", "create", &with_keys, "--with-keys"])?;
    test.stop().await?;
    fs::remove_file(test.origin.master_key())?;
    ensure!(test.run(&["restore", &with_keys]).is_err(), "the database is not empty");
    ensure!(!test.origin.master_key().exists(), "a refused restore writes nothing");
    test.origin.delete_files()?;
    fs::write(test.origin.master_key(), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n")?;
    ensure!(test.run(&["restore", &with_keys]).is_err(), "the key file is not overwritten");
    let restored = test.run(&["restore", &file])?;
    assert_eq!(restored["opens_keys"], false);
    test.origin.delete().await
}

#[tokio::test(flavor = "multi_thread")]
async fn documented_commands_back_up_and_restore() -> Result<()> {
    let mut test = Fixture::start(TestDatabase::Sqlite).await?;
    let run = |test: &Fixture, heading: &str| -> Result<()> {
        let script = program("operate.md", heading, "sh")?;
        let output = test.origin.spawn_shell(&script)?.wait_with_output()?;
        let texts = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        ensure!(output.status.success(), "{heading}: {}", texts.concat());
        Ok(())
    };
    run(&test, "Making a backup")?;
    test.stop().await?;
    test.origin.delete_files()?;
    run(&test, "Restoring")?;
    test.origin.start(&test.http).await?;
    test.client.token("a").await?;
    test.origin.delete().await
}
