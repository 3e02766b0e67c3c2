//! The deploy tools: processes of their own, as a user starts them.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::case::End;
use super::kubectl::Kubectl;

/// How long `kubectl rollout status` waits before the version counts as bad.
const PATIENCE: &str = "--timeout=60s";

/// A tool with credentials of its own, so that the audit log tells its requests.
#[derive(Debug)]
pub(super) struct Deployer<'a> {
    pub(super) kubectl: Kubectl<'a>,
    pub(super) image: String,
}

impl Deployer<'_> {
    /// Starts the example.
    pub(super) fn zdd(&self, rolling: &Path) -> anyhow::Result<Child> {
        let mut command = Command::new(rolling);
        command.arg("--kubeconfig").arg(&self.kubectl.kubeconfig);
        command.args(["--namespace", &self.kubectl.namespace]);
        command.args(["--existing", "--json", "--deadline", "60", "--next-image", &self.image]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true).spawn().context("failed to start the rolling example")
    }

    /// Waits for the example; returns how the rollout ended.
    pub(super) async fn ended(child: Child) -> anyhow::Result<(End, String)> {
        let output = child.wait_with_output().await?;
        let said = String::from_utf8_lossy(&output.stdout);
        let said = said.lines().last().unwrap_or_default();
        let summary: Value = serde_json::from_str(said).with_context(|| {
            format!("the rolling example ended early: {}", String::from_utf8_lossy(&output.stderr))
        })?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match &*text(&summary["outcome"]) {
            "promoted" => Ok((End::New, "promoted".to_owned())),
            outcome => {
                ensure!(outcome == "rolled-back", "it ended {outcome}: {}", summary["detail"]);
                Ok((End::Old, text(&summary["detail"])))
            }
        }
    }

    /// Rolls out as an operator with `kubectl` does.
    pub(super) async fn kubectl(&self) -> anyhow::Result<(End, String)> {
        let image = format!("web={}", self.image);
        self.kubectl.run(&["set", "image", "deployment/web", &image]).await?;
        let status = &["rollout", "status", "deployment/web", PATIENCE];
        let Err(problem) = self.kubectl.run(status).await else {
            return Ok((End::New, "successfully rolled out".to_owned()));
        };
        self.kubectl.run(&["rollout", "undo", "deployment/web"]).await?;
        self.kubectl.run(status).await?;
        Ok((End::Old, format!("undone after: {problem}")))
    }
}
