//! How long files may get.

use crate::tidy::Finding;
use crate::tidy::rust::{is_rust, is_test, product};
use crate::workspace::Workspace;

/// Lines without tests at which a file should be looked at again: is it two things?
const LOOK: usize = 400;
/// Lines without tests that no file may have.
const LIMIT: usize = 600;

/// No source file is longer than a reader can hold in mind.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let sources = workspace.files.iter().filter(|file| is_rust(file) && !is_test(&file.path));
    sources
        .filter_map(|file| match product(file).lines().count() {
            length if length > LIMIT => {
                let problem =
                    format!("{length} lines without tests; the limit is {LIMIT}: split it");
                Some(Finding::error(&file.path, 0, problem))
            }
            length if length > LOOK => {
                let problem = format!("{length} lines without tests: is it two things?");
                Some(Finding::warning(&file.path, 0, problem))
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, LOOK, check};
    use crate::tidy::tests::{lines, workspace};

    fn found(length: usize) -> Vec<String> {
        let tests = "\n#[cfg(test)]\nmod tests {\n}\n".to_owned() + &"\n".repeat(LIMIT);
        let text = "//\n".repeat(length) + &tests;
        lines(&check(&workspace(&[("a/src/lib.rs", &text)])))
    }

    #[test]
    fn the_limit_fails_and_the_mark_below_it_warns() {
        assert!(found(LOOK - 2).is_empty());
        assert!(found(LOOK)[0].starts_with("warning: a/src/lib.rs: 401 lines"));
        assert!(found(LIMIT)[0].starts_with("error: a/src/lib.rs: 601 lines"));
    }

    #[test]
    fn test_files_may_be_long() {
        let text = "\n".repeat(2 * LIMIT);
        assert!(check(&workspace(&[("a/tests/it/main.rs", &text)])).is_empty());
    }
}
