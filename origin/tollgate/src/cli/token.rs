//! `tollgate token inspect|verify|status`. They need neither settings nor a database. `verify`
//! prints JSON with and without `--json`.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};
use tollgate_core::{
    HashChain, KeySet, Replica, ReplicaView, RevocationId, Snapshot, SnapshotParts, SnapshotSigner, TokenRequirements,
    UnknownStatusPolicy, build_snapshot, verify,
};
use tollgate_gate::verify_cli::{VerifyArgs, bad_arguments};
use tollgate_model::encoding::from_base64url;
use tollgate_system::Clock;

use super::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(super) enum TokenCommand {
    /// Print the header and claims of a token without verifying it
    Inspect {
        /// Token
        token: String,
    },
    Verify(VerifyArgs),
    Status(super::status::StatusArgs),
}

impl TokenCommand {
    pub(super) fn run(self, output: &Output) -> ExitCode {
        match self {
            TokenCommand::Inspect { token } => super::exit_code(inspect(&token, output)),
            TokenCommand::Verify(args) => run_verify(&args),
            TokenCommand::Status(args) => super::exit_code(args.run(output)),
        }
    }
}

fn inspect(unverified_token: &str, output: &Output) -> anyhow::Result<()> {
    let parts: Vec<&str> = unverified_token.split('.').collect();
    let [header, claims, _] = parts.as_slice() else {
        anyhow::bail!("not a JWT: a JWT has three parts, separated by dots; this has {}", parts.len());
    };
    let header = json_part(header).context("header")?;
    let claims = json_part(claims).context("claims")?;
    eprintln!("Not verified: anyone can create a token with these claims.");
    let view = json!({ "verified": false, "header": header, "claims": claims });
    output.print(&view, |_| format!("header  {header}\nclaims  {claims}"))
}

fn json_part(part: &str) -> anyhow::Result<Value> {
    let bytes = from_base64url(part).context("not base64url")?;
    serde_json::from_slice(&bytes).context("not JSON")
}

fn run_verify(args: &VerifyArgs) -> ExitCode {
    let (keys, replica) = match prepare(args) {
        Ok(prepared) => prepared,
        Err(problem) => return bad_arguments(&problem),
    };
    let scope = args.scope_values();
    let expected = TokenRequirements {
        issuer: &args.issuer,
        audience: &args.audience,
        scope: &scope,
        rules: None,
        leeway: args.leeway,
        allow_plain_jwt: args.allow_plain_jwt,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    let revocations = ReplicaView { replica: &replica, is_fresh: true };
    let now = args.at.unwrap_or_else(|| Clock::system().now());
    let exit_code = args.run(|token| match verify(token, &keys, &expected, &revocations, now) {
        Ok(_) => (true, "valid".to_owned()),
        Err(refusal) => (false, refusal.code().to_owned()),
    });
    exit_code.unwrap_or_else(|error| bad_arguments(&error.to_string()))
}

/// An empty edge configuration: verification takes all values from the arguments.
const EMPTY_EDGE_CONFIG: &[u8] = br#"{"audience":"","jwks":{"keys":[]},"routes":[]}"#;

/// Reads the keys, and the revoked tokens as a replica like that of an edge.
fn prepare(args: &VerifyArgs) -> Result<(KeySet, Replica), String> {
    let keys = KeySet::from_jwks(&args.read_jwks()?).map_err(|error| format!("--jwks: {error}"))?;
    let revoked: Vec<RevocationId> =
        args.read_revoked()?.iter().map(|token_id| RevocationId::for_token(&args.issuer, token_id)).collect();
    // The snapshot never leaves this process, so its key need not be secret.
    let signer = SnapshotSigner::from_seed(&[0; 32]);
    let parts = SnapshotParts {
        others: &revoked,
        ..SnapshotParts::new(&args.issuer, 0, 0, HashChain::genesis(&args.issuer), EMPTY_EDGE_CONFIG)
    };
    let bytes = build_snapshot(&parts, &signer).map_err(|error| format!("--revoked: {error}"))?;
    let snapshot = Snapshot::decode(bytes, &[signer.public_key()]).map_err(|error| format!("--issuer: {error}"))?;
    let replica = Replica::new(snapshot, &args.issuer).map_err(|error| format!("--issuer: {error}"))?;
    Ok((keys, replica))
}
