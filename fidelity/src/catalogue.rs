//! The scripts of this repository, and the differences that are known.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::script::Script;

/// Differences by name of script, each with its reason.
pub type Differences = BTreeMap<String, String>;

/// Returns the folder of this crate.
fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the file of a script.
#[must_use]
pub fn file(name: &str) -> PathBuf {
    home().join("scripts").join(name).with_extension("txt")
}

/// Reads all scripts, sorted by name.
///
/// # Errors
/// When a file cannot be read or is no script.
pub fn scripts() -> anyhow::Result<Vec<Script>> {
    let mut scripts = Vec::new();
    for group in entries(&home().join("scripts"))? {
        for file in entries(&group)? {
            let stem = |path: &Path| Some(path.file_stem()?.to_string_lossy().into_owned());
            let (group, stem) = (stem(&group), stem(&file));
            let name = group.zip(stem).map(|(group, stem)| format!("{group}/{stem}"));
            let name = name.with_context(|| format!("{} has no name", file.display()))?;
            scripts.push(Script::parse(&name, &read(&file)?)?);
        }
    }
    Ok(scripts)
}

/// Reads the differences that are known.
///
/// # Errors
/// When one has no reason or names no script.
pub fn differences(scripts: &[Script]) -> anyhow::Result<Differences> {
    let text = read(&home().join("differences.yaml"))?;
    let known: Differences =
        serde_saphyr::from_str(&text).context("differences.yaml is not understood")?;
    for (name, reason) in &known {
        ensure!(!reason.trim().is_empty(), "the difference {name} needs a reason");
        ensure!(scripts.iter().any(|script| script.name == *name), "there is no script {name}");
    }
    Ok(known)
}

/// Returns the page of the book.
#[must_use]
pub fn page() -> PathBuf {
    home().join("../docs/src/fidelity.md")
}

/// Reads an object that scripts start from.
pub(crate) fn base(name: &str) -> anyhow::Result<String> {
    read(&home().join("bases").join(name).with_extension("yaml"))
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = || fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let read: std::io::Result<Vec<_>> = read();
    let mut entries = read.with_context(|| format!("failed to list {}", folder.display()))?;
    entries.sort();
    Ok(entries)
}
