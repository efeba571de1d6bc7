//! `tollgate token inspect|verify|status`; neither needs settings or a database. Verdicts are JSON
//! with and without `--json`.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};
use tollgate_core::{
    HashChain, KeySet, Replica, ReplicaView, RevocationId, Snapshot, SnapshotParts, SnapshotSigner, TokenRequirements,
    UnknownStatusPolicy, build_snapshot, verify,
};
use tollgate_gate::verify_cli::{VerifyArgs, bad_arguments};
use tollgate_model::encoding::from_base64url;
use tollgate_system::clock;

use super::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(super) enum TokenCommand {
    /// Print what a token says, without checking whether it is true
    Inspect {
        /// The token
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
        anyhow::bail!("a token has three parts with dots between them, this has {}", parts.len());
    };
    let header = json_part(header).context("the header")?;
    let claims = json_part(claims).context("the claims")?;
    eprintln!("Not verified: anyone can write a token that says this.");
    let told = json!({ "verified": false, "header": header, "claims": claims });
    output.print(&told, |_| format!("header  {header}\nclaims  {claims}"))
}

fn json_part(part: &str) -> anyhow::Result<Value> {
    let bytes = from_base64url(part).context("is not base64url")?;
    serde_json::from_slice(&bytes).context("is not JSON")
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
        leeway: args.leeway,
        allow_plain_jwt: args.allow_plain_jwt,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    let revocations = ReplicaView { replica: &replica, is_fresh: true };
    let now = args.at.unwrap_or_else(clock::now);
    let judged = args.run(|token| match verify(token, &keys, &expected, &revocations, now) {
        Ok(_) => (true, "valid".to_owned()),
        Err(refusal) => (false, refusal.code().to_owned()),
    });
    judged.unwrap_or_else(|error| bad_arguments(&error.to_string()))
}

/// An edge's configuration in which nothing is told: verifying takes all of it from the arguments.
const CONFIG: &[u8] = br#"{"audience":"","jwks":{"keys":[]},"routes":[]}"#;

/// The keys, and the file of revoked tokens as the snapshot an edge would get.
fn prepare(args: &VerifyArgs) -> Result<(KeySet, Replica), String> {
    let keys = KeySet::from_jwks(&args.read_jwks()?).map_err(|error| format!("--jwks: {error}"))?;
    let revoked: Vec<RevocationId> =
        args.read_revoked()?.iter().map(|token_id| RevocationId::for_token(&args.issuer, token_id)).collect();
    // The snapshot never leaves this process, so its key may be known.
    let signer = SnapshotSigner::from_seed(&[0; 32]);
    let parts = SnapshotParts {
        others: &revoked,
        ..SnapshotParts::new(&args.issuer, 0, 0, HashChain::genesis(&args.issuer), CONFIG)
    };
    let bytes = build_snapshot(&parts, &signer).map_err(|error| format!("--revoked: {error}"))?;
    let snapshot = Snapshot::decode(bytes, &[signer.public_key()]).map_err(|error| format!("--issuer: {error}"))?;
    let replica = Replica::new(snapshot, &args.issuer).map_err(|error| format!("--issuer: {error}"))?;
    Ok((keys, replica))
}
