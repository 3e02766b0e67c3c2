//! The difference between two records.

use similar::{Algorithm, ChangeTag, capture_diff_slices};

use crate::script::Script;

/// Returns where what was observed is not what was recorded, for people; empty when it is.
#[must_use]
pub fn difference(script: &Script, observed: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (index, step) in script.steps.iter().enumerate() {
        let seen = observed.get(index).map(Vec::as_slice).unwrap_or_default();
        if seen == step.record {
            continue;
        }
        text += &format!("  {}\n", step.text.lines().next().unwrap_or_default());
        for (mark, line) in diff(&step.record, seen) {
            text += &format!("  {mark} {line}\n");
        }
    }
    text
}

/// The lines that differ: `-` was recorded, `+` was observed.
fn diff(old: &[String], new: &[String]) -> Vec<(char, String)> {
    let operations = capture_diff_slices(Algorithm::Lcs, old, new);
    let changes = operations.iter().flat_map(|operation| operation.iter_changes(old, new));
    let marked = changes.filter_map(|change| match change.tag() {
        ChangeTag::Delete => Some(('-', change.value())),
        ChangeTag::Insert => Some(('+', change.value())),
        ChangeTag::Equal => None,
    });
    marked.collect()
}

#[cfg(test)]
mod tests {
    use super::difference;
    use crate::script::Script;

    #[test]
    fn only_lines_that_differ_are_shown() {
        let script = Script::parse("x", "Fact.\n\nGET a\n| 200\n| a: 1\n| b: 2\n").unwrap();
        let seen = ["200", "a: 3", "b: 2"].map(str::to_owned).to_vec();
        assert_eq!(difference(&script, &[seen]), "  GET a\n  - a: 1\n  + a: 3\n");
        assert_eq!(difference(&script, &script.record()), "");
    }
}
