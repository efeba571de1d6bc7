//! `tollgate-edge verify`: verifies tokens inside the WebAssembly component. Keys, issuer, audience
//! and revoked ids become a snapshot in memory, signed with a key for this run.

use crate::response::now_ms;
use crate::{GateKind, OpenError, Program, Question, SettingError, Sources, Validator, find_component};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use tollgate_core::{
    ConfigDigest, DeltaParts, HashChain, KeySet, Nonce, RevocationId, SnapshotParts, SnapshotSigner, build_deltas,
    build_snapshot,
};
use tollgate_gate::verify_cli::{VerifyArgs, bad_arguments};

/// Runs the subcommand. Exit code 0 if all tokens are valid, 1 if one is refused, 2 if an argument
/// is invalid.
pub fn verify(args: &VerifyArgs, sources: &Sources) -> ExitCode {
    let source = match GateSource::prepare(args, sources) {
        Ok(source) => source,
        Err(problem) => return bad_arguments(&problem),
    };
    let mut validator = match source.open() {
        Ok(validator) => validator,
        Err(problem) => return bad_arguments(&problem),
    };
    let (scope, now) = (args.scope_values(), source.at_ms / 1000);
    let result = args.run(|token| match validator.verify(token, &scope, now) {
        Ok(verdict) => (verdict.allowed, verdict.reason),
        Err(trap) => {
            eprintln!("error: the component trapped: {trap:#}");
            if let Ok(reopened) = source.open() {
                validator = reopened;
            }
            (false, "internal_error".to_owned())
        }
    });
    result.unwrap_or_else(|error| bad_arguments(&error.to_string()))
}

/// Everything needed to open a gate.
struct GateSource {
    program: Program,
    settings: Vec<(String, String)>,
    snapshot: Vec<u8>,
    heartbeat: Vec<u8>,
    at_ms: u64,
}

impl GateSource {
    #[expect(clippy::disallowed_methods, reason = "seed of a signing key that lives for one command")]
    fn prepare(args: &VerifyArgs, sources: &Sources) -> Result<GateSource, String> {
        let (public, secret) = read_keys(args)?;
        let revoked: Vec<RevocationId> =
            args.read_revoked()?.iter().map(|jti| RevocationId::for_token(&args.issuer, jti)).collect();
        let config = json!({ "audience": args.audience, "jwks": { "keys": public }, "routes": [] }).to_string();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| format!("the system's random source failed: {error}"))?;
        let signer = SnapshotSigner::from_seed(&seed);
        let (issuer, at_ms, chain) = (
            args.issuer.as_str(),
            args.at.map_or_else(now_ms, |at| at.saturating_mul(1000)),
            HashChain::genesis(&args.issuer),
        );
        let parts =
            SnapshotParts { others: &revoked, ..SnapshotParts::new(issuer, 0, at_ms, chain, config.as_bytes()) };
        let snapshot = build_snapshot(&parts, &signer).map_err(|error| error.to_string())?;
        let config = ConfigDigest::of(config.as_bytes());
        let nonce = Some(Nonce::from_bytes([0; Nonce::LEN]));
        let parts =
            DeltaParts { issuer, after: 0, head: 0, as_of_ms: at_ms, chain, config, epoch: 0, deltas: &[], nonce };
        let heartbeat = build_deltas(&parts, &signer).map_err(|error| error.to_string())?;
        let settings = gate_settings(args, signer.public_key(), &secret);
        Ok(GateSource { program: load_program(sources)?, settings, snapshot, heartbeat, at_ms })
    }

    /// Opens a gate with the snapshot, fresh as of the time of verification.
    fn open(&self) -> Result<Validator, String> {
        let mut validator =
            Validator::open(&self.program, &self.settings).map_err(|error: OpenError| error.to_string())?;
        for message in [&self.snapshot, &self.heartbeat] {
            let accepted = validator
                .accept(200, message, Question { asked_at_ms: self.at_ms, nonce: (0, 0) })
                .map_err(|trap| format!("the component trapped: {trap:#}"))?;
            accepted.map_err(|why| format!("the component refused the arguments: {why}"))?;
        }
        Ok(validator)
    }
}

/// The keys of the file: public keys for the snapshot, and secret keys for the gate's settings,
/// because snapshots contain no secrets.
fn read_keys(args: &VerifyArgs) -> Result<(Vec<Value>, Vec<Value>), String> {
    let file_error = |problem: &str| format!("--jwks {}: {problem}", args.jwks.display());
    let text = args.read_jwks()?;
    KeySet::from_jwks(&text).map_err(|error| file_error(&error.to_string()))?;
    let mut set: Value = serde_json::from_slice(&text).map_err(|error| file_error(&error.to_string()))?;
    match set.get_mut("keys").map(Value::take) {
        Some(Value::Array(keys)) => Ok(keys.into_iter().partition(|key| key["kty"] != "oct")),
        _ => Err(file_error("has no array of keys")),
    }
}

/// The gate's settings. Origin and upstream are required, but never called.
fn gate_settings(args: &VerifyArgs, snapshot_key: [u8; 32], secret: &[Value]) -> Vec<(String, String)> {
    let mut settings = vec![
        ("TOLLGATE_EDGE_ORIGIN", "https://origin.invalid".to_owned()),
        ("TOLLGATE_EDGE_UPSTREAM", "http://upstream.invalid".to_owned()),
        ("TOLLGATE_EDGE_SNAPSHOT_KEY", base64url(&snapshot_key)),
        ("TOLLGATE_EDGE_ISSUER", args.issuer.clone()),
        ("TOLLGATE_EDGE_LEEWAY_SECONDS", args.leeway.to_string()),
        ("TOLLGATE_EDGE_ALLOW_PLAIN_JWT", args.allow_plain_jwt.to_string()),
    ];
    if !secret.is_empty() {
        settings.push(("TOLLGATE_EDGE_SECRET_KEYS", json!({ "keys": secret }).to_string()));
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn load_program(sources: &Sources) -> Result<Program, String> {
    let set = sources.get("TOLLGATE_EDGE_COMPONENT").map(PathBuf::from);
    let component = find_component(set.as_deref(), GateKind::Component).map_err(|error| error.to_string())?;
    Program::from_source(&component).map_err(|error| SettingError::new("TOLLGATE_EDGE_COMPONENT", error).to_string())
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
