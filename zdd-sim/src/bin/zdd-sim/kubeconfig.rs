//! Where `kubectl` finds the cluster.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

/// How long a cluster may take to say that it is up.
const PATIENCE: Duration = Duration::from_secs(2);
/// The name of the cluster in files that are ours.
const NAME: &str = "zdd-sim";

/// A place for a kubeconfig, found free or left by an earlier run.
#[derive(Debug)]
pub(crate) struct Kubeconfig(PathBuf);

/// A kubeconfig that was written; it is removed with the value, unless another run has replaced it.
#[derive(Debug)]
pub(crate) struct Written {
    path: PathBuf,
    text: String,
}

impl Kubeconfig {
    /// Refuses a path with a file that this program did not write, or that leads to a cluster which
    /// is up.
    pub(crate) async fn at(path: &Path) -> anyhow::Result<Self> {
        let path = absolute(path).context("failed to find the current directory")?;
        match fs::read_to_string(&path) {
            Ok(text) => {
                ensure!(
                    is_ours(&text),
                    "{} is there and names other clusters; choose another file with --kubeconfig, \
                     or remove it",
                    path.display()
                );
                ensure!(
                    !is_up(&server(&text)).await,
                    "{} leads to another cluster that is up; end that one, or choose another file \
                     with --kubeconfig",
                    path.display()
                );
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| {
                    format!(
                        "failed to read {}; choose another file with --kubeconfig",
                        path.display()
                    )
                });
            }
        }
        Ok(Self(path))
    }

    /// Writes the file, for this user's eyes only: it holds the secret of the server.
    pub(crate) fn write(self, text: &str) -> anyhow::Result<Written> {
        let Self(path) = self;
        replace(&path, text).with_context(|| {
            let place = path.display();
            format!("failed to write {place}; choose another file with --kubeconfig")
        })?;
        Ok(Written { path, text: text.to_owned() })
    }
}

/// Puts the whole file in place at once, so that no reader sees a part of it.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut next = path.as_os_str().to_owned();
    next.push(format!(".{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
    let moved = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&next, path));
    if moved.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&next);
    }
    moved
}

/// Tells whether a kubeconfig names our cluster and no other; `kubectl config` may have rewritten
/// it since.
fn is_ours(text: &str) -> bool {
    let config: Value = serde_saphyr::from_str(text).unwrap_or_default();
    let mut clusters = config["clusters"].as_array().into_iter().flatten().peekable();
    clusters.peek().is_some() && clusters.all(|cluster| cluster["name"] == NAME)
}

/// The address in a kubeconfig of ours.
fn server(text: &str) -> String {
    let config: Value = serde_saphyr::from_str(text).unwrap_or_default();
    config["clusters"][0]["cluster"]["server"].as_str().unwrap_or_default().to_owned()
}

/// Tells whether a cluster answers there: what an earlier run left behind leads nowhere.
async fn is_up(server: &str) -> bool {
    let Ok(config) = server.parse().map(kube::Config::new) else { return false };
    let Ok(client) = kube::Client::try_from(config) else { return false };
    let version = tokio::time::timeout(PATIENCE, client.apiserver_version()).await;
    version.is_ok_and(|version| version.is_ok_and(|it| it.git_version.ends_with("+zdd-sim")))
}

impl Written {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let now = fs::read_to_string(&self.path).unwrap_or_default();
        if is_ours(&now)
            && server(&now) == server(&self.text)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "failed to remove the kubeconfig");
        }
    }
}
