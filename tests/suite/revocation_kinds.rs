//! Revocations of every kind and their reinstatement, at the Worker, the Spin component and the
//! runner.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tollgate_model::TokenAlg;
use tollgate_tests::client::TestClient;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::{install_tls_provider, now};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::token_builder::TokenBuilder;
use tollgate_tests::token_factory::TokenFactory;

/// Longest wait for a change to reach an edge, on a busy machine; the actual time is printed.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// CLI arguments of a revocation, a token that it revokes, and one that it does not.
struct RevocationExample<'a> {
    arguments: Vec<String>,
    revoked: TokenBuilder<'a>,
    unaffected: TokenBuilder<'a>,
}

/// The `jti`s are of the first epoch, the one of an origin without snapshots.
fn token<'a>(factory: &'a TokenFactory, alg: TokenAlg, random: u8) -> TokenBuilder<'a> {
    factory.token(alg, now()).claim("jti", tollgate_core::EpochTokenId::new(1, [random; 14]).to_string())
}

fn examples<'a>(factory: &'a TokenFactory, clients: [&str; 2]) -> Vec<RevocationExample<'a>> {
    let example = |arguments: &[&str], revoked, unaffected| RevocationExample {
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        revoked,
        unaffected,
    };
    let eddsa = |random| token(factory, TokenAlg::EdDsa, random);
    let long_ago = now() - 600;
    vec![
        example(&["session", "session-1"], eddsa(1).claim("sid", "session-1"), eddsa(2).claim("sid", "session-2")),
        example(&["subject", "somebody"], eddsa(3).claim("sub", "somebody"), eddsa(4).claim("sub", "somebody else")),
        example(
            &["client", clients[0]],
            eddsa(5).claim("client_id", clients[0]),
            eddsa(6).claim("client_id", clients[1]),
        ),
        example(&["key", &factory.kid(TokenAlg::Es256)], token(factory, TokenAlg::Es256, 7), eddsa(8)),
        example(&["before", &(long_ago + 1).to_string()], eddsa(9).claim("iat", long_ago), eddsa(10)),
    ]
}

async fn wait_for_status(http: &reqwest::Client, edge: &TestEdge, token: &str, wanted: u16) -> Result<Duration> {
    let started = Instant::now();
    loop {
        let status = http.get(&edge.url).bearer_auth(token).send().await?.status().as_u16();
        if status == wanted {
            return Ok(started.elapsed());
        }
        ensure!(started.elapsed() < DELIVERY_TIMEOUT, "the {:?} still answers {status} and not {wanted}", edge.kind);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_revocation_and_reinstatement_reaches_every_edge() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let factory = origin.token_factory().await?;
    let settings = origin.edge_settings(&upstream.url).await?;
    let mut edges = Vec::new();
    for kind in EdgeKind::ALL {
        edges.push(TestEdge::start(kind, &settings).await?);
    }
    let http = reqwest::Client::new();
    let clients =
        [TestClient::register_with_cli(&origin, "one", &[])?, TestClient::register_with_cli(&origin, "another", &[])?];
    for example in examples(&factory, [&clients[0].id, &clients[1].id]) {
        let (revoked, unaffected) = (example.revoked.sign(), example.unaffected.sign());
        let arguments: Vec<&str> = example.arguments.iter().map(String::as_str).collect();
        for edge in &edges {
            wait_for_status(&http, edge, &revoked, 200).await?;
        }
        for (verb, status) in [("revoke", 401), ("reinstate", 200)] {
            origin.cli(&[&[verb], &arguments[..]].concat())?;
            for edge in &edges {
                let took = wait_for_status(&http, edge, &revoked, status).await?;
                println!("{verb} {}: {status} at the {:?} {took:?} after the first request", arguments[0], edge.kind);
                wait_for_status(&http, edge, &unaffected, 200).await?;
            }
        }
    }
    Ok(())
}
