//! `kubectl` in the namespace of a case, as a user of its own.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::testbed::Testbed;

/// Credentials and a namespace. The audit log tells apart what each user asks for.
#[derive(Debug)]
pub(super) struct Kubectl<'a> {
    pub(super) testbed: &'a Testbed,
    pub(super) kubeconfig: PathBuf,
    pub(super) namespace: String,
}

impl<'a> Kubectl<'a> {
    pub(super) fn new(testbed: &'a Testbed, user: &str, namespace: String) -> anyhow::Result<Self> {
        let kubeconfig = testbed.user(user, Some("system:masters"))?;
        Ok(Self { testbed, kubeconfig, namespace })
    }

    /// Returns what it prints.
    ///
    /// # Errors
    /// What it says when it fails.
    pub(super) async fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        self.fed(args, &[]).await
    }

    /// Applies objects.
    pub(super) async fn apply(&self, objects: &Value) -> anyhow::Result<()> {
        self.fed(&["apply", "-f", "-"], objects.to_string().as_bytes()).await.map(|_| ())
    }

    async fn fed(&self, args: &[&str], input: &[u8]) -> anyhow::Result<String> {
        let mut command = Command::from(self.testbed.command(OsStr::new("kubectl"))?);
        command.args(["--namespace", &self.namespace]).args(args);
        command.env("KUBECONFIG", &self.kubeconfig).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("failed to start kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input).await?;
        }
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("kubectl {}: {}", args.join(" "), said.trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}
