//! The list of components, as other programs read it (CycloneDX 1.5, JSON). Without a time and a serial number, so that the same
//! program has the same list.

use serde_json::{Value, json};

use super::components::{Component, Components};
use super::targets::Target;

/// The list of the program for `target`.
pub(super) fn cyclone_dx(version: &str, target: Target, components: &Components) -> Vec<u8> {
    let own = format!("pkg:cargo/hvym-tunnel@{version}");
    let needs = |indices: &[usize]| -> Vec<String> {
        indices.iter().map(|index| purl(&components.all[*index])).collect()
    };
    let mut dependencies = vec![json!({ "ref": own, "dependsOn": needs(&components.roots) })];
    dependencies
        .extend(components.all.iter().map(|it| json!({ "ref": purl(it), "dependsOn": needs(&it.needs) })));
    let list = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "application",
            "bom-ref": own,
            "name": "hvym-tunnel",
            "version": version,
            "purl": own,
            "licenses": [{ "expression": "MIT OR Apache-2.0" }],
            "properties": [{ "name": "cargo:target", "value": target.triple() }],
        } },
        "components": components.all.iter().map(component).collect::<Vec<_>>(),
        "dependencies": dependencies,
    });
    format!("{list:#}\n").into_bytes()
}

fn purl(component: &Component) -> String {
    format!("pkg:cargo/{}@{}", component.name, component.version)
}

fn component(component: &Component) -> Value {
    let mut value = json!({
        "type": "library",
        "bom-ref": purl(component),
        "name": component.name,
        "version": component.version,
        "purl": purl(component),
    });
    if let Some(license) = &component.license {
        // An old way to write OR, which SPDX does not know.
        value["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    if let Some(sha256) = &component.sha256 {
        value["hashes"] = json!([{ "alg": "SHA-256", "content": sha256 }]);
    }
    if let Some(repository) = &component.repository {
        value["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    value
}
