//! HAProxy with TLS in front of a real origin and API, which asks a real edge about each request.
//! It runs with the files of `deploy/haproxy`: only addresses and the files' folder differ. And
//! HAProxy as a load balancer of TCP connections in front of an edge.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use tollgate_tests::certificates::CertificateAuthority;
use tollgate_tests::client_program::ClientProgram;
use tollgate_tests::edge::{EdgeKind, TestEdge};
use tollgate_tests::environment::{free_port, install_tls_provider, required_env};
use tollgate_tests::http_server::HttpServer;
use tollgate_tests::origin::TestOrigin;

use super::proxies::{Stack, client, replace};
use super::{deploy, output, read};

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_asks_the_edge_about_each_request() -> Result<()> {
    let (stack, authority) = (Stack::start().await?, CertificateAuthority::new("haproxy"));
    let folder = tempfile::tempdir()?;
    authority.issue("localhost", &["auth.localhost", "api.localhost"]).write(folder.path());
    let certificate = ["tls.crt", "tls.key"].map(|file| read(&folder.path().join(file)));
    let [chain, key] = certificate;
    let pem = folder.path().join("tls.pem");
    fs::write(&pem, chain? + &key?)?;

    let plain_port = free_port()?;
    let address = |url: &str| url.trim_start_matches("http://").to_owned();
    let script = deploy("haproxy/tollgate-auth.lua").canonicalize()?;
    let mut configuration = read(&deploy("haproxy/haproxy.cfg"))?;
    for (old, new) in [
        ("/etc/haproxy/tollgate-auth.lua", script.display().to_string()),
        ("/etc/haproxy/tls.pem", pem.display().to_string()),
        ("bind :80", format!("bind 127.0.0.1:{plain_port}")),
        ("bind :443", format!("bind 127.0.0.1:{}", stack.port)),
        ("127.0.0.1:8080", address(&stack.origin.server.url())),
        ("127.0.0.1:5000", address(&stack.api.url)),
    ] {
        configuration = replace(&configuration, old, &new)?;
    }
    let file = folder.path().join("haproxy.cfg");
    fs::write(&file, configuration)?;
    let command = |options: &[&str]| {
        let mut haproxy = Command::new(required_env("TOLLGATE_TEST_HAPROXY"));
        haproxy.args(options).arg("-f").arg(&file).env("EDGE", address(&stack.edge.url));
        haproxy
    };
    output(&mut command(&["-c"]))?;
    let _running = ClientProgram::start(command(&["-db"]), plain_port).await?;
    let plain = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build()?;
    let redirect = plain.get(format!("http://127.0.0.1:{plain_port}/reports/1?x=2")).send().await?;
    assert_eq!(redirect.status(), 301);
    assert_eq!(redirect.headers()["location"], format!("https://127.0.0.1:{plain_port}/reports/1?x=2"));
    stack.check(&client(&authority.pem(), stack.port)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_names_the_client_by_the_proxy_protocol() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, HttpServer::echo().await?);
    origin.cli(&["route", "add", "--path", "/open/*", "--public"])?;
    let mut settings = origin.edge_settings(&upstream.url).await?;
    settings.insert("TOLLGATE_EDGE_PROXY_PROTOCOL", "true".to_owned());
    settings.insert("TOLLGATE_EDGE_TRUSTED_PROXIES", "127.0.0.2".to_owned());
    let edge = TestEdge::start(EdgeKind::Runner, &settings).await?;
    for version in ["send-proxy", "send-proxy-v2"] {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let file = folder.path().join("haproxy.cfg");
        let edge = edge.url.trim_start_matches("http://");
        let configuration = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
             listen edge\n bind 127.0.0.1:{port}\n source 127.0.0.2\n server edge {edge} {version}\n"
        );
        fs::write(&file, configuration)?;
        let mut haproxy = Command::new(required_env("TOLLGATE_TEST_HAPROXY"));
        haproxy.arg("-db").arg("-f").arg(&file);
        let _running = ClientProgram::start(haproxy, port).await?;
        let response = reqwest::get(format!("http://127.0.0.1:{port}/open/x")).await?;
        ensure!(response.status() == 200, "{version}: {response:?}");
        let seen = response.text().await?;
        ensure!(seen.contains("x-forwarded-for: 127.0.0.1\r\n"), "{version}: {seen}");
    }
    Ok(())
}
