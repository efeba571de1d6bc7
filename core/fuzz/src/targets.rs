//! The fuzz targets: a function for each kind of untrusted bytes, which panics if the crate
//! violates a guarantee.
//!
//! Signed bytes are tried twice: as they are, and re-signed with the key of the tests, so that
//! changed bytes also reach the code after the signature check. Accepted messages and tokens are
//! compared with what [`crate::reference_reader`] and `serde_json` read. The functions are called
//! by the tests (`tests/attacks`), on any Rust, and by cargo-fuzz.

use std::sync::{LazyLock, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tollgate_core::{
    CheckedByCaller, Config, ConfigDigest, DeltaParts, Deltas, DpopRequest, EdgeKey, EdgeReport, HashChain, KeySet,
    MAX_KEYS, MAX_PROOF_AGE_SECONDS, MAX_REPORT_BYTES, MAX_ROUTES, Nonce, Possession, Refusal, Replica, RequestUrl,
    RevocationId, RevocationKind, RevokedBefore, SharedParts, Snapshot, SnapshotParts, SnapshotSigner, TableSize,
    TokenIdentifiers, TokenReference, TokenRequirements, UnknownStatusPolicy, VerifiedToken, Verifier, build_deltas,
    build_shared_deltas, build_snapshot, verify,
};

use crate::reference_reader;

/// The issuer of all seeds.
pub const ISSUER: &str = "https://auth.example";
/// The audience of all token seeds.
pub const AUDIENCE: &str = "https://api.example";
/// When tokens are verified, Unix seconds.
pub const NOW: u64 = 1_800_000_000;
/// Seed of the key that signs messages and tokens; also the HS256 secret.
pub const SEED: [u8; 32] = [7; 32];
const SIGNATURE_BYTES: usize = 64;
/// Header of the tokens that carry fuzzed claims.
const TOKEN_HEADER: &str = r#"{"typ":"at+jwt","alg":"HS256","kid":"h"}"#;
/// The nonce that the seed of deltas for many requests answers.
pub const ANSWERED_NONCE: Nonce = Nonce::from_bytes([2; Nonce::LEN]);
/// Limits of the strict profile on header and claims.
const MAX_JSON_DEPTH: usize = 16;
const MAX_JSON_MEMBERS: usize = 256;
/// The last second of year 9999.
const MAX_NUMERIC_DATE: f64 = 253_402_300_799.0;
/// Leeway of the verification, in seconds.
pub const LEEWAY: u64 = 30;

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&SEED));
static SIGNER: LazyLock<SnapshotSigner> = LazyLock::new(|| SnapshotSigner::from_seed(&SEED));
static PINS: LazyLock<[[u8; 32]; 1]> = LazyLock::new(|| [KEY.verifying_key().to_bytes()]);
/// The keys that verify tokens.
pub static TOKEN_KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let secret = URL_SAFE_NO_PAD.encode(SEED);
    let point = URL_SAFE_NO_PAD.encode(PINS[0]);
    let jwks = format!(
        r#"{{"keys":[{{"kty":"oct","kid":"h","alg":"HS256","k":"{secret}"}},{{"kty":"OKP","kid":"e","crv":"Ed25519","x":"{point}"}}]}}"#
    );
    KeySet::from_jwks(jwks.as_bytes()).expect("two valid keys")
});

/// In which forms an input was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The input itself.
    pub accepts_as_is: bool,
    /// The input re-signed, or built into a signed message.
    pub accepts_signed: bool,
}

/// The message with its last 64 bytes replaced by a signature of the tests' key.
pub fn re_signed(message: &[u8]) -> Vec<u8> {
    let mut signed = message[..message.len().saturating_sub(SIGNATURE_BYTES)].to_vec();
    let signature = KEY.sign(&signed).to_bytes();
    signed.extend(signature);
    signed
}

/// A snapshot that an edge receives.
pub fn snapshot(data: &[u8]) -> Outcome {
    let accepts_as_is = Snapshot::decode(data.to_vec(), &*PINS).is_ok();
    let signed = re_signed(data);
    assert!(!accepts_as_is || signed == data, "a snapshot was accepted that the key did not sign");
    let decoded = Snapshot::decode(signed, &*PINS);
    if let Ok(snapshot) = &decoded {
        check_snapshot(snapshot);
    }
    Outcome { accepts_as_is, accepts_signed: decoded.is_ok() }
}

/// Compares the snapshot's answers with those of the reference reader.
fn check_snapshot(snapshot: &Snapshot) {
    let reference =
        reference_reader::Snapshot::read(snapshot.as_bytes()).expect("the reference reader reads what the crate reads");
    assert_eq!((snapshot.issuer(), snapshot.sequence()), (reference.issuer.as_str(), reference.sequence));
    assert_eq!((snapshot.epoch(), snapshot.everything_before()), (reference.epoch, RevokedBefore(reference.before)));
    for (kind, entries) in RevocationKind::GROUPS.into_iter().zip(&reference.groups) {
        assert_eq!(snapshot.count(kind), entries.len());
        for (id, revoked_before) in entries {
            assert_eq!(snapshot.revoked_before(kind, RevocationId::from_bytes(*id)), RevokedBefore(*revoked_before));
        }
    }
    assert_eq!(snapshot.count(RevocationKind::Token), reference.others.len());
    for bytes in snapshot.as_bytes().windows(RevocationId::LEN).step_by(7) {
        let id = RevocationId::from_bytes(bytes.try_into().expect("windows of 16"));
        let listed = reference.others.contains(id.as_bytes());
        assert!(listed || !snapshot.is_token_revoked(id, None), "only listed ids are revoked");
        for epoch in [0, snapshot.epoch(), u32::MAX] {
            snapshot.is_token_revoked(id, Some(epoch));
        }
    }
    let replica = Replica::new(snapshot.clone(), snapshot.issuer()).expect("its own issuer");
    query_replica(&replica, snapshot.issuer());
}

fn query_replica(replica: &Replica, issuer: &str) {
    for token_id in ["", "a-token", "AAAAAQAAAAAAAAAAAAAAAAAA", "_____wAAAAAAAAAAAAAAAAAA"] {
        let (session, subject, client_id, key_id) = (Some("session"), "subject", "client", Some("key"));
        replica.is_revoked(&TokenIdentifiers { issuer, token_id, session, subject, client_id, key_id, issued_at: NOW });
    }
    replica.needs_snapshot();
    assert!(replica.is_caught_up() || replica.sequence() < u64::MAX);
}

/// A message of deltas that an edge receives. The encoding is unique: an accepted message equals
/// what the origin builds from the same parts, byte for byte.
pub fn deltas(data: &[u8]) -> Outcome {
    let (message, path) = split_path(data).unwrap_or((data, &[]));
    let signed = [re_signed(message).as_slice(), path].concat();
    let as_is = Deltas::decode(data, &*PINS);
    assert!(as_is.is_err() || signed == data, "deltas were accepted that the key did not sign");
    // A path is not signed: it proves something, or nothing.
    let accepts_as_is = as_is.is_ok_and(|deltas| path.is_empty() || deltas.answers(ANSWERED_NONCE));
    let decoded = Deltas::decode(&signed, &*PINS);
    if let Ok(deltas) = &decoded {
        let reference = reference_reader::Deltas::read(&re_signed(message))
            .expect("the reference reader reads what the crate reads");
        let parts = DeltaParts {
            issuer: &reference.issuer,
            after: reference.after,
            head: deltas.head(),
            as_of_ms: deltas.as_of_ms(),
            chain: HashChain::from_bytes(reference.chain),
            config: ConfigDigest::from_bytes(reference.config),
            epoch: reference.epoch,
            deltas: deltas.entries(),
            nonce: deltas.nonce(),
        };
        let built = if path.is_empty() {
            build_deltas(&parts, &SIGNER).expect("parts that were read")
        } else {
            let nonce = deltas.nonce().expect("an answer has a nonce");
            let shared = SharedParts { published: deltas.published(), document: &reference.document, nonce };
            let built = build_shared_deltas(&parts, &shared, &SIGNER).expect("parts that were read");
            [split_path(&built).expect("it has a path").0, path].concat()
        };
        assert!(built == signed, "the message is not what its parts build to");
        apply_twice(deltas, &reference);
    }
    Outcome { accepts_as_is, accepts_signed: decoded.is_ok() }
}

/// Splits deltas that may answer many requests into the signed message and the path with its
/// length; none if they are of another version.
fn split_path(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u16::from_be_bytes(*data.last_chunk()?);
    let signed = data.len().checked_sub(usize::from(length) + 2)?;
    data.starts_with(b"TGDL\x03").then(|| data.split_at(signed))
}

/// Applies the deltas twice to a replica whose sequence is the one before them.
fn apply_twice(deltas: &Deltas, reference: &reference_reader::Deltas) {
    let (issuer, chain) = (reference.issuer.as_str(), HashChain::from_bytes(reference.chain));
    let parts = SnapshotParts::new(issuer, reference.after, 0, chain, reference_reader::CONFIG);
    let held = build_snapshot(&parts, &SIGNER).expect("a good snapshot");
    let held = Snapshot::decode(held, &*PINS).expect("what was built");
    let mut replica = Replica::new(held, issuer).expect("its issuer");
    for _ in 0..2 {
        replica.apply(deltas).expect("they follow");
        assert_eq!(replica.sequence(), reference.after + deltas.entries().len() as u64);
    }
    query_replica(&replica, issuer);
}

/// A token; and, read as a header, a line feed and claims, a token that is signed with our key.
pub fn token(data: &[u8]) -> Outcome {
    let accepts_as_is = verify_token(data);
    let mut lines = data.splitn(2, |&byte| byte == b'\n');
    let accepts_signed = match (lines.next(), lines.next()) {
        (Some(header), Some(claims)) => {
            let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
            verify_token(format!("{input}.{}", URL_SAFE_NO_PAD.encode(hmac(input.as_bytes()))).as_bytes())
        }
        _ => false,
    };
    Outcome { accepts_as_is, accepts_signed }
}

/// The HS256 tag by the key of the tests.
pub fn hmac(input: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&SEED).expect("any length is a key");
    mac.update(input);
    mac.finalize().into_bytes().into()
}

fn verify_token(token: &[u8]) -> bool {
    let scope = ["reports:read".to_owned()];
    let mut requirements = TokenRequirements {
        issuer: ISSUER,
        audience: AUDIENCE,
        scope: &scope,
        rules: None,
        leeway: LEEWAY,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    let verdict = verify(token, &TOKEN_KEYS, &requirements, &CheckedByCaller, NOW);
    if let Ok(verified) = &verdict {
        let (input, signature) = token.split_at(token.iter().rposition(|&byte| byte == b'.').expect("three parts"));
        let by_secret = signature[1..] == *URL_SAFE_NO_PAD.encode(hmac(input)).as_bytes();
        let by_key = signature[1..] == *URL_SAFE_NO_PAD.encode(KEY.sign(input).to_bytes()).as_bytes();
        assert!(by_secret || by_key, "a token was accepted that no key signed");
        assert_eq!(verified.issuer(), ISSUER);
        assert!(verified.audience().any(|audience| audience == AUDIENCE));
        assert!(verified.expires_at() + LEEWAY > NOW && verified.issued_at() <= NOW + LEEWAY);
        assert!(verified.scope().split(' ').any(|value| value == scope[0]));
    }
    requirements.allow_plain_jwt = true;
    let lax_verdict = verify(token, &TOKEN_KEYS, &requirements, &CheckedByCaller, NOW);
    assert!(lax_verdict.is_ok() || verdict.is_err(), "allowing plain JWTs refuses no access token");
    verdict.is_ok()
}

/// A JWK set: of another issuer, or of an edge's settings.
pub fn jwks(data: &[u8]) -> Outcome {
    let keys = KeySet::from_jwks(data);
    if let Ok(keys) = &keys {
        assert!(keys.len() <= MAX_KEYS);
        assert!(KeySet::default().extend(keys).is_ok(), "a valid set extends an empty one");
    }
    Outcome { accepts_as_is: keys.is_ok(), accepts_signed: false }
}

/// The configuration document of a snapshot. It can be read if and only if a snapshot can be built
/// with it.
pub fn config(data: &[u8]) -> Outcome {
    let config = Config::read(data);
    let parts = SnapshotParts::new(ISSUER, 1, 1, HashChain::genesis(ISSUER), data);
    let built = build_snapshot(&parts, &SIGNER);
    assert_eq!(config.is_ok(), built.is_ok());
    if let (Ok(config), Ok(built)) = (&config, built) {
        let snapshot = Snapshot::decode(built, &*PINS).expect("what was built");
        assert_eq!(snapshot.config_digest(), ConfigDigest::of(data));
        assert_eq!(snapshot.config().audience(), config.audience());
        assert_eq!(snapshot.config().routes(), config.routes());
        assert!(config.routes().len() <= MAX_ROUTES);
        for path in ["/", "/reports/1", "", "*"] {
            let route = config.route(None, "GET", path);
            assert!(
                route.is_err() || route.is_ok_and(|route| config.routes().contains(route) || route.scope().is_empty())
            );
        }
    }
    Outcome { accepts_as_is: config.is_ok(), accepts_signed: false }
}

fn verify_with_scope(token: &str, scope: &[String]) -> Result<VerifiedToken, Refusal> {
    let requirements = TokenRequirements {
        issuer: ISSUER,
        audience: AUDIENCE,
        scope,
        rules: None,
        leeway: LEEWAY,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    verify(token.as_bytes(), &TOKEN_KEYS, &requirements, &CheckedByCaller, NOW)
}

fn token_with_claims(claims: &[u8]) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(TOKEN_HEADER), URL_SAFE_NO_PAD.encode(claims));
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(hmac(input.as_bytes())))
}

/// The claims of a token. Without a valid signature all claims are refused.
pub fn claims(data: &[u8]) -> Outcome {
    let token = token_with_claims(data);
    let (input, _) = token.rsplit_once('.').expect("three parts");
    let unsigned = format!("{input}.{}", URL_SAFE_NO_PAD.encode([0x55; 32]));
    let accepts_as_is = verify_with_scope(&unsigned, &[]).is_ok();
    assert!(!accepts_as_is, "unsigned claims were accepted");
    let verdict = verify_with_scope(&token, &[]);
    if let Ok(verified) = &verdict {
        match serde_json::from_slice::<Value>(data) {
            Ok(value) => compare_claims(verified, &value),
            // serde_json refuses numbers beyond a double, also in claims that are not used.
            Err(error) => assert!(error.to_string().starts_with("number out of range"), "{error}"),
        }
    }
    Outcome { accepts_as_is, accepts_signed: verdict.is_ok() }
}

/// Compares the verified claims with those that serde_json reads, and checks the limits of the
/// profile.
fn compare_claims(verified: &VerifiedToken, claims: &Value) {
    let (mut depth, mut members) = (0, 0);
    measure_json(claims, 1, &mut depth, &mut members);
    assert!(depth <= MAX_JSON_DEPTH && members <= MAX_JSON_MEMBERS, "{depth} levels, {members} members");
    for (name, value) in [
        ("iss", verified.issuer()),
        ("sub", verified.subject()),
        ("client_id", verified.client_id()),
        ("jti", verified.token_id()),
    ] {
        assert_eq!(claims[name], value, "{name}");
        assert!((1..=255).contains(&value.len()) && !value.chars().any(char::is_control), "{name}");
    }
    assert_eq!(claims.get("sid").map(|sid| sid.as_str().expect("a string")), verified.session());
    let audiences = match &claims["aud"] {
        Value::Array(several) => several.iter().map(|aud| aud.as_str().expect("a string")).collect(),
        one => vec![one.as_str().expect("a string")],
    };
    assert_eq!(verified.audience().collect::<Vec<_>>(), audiences);
    for (name, value) in
        [("exp", Some(verified.expires_at())), ("iat", Some(verified.issued_at())), ("nbf", verified.not_before())]
    {
        let date = claims.get(name).map(|date| date.as_f64().expect("a number"));
        assert_eq!(date, value.map(|value| value as f64), "{name}");
        assert!(date.is_none_or(|date| (0.0..=MAX_NUMERIC_DATE).contains(&date)), "{name}");
    }
}

fn measure_json(value: &Value, level: usize, depth: &mut usize, members: &mut usize) {
    match value {
        Value::Array(elements) => {
            *depth = level.max(*depth);
            elements.iter().for_each(|element| measure_json(element, level + 1, depth, members));
        }
        Value::Object(object) => {
            *depth = level.max(*depth);
            *members += object.len();
            object.values().for_each(|member| measure_json(member, level + 1, depth, members));
        }
        _ => {}
    }
}

/// A DPoP proof for a GET of `https://api.example/reports`, with a token that is bound to the key of
/// the tests: as it is, and as header and claims on two lines, which are signed with this key.
pub fn proof(data: &[u8]) -> Outcome {
    let accepts_as_is = accepts_proof(data);
    let mut lines = data.splitn(2, |&byte| byte == b'\n');
    let accepts_signed = match (lines.next(), lines.next()) {
        (Some(header), Some(claims)) => {
            let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
            let signature = URL_SAFE_NO_PAD.encode(KEY.sign(input.as_bytes()).to_bytes());
            let is_accepted = accepts_proof(format!("{input}.{signature}").as_bytes());
            if is_accepted {
                check_proof(header, claims);
            }
            is_accepted
        }
        _ => false,
    };
    Outcome { accepts_as_is, accepts_signed }
}

/// A token that is bound to the key of the tests.
static BOUND_TOKEN: LazyLock<String> = LazyLock::new(|| {
    let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(PINS[0]));
    let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(jwk));
    let exp = NOW + 60;
    token_with_claims(
        format!(
            r#"{{"iss":"{ISSUER}","sub":"s","aud":"{AUDIENCE}","client_id":"c","jti":"j","iat":{NOW},"exp":{exp},"cnf":{{"jkt":"{thumbprint}"}}}}"#
        )
        .as_bytes(),
    )
});
static VERIFIER: LazyLock<Mutex<Verifier>> =
    LazyLock::new(|| Mutex::new(Verifier::new(TOKEN_KEYS.clone(), 0, TableSize::None)));

fn accepts_proof(proof: &[u8]) -> bool {
    let requirements = TokenRequirements {
        issuer: ISSUER,
        audience: AUDIENCE,
        scope: &[],
        rules: None,
        leeway: LEEWAY,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    let token = BOUND_TOKEN.as_bytes();
    let dpop = DpopRequest {
        proof: Ok(proof),
        method: "GET",
        url: Some(RequestUrl { is_https: true, authority: "api.example", path: "/reports" }),
        token,
        nonce_key: None,
        leeway: LEEWAY,
        now: NOW,
    };
    let no_certificate = || None;
    let possession = Possession::new(Some(dpop), &no_certificate, false);
    let mut verifier = VERIFIER.lock().expect("not poisoned");
    verifier.verify_in_request(token, &requirements, Some(&possession), &CheckedByCaller, NOW).is_ok()
}

/// Compares an accepted proof with what serde_json reads.
fn check_proof(header: &[u8], claims: &[u8]) {
    let Ok(header) = serde_json::from_slice::<Value>(header) else { return };
    assert_eq!(header["typ"].as_str().map(str::to_ascii_lowercase).as_deref(), Some("dpop+jwt"));
    assert!(header["alg"] == "EdDSA" || header["alg"] == "Ed25519", "{header}");
    assert_eq!(header["jwk"]["x"], URL_SAFE_NO_PAD.encode(PINS[0]));
    assert!(header["jwk"].get("d").is_none(), "a private key");
    // serde_json refuses numbers beyond a double, also in claims that are not used.
    let Ok(claims) = serde_json::from_slice::<Value>(claims) else { return };
    assert_eq!(claims["htm"], "GET");
    assert_eq!(claims["ath"], URL_SAFE_NO_PAD.encode(Sha256::digest(BOUND_TOKEN.as_bytes())));
    assert!(claims["jti"].as_str().is_some_and(|id| (1..=256).contains(&id.len())), "{claims}");
    let url = claims["htu"].as_str().expect("a text").to_ascii_lowercase();
    assert!(url.starts_with("https://api.example"), "{url}");
    let age = NOW as f64 - claims["iat"].as_f64().expect("a number");
    let (oldest, newest) = ((MAX_PROOF_AGE_SECONDS + LEEWAY) as f64, -(LEEWAY as f64) - 1.0);
    assert!(newest < age && age <= oldest, "{age} seconds old");
}

/// The claims in an origin's answer about an opaque token. Nothing is read from an answer that the
/// edge's key did not authenticate.
pub fn introspection(data: &[u8]) -> Outcome {
    let (key, reference) = (EdgeKey::new(&SEED), TokenReference::Opaque([3; 32]));
    let accepts_as_is = key.open_introspection(data, &reference, ANSWERED_NONCE).is_ok();
    let answer = key.seal_introspection(ANSWERED_NONCE, Some(("h", data)));
    let opened = key.open_introspection(&answer, &reference, ANSWERED_NONCE);
    if let Ok(token) = &opened {
        let token = token.as_ref().expect("the answer says that the token is active").token();
        match serde_json::from_slice::<Value>(data) {
            Ok(claims) => compare_claims(token, &claims),
            Err(error) => assert!(error.to_string().starts_with("number out of range"), "{error}"),
        }
    }
    Outcome { accepts_as_is, accepts_signed: opened.is_ok() }
}

/// Reports of edges: an accepted one is bounded, and is read again as it was written.
///
/// # Panics
/// If the crate violates a guarantee.
pub fn edge_report(data: &[u8]) -> Outcome {
    let report = std::str::from_utf8(data).ok().and_then(EdgeReport::parse);
    if let Some(report) = &report {
        let written = report.to_string();
        assert!(data.len() <= MAX_REPORT_BYTES && written.len() <= MAX_REPORT_BYTES, "{} bytes", data.len());
        assert_eq!(EdgeReport::parse(&written).as_ref(), Some(report), "{written}");
    }
    Outcome { accepts_as_is: report.is_some(), ..Outcome::default() }
}

/// A policy: a line with a method and a path, then the routes of a configuration. The selected
/// route must match the request, and a token must be accepted if and only if it has the route's
/// scope.
pub fn policy(data: &[u8]) -> Outcome {
    let refused = Outcome::default();
    let Ok(text) = std::str::from_utf8(data) else { return refused };
    let Some((request, routes)) = text.split_once('\n') else { return refused };
    let Some((method, path)) = request.split_once(' ') else { return refused };
    let document = format!(r#"{{"audience":"{AUDIENCE}","jwks":{{"keys":[]}},"routes":{routes}}}"#);
    let Ok(config) = Config::read(document.as_bytes()) else { return refused };
    let written: Value = serde_json::from_str(&document).expect("strict JSON is JSON");
    assert_eq!(config.routes().len(), written["routes"].as_array().map_or(0, Vec::len));
    let Ok(route) = config.route(None, method, path) else { return refused };
    match config.routes().iter().position(|known| std::ptr::eq(known, route)) {
        None => {
            assert!(!route.is_public() && route.scope().is_empty(), "without a route a token is required")
        }
        Some(index) => check_match(written["routes"][index]["path"].as_str().expect("a path"), path, route.is_public()),
    }
    let granted = ["reports:read", "reports:write"];
    let claims = format!(
        r#"{{"iss":"{ISSUER}","sub":"s","aud":"{AUDIENCE}","client_id":"c","jti":"j","iat":{NOW},"exp":{},"scope":"{}"}}"#,
        NOW + 60,
        granted.join(" ")
    );
    let verdict = verify_with_scope(&token_with_claims(claims.as_bytes()), route.scope());
    let covers = route.scope().iter().all(|wanted| granted.contains(&wanted.as_str()));
    assert_eq!(verdict.is_ok(), covers, "{:?}", route.scope());
    assert!(covers || matches!(verdict, Err(Refusal::InsufficientScope { .. })));
    Outcome { accepts_as_is: false, accepts_signed: true }
}

/// Checks that the route's path is the request's, or a prefix of it, segment by segment.
fn check_match(rule: &str, path: &str, is_public: bool) {
    let (pattern, is_prefix) = rule.strip_suffix("/*").map_or((rule, false), |prefix| (prefix, true));
    let (wanted, mut sent): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    if !is_prefix && !is_public && sent.len() == wanted.len() + 1 && sent.last() == Some(&"") {
        sent.pop();
    }
    let is_length = sent.len() == wanted.len() || (is_prefix && sent.len() > wanted.len());
    let is_segment = |(wanted, sent): (&&str, &&str)| wanted == sent || (is_parameter(wanted) && !sent.is_empty());
    assert!(is_length && wanted.iter().zip(&sent).all(is_segment), "the route {rule} does not match {path}");
}

fn is_parameter(segment: &str) -> bool {
    let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}
