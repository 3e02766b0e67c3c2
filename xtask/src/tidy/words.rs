//! Words that do not belong into the tree.

use crate::tidy::Finding;
use crate::tidy::rust::{is_rust, is_test, product};
use crate::workspace::{File, Workspace};

/// Marks of unfinished work; each needs the number of an issue, as in `#12`.
///
/// Written in two parts, so that this file does not find itself.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
/// Places on somebody's machine, which another machine does not have.
const PLACES: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Use", "rs/")];
/// A place that tests may use and a product may not.
const SCRATCH: &str = concat!("/t", "mp/");

/// No unfinished work without a number, no path of somebody's machine.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &workspace.files {
        for (line, number) in file.text.lines().zip(1..) {
            if let Some(mark) = MARKS.iter().find(|mark| has_mark(line, mark)) {
                let problem = format!("{mark} without the number of an issue: {mark}(#12)");
                findings.push(Finding::error(&file.path, number, problem));
            }
            if let Some(place) = PLACES.iter().find(|place| line.contains(**place)) {
                let problem = format!("names {place}, a place on somebody's machine");
                findings.push(Finding::error(&file.path, number, problem));
            }
        }
        findings.extend(scratch(file));
    }
    findings
}

fn scratch(file: &File) -> Vec<Finding> {
    if !is_rust(file) || is_test(&file.path) {
        return Vec::new();
    }
    let lines = product(file).lines().zip(1..).filter(|(line, _)| line.contains(SCRATCH));
    let problem = format!("names {SCRATCH}; ask std::env::temp_dir() or take a path");
    lines.map(|(_, number)| Finding::error(&file.path, number, problem.clone())).collect()
}

/// Tells whether a line has a mark as a word of its own, without a number.
fn has_mark(line: &str, mark: &str) -> bool {
    let Some((before, after)) = line.split_once(mark) else {
        return false;
    };
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let word = !before.ends_with(is_part) && !after.starts_with(is_part);
    word && !after.starts_with("(#")
}

#[cfg(test)]
mod tests {
    use super::{MARKS, PLACES, SCRATCH, check};
    use crate::tidy::tests::{lines, workspace};

    fn found(path: &str, text: &str) -> usize {
        lines(&check(&workspace(&[(path, text)]))).len()
    }

    #[test]
    fn unfinished_work_needs_a_number() {
        for mark in MARKS {
            assert_eq!(found("a/src/lib.rs", &format!("// {mark}: later\n")), 1);
            assert_eq!(found("README.md", &format!("{mark}\n")), 1);
            assert_eq!(found("a/src/lib.rs", &format!("// {mark}(#7): later\n")), 0);
            assert_eq!(found("a/src/lib.rs", &format!("const {mark}_LIST: u8 = 1;\n")), 0);
        }
    }

    #[test]
    fn places_on_a_machine_are_found() {
        for place in PLACES {
            assert_eq!(found("docs/src/a.md", &format!("see {place}x\n")), 1);
        }
    }

    #[test]
    fn scratch_places_are_for_tests() {
        let line = format!("let path = \"{SCRATCH}x\";\n");
        assert_eq!(found("a/src/lib.rs", &line), 1);
        assert_eq!(found("a/tests/it/main.rs", &line), 0);
        assert_eq!(found("a/src/lib.rs", &format!("\n#[cfg(test)]\nmod tests {{\n{line}}}\n")), 0);
    }
}
