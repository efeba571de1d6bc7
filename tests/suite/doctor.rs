//! `tollgate doctor` names each fault of a real deployment, and finds none where there is none.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};
use tokio::net::{TcpSocket, TcpStream};
use tollgate_tests::certificates::CertificateAuthority;
use tollgate_tests::database::TestDatabase;
use tollgate_tests::edge::{EdgeKind, TestEdge};
use tollgate_tests::environment::programs_dir;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::origin_process::OriginProcess;
use tollgate_tests::redis_server::RedisServer;
use tollgate_tests::secret_leaks::find_secrets;
use tollgate_tests::tcp_server::TcpServer;

/// Longest wait for an edge, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);
const UPSTREAM: &str = "http://127.0.0.1:1";
const ANOTHER_KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

type Settings = [(&'static str, String)];

/// What `tollgate doctor --json` found.
struct Diagnosis {
    findings: Vec<Value>,
    exit_code: Option<i32>,
}

impl Diagnosis {
    fn run(settings: &Settings, arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(programs_dir().join("tollgate"));
        command.args(["doctor", "--json"]).args(arguments).envs(settings.iter().cloned()).current_dir(folder.path());
        let output = command.output()?;
        let text = String::from_utf8(output.stdout)?;
        assert_eq!(find_secrets(&text, &[]), [], "no secret is printed");
        let problem = || format!("no diagnosis: {}", String::from_utf8_lossy(&output.stderr));
        let diagnosis: Value = serde_json::from_str(&text).with_context(problem)?;
        let findings = diagnosis["findings"].as_array().context("findings")?.clone();
        Ok(Self { findings, exit_code: output.status.code() })
    }

    /// Texts of a check's findings with this status.
    fn texts(&self, check: &str, status: &str) -> Vec<&str> {
        let is_wanted = |finding: &&Value| finding["check"] == check && finding["status"] == status;
        self.findings.iter().filter(is_wanted).filter_map(|finding| finding["text"].as_str()).collect()
    }

    /// Checks that a finding contains this text, and that a problem is explained.
    fn expect(&self, check: &str, status: &str, text: &str) {
        let found = self.findings.iter().find(|finding| {
            let is_text = finding["text"].as_str().is_some_and(|found| found.contains(text));
            finding["check"] == check && finding["status"] == status && is_text
        });
        let Some(found) = found else { panic!("no {status} of {check} with {text:?}: {:#?}", self.findings) };
        if matches!(status, "fault" | "warning") {
            assert!(found["meaning"].is_string() && found["action"].is_string(), "{found}");
        }
        if status == "fault" {
            assert_eq!(self.exit_code, Some(1), "a fault is an exit code");
        }
    }
}

/// The settings with another value for one of them.
fn with(settings: &Settings, name: &'static str, value: &str) -> Vec<(&'static str, String)> {
    let others = settings.iter().filter(|(other, _)| *other != name).cloned();
    others.chain([(name, value.to_owned())]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn healthy_deployment_with_an_edge_has_no_fault() -> Result<()> {
    let redis = RedisServer::start()?;
    let origin = TestOrigin::start_with(&[("TOLLGATE_REDIS_URL", &redis.url())]).await?;
    origin.cli(&["user", "create", "root", "--admin"])?;
    let edge = TestEdge::start(EdgeKind::Runner, &origin.edge_settings(UPSTREAM).await?).await?;
    let diagnosis = Diagnosis::run(&origin.settings, &["--edge", &edge.url])?;
    for (check, text) in [
        ("settings", "known and valid"),
        ("weak settings", "no setting is weaker"),
        ("files", "readable by their owner only"),
        ("database", "SQLite 3."),
        ("keys", "the master key opens all keys"),
        ("accounts", "an administrator can sign in"),
        ("redis", "Redis answers in"),
        ("issuer", origin.server.issuer()),
        ("origin", "all parts of the origin"),
        ("proxies", "the client's own address, 127.0.0.1"),
        ("clocks", "within a second of"),
        ("edges", "up to date"),
    ] {
        diagnosis.expect(check, "ok", text);
    }
    // How full the disk is depends on the machine.
    let is_fault = |finding: &&Value| finding["status"] == "fault" && finding["check"] != "disk";
    assert_eq!(diagnosis.findings.iter().filter(is_fault).count(), 0, "{:#?}", diagnosis.findings);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_and_missing_master_keys_are_named() -> Result<()> {
    let origin = TestOrigin::start().await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("other.key");
    let path = file.to_str().context("a path in UTF-8")?;
    let settings = with(&origin.settings, "TOLLGATE_MASTER_KEY_FILE", path);
    Diagnosis::run(&settings, &[])?.expect("keys", "fault", "does not exist");
    assert!(!file.exists(), "a diagnosis creates no key");
    fs::write(&file, "A".repeat(43))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    let diagnosis = Diagnosis::run(&settings, &[])?;
    diagnosis.expect("keys", "fault", "wrong master key");
    diagnosis.expect("files", "fault", "has mode 644");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_file_that_others_can_read_is_named() -> Result<()> {
    let (origin, redis) = (TestOrigin::start().await?, RedisServer::start()?);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("redis-url");
    fs::write(&file, redis.url())?;
    let path = file.to_str().context("a path in UTF-8")?;
    let settings = with(&origin.settings, "TOLLGATE_REDIS_URL_FILE", path);
    for (mode, status) in [(0o600, "ok"), (0o640, "fault"), (0o444, "fault")] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        let text = if status == "ok" { "owner only" } else { path };
        Diagnosis::run(&settings, &[])?.expect("files", status, text);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_public_url_is_named() -> Result<()> {
    let origin = TestOrigin::start().await?;
    let settings = with(&origin.settings, "TOLLGATE_PUBLIC_URL", "http://127.0.0.1:1");
    let diagnosis = Diagnosis::run(&settings, &["--url", origin.server.issuer()])?;
    diagnosis.expect("issuer", "fault", "calls itself");
    diagnosis.expect("issuer", "fault", "http://127.0.0.1:1 does not answer");
    diagnosis.expect("database", "fault", "belongs to the issuer");
    let settings = with(&origin.settings, "TOLLGATE_PUBLIC_URL", "https://auth.invalid");
    let diagnosis = Diagnosis::run(&settings, &["--url", origin.server.issuer()])?;
    diagnosis.expect("dns", "fault", "auth.invalid has no address");
    diagnosis.expect("proxies", "warning", "TOLLGATE_TRUSTED_PROXIES is not set");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_empty_and_silent_parts_are_named() -> Result<()> {
    let mut redis = RedisServer::start()?;
    let origin = TestOrigin::start_with(&[("TOLLGATE_REDIS_URL", &redis.url())]).await?;
    redis.stop();
    Diagnosis::run(&origin.settings, &["--edge", UPSTREAM])?.expect("redis", "fault", "Redis cannot be used");
    let diagnosis = Diagnosis::run(&origin.settings, &["--edge", UPSTREAM])?;
    diagnosis.expect("edges", "fault", "http://127.0.0.1:1 does not answer");
    diagnosis.expect("accounts", "fault", "no administrator can sign in");

    let unreachable =
        with(&origin.settings, "TOLLGATE_DATABASE_URL", "postgres://tollgate:hidden@127.0.0.1:1/tollgate");
    let diagnosis = Diagnosis::run(&unreachable, &[])?;
    diagnosis.expect("database", "fault", "127.0.0.1:1");
    assert!(!format!("{:?}", diagnosis.findings).contains("hidden"), "{:#?}", diagnosis.findings);
    assert_eq!(diagnosis.texts("keys", "skipped").len(), 1);

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("missing.db");
    let missing = with(&origin.settings, "TOLLGATE_DATABASE_URL", &format!("sqlite://{}", file.display()));
    Diagnosis::run(&missing, &[])?.expect("database", "fault", "empty or does not exist");
    assert!(!file.exists(), "a diagnosis creates no database");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_with_another_snapshot_key_or_issuer_is_named() -> Result<()> {
    let origin = TestOrigin::start().await?;
    let settings = origin.edge_settings(UPSTREAM).await?;
    let wrong_key = changed(&settings, "TOLLGATE_EDGE_SNAPSHOT_KEY", ANOTHER_KEY);
    let edge = TestEdge::start_without_waiting(EdgeKind::Runner, &wrong_key).await?;
    wait_for_error(&edge).await?;
    let diagnosis = Diagnosis::run(&origin.settings, &["--edge", &edge.url])?;
    diagnosis.expect("edges", "fault", "refuses the origin's messages");
    let pin = origin.cli(&["key", "snapshot"])?;
    assert!(format!("{:?}", diagnosis.findings).contains(pin.trim()), "the right key is shown");

    let other_issuer = changed(&settings, "TOLLGATE_EDGE_ISSUER", "https://other.example");
    let edge = TestEdge::start_without_waiting(EdgeKind::Runner, &other_issuer).await?;
    wait_for_error(&edge).await?;
    let diagnosis = Diagnosis::run(&origin.settings, &["--edge", &edge.url])?;
    diagnosis.expect("edges", "fault", "checks tokens of https://other.example");
    Ok(())
}

fn changed(
    settings: &BTreeMap<&'static str, String>,
    name: &'static str,
    value: &str,
) -> BTreeMap<&'static str, String> {
    let mut settings = settings.clone();
    settings.insert(name, value.to_owned());
    settings
}

/// Waits until the edge reports why it has no replica.
async fn wait_for_error(edge: &TestEdge) -> Result<()> {
    let started = Instant::now();
    loop {
        let health = reqwest::get(format!("{}/_tollgate/health", edge.url)).await?.json::<Value>().await?;
        if health["last_error"]["error"].is_string() {
            return Ok(());
        }
        if started.elapsed() > TIMEOUT {
            bail!("the edge reports no error: {health}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_clock_of_the_origin_is_named() -> Result<()> {
    let mut origin = OriginProcess::new(TestDatabase::Sqlite)?;
    origin.fake_clock()?;
    origin.set_clock(3600)?;
    origin.start(&reqwest::Client::new()).await?;
    let folder = tempfile::tempdir()?;
    let database = format!("sqlite://{}", folder.path().join("other.db").display());
    // Only the address of the origin, and the right clock.
    let settings = [("TOLLGATE_PUBLIC_URL", origin.url.clone()), ("TOLLGATE_DATABASE_URL", database)];
    let diagnosis = Diagnosis::run(&settings, &[])?;
    let texts = diagnosis.texts("clocks", "fault");
    assert!(texts.iter().any(|text| text.contains("s behind that of") && text.contains(&origin.url)), "{texts:?}");
    origin.delete().await
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_migration_is_named_and_not_applied() -> Result<()> {
    let origin = TestOrigin::start().await?;
    origin.server.shutdown().await;
    let url = &origin.settings.iter().find(|(name, _)| *name == "TOLLGATE_DATABASE_URL").context("a database")?.1;
    let mut database = SqliteConnection::connect(url).await?;
    let newest = "SELECT max(version) FROM _sqlx_migrations";
    let version: i64 = sqlx::query_scalar(newest).fetch_one(&mut database).await?;
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = $1").bind(version).execute(&mut database).await?;
    let diagnosis = Diagnosis::run(&origin.settings, &[])?;
    diagnosis.expect("database", "warning", &format!("migrations are pending: {version}"));
    let now: i64 = sqlx::query_scalar(newest).fetch_one(&mut database).await?;
    assert!(now < version, "a diagnosis applies no migration");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_of_postgres_is_compared() -> Result<()> {
    let database = TestDatabase::postgres("doctor").await?;
    let folder = tempfile::tempdir()?;
    let url = database.url(folder.path())?;
    let origin = TestOrigin::start_with(&[("TOLLGATE_DATABASE_URL", &url)]).await?;
    let diagnosis = Diagnosis::run(&origin.settings, &[])?;
    diagnosis.expect("database", "ok", "PostgreSQL ");
    diagnosis.expect("clocks", "ok", "the database's");
    origin.server.shutdown().await;
    database.delete().await
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_certificates_are_explained() -> Result<()> {
    let authority = CertificateAuthority::new("authority");
    let (good, expired) = (authority.issue("auth", &["127.0.0.1"]), authority.issue_expired("auth", &["127.0.0.1"]));
    let other = authority.issue("auth", &["other.example"]);
    for (certificate, is_authority_known, status, text) in [
        (&good, true, "ok", "is valid for"),
        (&good, false, "fault", "unknown authority"),
        (&expired, true, "fault", "has expired"),
        (&other, true, "fault", "is for other names"),
    ] {
        let folder = tempfile::tempdir()?;
        certificate.write(folder.path());
        fs::write(folder.path().join("ca.crt"), authority.pem())?;
        let [file, key, ca] =
            ["tls.crt", "tls.key", "ca.crt"].map(|name| folder.path().join(name).display().to_string());
        let tls = [("TOLLGATE_TLS_CERTIFICATE", file.as_str()), ("TOLLGATE_TLS_KEY", &key)];
        let origin = TestOrigin::start_with(&tls).await?;
        let mut settings = origin.settings.clone();
        // Without a value, the system's authorities.
        settings.extend(is_authority_known.then(|| ("SSL_CERT_FILE", ca.clone())));
        let diagnosis = Diagnosis::run(&settings, &[])?;
        diagnosis.expect("tls", status, text);
        // That of the connection, not only that of the file.
        let found = diagnosis.texts("tls", status);
        let is_of_url = |found: &&str| found.starts_with("the certificate of https://") && found.contains(text);
        assert!(found.iter().any(is_of_url), "{found:?}");
        origin.server.shutdown().await;
    }
    Ok(())
}

/// Relays connections to an origin from the address 127.0.0.2, as a load balancer that adds no
/// header.
async fn relay(origin: &TestOrigin) -> Result<TcpServer> {
    let target = origin.server.url().trim_start_matches("http://").to_owned();
    TcpServer::start(move |mut client: TcpStream| {
        let target = target.clone();
        async move {
            let socket = TcpSocket::new_v4()?;
            socket.bind("127.0.0.2:0".parse()?)?;
            let mut server = socket.connect(target.parse()?).await?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await?;
            Ok(())
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn address_that_the_origin_sees_is_judged() -> Result<()> {
    let origin = TestOrigin::start().await?;
    let proxy = relay(&origin).await?;
    let diagnosis = Diagnosis::run(&origin.settings, &["--url", &proxy.url])?;
    diagnosis.expect("proxies", "warning", "the origin sees the address 127.0.0.2");

    // A trusted proxy that passes the header of clients on.
    let origin = TestOrigin::start_with(&[("TOLLGATE_TRUSTED_PROXIES", "127.0.0.2")]).await?;
    let proxy = relay(&origin).await?;
    let diagnosis = Diagnosis::run(&origin.settings, &["--url", &proxy.url])?;
    diagnosis.expect("proxies", "fault", "believes the X-Forwarded-For that a client sends");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn weak_unknown_and_invalid_settings_are_named() -> Result<()> {
    let origin = TestOrigin::start().await?;
    origin.cli(&["user", "create", "root", "--admin"])?;
    let more = [
        ("TOLLGATE_LISTNE", "127.0.0.1:1"),
        ("TOLLGATE_DRAIN", "1"),
        ("TOLLGATE_LIMITS", "off"),
        ("TOLLGATE_LIMIT_CLIENT", "10/1m"),
        ("TOLLGATE_REGISTRATION", "open"),
    ];
    let settings: Vec<_> =
        origin.settings.iter().cloned().chain(more.map(|(name, value)| (name, value.to_owned()))).collect();
    let diagnosis = Diagnosis::run(&settings, &["--strict"])?;
    diagnosis.expect("settings", "warning", "TOLLGATE_LISTNE");
    diagnosis.expect("settings", "warning", "TOLLGATE_DRAIN (environment) is deprecated");
    diagnosis.expect("settings", "warning", "TOLLGATE_LIMITS is off although TOLLGATE_LIMIT_CLIENT is set");
    diagnosis.expect("weak settings", "warning", "rate limits are off");
    diagnosis.expect("weak settings", "warning", "TOLLGATE_REGISTRATION=open");
    assert_eq!(diagnosis.exit_code, Some(1), "--strict fails for a warning");

    let everyone = with(&origin.settings, "TOLLGATE_TRUSTED_PROXIES", "0.0.0.0/0");
    Diagnosis::run(&everyone, &[])?.expect("weak settings", "fault", "0.0.0.0/0");
    let invalid = with(&origin.settings, "TOLLGATE_TOKEN_LIFETIME", "soon");
    Diagnosis::run(&invalid, &[])?.expect("settings", "fault", "TOLLGATE_TOKEN_LIFETIME");
    Ok(())
}
