//! What the workspace consists of: its files and what cargo says about its packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// Folders that hold nothing of the project's own.
const SKIPPED: &[&str] = &["target", "node_modules", "book"];
/// Endings of the files that are looked at.
const TEXT: &[&str] = &["rs", "toml", "md", "sh", "yaml", "yml", "json", "sql", "go"];

/// The workspace as it lies on the disk.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// Text files, sorted by path.
    pub(crate) files: Vec<File>,
    /// Paths of all files, from the root of the workspace, with `/`.
    pub(crate) paths: Vec<String>,
    /// What cargo says.
    pub(crate) metadata: Metadata,
}

/// A text file.
#[derive(Debug)]
pub(crate) struct File {
    /// Path from the root of the workspace, with `/`.
    pub(crate) path: String,
    /// Content.
    pub(crate) text: String,
}

/// The part of `cargo metadata` that is looked at.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) workspace_root: PathBuf,
    pub(crate) resolve: Resolve,
}

/// A package of the workspace or of a registry.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// A dependency as a manifest declares it.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal one.
    pub(crate) kind: Option<String>,
    pub(crate) optional: bool,
    pub(crate) features: Vec<String>,
}

/// Something that cargo builds.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) src_path: PathBuf,
}

/// The graph of packages.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

/// A package in the graph.
#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<Edge>,
}

/// An edge of the graph.
#[derive(Debug, Deserialize)]
pub(crate) struct Edge {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<EdgeKind>,
}

/// Why an edge is there.
#[derive(Debug, Deserialize)]
pub(crate) struct EdgeKind {
    /// `None` for a normal dependency.
    pub(crate) kind: Option<String>,
}

impl Workspace {
    /// Reads the workspace that this program was built from.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let metadata = Metadata::read()?;
        let root = metadata.workspace_root.clone();
        let mut workspace = Self { metadata, ..Self::default() };
        workspace.collect(&root, &root)?;
        workspace.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(workspace)
    }

    /// Returns a file.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    fn collect(&mut self, root: &Path, folder: &Path) -> anyhow::Result<()> {
        let entries = fs::read_dir(folder).with_context(|| format!("failed to list {folder:?}"))?;
        for entry in entries {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if entry.file_type()?.is_dir() {
                let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo";
                if !hidden && !SKIPPED.contains(&&*name) {
                    self.collect(root, &path)?;
                }
                continue;
            }
            let relative = slashed(path.strip_prefix(root).unwrap_or(&path));
            if TEXT.contains(&name.rsplit('.').next().unwrap_or_default())
                || relative.starts_with(".ci/")
            {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("failed to read {path:?}"))?;
                self.files.push(File { path: relative.clone(), text });
            }
            self.paths.push(relative);
        }
        Ok(())
    }
}

impl Metadata {
    /// Asks cargo.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let output = Command::new(cargo())
            .args(["metadata", "--format-version", "1", "--manifest-path"])
            .arg(root().join("Cargo.toml"))
            .output()
            .context("failed to run cargo metadata")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo metadata failed: {said}");
        serde_json::from_slice(&output.stdout).context("cargo metadata is not understood")
    }

    /// Returns the packages of the workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// Returns a path of the workspace as the files have it.
    pub(crate) fn relative(&self, path: &Path) -> String {
        slashed(path.strip_prefix(&self.workspace_root).unwrap_or(path))
    }
}

/// Returns the root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Returns the cargo that runs this program, or the one in the path.
pub(crate) fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

fn slashed(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::Workspace;

    #[test]
    fn finds_its_own_source_and_package() {
        let workspace = Workspace::read().unwrap();
        assert!(workspace.file("xtask/src/workspace.rs").is_some());
        assert!(workspace.metadata.members().any(|package| package.name == "xtask"));
    }
}
