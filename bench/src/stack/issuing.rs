//! How many tokens a second an origin gives, each durably recorded before it is handed out: beside what the same server answers when
//! it does nothing at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate::ambient;
use tollgate::domain::{
    Access, Audience, AuthorizationDetails, ClientId, Code, Grant, GrantId, Scope, Secret, SecretKind, Terms, TokenAlg,
    TokenDraft, TokenId, UserId,
};
use tollgate::keys::KeyRing;
use tollgate::store::Writer;
use tollgate_bench::figures::{Figure, Part, Table};
use tollgate_bench::measure::{percentile, sorted};
use tollgate_tests::database::TestDatabase;
use tollgate_tests::environment::now;
use tollgate_tests::origin::{AUDIENCE, TestOrigin};

use super::wire::{Wire, get, post};

/// Connections, each with one request under way.
const CALLERS: usize = 256;
/// Tokens that are introspected in turn.
const INTROSPECTED: usize = 1000;
/// Tokens under way at a time, where they are made in process.
const MAKERS: usize = 4096;
/// Grants by client credentials a second for which Keycloak's sizing guide plans one processor:
/// <https://www.keycloak.org/high-availability/concepts-memory-and-cpu-sizing>
const KEYCLOAK: f64 = 120.0;
/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "https://shop.example/cb";

/// What is asked of a server, and the share of its `/health/live` that it must reach on SQLite and on PostgreSQL.
const ASKED: [(&str, Option<(f64, f64)>); 4] = [
    ("POST /oauth/token, client credentials", Some((1.0 / 3.0, 0.25))),
    ("POST /oauth/token, client credentials, EdDSA", None),
    ("POST /oauth/token, refresh", Some((0.25, 0.25))),
    ("POST /oauth/introspect", Some((2.0 / 3.0, 2.0 / 3.0))),
];

/// Measures on SQLite and on PostgreSQL.
pub(crate) async fn measure(quick: bool) -> Result<Part> {
    let (rounds, length) = if quick { (3, Duration::from_millis(400)) } else { (9, Duration::from_secs(1)) };
    let cores = std::thread::available_parallelism()?.get() as f64;
    let quick_word = if quick { "QUICK: fewer rounds and shorter ones. " } else { "" };
    let mut part = Part::new(
        "Tokens a second",
        format!(
            "{quick_word}{CALLERS} connections over HTTP, a request under way on each, callers and origin on the same {cores} cores; \
             each kind of request for {} ms in turn, {rounds} rounds, medians. Every token is committed before it is handed out, and HS256 \
             where nothing else is said, on SQLite in WAL mode with `synchronous=FULL`, each commit synced to the disk, and on PostgreSQL with its own \
             defaults. Each refresh spends a refresh token and gives the next; {INTROSPECTED} tokens are introspected in turn. In process: {MAKERS} tokens under way at a time are \
             drafted, recorded through the group commit and signed with HS256, on SQLite. Limits and log are off.",
            length.as_millis()
        ),
    );
    let mut table = Table::new(&["requests a second", "SQLite", "PostgreSQL"]);
    let sqlite = over_http(&TestDatabase::Sqlite, rounds, length).await?;
    let database = TestDatabase::postgres("bench_issuing").await?;
    let postgres = over_http(&database, rounds, length).await;
    database.delete().await?;
    let postgres = postgres?;
    let number = |value: f64| format!("{value:.0}");
    table.line("GET /health/live", [number(sqlite.live()), number(postgres.live())]);
    for (nth, (name, least)) in ASKED.into_iter().enumerate() {
        table.line(name, [number(sqlite.rate(nth)), number(postgres.rate(nth))]);
        let figure = |share: f64, place: &str, least: Option<f64>| {
            let figure = Figure::new(format!("{name}, of GET /health/live, {place}"), share, "");
            if let Some(least) = least { figure.at_least(least) } else { figure }
        };
        part.figures.push(figure(sqlite.share(nth), "on SQLite", least.map(|(on_sqlite, _)| on_sqlite)));
        part.figures.push(figure(postgres.share(nth), "on PostgreSQL", least.map(|(_, on_postgres)| on_postgres)));
    }
    let made = in_process(if quick { 100_000 } else { 1_000_000 }).await?;
    part.figures.push(Figure::new("made and recorded in process, on SQLite", made, "a second").at_least(100_000.0));
    let beside = sqlite.rate(0) / cores / KEYCLOAK;
    part.figures.push(Figure::new(
        "client credentials a second and core, times the 120 of Keycloak's sizing guide",
        beside,
        "",
    ));
    part.tables = vec![table];
    Ok(part)
}

/// Requests a second of each round: `/health/live`, then what is asked.
struct Rates(Vec<[f64; 1 + ASKED.len()]>);

impl Rates {
    fn live(&self) -> f64 {
        self.median(|round| round[0])
    }

    fn rate(&self, nth: usize) -> f64 {
        self.median(|round| round[1 + nth])
    }

    /// The median of the rounds' shares: what slows the machine slows both.
    fn share(&self, nth: usize) -> f64 {
        self.median(|round| round[1 + nth] / round[0])
    }

    fn median(&self, of: impl Fn(&[f64; 1 + ASKED.len()]) -> f64) -> f64 {
        percentile(&sorted(self.0.iter().map(of).collect()), 50.0)
    }
}

async fn over_http(database: &TestDatabase, rounds: usize, length: Duration) -> Result<Rates> {
    let folder = tempfile::tempdir()?;
    let url = database.url(folder.path())?;
    let origin = TestOrigin::start_with(&[("TOLLGATE_DATABASE_URL", &url), ("TOLLGATE_LIMITS", "off")]).await?;
    let grants = ["client_credentials", "authorization_code", "refresh_token"];
    let metadata = |alg: &str| {
        let (alg, redirects) = (("access_token_signed_response_alg", alg), [REDIRECT]);
        json!({ "grant_types": grants, "redirect_uris": redirects, "scope": "read", alg.0: alg.1 })
    };
    let secret = origin.client("bench", &metadata("HS256"))?.context("a client secret")?;
    let other_secret = origin.client("bench-eddsa", &metadata("EdDSA"))?.context("a client secret")?;
    let address = origin.server.url().trim_start_matches("http://").to_owned();
    let client: Arc<(String, String)> = Arc::new((address, secret));
    let mut refresh = refresh_tokens(&origin, &client).await?;
    let credentials = post("/oauth/token", "bench", &client.1, "grant_type=client_credentials");
    let (mut wire, mut introspect) = (Wire::connect(&client.0).await?, Vec::with_capacity(INTROSPECTED));
    for _ in 0..INTROSPECTED {
        let token = text(wire.ask(&credentials).await?, "access_token")?;
        introspect.push(post("/oauth/introspect", "bench", &client.1, &format!("token={token}")));
    }
    let eddsa = [post("/oauth/token", "bench-eddsa", &other_secret, "grant_type=client_credentials")];
    let (live, credentials) = ([get("/health/live")], [credentials]);
    let mut rates = Vec::new();
    // The first round warms everything up.
    for round in 0..=rounds {
        let lived = fixed(&client.0, &live, length).await?;
        let issued = fixed(&client.0, &credentials, length).await?;
        let issued_eddsa = fixed(&client.0, &eddsa, length).await?;
        let refreshed = refreshing(&client, &mut refresh, length).await?;
        let introspected = fixed(&client.0, &introspect, length).await?;
        if round > 0 {
            rates.push([lived, issued, issued_eddsa, refreshed, introspected]);
        }
    }
    origin.server.shutdown().await;
    Ok(Rates(rates))
}

/// The same requests over and over, one after the other; how many a second were answered.
async fn fixed(address: &str, requests: &[Vec<u8>], length: Duration) -> Result<f64> {
    let mut callers = JoinSet::new();
    let started = Instant::now();
    let requests: Arc<[Vec<u8>]> = requests.into();
    for caller in 0..CALLERS {
        let (address, requests) = (address.to_owned(), Arc::clone(&requests));
        callers.spawn(async move {
            let (mut wire, mut asked) = (Wire::connect(&address).await?, 0_u64);
            let mut turns = requests.iter().cycle().skip(caller % requests.len());
            while started.elapsed() < length {
                wire.ask(turns.next().context("there is a request")?).await?;
                asked += 1;
            }
            anyhow::Ok(asked)
        });
    }
    let asked = callers.join_all().await.into_iter().sum::<Result<u64>>()?;
    Ok(asked as f64 / started.elapsed().as_secs_f64())
}

/// Each caller spends its refresh token and takes the next; how many a second.
async fn refreshing(client: &Arc<(String, String)>, tokens: &mut Vec<String>, length: Duration) -> Result<f64> {
    let mut callers = JoinSet::new();
    let started = Instant::now();
    for token in std::mem::take(tokens) {
        let client = Arc::clone(client);
        callers.spawn(async move {
            let (mut wire, mut asked) = (Wire::connect(&client.0).await?, 0_u64);
            let form = format!("grant_type=refresh_token&refresh_token={token}");
            let mut request = post("/oauth/token", "bench", &client.1, &form);
            let before = request.len() - token.len();
            while started.elapsed() < length {
                // The next token is as long as this one, and takes its place.
                let answer = wire.ask(&request).await?;
                request.truncate(before);
                request.extend_from_slice(plain_text(answer, "refresh_token")?);
                asked += 1;
            }
            anyhow::Ok((asked, String::from_utf8(request.split_off(before))?))
        });
    }
    let done = callers.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let rate = done.iter().map(|(asked, _)| *asked as f64).sum::<f64>() / started.elapsed().as_secs_f64();
    tokens.extend(done.into_iter().map(|(_, token)| token));
    Ok(rate)
}

/// A refresh token for each caller, each of a grant of its own.
async fn refresh_tokens(origin: &TestOrigin, client: &(String, String)) -> Result<Vec<String>> {
    origin.user("ada", "correct horse battery", &json!({}))?;
    let user = origin.server.store().user_by_name(&"ada".parse()?).await?.context("the user was made")?.id;
    let mut wire = Wire::connect(&client.0).await?;
    let mut tokens = Vec::with_capacity(CALLERS);
    for _ in 0..CALLERS {
        let code = Secret::new(SecretKind::Code, &ambient::random()?);
        let given = origin.server.store().insert_code(&granted(&code, user.clone())?, None).await?;
        ensure!(given, "the grant is recorded");
        let redirect = url_encoded(REDIRECT);
        let form = format!(
            "grant_type=authorization_code&code={}&redirect_uri={redirect}&code_verifier={VERIFIER}",
            code.reveal()
        );
        let answer = wire.ask(&post("/oauth/token", "bench", &client.1, &form)).await?;
        tokens.push(text(answer, "refresh_token")?);
    }
    Ok(tokens)
}

fn granted(code: &Secret, user: UserId) -> Result<Code> {
    let at = now();
    let grant = Grant {
        id: GrantId::from_random(&ambient::random()?),
        client: "bench".parse()?,
        subject: user.to_string(),
        user,
        login: None,
        terms: serde_json::from_value::<Terms>(json!({
            "access": access()?, "auth_time": at, "acr": "urn:tollgate:acr:password", "amr": ["pwd"],
        }))?,
        created_at: at,
        ends_at: at + 86_400,
        ended_at: None,
    };
    Ok(Code {
        hash: code.hash(),
        grant,
        redirect_uri: Some(REDIRECT.to_owned()),
        challenge: CHALLENGE.parse()?,
        nonce: None,
        jkt: None,
        expires_at: at + 60,
        redeemed_at: None,
    })
}

fn access() -> Result<Access> {
    let audience: Audience = AUDIENCE.parse()?;
    Ok(Access { scope: Scope::parse("read")?, audience: audience.into(), details: AuthorizationDetails::default() })
}

/// Tokens a second, made and recorded without HTTP: as the token endpoint does between its decision and its answer.
async fn in_process(count: usize) -> Result<f64> {
    let origin = TestOrigin::start().await?;
    origin.client("bench", &json!({ "grant_types": ["client_credentials"], "scope": "read" }))?;
    let settings = tollgate::Settings::from_pairs(origin.settings.clone())?;
    let keys = Arc::new(tollgate::open_keys(origin.server.store(), &settings).await?);
    let (writer, writing) = Writer::new(origin.server.store().clone());
    tokio::spawn(writing);
    let issuer: Arc<str> = origin.server.issuer().into();
    let mut makers = JoinSet::new();
    let started = Instant::now();
    for _ in 0..MAKERS {
        let (writer, keys, issuer) = (writer.clone(), Arc::clone(&keys), Arc::clone(&issuer));
        makers.spawn(async move {
            for _ in 0..count / MAKERS {
                make(&writer, &keys, &issuer).await?;
            }
            anyhow::Ok(())
        });
    }
    makers.join_all().await.into_iter().collect::<Result<()>>()?;
    let rate = (count / MAKERS * MAKERS) as f64 / started.elapsed().as_secs_f64();
    origin.server.shutdown().await;
    Ok(rate)
}

async fn make(writer: &Writer, keys: &KeyRing, issuer: &str) -> Result<String> {
    let (client, access): (ClientId, Access) = ("bench".parse()?, access()?);
    let key_id = keys.key_id(TokenAlg::Hs256, &access.audience)?;
    let now_ms = ambient::now_ms();
    let unique = TokenId::unique(now_ms, ambient::random_id()?);
    let draft = TokenDraft::for_client(unique, &client, access, key_id, now_ms / 1000, 3600);
    let token = writer.issue(draft).await?;
    Ok(keys.issue(&token, issuer)?)
}

/// A member of an answer, where it has nothing that JSON escapes: found without reading the rest.
fn plain_text<'a>(body: &'a [u8], member: &str) -> Result<&'a [u8]> {
    let name = format!("\"{member}\":\"");
    let at = body.windows(name.len()).rposition(|window| window == name.as_bytes());
    let value = at.and_then(|at| body.get(at + name.len()..)).with_context(|| format!("no {member}"))?;
    Ok(value.split(|byte| *byte == b'"').next().unwrap_or_default())
}

fn text(body: &[u8], member: &str) -> Result<String> {
    let body: Value = serde_json::from_slice(body)?;
    Ok(body[member].as_str().with_context(|| format!("no {member}"))?.to_owned())
}

fn url_encoded(text: &str) -> String {
    text.replace(':', "%3A").replace('/', "%2F")
}
