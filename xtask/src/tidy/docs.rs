//! Documents that name only what is there.

use crate::tidy::Finding;
use crate::workspace::{File, Workspace};

/// The table of contents of the book.
const SUMMARY: &str = "docs/src/SUMMARY.md";
/// Where the pages of the book are.
const PAGES: &str = "docs/src/";
/// Where the decisions are, one file each.
const DECISIONS: &str = "docs/decisions/";
/// The page that shows them.
const DECISIONS_PAGE: &str = "docs/src/decisions.md";
/// Endings of files that documents name.
const NAMED: &[&str] = &[".rs", ".md", ".toml", ".yaml", ".json"];

/// Links lead somewhere, every page is in the book, files and tests that are named exist.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = book(workspace);
    for file in workspace.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, number) in prose(&file.text) {
            for target in links(line) {
                if !leads_somewhere(workspace, &file.path, target) {
                    let problem = format!("links to {target}, which is not there");
                    findings.push(Finding::error(&file.path, number, problem));
                }
            }
            for name in quoted(line).filter(|name| !is_there(workspace, name)) {
                let problem = format!("names {name}, which is not there");
                findings.push(Finding::error(&file.path, number, problem));
            }
        }
    }
    findings
}

/// Every page is in the table of contents, every decision on the page of decisions.
fn book(workspace: &Workspace) -> Vec<Finding> {
    let text = |path| workspace.file(path).map_or("", |file| &*file.text);
    let (summary, decisions) = (text(SUMMARY), text(DECISIONS_PAGE));
    let missing = |file: &File| {
        if let Some(page) = file.path.strip_prefix(PAGES) {
            let listed = file.path == SUMMARY || summary.contains(&format!("({page})"));
            return (!listed).then(|| format!("is not in {SUMMARY}"));
        }
        let decision = file.path.strip_prefix(DECISIONS)?;
        let shown = decisions.contains(&format!("{{{{#include ../decisions/{decision}}}}}"));
        (!shown).then(|| format!("is not on {DECISIONS_PAGE}"))
    };
    let pages = workspace.files.iter().filter(|file| file.path.ends_with(".md"));
    pages.filter_map(|file| Some(Finding::error(&file.path, 0, missing(file)?))).collect()
}

/// Returns the lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut in_code = false;
    text.lines().zip(1..).filter(move |(line, _)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// Returns the targets of links within the tree.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty())
}

fn leads_somewhere(workspace: &Workspace, from: &str, target: &str) -> bool {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    let inside = format!("{path}/");
    workspace.paths.iter().any(|other| *other == path || other.starts_with(&inside))
}

/// Returns what stands in backticks and looks like a file of this tree.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|name| {
        let file = name.split("::").next().unwrap_or(name);
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        NAMED.iter().any(|ending| file.ends_with(ending) && file.len() > ending.len())
            && file.chars().all(plain)
    })
}

/// Tells whether a file is there, by its path or its last part, and the function after `::` in it.
fn is_there(workspace: &Workspace, name: &str) -> bool {
    let (path, function) = name.split_once("::").map_or((name, None), |(p, f)| (p, Some(f)));
    let tail = format!("/{path}");
    let mut found =
        workspace.paths.iter().filter(|other| **other == path || other.ends_with(&tail));
    match function {
        None => found.next().is_some(),
        Some(function) => found.any(|path| {
            let text = workspace.file(path).map_or("", |file| &*file.text);
            text.contains(&format!("fn {function}("))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tests::{lines, workspace};

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        lines(&check(&workspace(files)))
    }

    #[test]
    fn what_is_there_passes() {
        let found = found(&[
            (
                "README.md",
                "See [the book](docs/src/first.md#top), `a/src/lib.rs`, `lib.rs::holds`.\n",
            ),
            ("a/src/lib.rs", "fn holds() {}\n"),
            ("docs/decisions/001-a.md", "# A\n"),
            ("docs/src/SUMMARY.md", "- [First](first.md)\n- [Decisions](decisions.md)\n"),
            ("docs/src/decisions.md", "{{#include ../decisions/001-a.md}}\n"),
            ("docs/src/first.md", "[up](../../README.md) and [out](https://example.com/x.md)\n"),
        ]);
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn a_dead_link_is_found() {
        let found = found(&[("README.md", "\n[gone](docs/gone.md)\n")]);
        assert_eq!(found, ["error: README.md:2: links to docs/gone.md, which is not there"]);
    }

    #[test]
    fn a_file_and_a_test_that_are_gone_are_found() {
        let found = found(&[
            ("ARCHITECTURE.md", "`step.rs` and `lib.rs::gone`\n"),
            ("a/src/lib.rs", "fn here() {}\n"),
        ]);
        assert_eq!(
            found,
            [
                "error: ARCHITECTURE.md:1: names step.rs, which is not there",
                "error: ARCHITECTURE.md:1: names lib.rs::gone, which is not there",
            ]
        );
    }

    #[test]
    fn code_blocks_may_name_anything() {
        assert!(found(&[("README.md", "```sh\n`x.rs` [a](b.md)\n```\n")]).is_empty());
    }

    #[test]
    fn pages_and_decisions_outside_the_book_are_found() {
        let found = found(&[
            ("docs/decisions/001-a.md", ""),
            ("docs/src/SUMMARY.md", ""),
            ("docs/src/lost.md", ""),
        ]);
        assert_eq!(
            found,
            [
                "error: docs/decisions/001-a.md: is not on docs/src/decisions.md",
                "error: docs/src/lost.md: is not in docs/src/SUMMARY.md",
            ]
        );
    }
}
