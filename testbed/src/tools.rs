//! Builds Kubernetes and etcd, once per content of the Go modules.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use ring::digest;

use crate::machine::Machine;
use crate::paths;
use crate::plan::Level;
use crate::state::Event;

/// A program to build.
#[derive(Clone, Copy, Debug)]
struct Tool {
    name: &'static str,
    /// The folder of its module.
    module: &'static str,
    package: &'static str,
    /// The level from which on it is needed.
    level: Level,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "etcd",
        module: "etcd",
        package: "go.etcd.io/etcd/server/v3",
        level: Level::ControlPlane,
    },
    kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", Level::ControlPlane),
    kubernetes(
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        Level::ControlPlane,
    ),
    kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl", Level::ControlPlane),
    kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", Level::Node),
    kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy", Level::Node),
    kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet", Level::Node),
];

/// Files whose content decides what is built.
const INPUTS: &[(&str, &str)] =
    &[("etcd", "go.mod"), ("etcd", "go.sum"), ("kubernetes", "go.mod"), ("kubernetes", "go.sum")];
/// How long programs are kept that nothing uses: a branch may need them again.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);
/// The file in a folder of programs that says by its age when they were used last.
const USED: &str = "lock";
/// The packages that are told which version they are.
const VERSIONED: &[&str] = &["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];

const fn kubernetes(name: &'static str, package: &'static str, level: Level) -> Tool {
    Tool { name, module: "kubernetes", package, level }
}

/// Builds what a level needs, unless it is there; returns the folder.
pub(crate) fn build(
    machine: &Machine,
    level: Level,
    observe: &mut dyn FnMut(&Event),
) -> anyhow::Result<PathBuf> {
    let flags = flags()?;
    let folder = folder(&flags)?;
    let bin = folder.join("bin");
    let wanted: Vec<&Tool> = wanted(level).collect();
    if wanted.iter().all(|tool| bin.join(tool.name).is_file()) {
        // A cache that may only be read serves as well; it is not ours to tidy then.
        mark(&folder).ok();
        return Ok(bin);
    }
    if let Some(lack) = machine.lacks_to_build() {
        bail!("Kubernetes is not built yet, and this machine lacks {lack}");
    }
    fs::create_dir_all(&bin).with_context(|| format!("failed to make {}", bin.display()))?;
    let lock = mark(&folder)?;
    lock.lock().with_context(|| format!("failed to lock {}", folder.display()))?;
    for (tool, number) in wanted.iter().zip(1..) {
        // Whoever held the lock before may have built it.
        if !bin.join(tool.name).is_file() {
            observe(&Event::Building { what: tool.name.to_owned(), number, of: wanted.len() });
            tool.build(&folder, &bin, &flags)?;
        }
    }
    prune(&folder);
    Ok(bin)
}

/// Notes that a folder of programs is used now.
fn mark(folder: &Path) -> std::io::Result<File> {
    File::create(folder.join(USED))
}

/// Tells when a folder of programs was used last.
fn used(folder: &Path) -> std::io::Result<SystemTime> {
    fs::metadata(folder.join(USED))?.modified()
}

/// Removes the folders beside `folder`, just used, whose programs nothing has used for long: each
/// is as large as this one, and an update of Kubernetes makes a new one.
fn prune(folder: &Path) {
    let Ok(now) = used(folder) else { return };
    let beside = folder.parent().and_then(|parent| fs::read_dir(parent).ok());
    for other in beside.into_iter().flatten().flatten().map(|entry| entry.path()) {
        let idle = used(&other).ok().and_then(|used| now.duration_since(used).ok());
        if other != folder && idle.is_some_and(|idle| idle > KEEP) {
            // What cannot be removed costs room, and nothing else.
            fs::remove_dir_all(other).ok();
        }
    }
}

/// Tells whether everything that a level needs is there.
pub(crate) fn are_built(level: Level) -> bool {
    programs(level).is_some()
}

/// Returns the folder of the programs, `kubectl` among them, when all are built that a level needs.
#[must_use]
pub fn programs(level: Level) -> Option<PathBuf> {
    let bin = flags().and_then(|flags| folder(&flags)).ok()?.join("bin");
    wanted(level).all(|tool| bin.join(tool.name).is_file()).then_some(bin)
}

fn folder(flags: &str) -> anyhow::Result<PathBuf> {
    Ok(paths::tools()?.join("testbed").join(key(flags)?))
}

fn wanted(level: Level) -> impl Iterator<Item = &'static Tool> {
    TOOLS.iter().filter(move |tool| tool.level == Level::ControlPlane || level == Level::Node)
}

impl Tool {
    fn build(&self, folder: &Path, bin: &Path, flags: &str) -> anyhow::Result<()> {
        let partial = folder.join(format!("{}.partial", self.name));
        let log = folder.join(format!("{}.log", self.name));
        let output = File::create(&log)?;
        let status = Command::new("go")
            // Two packages at once: more need more memory than a small machine has.
            .args([
                "build",
                "-p",
                "2",
                "-mod=readonly",
                "-trimpath",
                "-buildvcs=false",
                "-ldflags",
                flags,
                "-o",
            ])
            .args([partial.as_os_str(), self.package.as_ref()])
            .current_dir(paths::source().join(self.module))
            .env("CGO_ENABLED", "0")
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .context("failed to start go")?;
        ensure!(
            status.success(),
            "go build of {} ended ({status}); its log is {}",
            self.name,
            log.display()
        );
        fs::rename(&partial, bin.join(self.name))
            .with_context(|| format!("failed to keep {}", self.name))
    }
}

/// Returns the flags of the linker: no symbols, and the version, which a plain build does not know.
fn flags() -> anyhow::Result<String> {
    let version = kubernetes_version()?;
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let values = [
        ("gitVersion", &*version),
        ("gitMajor", major),
        ("gitMinor", minor),
        ("gitTreeState", "clean"),
        ("buildDate", "1970-01-01T00:00:00Z"),
    ];
    let mut flags = "-s -w".to_owned();
    for package in VERSIONED {
        for (name, value) in values {
            flags.push_str(&format!(" -X {package}.{name}={value}"));
        }
    }
    Ok(flags)
}

/// Reads the version from the module, so that it is written down once.
fn kubernetes_version() -> anyhow::Result<String> {
    let path = paths::source().join("kubernetes/go.mod");
    let text =
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let version = text.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "));
    let version = version.and_then(|rest| rest.split(' ').next());
    version.map(str::to_owned).with_context(|| format!("{} names no version", path.display()))
}

/// Returns a short name for everything that decides what is built.
fn key(flags: &str) -> anyhow::Result<String> {
    let mut context = digest::Context::new(&digest::SHA256);
    for (module, file) in INPUTS {
        let path = paths::source().join(module).join(file);
        let bytes =
            fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
        context.update(&bytes.len().to_le_bytes());
        context.update(&bytes);
    }
    context.update(flags.as_bytes());
    context.update(std::env::consts::ARCH.as_bytes());
    let hash = context.finish();
    Ok(hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::{KEEP, mark, prune, used};

    #[test]
    fn programs_that_nothing_used_for_long_are_removed_and_nothing_else() {
        let tools = tempfile::tempdir().unwrap();
        let folder = |name: &str, idle: Duration| {
            let folder = tools.path().join(name);
            fs::create_dir(&folder).unwrap();
            let mark = mark(&folder).unwrap();
            mark.set_modified(used(&folder).unwrap() - idle).unwrap();
            folder
        };
        let day = Duration::from_secs(24 * 3600);
        let recent = folder("recent", KEEP - day);
        let old = folder("old", KEEP + day);
        let this = folder("this", Duration::ZERO);
        let foreign = tools.path().join("foreign");
        fs::create_dir(&foreign).unwrap();
        fs::write(tools.path().join("images.tar"), "").unwrap();
        prune(&this);
        assert!(this.exists() && recent.exists() && foreign.exists());
        assert!(tools.path().join("images.tar").exists());
        assert!(!old.exists());
    }
}
