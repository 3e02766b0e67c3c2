//! Which crate may depend on which.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::Finding;
use crate::workspace::{Metadata, Package, Workspace};

/// What a crate must not depend on, directly or through others, and why.
struct Ban {
    crates: &'static [&'static str],
    /// Names, or beginnings of names that end with `*`.
    never: &'static [&'static str],
    why: &'static str,
}

/// The arrows of ARCHITECTURE.md, as absences.
const BANS: &[Ban] = &[
    Ban {
        crates: &["zdd-core", "zdd-strategies"],
        never: &["kube", "kube-*", "k8s-openapi", "hyper", "hyper-util", "reqwest", "axum"],
        why: "decisions know neither Kubernetes nor HTTP",
    },
    Ban { crates: &["zdd-core"], never: &["zdd-*"], why: "all arrows point to the core" },
    Ban {
        crates: &["zdd-shutdown"],
        never: &["zdd-*", "kube", "kube-*", "k8s-openapi"],
        why: "it must be usable alone in any service",
    },
    Ban {
        crates: &["zdd-load"],
        never: &["zdd-*", "reqwest", "hyper", "hyper-util"],
        why: "a client that retries or pools on its own hides losses",
    },
    Ban {
        crates: &["zdd-kube"],
        never: &["zdd-strategies", "zdd-sim", "zdd-shutdown", "zdd-testkit"],
        why: "the adapter serves every strategy and every cluster",
    },
    Ban {
        crates: &["zdd-sim"],
        never: &["zdd-kube", "zdd-strategies", "zdd-testkit"],
        why: "the embedded cluster must not know who is tested against it",
    },
    Ban {
        crates: &["zdd-testkit"],
        never: &["zdd-strategies"],
        why: "the harness must be the same for every strategy, also for those of others",
    },
];

/// No crate depends on what it is banned from. Optional dependencies are free to be chosen by
/// users, and dependencies of tests are not looked at.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let metadata = &workspace.metadata;
    let mut findings = Vec::new();
    for package in metadata.members() {
        for ban in BANS.iter().filter(|ban| ban.crates.contains(&&*package.name)) {
            for (name, through) in reach(metadata, package) {
                if ban.never.iter().any(|banned| matches(banned, &name)) {
                    let path = metadata.relative(&package.manifest_path);
                    let problem = format!("depends on {name} ({through}): {}", ban.why);
                    findings.push(Finding::error(&path, 0, problem));
                }
            }
        }
    }
    findings
}

fn matches(banned: &str, name: &str) -> bool {
    banned.strip_suffix('*').map_or(banned == name, |start| name.starts_with(start))
}

/// Returns everything that a package needs, each with the way to it.
fn reach(metadata: &Metadata, from: &Package) -> BTreeMap<String, String> {
    let packages: BTreeMap<&str, &Package> =
        metadata.packages.iter().map(|package| (&*package.id, package)).collect();
    let nodes: BTreeMap<_, _> =
        metadata.resolve.nodes.iter().map(|node| (&*node.id, node)).collect();
    let mut ways = BTreeMap::new();
    let mut seen = BTreeSet::from([&*from.id]);
    let mut open = vec![(from, from.name.clone())];
    while let Some((package, way)) = open.pop() {
        let edges = nodes.get(&*package.id).into_iter().flat_map(|node| &node.deps);
        for edge in edges.filter(|edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none())) {
            let Some(next) = packages.get(&*edge.pkg) else { continue };
            let member = metadata.workspace_members.contains(&package.id);
            if (member && !needs(package, &next.name)) || !seen.insert(&*next.id) {
                continue;
            }
            let way = format!("{way} > {}", next.name);
            ways.insert(next.name.clone(), way.clone());
            open.push((next, way));
        }
    }
    ways
}

/// Tells whether a manifest asks for a dependency whatever features are chosen.
fn needs(package: &Package, name: &str) -> bool {
    let mut declared = package.dependencies.iter().filter(|dependency| dependency.name == name);
    declared.any(|dependency| dependency.kind.is_none() && !dependency.optional)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;
    use crate::tidy::tests::lines;
    use crate::workspace::Workspace;

    /// A dependency: name, kind, whether it is optional.
    type Needs<'a> = (&'a str, Option<&'a str>, bool);
    /// A package with its dependencies.
    type Has<'a> = (&'a str, &'a [Needs<'a>]);

    fn found(packages: &[Has<'_>]) -> Vec<String> {
        let package = |(name, dependencies): &Has<'_>| -> Value {
            let dependencies: Vec<Value> = dependencies
                .iter()
                .map(|(name, kind, optional)| {
                    json!({"name": name, "kind": kind, "optional": optional, "features": []})
                })
                .collect();
            json!({
                "id": name, "name": name, "manifest_path": format!("/ws/{name}/Cargo.toml"),
                "dependencies": dependencies, "targets": [],
            })
        };
        let node = |(name, dependencies): &Has<'_>| -> Value {
            let deps: Vec<Value> = dependencies
                .iter()
                .map(|(name, kind, _)| json!({"pkg": name, "dep_kinds": [{"kind": kind}]}))
                .collect();
            json!({"id": name, "deps": deps})
        };
        let members: Vec<_> = packages
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| name.starts_with("zdd-"))
            .collect();
        let metadata = json!({
            "packages": packages.iter().map(package).collect::<Vec<_>>(),
            "resolve": {"nodes": packages.iter().map(node).collect::<Vec<_>>()},
            "workspace_members": members,
            "workspace_root": "/ws",
        });
        let metadata = serde_json::from_value(metadata).unwrap();
        lines(&check(&Workspace { metadata, ..Workspace::default() }))
    }

    #[test]
    fn a_core_that_knows_kubernetes_is_found() {
        let found = found(&[("zdd-core", &[("kube", None, false)]), ("kube", &[])]);
        assert_eq!(
            found,
            ["error: zdd-core/Cargo.toml: depends on kube (zdd-core > kube): \
              decisions know neither Kubernetes nor HTTP"]
        );
    }

    #[test]
    fn a_way_through_another_crate_is_found() {
        let found = found(&[
            ("zdd-strategies", &[("between", None, false)]),
            ("between", &[("hyper", None, false)]),
            ("hyper", &[]),
        ]);
        assert!(found[0].contains("zdd-strategies > between > hyper"), "{found:#?}");
    }

    #[test]
    fn a_shutdown_that_needs_another_crate_of_ours_is_found() {
        let found = found(&[("zdd-shutdown", &[("zdd-core", None, false)]), ("zdd-core", &[])]);
        assert_eq!(found.len(), 1, "{found:#?}");
    }

    #[test]
    fn optional_and_test_dependencies_pass() {
        let found = found(&[
            ("zdd-strategies", &[("reqwest", None, true), ("kube", Some("dev"), false)]),
            ("zdd-shutdown", &[("zdd-load", Some("dev"), false)]),
            ("zdd-load", &[]),
            ("reqwest", &[]),
            ("kube", &[]),
        ]);
        assert!(found.is_empty(), "{found:#?}");
    }
}
