//! Where things are kept.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The variable that says where built tools are kept; `.ci/run` sets it.
const TOOLS: &str = "ZDD_TOOLS";

/// Returns the folder for what is built once and used often.
pub(crate) fn tools() -> anyhow::Result<PathBuf> {
    match env::var_os(TOOLS).filter(|value| !value.is_empty()) {
        Some(tools) => Ok(std::path::absolute(tools)?),
        None => Ok(cache()?.join("tools")),
    }
}

/// Returns the state folder of the testbed of that name.
pub(crate) fn state(name: &str) -> anyhow::Result<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    anyhow::ensure!(
        !name.is_empty() && name.chars().all(plain),
        "{name:?} is no name of a testbed: letters, digits, - and _ make one"
    );
    Ok(cache()?.join("testbeds").join(name))
}

/// Returns the folder of the source of this crate: the Go modules are there.
pub(crate) fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn cache() -> anyhow::Result<PathBuf> {
    let of = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    of("XDG_CACHE_HOME")
        .or_else(|| of("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("zdd"))
        .context(
            "neither XDG_CACHE_HOME nor HOME is set; name a folder by --state and by ZDD_TOOLS",
        )
}
