//! HAProxy with TLS in front of a real origin and API, which asks a real edge about each request,
//! with the files of `deploy/haproxy`: only addresses and the files' folder differ.

use std::fs;
use std::process::Command;

use anyhow::Result;
use tollgate_tests::certificates::CertificateAuthority;
use tollgate_tests::client_program::ClientProgram;
use tollgate_tests::environment::{free_port, required_env};

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
