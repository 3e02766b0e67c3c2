//! The list of stages.

use anyhow::bail;

use zdd_testbed::Level;

use crate::test::call::Call;
use crate::test::cluster::Cluster;
use crate::test::machine::{CARGO_DENY, KUBECTL, MDBOOK, POSTGRESQL, REDIS};
use crate::test::stage::{Stage, Tests, Wants};

/// What some of the tests need of a machine.
const WANTED_BY_TESTS: &[Wants] = &[
    Wants { parts: &[POSTGRESQL, REDIS], require: "ZDD_REQUIRE_SERVICES", place: None },
    Wants { parts: &[KUBECTL], require: "ZDD_REQUIRE_KUBECTL", place: Some("ZDD_KUBECTL") },
];

/// The versions of the Kubernetes API that `zdd-kube` and `zdd-sim` compile for.
const API_VERSIONS: &[&str] = &["v1_33", "v1_34", "v1_35", "v1_36", "v1_37"];
/// One of them, for checks in which it does not matter; the tests use it, so its builds are there.
const NEWEST: &str = "v1_37";

/// The example that needs a database and a cache is built where it is asked for: here always.
const ALL_EXAMPLES: &str = "--features zdd-examples/graceful-server";

/// Crates that are checked alone, with each of these choices of features: what compiles in the
/// workspace may owe it to features that another crate asked for.
const ALONE: &[(&str, &[&str])] = &[
    ("zdd-core", &["", "--all-features"]),
    ("zdd-strategies", &["", "--all-features"]),
    ("zdd-load", &["", "--all-features"]),
    // Its tests choose the version of the Kubernetes API.
    ("zdd-testkit", &["--all-targets"]),
    ("zdd-examples", &["--all-targets"]),
    (
        "zdd-shutdown",
        &[
            "--no-default-features",
            "",
            "--features hyper",
            "--features axum",
            "--features tls",
            "--features tonic",
            "--features systemd",
            "--features serde",
            "--features tokio-util",
            "--all-features",
        ],
    ),
];

/// The same for crates that need a version of the Kubernetes API.
const ALONE_WITH_API: &[(&str, &[&str])] = &[
    ("zdd-kube", &[""]),
    (
        "zdd-sim",
        // Its program, which is on by default, chooses a version itself.
        &[
            "--no-default-features",
            "--no-default-features --features process",
            "--no-default-features --features serve",
        ],
    ),
];

/// Returns the stages to run, in order: cheap ones first, then those that share builds.
pub(super) fn chosen(names: &[String], seeds: Option<u64>) -> anyhow::Result<Vec<Stage>> {
    let mut stages = all();
    if let Some(name) = names.iter().find(|name| stages.iter().all(|stage| stage.name != **name)) {
        let known: Vec<_> = stages.iter().map(|stage| stage.name).collect();
        bail!("there is no stage {name}; there are: {}", known.join(", "));
    }
    stages.retain(|stage| names.is_empty() || names.iter().any(|name| name == stage.name));
    stages.extend(seeds.map(fault_harness));
    Ok(stages)
}

fn all() -> Vec<Stage> {
    let mut stages = vec![
        plain("fmt", "source is formatted", vec![Call::cargo("fmt --all -- --check")]),
        plain("tidy", "the project's own rules", vec![Call::cargo("xtask tidy")]),
        deny(),
        Stage {
            needs: &[MDBOOK],
            ..plain("book", "the book builds", vec![Call::program("mdbook", "build docs")])
        },
        Stage {
            tests: Tests::Counted,
            wants: WANTED_BY_TESTS,
            ..plain(
                "tests",
                "unit, integration and documentation tests",
                vec![Call::cargo(&format!("test --workspace --no-fail-fast {ALL_EXAMPLES}"))],
            )
        },
    ];
    stages.extend(real_stages());
    stages.extend([
        Stage {
            cluster: Cluster::Parts(Level::ControlPlane),
            ..plain(
                "tables",
                "what zdd-sim knows of Kubernetes' types is what they are",
                vec![Call::cargo("xtask tables --check")],
            )
        },
        plain(
            "clippy",
            "no warnings in the workspace",
            vec![Call::cargo(&format!(
                "clippy --workspace --all-targets {ALL_EXAMPLES} -- -D warnings"
            ))],
        ),
        plain("alone", "no warnings in each crate on its own", alone()),
        plain("kubernetes", "every version of the Kubernetes API compiles", api_versions()),
        plain("doc", "no warnings in the documentation", documentation()),
    ]);
    stages
}

/// A stage that needs nothing beyond Rust, and counts no tests.
fn plain(name: &'static str, about: &'static str, calls: Vec<Call>) -> Stage {
    Stage { name, about, needs: &[], wants: &[], cluster: Cluster::None, tests: Tests::None, calls }
}

/// What it reads offline must be there, also on a machine that has built nothing yet.
fn deny() -> Stage {
    let check = "deny --offline check --hide-inclusion-graph bans licenses sources";
    let calls = vec![Call::cargo("fetch --locked"), Call::cargo(check)];
    Stage {
        needs: &[CARGO_DENY],
        ..plain("deny", "licences, sources and bans of dependencies", calls)
    }
}

/// The stages that need a real Kubernetes, right after the tests whose builds they use.
fn real_stages() -> [Stage; 4] {
    [
        real(
            "testbed",
            "the real Kubernetes of the tests comes up and goes away, whatever happens",
            Cluster::Parts(Level::ControlPlane),
            "control_plane::",
        ),
        real(
            "control-plane",
            "against a real API server and its controllers",
            Cluster::Up(Level::ControlPlane),
            // Nobody runs pods there.
            "real:: --skip real::pods::",
        ),
        real(
            "node-testbed",
            "the same for the node: its box leaves nothing behind",
            Cluster::Parts(Level::Node),
            "node::",
        ),
        real(
            "node",
            "against a real node: pods run, and Services lead to them",
            Cluster::Up(Level::Node),
            "real::",
        ),
    ]
}

/// Tests that are ignored where no real Kubernetes is at hand. They are built as the other tests
/// were, from the whole workspace, or everything below them would be built once more.
fn real(name: &'static str, about: &'static str, cluster: Cluster, tests: &str) -> Stage {
    // One after the other: what they measure and break is the whole machine's.
    let call = format!(
        "test --workspace --no-fail-fast {ALL_EXAMPLES} --test it -- --ignored --test-threads=1 {tests}"
    );
    Stage {
        name,
        about,
        needs: &[],
        wants: &[],
        cluster,
        tests: Tests::Counted,
        calls: vec![Call::cargo(&call)],
    }
}

fn alone() -> Vec<Call> {
    let mut calls = Vec::new();
    for (name, choices) in ALONE {
        let strict = |choice| Call::cargo(&format!("clippy -p {name} {choice} -- -D warnings"));
        calls.extend(choices.iter().map(strict));
    }
    for (name, choices) in ALONE_WITH_API {
        let api = format!("--features k8s-openapi/{NEWEST}");
        let strict =
            |choice| Call::cargo(&format!("clippy -p {name} --lib {choice} {api} -- -D warnings"));
        calls.extend(choices.iter().map(strict));
    }
    calls
}

fn api_versions() -> Vec<Call> {
    let packages = "-p zdd-kube -p zdd-sim --no-default-features --features \
                    zdd-sim/process,zdd-sim/serve";
    let strict = |version| {
        Call::cargo(&format!(
            "clippy {packages} --lib --features k8s-openapi/{version} -- -D warnings"
        ))
    };
    API_VERSIONS.iter().map(strict).collect()
}

fn documentation() -> Vec<Call> {
    let strict = |args| Call::cargo(args).env("RUSTDOCFLAGS", "-D warnings");
    vec![strict(&format!("doc --workspace --no-deps {ALL_EXAMPLES}"))]
}

/// Runs of the fault harness with optimisation, as many as asked for: see CONTRIBUTING.md.
fn fault_harness(seeds: u64) -> Stage {
    let fact = "no_pair_of_faults_with_foreign_edits_breaks_a_safety_rule";
    let call = format!("test --release -p zdd-testkit --test it {fact} -- --nocapture");
    let call = Call::cargo(&call);
    Stage {
        name: "seeds",
        about: "pairs of faults with foreign edits, by seed",
        needs: &[],
        wants: &[],
        cluster: Cluster::None,
        tests: Tests::Counted,
        calls: vec![call.env("ZDD_SEEDS", seeds.to_string())],
    }
}

#[cfg(test)]
mod tests {
    use super::chosen;

    fn names(chosen: &[crate::test::stage::Stage]) -> Vec<&'static str> {
        chosen.iter().map(|stage| stage.name).collect()
    }

    #[test]
    fn an_unknown_stage_is_refused_with_the_known_ones() {
        let error = chosen(&["speed".into()], None).unwrap_err().to_string();
        assert!(error.starts_with("there is no stage speed; there are: fmt, tidy"), "{error}");
    }

    #[test]
    fn chosen_stages_keep_their_order() {
        let stages = chosen(&["doc".into(), "fmt".into()], None).unwrap();
        assert_eq!(names(&stages), ["fmt", "doc"]);
    }

    #[test]
    fn seeds_add_a_stage_that_gets_their_number() {
        let stages = chosen(&["fmt".into()], Some(20_000)).unwrap();
        assert_eq!(names(&stages), ["fmt", "seeds"]);
        assert!(stages[1].to_string().contains("ZDD_SEEDS='20000'"), "{}", stages[1]);
    }
}
