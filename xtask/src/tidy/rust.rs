//! Just enough reading of formatted Rust source.

use crate::workspace::File;

/// Tells whether a file is Rust source.
pub(super) fn is_rust(file: &File) -> bool {
    file.path.ends_with(".rs")
}

/// Tells whether a file holds nothing but tests or benchmarks.
pub(super) fn is_test(path: &str) -> bool {
    let mut parts = path.split('/');
    path.ends_with("/tests.rs") || parts.any(|part| part == "tests" || part == "benches")
}

/// Returns the lines before the module of unit tests.
pub(super) fn product(file: &File) -> &str {
    for (at, mark) in file.text.match_indices("\n#[cfg(test)]\n") {
        let mut after =
            file.text[at + mark.len()..].lines().skip_while(|line| line.starts_with("#["));
        // A declaration, `mod tests;`, ends nothing: the tests are in another file.
        if after.next().is_some_and(|line| line.starts_with("mod ") && line.ends_with('{')) {
            return &file.text[..=at];
        }
    }
    &file.text
}

/// Returns the lines that are not comments.
pub(super) fn code(text: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    text.lines().filter(move |line| {
        let line = line.trim_start();
        let comment = in_block || line.starts_with("/*");
        in_block = comment && !line.contains("*/");
        !comment && !line.starts_with("//")
    })
}

#[cfg(test)]
mod tests {
    use super::{code, is_test, product};
    use crate::workspace::File;

    fn file(text: &str) -> File {
        File { path: "a/src/lib.rs".into(), text: text.into() }
    }

    #[test]
    fn unit_tests_are_no_product() {
        let inline = file("fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n");
        assert_eq!(product(&inline), "fn a() {}\n\n");
        let guarded = inline.text.replace("mod tests", "#[cfg(not(loom))]\nmod tests");
        assert_eq!(product(&file(&guarded)), "fn a() {}\n\n");
        let declared = file("fn a() {}\n\n#[cfg(test)]\nmod tests;\n\nfn b() {}\n");
        assert_eq!(product(&declared), declared.text);
    }

    #[test]
    fn test_files_are_told_by_their_place() {
        assert!(is_test("zdd-core/tests/it/main.rs"));
        assert!(is_test("zdd-core/src/machine/tests.rs"));
        assert!(!is_test("zdd-core/src/machine.rs"));
        assert!(!is_test("xtask/src/test.rs"));
    }

    #[test]
    fn comments_are_no_code() {
        let text = "/* one\n two */\n// three\nfn four() {}\n";
        assert_eq!(code(text).collect::<Vec<_>>(), ["fn four() {}"]);
    }
}
