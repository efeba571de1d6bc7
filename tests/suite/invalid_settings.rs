//! Invalid settings stop a program at start-up with one line that names the setting, and destroy no
//! data.

use std::process::{Command, Output};

use anyhow::Result;
use tollgate_tests::environment::{free_port, programs_dir};

fn run(program: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Result<Output> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(programs_dir().join(program));
    Ok(command.args(arguments).envs(settings.iter().copied()).current_dir(folder.path()).output()?)
}

/// The single line on standard error of a program that failed to start.
fn error_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it started: {text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    text
}

#[test]
fn origin_names_the_invalid_setting() -> Result<()> {
    for (name, value) in [
        ("TOLLGATE_LISTEN", "nowhere"),
        ("TOLLGATE_PUBLIC_URL", "auth.example"),
        ("TOLLGATE_DATABASE_URL", "mysql://x"),
        ("TOLLGATE_MASTER_KEY", "too short"),
        ("TOLLGATE_TOKEN_LIFETIME", "soon"),
    ] {
        let error_line = error_line(&run("tollgate", &["serve"], &[(name, value)])?);
        assert!(error_line.contains(name), "{error_line}");
    }
    Ok(())
}

#[test]
fn edge_names_the_invalid_or_missing_setting() -> Result<()> {
    let origin = format!("http://127.0.0.1:{}", free_port()?);
    let good = [
        ("TOLLGATE_EDGE_LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_EDGE_ORIGIN", origin.as_str()),
        ("TOLLGATE_EDGE_UPSTREAM", "http://127.0.0.1:1"),
        ("TOLLGATE_EDGE_SNAPSHOT_KEY", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
    ];
    for (name, value) in [
        ("TOLLGATE_EDGE_LISTEN", "nowhere"),
        ("TOLLGATE_EDGE_ORIGIN", ""),
        ("TOLLGATE_EDGE_UPSTREAM", "localhost"),
        ("TOLLGATE_EDGE_SNAPSHOT_KEY", "abc"),
        ("TOLLGATE_EDGE_MAX_STALENESS_MS", "1"),
        ("TOLLGATE_EDGE_COMPONENT", "missing.wasm"),
    ] {
        let settings: Vec<_> =
            good.iter().copied().filter(|(known, _)| *known != name).chain([(name, value)]).collect();
        for gate in ["component", "spin"] {
            let error_line = error_line(&run("tollgate-edge", &["serve", "--gate", gate], &settings)?);
            assert!(error_line.contains(name), "{gate}: {error_line}");
        }
    }
    Ok(())
}

#[test]
fn unusable_files_of_secrets_are_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (missing, empty) = (folder.path().join("missing"), folder.path().join("empty"));
    std::fs::write(&empty, "\n")?;
    for (program, name) in [
        ("tollgate", "TOLLGATE_DATABASE_URL_FILE"),
        ("tollgate", "TOLLGATE_REDIS_URL_FILE"),
        ("tollgate-edge", "TOLLGATE_EDGE_SNAPSHOT_KEY_FILE"),
        ("tollgate-edge", "TOLLGATE_EDGE_KEY_FILE"),
    ] {
        for (path, problem) in [(&missing, "cannot be read"), (&empty, "is empty")] {
            let path = path.display().to_string();
            let error_line = error_line(&run(program, &["serve"], &[(name, &path)])?);
            assert!(error_line.contains(name) && error_line.contains(problem), "{error_line}");
        }
        let both = [(name, empty.to_str().unwrap_or_default()), (name.trim_end_matches("_FILE"), "x")];
        let error_line = error_line(&run(program, &["serve"], &both)?);
        assert!(error_line.contains(name) && error_line.contains("set only one"), "{error_line}");
    }
    Ok(())
}

/// As in an image that contains nothing but the program.
#[test]
fn start_without_certificates_of_authorities_names_the_missing_package() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let missing = folder.path().join("missing").display().to_string();
    let settings = [
        ("SSL_CERT_FILE", missing.as_str()),
        ("SSL_CERT_DIR", missing.as_str()),
        ("TOLLGATE_LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_LOG", "off"),
    ];
    let error_line = error_line(&run("tollgate", &["serve"], &settings)?);
    assert!(error_line.contains("ca-certificates") && error_line.contains("SSL_CERT_FILE"), "{error_line}");
    Ok(())
}

#[test]
fn health_check_fails_without_a_server() -> Result<()> {
    let address = format!("127.0.0.1:{}", free_port()?);
    for (program, name) in [("tollgate", "TOLLGATE_LISTEN"), ("tollgate-edge", "TOLLGATE_EDGE_LISTEN")] {
        let error_line = error_line(&run(program, &["health"], &[(name, &address)])?);
        assert!(error_line.contains(&address) && error_line.contains("does not answer"), "{error_line}");
    }
    Ok(())
}

#[test]
fn edge_warns_once_of_each_deprecated_setting() -> Result<()> {
    let settings = [
        ("TOLLGATE_EDGE_ORIGIN", "http://127.0.0.1:1"),
        ("TOLLGATE_EDGE_UPSTREAM", "http://127.0.0.1:1"),
        ("TOLLGATE_EDGE_SNAPSHOT_KEY", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
        ("TOLLGATE_EDGE_SOFT_MS", "100"),
        ("TOLLGATE_EDGE_COMPONENT", "missing.wasm"),
    ];
    for gate in ["component", "spin"] {
        let output = run("tollgate-edge", &["serve", "--gate", gate, "--hard-ms", "5000"], &settings)?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        for (name, new_name) in tollgate_gate::DEPRECATED_SETTINGS {
            let lines: Vec<&str> = text.lines().filter(|line| line.contains(name)).collect();
            assert!(lines.len() == 1 && lines[0].contains("WARN") && lines[0].contains(new_name), "{gate}: {text}");
        }
        assert_eq!(text.lines().count(), 3, "{gate}: two warnings and the error: {text}");
    }
    Ok(())
}

#[test]
fn wrong_master_key_is_reported_and_changes_no_data() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let tollgate = |key: &str, arguments: &[&str]| {
        let database = format!("sqlite://{}", folder.path().join("origin.db").display());
        let mut command = Command::new(programs_dir().join("tollgate"));
        command.args(arguments).env("TOLLGATE_DATABASE_URL", database).env("TOLLGATE_MASTER_KEY", key);
        command.env("TOLLGATE_PUBLIC_URL", "http://127.0.0.1:1").current_dir(folder.path()).output()
    };
    let (right, wrong) = ("A".repeat(43), format!("{}E", "B".repeat(42)));
    let first = tollgate(&right, &["key", "snapshot"])?;
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    assert!(error_line(&tollgate(&wrong, &["key", "snapshot"])?).contains("master key"));
    assert_eq!(tollgate(&right, &["key", "snapshot"])?.stdout, first.stdout);
    Ok(())
}
