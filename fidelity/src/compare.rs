//! The difference between two records.

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
fn diff<'a>(old: &'a [String], new: &'a [String]) -> Vec<(char, &'a str)> {
    // Longest common subsequence; records have tens of lines.
    let mut length = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for (i, left) in old.iter().enumerate().rev() {
        for (j, right) in new.iter().enumerate().rev() {
            length[i][j] = if left == right {
                length[i + 1][j + 1] + 1
            } else {
                length[i + 1][j].max(length[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j >= new.len() || (i < old.len() && length[i + 1][j] >= length[i][j + 1]) {
            lines.push(('-', old[i].as_str()));
            i += 1;
        } else {
            lines.push(('+', new[j].as_str()));
            j += 1;
        }
    }
    lines
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
