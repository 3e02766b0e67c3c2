//! `cargo xtask tables`: makes the tables again that zdd-sim has of Kubernetes' own types.
//!
//! They come from the Go modules of the testbed, so that they are of the release that it runs.

mod go;
mod marks;
mod messages;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, ensure};

use crate::workspace::root;

/// What to do with the tables.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Writes nothing, and fails where a table is not what it would be made anew.
    #[arg(long)]
    check: bool,
}

/// Makes the tables.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let tables = [
        ("zdd-sim/src/api/protobuf/messages.txt", messages::table()?),
        ("zdd-sim/src/api/openapi/marks.txt", marks::table()?),
    ];
    let mut code = ExitCode::SUCCESS;
    for (path, text) in tables {
        let file = root().join(path);
        if fs::read_to_string(&file).is_ok_and(|found| found == text) {
            println!("{path}: as it should be");
        } else if args.check {
            println!("{path}: is not what `cargo xtask tables` makes");
            code = ExitCode::FAILURE;
        } else {
            fs::write(&file, text).with_context(|| format!("failed to write {path}"))?;
            println!("{path}: written");
        }
    }
    Ok(code)
}

/// A module among those of the testbed.
#[derive(Debug)]
struct Module {
    folder: PathBuf,
    version: String,
}

impl Module {
    /// Has Go find it, and download it where only what was built from it is left.
    fn find(name: &str) -> anyhow::Result<Self> {
        let output = Command::new("go")
            .args(["mod", "download", "-json", name])
            .current_dir(root().join("testbed/kubernetes"))
            .env("GOTOOLCHAIN", "local")
            .stderr(Stdio::inherit())
            .output()
            .context("failed to run go: it knows where the modules of the testbed are")?;
        let found: Download = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("go says nothing of the module {name}"))?;
        ensure!(
            output.status.success(),
            "go does not have the module {name}: {}",
            found.error.unwrap_or_default()
        );
        Ok(Self { folder: found.dir, version: found.version })
    }
}

/// What `go mod download` says.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Download {
    dir: PathBuf,
    version: String,
    error: Option<String>,
}
