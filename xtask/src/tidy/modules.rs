//! Every source file is part of something that is built, and has a name that says what it holds.

use std::collections::BTreeSet;

use crate::tidy::Finding;
use crate::tidy::rust::{code, is_rust};
use crate::workspace::{File, Workspace};

/// File names that say nothing about the content.
const SHAPELESS: &[&str] = &["common", "helper", "helpers", "misc", "util", "utils"];

/// No file is left out of the build, none is called `mod.rs`, none has a shapeless name.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let metadata = &workspace.metadata;
    let roots = metadata.members().flat_map(|package| &package.targets);
    let roots = roots.map(|target| metadata.relative(&target.src_path));
    let reached = reach(workspace, roots.collect());
    let mut findings = Vec::new();
    for file in workspace.files.iter().filter(|file| is_rust(file)) {
        if !reached.contains(&file.path) {
            let problem = "is not declared by any `mod` of a target: it is never built";
            findings.push(Finding::error(&file.path, 0, problem));
        }
        let stem = stem(&file.path);
        if stem == "mod" {
            let problem = "is called mod.rs; name it after the module, beside its folder";
            findings.push(Finding::error(&file.path, 0, problem));
        }
        if SHAPELESS.contains(&stem) {
            let problem = format!("is called {stem}; name it after the concept that it holds");
            findings.push(Finding::error(&file.path, 0, problem));
        }
    }
    findings
}

/// Follows the declarations from the roots.
fn reach(workspace: &Workspace, roots: Vec<String>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    // A root's modules lie beside it; those of any other file in the folder of its name.
    let mut open: Vec<(String, bool)> = roots.into_iter().map(|root| (root, true)).collect();
    while let Some((path, is_root)) = open.pop() {
        let Some(file) = workspace.file(&path) else { continue };
        if !reached.insert(path) {
            continue;
        }
        open.extend(declared(file, is_root).into_iter().map(|path| (path, false)));
    }
    reached
}

/// Returns the files that a file may mean by its declarations.
fn declared(file: &File, is_root: bool) -> Vec<String> {
    let parent = file.path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let base = if is_root || stem(&file.path) == "mod" {
        parent.to_owned()
    } else {
        format!("{parent}/{}", stem(&file.path))
    };
    let mut inline: Vec<(usize, &str)> = Vec::new();
    let mut elsewhere = None;
    let mut paths = Vec::new();
    for line in code(&file.text) {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim();
        if text.starts_with('}') {
            inline.retain(|(at, _)| *at < indent);
        }
        if let Some(path) = text.strip_prefix("#[path = \"").and_then(|rest| rest.split('"').next())
        {
            elsewhere = Some(format!("{parent}/{path}"));
            continue;
        }
        let Some(name) = module(text) else { continue };
        if let Some(name) = name.strip_suffix(" {") {
            inline.push((indent, name));
        } else if let Some(name) = name.strip_suffix(';') {
            let folders = inline.iter().map(|(_, name)| format!("{name}/")).collect::<String>();
            let usual = format!("{base}/{folders}{name}");
            let path = elsewhere.take();
            paths.extend(path.map_or_else(
                || vec![format!("{usual}.rs"), format!("{usual}/mod.rs")],
                |path| vec![normal(&path)],
            ));
        }
    }
    paths
}

/// Returns what follows `mod` in a declaration.
fn module(text: &str) -> Option<&str> {
    let text = match text.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => text,
    };
    text.strip_prefix("mod ")
}

/// Takes `..` out of a path.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".rs").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tests::{lines, workspace};
    use crate::workspace::{Metadata, Workspace};

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let metadata: Metadata = serde_json::from_value(serde_json::json!({
            "packages": [{
                "id": "a", "name": "a", "manifest_path": "/ws/a/Cargo.toml", "dependencies": [],
                "targets": [{"src_path": "/ws/a/src/lib.rs"}, {"src_path": "/ws/a/tests/it/main.rs"}],
            }],
            "workspace_members": ["a"],
            "workspace_root": "/ws",
            "resolve": {"nodes": []},
        }))
        .unwrap();
        lines(&check(&Workspace { metadata, ..workspace(files) }))
    }

    #[test]
    fn declared_files_pass() {
        let found = found(&[
            ("a/src/lib.rs", "pub(crate) mod one;\nmod two {\n    mod three;\n}\nmod four;\n"),
            ("a/src/one.rs", "#[path = \"elsewhere.rs\"]\nmod five;\npub mod six;\n"),
            ("a/src/one/six.rs", ""),
            ("a/src/elsewhere.rs", ""),
            ("a/src/two/three.rs", ""),
            ("a/src/four.rs", ""),
            ("a/tests/it/main.rs", "mod seven;\n"),
            ("a/tests/it/seven.rs", ""),
        ]);
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn a_file_that_nothing_declares_is_found() {
        let found = found(&[("a/src/lib.rs", "// mod lost;\n"), ("a/src/lost.rs", "")]);
        assert_eq!(
            found,
            ["error: a/src/lost.rs: is not declared by any `mod` of a target: it is never built"]
        );
    }

    #[test]
    fn mod_rs_and_shapeless_names_are_found() {
        let found = found(&[
            ("a/src/lib.rs", "mod one;\nmod utils;\n"),
            ("a/src/one/mod.rs", ""),
            ("a/src/utils.rs", ""),
        ]);
        assert_eq!(
            found,
            [
                "error: a/src/one/mod.rs: is called mod.rs; name it after the module, beside its folder",
                "error: a/src/utils.rs: is called utils; name it after the concept that it holds",
            ]
        );
    }
}
