//! Kubernetes' manifests, as its own schemas and an operator's reviewer read them.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{check_setting, deploy, installed, output, parse_yaml};

/// Fails unless every object in the file is as the schemas of Kubernetes say, without a property
/// that they do not know.
pub(super) fn check_schemas(file: &Path) -> Result<()> {
    output(installed("kubernetes-validate").args(["--strict", "--no-warn"]).arg(file)).map(drop)
}

/// Fails unless the workloads among these objects are hardened, checked, bounded, protected from
/// disruption and known to a network policy.
pub(super) fn check_workloads(objects: &[Value]) -> Result<()> {
    let of_kind = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).collect::<Vec<_>>();
    let deployments = of_kind("Deployment");
    ensure!(!deployments.is_empty(), "no Deployment");
    for deployment in deployments {
        let name = deployment["metadata"]["name"].as_str().context("a name")?;
        let selector = &deployment["spec"]["selector"]["matchLabels"];
        check_pod(&deployment["spec"]["template"]["spec"]).with_context(|| name.to_owned())?;
        let selects = |path: &'static str| move |object: &&Value| object.pointer(path) == Some(selector);
        let policies = of_kind("NetworkPolicy");
        ensure!(policies.iter().any(|policy| selects("/spec/podSelector/matchLabels")(policy)), "{name}: no policy");
        let is_single = deployment["spec"]["strategy"]["type"] == "Recreate";
        let budgets = of_kind("PodDisruptionBudget");
        ensure!(
            is_single || budgets.iter().any(|budget| selects("/spec/selector/matchLabels")(budget)),
            "{name}: no PodDisruptionBudget"
        );
        ensure!(
            of_kind("Service").iter().any(|service| selects("/spec/selector")(service)),
            "{name}: no Service selects its pods"
        );
    }
    Ok(())
}

fn check_pod(pod: &Value) -> Result<()> {
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["enableServiceLinks"], false);
    for container in pod["containers"].as_array().context("containers")? {
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
        ensure!(container["resources"]["limits"]["memory"].is_string(), "no limit of memory");
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            ensure!(container[probe].is_object(), "no {probe}");
        }
        for variable in container["env"].as_array().context("settings")? {
            check_setting(variable["name"].as_str().context("a name")?)?;
        }
    }
    Ok(())
}

#[test]
fn plain_manifests_comply_with_the_schemas_of_kubernetes() -> Result<()> {
    for file in ["tollgate.yaml", "prerequisites.yaml"] {
        check_schemas(&deploy("kubernetes").join(file))?;
    }
    Ok(())
}

#[test]
fn plain_manifests_are_hardened_and_protected() -> Result<()> {
    check_workloads(&parse_yaml(&deploy("kubernetes/tollgate.yaml"))?)
}

/// Pods that mount a Secret that nothing creates never start.
#[test]
fn plain_manifests_name_secrets_that_the_prerequisites_have() -> Result<()> {
    let prerequisites = parse_yaml(&deploy("kubernetes/prerequisites.yaml"))?;
    let secret = prerequisites.iter().find(|object| object["kind"] == "Secret").context("a Secret")?;
    let manifests = parse_yaml(&deploy("kubernetes/tollgate.yaml"))?;
    let pods = manifests.iter().filter_map(|object| object.pointer("/spec/template/spec"));
    let mut files = 0;
    for pod in pods {
        let volumes = pod["volumes"].as_array().context("volumes")?;
        let names = volumes.iter().filter_map(|volume| volume["secret"]["secretName"].as_str());
        for name in names {
            assert_eq!(secret["metadata"]["name"], name);
        }
        let variables = pod["containers"][0]["env"].as_array().context("settings")?;
        for path in variables.iter().filter_map(|variable| variable["value"].as_str()) {
            let Some(key) = path.strip_prefix("/run/secrets/tollgate/") else { continue };
            ensure!(secret["stringData"][key].is_string(), "the Secret has no {key}");
            files += 1;
        }
    }
    assert_eq!(files, 3, "database, Redis and master key");
    Ok(())
}

/// The check itself finds what it is there for.
#[test]
fn unknown_properties_are_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("service.yaml");
    let service = |property: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {{ports: [{{port: 80}}], {property}: ClusterIP}}\n"
        )
    };
    std::fs::write(&file, service("type"))?;
    check_schemas(&file)?;
    std::fs::write(&file, service("tpye"))?;
    ensure!(check_schemas(&file).is_err(), "a misspelt property is accepted");
    Ok(())
}
