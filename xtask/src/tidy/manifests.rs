//! What every manifest must say.

use crate::tidy::Finding;
use crate::workspace::Workspace;

/// What a crate says so that the workspace's lints hold in it.
const LINTS: &str = "[lints]\nworkspace = true";
/// Fields that every package takes from the workspace.
const INHERITED: &[&str] =
    &["version", "edition", "rust-version", "license", "repository", "authors"];

/// Every package inherits lints and fields; libraries choose no version of the Kubernetes API.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let packages =
        workspace.files.iter().filter(|file| file.path.ends_with("Cargo.toml")).filter(|file| {
            // The root describes the workspace, no package.
            file.text.contains("[package]")
        });
    for file in packages {
        if !file.text.contains(LINTS) {
            findings.push(Finding::error(
                &file.path,
                0,
                "does not take the workspace's lints over",
            ));
        }
        for field in INHERITED {
            let inherited = format!("\n{field}.workspace = true");
            if !file.text.contains(&inherited) {
                let problem = format!("does not take {field} over from the workspace");
                findings.push(Finding::error(&file.path, 0, problem));
            }
        }
    }
    findings.extend(api_versions(workspace));
    findings
}

/// A library that chose a version of the Kubernetes API would choose it for every user.
fn api_versions(workspace: &Workspace) -> Vec<Finding> {
    // These are never published: nobody can depend on them.
    let programs = ["zdd-examples", "zdd-fidelity"];
    let is_library = |name: &str| name.starts_with("zdd-") && !programs.contains(&name);
    let mut findings = Vec::new();
    for package in workspace.metadata.members().filter(|package| is_library(&package.name)) {
        let normal = package.dependencies.iter().filter(|dependency| dependency.kind.is_none());
        for dependency in normal.filter(|dependency| dependency.name == "k8s-openapi") {
            let chosen = dependency.features.iter().find(|feature| {
                feature.starts_with("v1_") || *feature == "latest" || *feature == "earliest"
            });
            if let Some(feature) = chosen {
                let path = workspace.metadata.relative(&package.manifest_path);
                let problem = format!("a library must not choose k8s-openapi/{feature}");
                findings.push(Finding::error(&path, 0, problem));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{INHERITED, LINTS, check};
    use crate::tidy::tests::{lines, workspace};
    use crate::workspace::{Metadata, Workspace};

    fn manifest() -> String {
        let inherited = INHERITED.iter().map(|field| format!("{field}.workspace = true\n"));
        format!("[package]\nname = \"a\"\n{}\n{LINTS}\n", inherited.collect::<String>())
    }

    #[test]
    fn a_complete_manifest_passes() {
        assert!(check(&workspace(&[("a/Cargo.toml", &manifest())])).is_empty());
    }

    #[test]
    fn missing_lints_are_found() {
        let text = manifest().replace("[lints]", "[features]");
        let found = lines(&check(&workspace(&[("a/Cargo.toml", &text)])));
        assert_eq!(found, ["error: a/Cargo.toml: does not take the workspace's lints over"]);
    }

    #[test]
    fn a_version_of_its_own_is_found() {
        let text = manifest().replace("\nversion.workspace = true", "\nversion = \"1.0.0\"");
        let found = lines(&check(&workspace(&[("a/Cargo.toml", &text)])));
        assert_eq!(found, ["error: a/Cargo.toml: does not take version over from the workspace"]);
    }

    #[test]
    fn a_library_that_chooses_the_api_version_is_found() {
        let package = |name: &str, kind: serde_json::Value| {
            serde_json::json!({
                "id": name, "name": name, "manifest_path": format!("/ws/{name}/Cargo.toml"), "targets": [],
                "dependencies": [{"name": "k8s-openapi", "kind": kind, "optional": false, "features": ["v1_33"]}],
            })
        };
        let metadata: Metadata = serde_json::from_value(serde_json::json!({
            "packages": [package("zdd-a", serde_json::Value::Null), package("zdd-b", "dev".into())],
            "workspace_members": ["zdd-a", "zdd-b"],
            "workspace_root": "/ws",
            "resolve": {"nodes": []},
        }))
        .unwrap();
        let found = lines(&check(&Workspace { metadata, ..Workspace::default() }));
        assert_eq!(found, ["error: zdd-a/Cargo.toml: a library must not choose k8s-openapi/v1_33"]);
    }
}
