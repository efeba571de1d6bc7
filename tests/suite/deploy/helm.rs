//! The Helm chart, linted and rendered by Helm itself.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tollgate_tests::environment::required_env;

use super::kubernetes::{check_schemas, check_workloads};
use super::{deploy, output, parse_yaml, read};

fn helm(arguments: &[&str]) -> Command {
    let mut helm = Command::new(required_env("TOLLGATE_TEST_HELM"));
    // Built from its module, Helm does not know for which version of Kubernetes.
    helm.args(arguments).arg(deploy("helm/tollgate")).args(["--kube-version", "1.34.0"]);
    helm
}

/// Files with values that the chart must accept.
fn values() -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(deploy("helm/tollgate/ci"))?;
    let files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    ensure!(files.len() >= 3, "{files:?}");
    Ok(files)
}

#[test]
fn chart_passes_helm_lint_with_all_values() -> Result<()> {
    for file in values()? {
        output(helm(&["lint", "--strict", "--quiet"]).arg("--values").arg(file))?;
    }
    Ok(())
}

#[test]
fn rendered_chart_complies_with_kubernetes_and_is_hardened() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for file in values()? {
        let rendered = output(helm(&["template", "tollgate"]).arg("--values").arg(&file))?;
        // A kind of the Prometheus operator, whose schema is not Kubernetes'.
        let documents = rendered.split("\n---\n").filter(|document| !document.contains("kind: ServiceMonitor"));
        let path = folder.path().join("rendered.yaml");
        fs::write(&path, documents.collect::<Vec<_>>().join("\n---\n"))?;
        check_schemas(&path)?;
        check_workloads(&parse_yaml(&path)?).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

#[test]
fn plain_manifests_are_the_rendered_chart() -> Result<()> {
    let mut template = helm(&["template", "tollgate", "--namespace", "tollgate"]);
    let rendered = output(template.arg("--values").arg(deploy("kubernetes/values.yaml")))?;
    assert_eq!(
        read(&deploy("kubernetes/tollgate.yaml"))?,
        rendered,
        "make deploy/kubernetes/tollgate.yaml again: deploy/kubernetes/values.yaml has the command"
    );
    Ok(())
}

#[test]
fn wrong_values_are_refused_with_their_name() -> Result<()> {
    let good = ["origin.publicUrl=https://auth.example", "origin.existingSecret=tollgate"];
    let refusal = |values: &[&str]| -> Result<String> {
        let mut template = helm(&["template", "tollgate"]);
        for value in values {
            template.args(["--set", *value]);
        }
        let output = template.output()?;
        ensure!(!output.status.success(), "{values:?} is accepted");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (value, name) in [
        ("origin.publicUrl=auth.example", "publicUrl"),
        ("origin.existingSecret=", "existingSecret"),
        ("origin.persistence.enabled=true", "origin.replicas"),
        ("origin.replica=3", "replica"),
        ("origin.settings.AUDIENCE=x", "AUDIENCE"),
        ("edge.enabled=true", "upstream"),
    ] {
        let refusal = refusal(&[good[0], good[1], value])?;
        ensure!(refusal.contains(name), "{value}: {refusal}");
    }
    Ok(())
}
