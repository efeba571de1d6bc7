//! The listener: TLS, client certificates, HTTP/2.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reqwest::{Client, Version};
use tempfile::TempDir;
use tokio::time::sleep;
use tollgate_tests::certificates::{Certificate, CertificateAuthority};
use tollgate_tests::curl;

use super::{CHANGE_TIMEOUT, Echo, get, open_origin, start_edge};

/// A folder with a certificate of this authority for 127.0.0.1.
fn certificate_folder(authority: &CertificateAuthority) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    authority.issue("edge", &["127.0.0.1"]).write(folder.path());
    Ok(folder)
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn https_listener_speaks_both_http_versions() -> Result<()> {
    let (origin, upstream) = (open_origin().await?, Echo::start("api").await?);
    let authority = CertificateAuthority::new("edge");
    let folder = certificate_folder(&authority)?;
    let mut settings = origin.edge_settings(&format!("http://{}", upstream.address)).await?;
    settings.insert("TOLLGATE_EDGE_TLS_CERTIFICATE", path(&folder, "tls.crt"));
    settings.insert("TOLLGATE_EDGE_TLS_KEY", path(&folder, "tls.key"));
    let http2 = authority.client_builder().build()?;
    let edge = start_edge(&settings, &http2).await?;
    let url = format!("{}/open/x", edge.url());
    ensure!(url.starts_with("https://"), "{url}");
    for (client, version) in
        [(http2, Version::HTTP_2), (authority.client_builder().http1_only().build()?, Version::HTTP_11)]
    {
        let response = client.get(&url).header("cookie", "a=1").header("cookie", "b=2").send().await?;
        ensure!(response.status() == 200 && response.version() == version, "{response:?}");
        let seen = response.text().await?;
        ensure!(seen.starts_with("api\nHTTP/1.1\n") && seen.contains("x-forwarded-proto: \"https\""), "{seen}");
        ensure!(version != Version::HTTP_2 || seen.contains("cookie: \"a=1; b=2\""), "{seen}");
    }
    let plain = Client::new().get(url.replace("https://", "http://")).send().await?;
    ensure!(plain.status() == 400, "plain HTTP: {plain:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_over_http2_arrive_although_the_body_was_not_read() -> Result<()> {
    if !curl::speaks_http2().await {
        println!("not run: no curl with HTTP/2");
        return Ok(());
    }
    let (origin, upstream) = (open_origin().await?, Echo::start("api").await?);
    let settings = origin.edge_settings(&format!("http://{}", upstream.address)).await?;
    let edge = start_edge(&settings, &Client::new()).await?;
    let body = format!(r#"{{"a":"{}"}}"#, "b".repeat(20_000));
    for (path, wanted) in [("/closed", "401"), ("/_tollgate/nothing", "404")] {
        for number in 0..20 {
            let status = curl::send_over_http2("POST", &format!("{}{path}", edge.url()), &body).await?;
            ensure!(status == wanted, "{path}, request {number}: {status}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_certificate_is_used_and_an_invalid_one_is_not() -> Result<()> {
    let (origin, upstream) = (open_origin().await?, Echo::start("api").await?);
    let (old, new) = (CertificateAuthority::new("old"), CertificateAuthority::new("new"));
    let folder = certificate_folder(&old)?;
    let mut settings = origin.edge_settings(&format!("http://{}", upstream.address)).await?;
    settings.insert("TOLLGATE_EDGE_TLS_CERTIFICATE", path(&folder, "tls.crt"));
    settings.insert("TOLLGATE_EDGE_TLS_KEY", path(&folder, "tls.key"));
    // Without a pool, each request has a handshake.
    let (trusts_old, trusts_new) = (
        old.client_builder().pool_max_idle_per_host(0).build()?,
        new.client_builder().pool_max_idle_per_host(0).build()?,
    );
    let edge = start_edge(&settings, &trusts_old).await?;
    let url = format!("{}/open/x", edge.url());

    fs::write(folder.path().join("tls.key"), "no key")?;
    edge.reload_files();
    get(&trusts_old, &url).await?;
    ensure!(trusts_new.get(&url).send().await.is_err(), "the edge has no certificate of this authority yet");

    new.issue("edge", &["127.0.0.1"]).write(folder.path());
    edge.reload_files();
    let started = Instant::now();
    while get(&trusts_new, &url).await.is_err() {
        ensure!(started.elapsed() < CHANGE_TIMEOUT, "the new certificate is not used");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn required_client_certificate_must_be_of_the_authority() -> Result<()> {
    let (origin, upstream) = (open_origin().await?, Echo::start("api").await?);
    let (authority, clients) = (CertificateAuthority::new("edge"), CertificateAuthority::new("clients"));
    let folder = certificate_folder(&authority)?;
    fs::write(folder.path().join("clients.crt"), clients.pem())?;
    let mut settings = origin.edge_settings(&format!("http://{}", upstream.address)).await?;
    settings.insert("TOLLGATE_EDGE_TLS_CERTIFICATE", path(&folder, "tls.crt"));
    settings.insert("TOLLGATE_EDGE_TLS_KEY", path(&folder, "tls.key"));
    settings.insert("TOLLGATE_EDGE_TLS_CLIENT_CA", path(&folder, "clients.crt"));
    settings.insert("TOLLGATE_EDGE_TLS_CLIENT_AUTH", "required".to_owned());
    let with = |certificate: &Certificate| authority.client_builder().identity(certificate.identity()).build();
    let robot = with(&clients.issue("robot", &[]))?;
    let edge = start_edge(&settings, &robot).await?;
    let url = format!("{}/open/x", edge.url());
    get(&robot, &url).await?;
    for (client, what) in [
        (authority.client_builder().build()?, "no certificate"),
        (with(&authority.issue("robot", &[]))?, "a certificate of another authority"),
        (with(&clients.issue_expired("robot", &[]))?, "an expired certificate"),
    ] {
        ensure!(client.get(&url).send().await.is_err(), "{what}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_works_without_tls_to_the_edge_and_to_the_upstream() -> Result<()> {
    let (origin, upstream) = (open_origin().await?, Echo::start("api").await?);
    let settings = origin.edge_settings(&format!("h2c://{}", upstream.address)).await?;
    let http2 = Client::builder().http2_prior_knowledge().build()?;
    let edge = start_edge(&settings, &http2).await?;
    let url = format!("{}/open/x", edge.url());
    for (client, version) in [(http2, Version::HTTP_2), (Client::new(), Version::HTTP_11)] {
        let response = client.get(&url).header("te", "trailers").send().await?;
        ensure!(response.status() == 200 && response.version() == version, "{response:?}");
        let seen = response.text().await?;
        ensure!(seen.starts_with("api\nHTTP/2.0\n") && seen.contains("te: \"trailers\""), "{seen}");
        ensure!(seen.contains("x-forwarded-host: \"127.0.0.1"), "{seen}");
    }
    Ok(())
}
