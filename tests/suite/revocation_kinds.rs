//! A revocation of every kind and its reinstatement, seen at the Worker, the Spin component and the runner.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tollgate::domain::TokenAlg;
use tollgate_tests::edge::{EdgeKind, TestEdge, Upstream};
use tollgate_tests::environment::{install_tls_provider, now};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::service_client::ServiceClient;
use tollgate_tests::token_builder::TokenBuilder;
use tollgate_tests::token_factory::TokenFactory;

/// How long a change may take on a busy machine before the test gives up; how long it took is printed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the origin's command line is told, a token that is struck, and one that is not.
struct Story<'a> {
    arguments: Vec<String>,
    struck: TokenBuilder<'a>,
    spared: TokenBuilder<'a>,
}

/// The `jti`s are of the first epoch, in which an origin without snapshots issues.
fn token<'a>(factory: &'a TokenFactory, alg: TokenAlg, random: u8) -> TokenBuilder<'a> {
    factory.token(alg, now()).claim("jti", tollgate_core::EpochTokenId::new(1, [random; 14]).to_string())
}

fn stories<'a>(factory: &'a TokenFactory, clients: [&str; 2]) -> Vec<Story<'a>> {
    let story = |arguments: &[&str], struck, spared| Story {
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        struck,
        spared,
    };
    let eddsa = |random| token(factory, TokenAlg::EdDsa, random);
    let long_ago = now() - 600;
    vec![
        story(&["session", "session-1"], eddsa(1).claim("sid", "session-1"), eddsa(2).claim("sid", "session-2")),
        story(&["subject", "somebody"], eddsa(3).claim("sub", "somebody"), eddsa(4).claim("sub", "somebody else")),
        story(
            &["client", clients[0]],
            eddsa(5).claim("client_id", clients[0]),
            eddsa(6).claim("client_id", clients[1]),
        ),
        story(&["key", &factory.kid(TokenAlg::Es256)], token(factory, TokenAlg::Es256, 7), eddsa(8)),
        story(&["before", &(long_ago + 1).to_string()], eddsa(9).claim("iat", long_ago), eddsa(10)),
    ]
}

async fn until(http: &reqwest::Client, edge: &TestEdge, token: &str, wanted: u16) -> Result<Duration> {
    let started = Instant::now();
    loop {
        let status = http.get(&edge.url).bearer_auth(token).send().await?.status().as_u16();
        if status == wanted {
            return Ok(started.elapsed());
        }
        ensure!(started.elapsed() < PATIENCE, "the {:?} still answers {status} and not {wanted}", edge.kind);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_of_every_kind_and_its_reinstatement_reach_every_edge() -> Result<()> {
    install_tls_provider();
    let (origin, upstream) = (TestOrigin::start().await?, Upstream::start()?);
    let factory = origin.token_factory().await?;
    let settings = origin.edge_settings(&upstream.url).await?;
    let mut edges = Vec::new();
    for kind in EdgeKind::ALL {
        edges.push(TestEdge::start(kind, &settings).await?);
    }
    let http = reqwest::Client::new();
    let clients = [ServiceClient::register(&origin, "one", &[])?, ServiceClient::register(&origin, "another", &[])?];
    for story in stories(&factory, [&clients[0].id, &clients[1].id]) {
        let (struck, spared) = (story.struck.sign(), story.spared.sign());
        let arguments: Vec<&str> = story.arguments.iter().map(String::as_str).collect();
        for edge in &edges {
            until(&http, edge, &struck, 200).await?;
        }
        for (verb, status) in [("revoke", 401), ("reinstate", 200)] {
            origin.cli(&[&[verb], &arguments[..]].concat())?;
            for edge in &edges {
                let took = until(&http, edge, &struck, status).await?;
                println!("{verb} {}: {status} at the {:?} {took:?} after it was first asked", arguments[0], edge.kind);
                until(&http, edge, &spared, 200).await?;
            }
        }
    }
    Ok(())
}
