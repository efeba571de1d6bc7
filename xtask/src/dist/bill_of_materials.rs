//! Software bill of materials of a program, in the JSON form of CycloneDX 1.6.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    crates::{Crate, CrateId, Crates},
    licences::Work,
    release::Release,
};

/// The bill of `program`, with the crates and the `runtime` that it contains.
pub(super) fn json(crates: &Crates, runtime: &[Work], program: &str, release: &Release) -> Result<String> {
    let (main, others): (Vec<&Crate>, Vec<&Crate>) = crates.of(program).partition(|one| one.name == program);
    let mut application = component(main.first().with_context(|| format!("{program} is no crate"))?);
    application["type"] = json!("application");
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": release.time,
            "component": application,
            "properties": [{ "name": "commit", "value": release.commit }],
        },
        "components": others.iter().map(|one| component(one)).chain(runtime.iter().map(work)).collect::<Vec<_>>(),
        "dependencies": crates.of(program).map(dependencies).collect::<Vec<_>>(),
    });
    Ok(serde_json::to_string_pretty(&bill)? + "\n")
}

fn component(one: &Crate) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(&one.id()),
        "name": one.name,
        "version": one.version,
        "purl": reference(&one.id()),
        "licenses": [{ "expression": one.license }],
    });
    if let Some(checksum) = &one.checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(repository) = &one.repository {
        component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    component
}

fn work(work: &Work) -> Value {
    json!({ "type": "library", "bom-ref": work.name, "name": work.name, "version": work.version })
}

fn dependencies(one: &Crate) -> Value {
    json!({ "ref": reference(&one.id()), "dependsOn": one.dependencies.iter().map(reference).collect::<Vec<_>>() })
}

/// Package URL of a crate.
fn reference((name, version): &CrateId) -> String {
    // The plus of build metadata is the only character of a version that a package URL escapes.
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}
