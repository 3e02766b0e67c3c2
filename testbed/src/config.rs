//! Fills the templates of the components' configuration in.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::image;
use crate::pki;
use crate::plan::{Level, NODE};
use crate::state::Spec;

/// Writes everything that the components of a level read.
pub(crate) fn write(spec: &Spec, server: &str) -> anyhow::Result<()> {
    let dir = &spec.dir;
    save(&dir.join("audit-policy.yaml"), include_str!("../templates/audit.yaml"))?;
    for user in pki::users(spec.level) {
        kubeconfig(dir, server, user)?;
    }
    kubeconfig(dir, server, "admin")?;
    if spec.level == Level::Node {
        kubeconfig(dir, server, "kubelet")?;
        node(spec)?;
    }
    Ok(())
}

/// Writes the credentials of a user for whom the authority has signed.
pub(crate) fn kubeconfig(dir: &Path, server: &str, user: &str) -> anyhow::Result<()> {
    let pki = dir.join("pki").display().to_string();
    let values = [("server", server), ("pki", &*pki), ("user", user)];
    let text = fill(include_str!("../templates/kubeconfig.yaml"), &values)?;
    save(&dir.join("kubeconfigs").join(user), &text)
}

fn node(spec: &Spec) -> anyhow::Result<()> {
    let dir = spec.dir.display().to_string();
    let cni = spec.cni.as_ref().context("no folder of network plugins")?.display().to_string();
    let snapshotter = snapshotter(&spec.dir);
    let values = [
        ("dir", &*dir),
        ("node", NODE),
        ("pause", image::PAUSE),
        ("cni", &*cni),
        ("snapshotter", snapshotter),
    ];
    let files = [
        ("scheduler.yaml", include_str!("../templates/scheduler.yaml")),
        ("kubelet.yaml", include_str!("../templates/kubelet.yaml")),
        ("kube-proxy.yaml", include_str!("../templates/kube-proxy.yaml")),
        ("containerd.toml", include_str!("../templates/containerd.toml")),
        ("cni/10-pods.conflist", include_str!("../templates/cni.json")),
    ];
    for (name, template) in files {
        save(&spec.dir.join(name), &fill(template, &values)?)?;
    }
    Ok(())
}

/// An overlay cannot lie on another overlay, as the disk of a container is one.
fn snapshotter(dir: &Path) -> &'static str {
    if on_overlay(dir) { "native" } else { "overlayfs" }
}

#[cfg(target_os = "linux")]
fn on_overlay(dir: &Path) -> bool {
    /// The number that the kernel gives the kind of file system.
    const OVERLAY: i64 = 0x794c_7630;
    rustix::fs::statfs(dir).is_ok_and(|disk| disk.f_type == OVERLAY)
}

#[cfg(not(target_os = "linux"))]
fn on_overlay(_: &Path) -> bool {
    false
}

/// Replaces each `{{name}}`; a name without a value is a mistake in the template.
fn fill(template: &str, values: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    let left = text.split_once("{{").map(|(_, rest)| rest.lines().next().unwrap_or_default());
    ensure!(left.is_none(), "a template asks for {}", left.unwrap_or_default());
    Ok(text)
}

fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn every_name_is_replaced() {
        assert_eq!(
            fill("{{a}}/{{b}} {x: {{a}}}", &[("a", "1"), ("b", "2")]).unwrap(),
            "1/2 {x: 1}"
        );
    }

    #[test]
    fn a_name_without_a_value_is_refused() {
        let error = fill("{{a}} {{c}}", &[("a", "1")]).unwrap_err().to_string();
        assert_eq!(error, "a template asks for c}}");
    }
}
