//! The table of scenarios names tests that exist.

use std::{fs, path::Path};

const TABLE: &str = include_str!("SCENARIOS.md");

/// Returns the paths of tests that a row names.
fn named(row: &str) -> impl Iterator<Item = &str> {
    row.split('`').skip(1).step_by(2).filter(|code| code.contains("::"))
}

/// Returns the source of a module of tests.
fn source(module: &str) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = match module.strip_prefix("examples/") {
        Some(module) => here.join("../examples/tests/it").join(module.replace("::", "/")),
        None => here.join("tests/it").join(module.replace("::", "/")),
    }
    .with_extension("rs");
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn every_scenario_has_a_test_that_exists_or_a_reason() {
    let rows: Vec<_> = TABLE.lines().filter(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 50, "{}", rows.len());
    let mut tests = 0;
    for row in rows {
        for path in named(row) {
            let (module, name) = path.rsplit_once("::").unwrap();
            assert!(source(module).contains(&format!("fn {name}(")), "{path} does not exist");
            tests += 1;
        }
        let reason = ["not here:", "cargo bench", "| scenario", "all of `bad_input`"];
        let excused = reason.iter().any(|reason| row.contains(reason));
        assert!(excused || named(row).next().is_some(), "neither test nor reason: {row}");
    }
    assert!(tests > 60, "{tests}");
}
