//! The command line: `token verify` natively and in the component, `--json` of every list, and
//! snapshots.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tollgate_model::TokenAlg;
use tollgate_tests::environment::{install_tls_provider, now, programs_dir, required_env};
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::token_factory::TokenFactory;

/// Runs one of the two programs that verify tokens.
fn verify(edge: bool, folder: &Path, factory: &TokenFactory, arguments: &[&str], input: &[u8]) -> Result<Output> {
    let mut command = Command::new(programs_dir().join(if edge { "tollgate-edge" } else { "tollgate" }));
    command.args(if edge { &["verify"][..] } else { &["token", "verify"] });
    command
        .args(["--jwks", "jwks.json", "--issuer", &factory.issuer, "--audience", factory.audience.as_str()])
        .args(arguments);
    command.env(
        "TOLLGATE_EDGE_COMPONENT",
        Path::new(&required_env("TOLLGATE_TEST_WASM_DIR")).join("tollgate_component.wasm"),
    );
    command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("standard input")?;
    // A program that rejects its arguments reads no input.
    let _ = stdin.write_all(input);
    drop(stdin);
    Ok(child.wait_with_output()?)
}

async fn start() -> Result<(TestOrigin, TokenFactory, tempfile::TempDir)> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let factory = origin.token_factory().await?;
    let folder = tempfile::tempdir()?;
    let mut keys: Value = serde_json::from_str(&factory.public_jwks())?;
    let secret: Value = serde_json::from_str(&factory.secret_jwks())?;
    keys["keys"].as_array_mut().context("keys")?.extend(secret["keys"].as_array().cloned().unwrap_or_default());
    std::fs::write(folder.path().join("jwks.json"), keys.to_string())?;
    std::fs::write(folder.path().join("revoked.txt"), "other\nrevoked-one\n")?;
    Ok((origin, factory, folder))
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_verification_is_the_same_natively_and_in_the_component() -> Result<()> {
    let (_origin, factory, folder) = start().await?;
    let eddsa = || factory.token(TokenAlg::EdDsa, now());
    let lines = [
        (eddsa().sign(), "valid"),
        (factory.token(TokenAlg::Hs256, now()).sign(), "valid"),
        (factory.token(TokenAlg::Es256, now()).sign(), "valid"),
        (factory.token(TokenAlg::Rs256, now()).sign(), "valid"),
        (serde_json::to_string(&eddsa().sign())?, "valid"),
        (eddsa().claim("scope", "x").sign(), "insufficient_scope"),
        (eddsa().shifted(-9000).sign(), "expired"),
        (eddsa().claim("jti", "revoked-one").sign(), "revoked"),
        (eddsa().claim("aud", "x").sign(), "wrong_audience"),
        (eddsa().claim("iss", "x").sign(), "wrong_issuer"),
        ("\"a\\nb\"".to_owned(), "not_compact"),
        ("nonsense".to_owned(), "not_compact"),
        ("x".repeat(100_000), "too_large"),
    ];
    let mut input = lines.iter().map(|(line, _)| line.as_str()).collect::<Vec<_>>().join("\n").into_bytes();
    input.extend(b"\n\xff\xfe\n"); // not UTF-8
    let expected: Vec<&str> = lines.iter().map(|(_, reason)| *reason).chain(["not_compact"]).collect();
    for edge in [false, true] {
        let output = verify(
            edge,
            folder.path(),
            &factory,
            &["--scope", "reports:read", "--revoked", "revoked.txt", "--batch"],
            &input,
        )?;
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let verdicts: Vec<Value> =
            String::from_utf8(output.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let reasons: Vec<&str> = verdicts.iter().filter_map(|verdict| verdict["reason"].as_str()).collect();
        assert_eq!(reasons, expected, "edge: {edge}");
        for verdict in &verdicts {
            assert_eq!(verdict["verdict"], if verdict["reason"] == "valid" { "allow" } else { "deny" });
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_verified_at_the_given_time() -> Result<()> {
    let (_origin, factory, folder) = start().await?;
    let at = 1_700_000_000;
    let token = factory.token(TokenAlg::EdDsa, at).sign();
    for (seconds, leeway, code) in [
        (at, "30", 0),
        (at + 3600, "0", 1),
        (at + 3629, "30", 0),
        (at + 3630, "30", 1),
        (at - 31, "30", 1),
        (at - 30, "30", 0),
    ] {
        for edge in [false, true] {
            let output = verify(
                edge,
                folder.path(),
                &factory,
                &["--at", &seconds.to_string(), "--leeway", leeway, &token],
                b"",
            )?;
            assert_eq!(output.status.code(), Some(code), "at {seconds}, leeway {leeway}, edge {edge}: {output:?}");
            assert_eq!(String::from_utf8(output.stdout)?.lines().count(), 1);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_arguments_are_reported_and_give_no_verdict() -> Result<()> {
    let (_origin, factory, folder) = start().await?;
    std::fs::write(folder.path().join("broken.json"), "{")?;
    let token = factory.token(TokenAlg::EdDsa, now()).sign();
    for edge in [false, true] {
        for arguments in [
            &[] as &[&str],
            &["--leeway", "61", &token],
            &["--revoked", "missing.txt", &token],
            &["--at", "yesterday", &token],
            &["--batch", &token],
        ] {
            let output = verify(edge, folder.path(), &factory, arguments, b"")?;
            assert_eq!(output.status.code(), Some(2), "{arguments:?}, edge {edge}: {output:?}");
            assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_command_has_json_output() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    origin.cli(&["client", "create", "--name", "one", "--scope", "a"])?;
    origin.cli(&["route", "add", "--path", "/a/*", "--scope", "a"])?;
    origin.cli(&["edge", "add", "near", "--url", "http://127.0.0.1:1"])?;
    origin.cli(&["user", "create", "alice"])?;
    origin.cli(&["resource", "create", "https://a.example", "--name", "A"])?;
    origin.cli(&["scope", "set", "a", "--audience", "https://a.example", "--words", "See all"])?;
    for noun in ["client", "route", "edge", "key", "user", "resource", "scope"] {
        let listing: Value = serde_json::from_str(&origin.cli(&[noun, "list", "--json"])?)?;
        assert!(!listing.as_array().context("an array")?.is_empty(), "{noun}: {listing}");
        let secret = listing.to_string();
        assert!(
            !["tgs_", "sealed", "argon2"].iter().any(|word| secret.contains(word)),
            "{noun} list contains no secret: {secret}"
        );
        assert!(!origin.cli(&[noun, "list"])?.trim().is_empty(), "{noun}, for people");
    }
    Ok(())
}

#[test]
fn command_warns_when_it_creates_the_database() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let warns = || -> Result<bool> {
        let mut command = Command::new(programs_dir().join("tollgate"));
        let output = command
            .args(["client", "list", "--database-url", "sqlite://new.db"])
            .current_dir(folder.path())
            .output()?;
        assert!(output.status.success(), "{output:?}");
        Ok(String::from_utf8_lossy(&output.stderr).contains("the database does not exist"))
    };
    assert!(warns()?, "the first command creates it");
    assert!(!warns()?, "the second one finds it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_can_be_exported_and_inspected() -> Result<()> {
    install_tls_provider();
    let origin = TestOrigin::start().await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("snapshot");
    let path = file.to_str().context("a path in UTF-8")?;
    origin.cli(&["snapshot", "export", path])?;
    let inspected: Value = serde_json::from_str(&origin.cli(&["snapshot", "inspect", path, "--json"])?)?;
    assert_eq!((&inspected["issuer"], &inspected["sequence"]), (&origin.server.issuer().into(), &0.into()));
    let mut damaged = std::fs::read(&file)?;
    damaged[20] ^= 1;
    std::fs::write(&file, damaged)?;
    let refused = origin.cli(&["snapshot", "inspect", path]).expect_err("a damaged snapshot").to_string();
    assert!(refused.contains("signature"), "{refused}");
    Ok(())
}
