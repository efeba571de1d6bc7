//! A short, repeatable run of each fuzz target: valid inputs, changed at random. It needs no
//! nightly compiler; for a long run with libFuzzer see `fuzz/Cargo.toml`.
//!
//! `TOLLGATE_FUZZ_RUNS` sets the number of inputs of each target, `TOLLGATE_FUZZ_SEED` the random
//! seed. A failure prints its input.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::mutation::{Random, mutate};
use crate::sample_messages::{self, history, real_deltas, real_snapshot, signer};
use crate::targets::{self, AUDIENCE, ISSUER, NOW, Outcome};
use crate::{reference_reader, round_trip, setting};

/// Most accepted inputs of a run that are added to its pool, for further changes.
const MAX_ADDED_INPUTS: usize = 256;
/// Longest input, in bytes: longer ones are truncated.
const MAX_INPUT_BYTES: usize = 16 * 1024;

fn folder(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", "corpus", target].iter().collect()
}

/// The committed seeds of a target. Inputs that libFuzzer found have names of 40 digits and are
/// ignored.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder(target)).expect("the seeds are there");
    let paths = entries.map(|entry| entry.expect("a file").path());
    let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    let mut seeds: Vec<_> = paths.map(|path| (name(&path), fs::read(path).expect("a seed"))).collect();
    seeds.retain(|(name, _)| name.len() < 40);
    seeds.sort();
    seeds
}

fn run(name: &str, target: fn(&[u8]) -> Outcome, default_runs: u64) {
    let (runs, seed) = (setting("TOLLGATE_FUZZ_RUNS", default_runs), setting("TOLLGATE_FUZZ_SEED", 1));
    let seeds = corpus(name);
    assert!(!seeds.is_empty(), "{name} has seeds");
    let mut pool: Vec<Vec<u8>> = seeds.into_iter().map(|(_, bytes)| bytes).collect();
    let known: BTreeSet<Vec<u8>> = pool.iter().cloned().collect();
    for input in &known {
        run_target(name, target, input);
    }
    let is_signed = ["snapshot", "deltas", "token", "claims", "proof", "introspection"].contains(&name);
    let mut random = Random::new(seed);
    let (mut accepted_as_is, mut accepted_signed, mut added) = (0_u64, 0_u64, 0);
    for _ in 0..runs {
        let mut input = pool[random.index(pool.len())].clone();
        let other = random.index(pool.len());
        mutate(&mut input, &pool[other], &mut random);
        input.truncate(MAX_INPUT_BYTES);
        let outcome = run_target(name, target, &input);
        assert!(!is_signed || !outcome.accepts_as_is || known.contains(&input), "{name} accepted {}", hex(&input));
        accepted_as_is += u64::from(outcome.accepts_as_is);
        accepted_signed += u64::from(outcome.accepts_signed);
        if added < MAX_ADDED_INPUTS && (outcome.accepts_signed || outcome.accepts_as_is) && random.below(8) == 0 {
            pool.push(input);
            added += 1;
        }
    }
    println!("{name}: {runs} inputs, {accepted_as_is} accepted as they are, {accepted_signed} after they were signed");
    assert!(accepted_as_is + accepted_signed > 0, "{name} accepted no input");
}

fn run_target(name: &str, target: fn(&[u8]) -> Outcome, input: &[u8]) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| target(input))).unwrap_or_else(|panic| {
        println!("{name} failed with this input: {}", hex(input));
        resume_unwind(panic)
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn snapshots() {
    run("snapshot", targets::snapshot, 50_000);
}

#[test]
fn deltas() {
    run("deltas", targets::deltas, 50_000);
}

#[test]
fn tokens() {
    run("token", targets::token, 200_000);
}

#[test]
fn claims() {
    run("claims", targets::claims, 200_000);
}

#[test]
fn policies() {
    run("policy", targets::policy, 200_000);
}

#[test]
fn proofs() {
    run("proof", targets::proof, 20_000);
}

#[test]
fn introspection_answers() {
    run("introspection", targets::introspection, 100_000);
}

#[test]
fn edge_reports() {
    run("edge_report", targets::edge_report, 200_000);
}

#[test]
fn key_sets() {
    run("jwks", targets::jwks, 200_000);
}

#[test]
fn configurations() {
    run("config", targets::config, 200_000);
}

#[test]
fn round_trips() {
    run("round_trip", round_trip::round_trip, 50_000);
}

/// Compares the seeds with what the crate builds now. After a change of the format
/// `TOLLGATE_FUZZ_WRITE_SEEDS=1` writes them; mention it in the changelog, because older edges
/// cannot read the new format.
#[test]
fn the_seeds_are_what_the_crate_builds() {
    for (target, name, bytes) in seeds() {
        let file = folder(target).join(name);
        if setting("TOLLGATE_FUZZ_WRITE_SEEDS", 0) == 1 {
            fs::create_dir_all(folder(target)).expect("a folder for the seeds");
            fs::write(&file, &bytes).expect("a seed written");
        }
        assert!(
            fs::read(&file).expect("the seed is there") == bytes,
            "{target}/{name} is not what the crate builds now"
        );
    }
}

fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let parts = |sequence| {
        let chain = sample_messages::chain(ISSUER, &history(false), sequence);
        tollgate_core::SnapshotParts::new(ISSUER, sequence, NOW * 1000, chain, reference_reader::CONFIG)
    };
    let built = |parts| tollgate_core::build_snapshot(&parts, &signer()).expect("a good snapshot");
    let others = [sample_messages::token(1, false).revocation_id(), sample_messages::token(2, false).revocation_id()];
    let mut seeds = vec![
        ("snapshot", "real", real_snapshot()),
        ("snapshot", "empty", built(parts(0))),
        ("snapshot", "others", built(tollgate_core::SnapshotParts { others: &others, ..parts(2) })),
        ("snapshot", "groups", built(tollgate_core::SnapshotParts { groups: &sample_messages::groups(), ..parts(3) })),
        ("deltas", "every-kind", real_deltas()),
        ("deltas", "one", sample_messages::deltas(ISSUER, &history(false), 4, 5)),
        ("deltas", "heartbeat", sample_messages::deltas(ISSUER, &history(false), 12, 12)),
        ("deltas", "shared", sample_messages::shared_deltas()),
        ("round_trip", "some", (0..40 * 17).map(|at: u32| (at * at / 7 + at) as u8).collect()),
        ("config", "real", sample_messages::CONFIG.to_vec()),
        ("config", "empty", reference_reader::CONFIG.to_vec()),
    ];
    seeds.extend([
        ("edge_report", "empty", b"1.ffffffffffffffff".to_vec()),
        ("edge_report", "some", b"1.00000000000000ab.passed-3.streams_cut-1.refused-expired-2".to_vec()),
        ("edge_report", "newer", b"1.00000000000000ab.teleported-9.refused-too_blue-4".to_vec()),
    ]);
    seeds.extend(token_seeds());
    seeds.extend(proof_seeds());
    seeds.extend(policy_seeds());
    seeds.extend(jwks_seeds());
    seeds
}

fn token_seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let exp = NOW + 600;
    let claims = format!(
        r#"{{"iss":"{ISSUER}","sub":"someone","aud":"{AUDIENCE}","client_id":"a-client","jti":"AAAAAQABAgMEBQYHCAkKCwwN","sid":"s","iat":{NOW},"nbf":{NOW},"exp":{exp},"scope":"reports:read reports:write"}}"#
    );
    let several = claims.replace(&format!("\"{AUDIENCE}\""), &format!("[\"https://x.example\",\"{AUDIENCE}\"]"));
    let header = r#"{"typ":"at+jwt","alg":"HS256","kid":"h"}"#;
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&claims));
    let compact = format!("{input}.{}", URL_SAFE_NO_PAD.encode(targets::hmac(input.as_bytes())));
    let odd = several
        .replace("\"nbf\":1800000000", "\"nbf\":1.7e9,\"x\":[{\"a\":[null,true,-0.5e+10]},\"\\u00e9\\ud83d\\ude00\"]");
    assert_ne!(odd, several);
    vec![
        ("claims", "canonical", claims.clone().into_bytes()),
        ("claims", "several-audiences", several.clone().into_bytes()),
        ("claims", "every-kind-of-value", odd.into_bytes()),
        ("token", "compact", compact.into_bytes()),
        ("token", "parts", format!("{header}\n{claims}").into_bytes()),
        ("token", "several-audiences", format!("{header}\n{several}").into_bytes()),
    ]
}

/// Proofs of the key of the tests for its token, and claims of a bound opaque token.
fn proof_seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw"}"#;
    let header = format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{jwk}}}"#);
    let ath = "8GGBl5SrDW1ph_p3okZ2ggR2kBwQe8VfCakSuR5WW4E";
    let claims =
        format!(r#"{{"jti":"a-proof","htm":"GET","htu":"https://api.example/reports","iat":{NOW},"ath":"{ath}"}}"#);
    let odd = claims.replace("/reports", ":443/%72eports?a#b").replace("\"htm\"", "\"nonce\":\"n\",\"htm\"");
    let opaque = format!(
        r#"{{"iss":"{ISSUER}","sub":"s","aud":["{AUDIENCE}"],"client_id":"c","jti":"tg_AAAAAQAAAAAAAAAAAAAAAAAA","iat":{NOW},"exp":{},"cnf":{{"jkt":"--6IM5l0OosLj9yWskISYhUA3n_3CURQkmrYMSha_ck"}}}}"#,
        NOW + 600
    );
    vec![
        ("proof", "parts", format!("{header}\n{claims}").into_bytes()),
        ("proof", "normalized", format!("{header}\n{odd}").into_bytes()),
        ("introspection", "bound", opaque.into_bytes()),
    ]
}

fn policy_seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let routes = r#"[{"path":"/reports/*","scope":["reports:read"]},{"path":"/reports/*","methods":["POST","DELETE"],"scope":["reports:read","reports:write"]},{"path":"/admin","scope":["admin"],"on_stale":"allow"},{"path":"/open/*","public":true}]"#;
    let all_members = r#"[{"path":"/orders/{id}/*","hosts":["api.example","*.example"],"scope_any":["a","b"],"audience":"https://b.example","clients":["c"],"claims":[{"name":"/a/b","equals":true},{"name":"d","one_of":["x",7]},{"name":"e","contains":"y"}],"acr":["gold"],"max_age":300,"binding":"required","on_stale":"introspect","max_staleness_ms":500},{"path":"/orders/{id}","upstream":"orders","max_body_bytes":1024,"timeout_ms":5000,"rate_limit":{"requests":10,"seconds":60,"by":"subject"},"streams":"continue","cors":{"origins":["https://a.example"],"methods":["GET"],"headers":["x-a"],"expose":["x-b"],"credentials":true,"max_age":60},"encoded_slash":"allow","headers":{"x-user":"sub"},"token":"remove"},{"path":"/{a}/{b}/c/","methods":["GET"],"scope":["reports:read"]}]"#;
    let asked = |request: &str| format!("{request}\n{routes}").into_bytes();
    vec![
        ("policy", "scope", asked("GET /reports/7")),
        ("policy", "method", asked("POST /reports/7")),
        ("policy", "exact", asked("HEAD /admin/")),
        ("policy", "public", asked("GET /open/door")),
        ("policy", "none", asked("GET /")),
        ("policy", "parameter", format!("GET /orders/7\n{all_members}").into_bytes()),
        ("policy", "parameters", format!("HEAD /1/2/c/\n{all_members}").into_bytes()),
    ]
}

/// RFC 8037 appendix A.2, RFC 7517 appendix A.1 and an HS256 key.
fn jwks_seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let ed25519 = r#"{"kty":"OKP","crv":"Ed25519","kid":"e","alg":"EdDSA","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let p256 = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"}"#;
    let sig = p256.replace("enc", "sig");
    let rsa = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    let secret = r#"{"kty":"oct","kid":"h","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
    let set = |keys: &[&str]| format!(r#"{{"keys":[{}]}}"#, keys.join(",")).into_bytes();
    vec![
        ("jwks", "every-kind", set(&[ed25519, &sig, rsa, secret])),
        ("jwks", "for-encryption", set(&[p256])),
        ("jwks", "empty", set(&[])),
    ]
}
