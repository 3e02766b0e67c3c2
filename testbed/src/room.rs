//! The box of the node level: what it hides of the machine, and what the machine keeps of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// Makes the namespaces. Killing the first process inside ends every other.
pub(crate) const UNSHARE: &[&str] =
    &["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Folders in which the components leave things; the box has empty ones of its own.
const COVERED: &[&str] = &["/run", "/var/lib", "/var/log"];

/// Settings of the kernel that a kubelet changes for the whole machine. In the box they are files,
/// which have the value that it wants.
const SETTINGS: &[(&str, &str)] = &[
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Refuses a path that nobody inside could see.
pub(crate) fn visible(path: &Path) -> anyhow::Result<()> {
    let covered = COVERED.iter().find(|covered| path.starts_with(covered));
    ensure!(
        covered.is_none(),
        "{} is below {}, of which a box has one of its own; choose other folders by --state and ZDD_TOOLS",
        path.display(),
        covered.copied().unwrap_or_default()
    );
    Ok(())
}

/// Covers what is the machine's, from inside of the box.
pub(crate) fn furnish(dir: &Path) -> anyhow::Result<()> {
    for covered in COVERED {
        command("mount", &["-t", "tmpfs", "-o", "mode=755", "testbed", covered])?;
    }
    let files = dir.join("settings");
    fs::create_dir_all(&files)?;
    for (name, value) in SETTINGS {
        let (file, setting) =
            (files.join(name.replace('/', "-")), Path::new("/proc/sys").join(name));
        if setting.exists() {
            fs::write(&file, value)?;
            command("mount", &["--bind", &file.to_string_lossy(), &setting.to_string_lossy()])?;
        }
    }
    Ok(())
}

/// Runs a program of the machine to its end.
pub(crate) fn command(program: &str, args: &[&str]) -> anyhow::Result<()> {
    let called = || format!("{program} {}", args.join(" "));
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start {}", called()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} ended with {}: {}", called(), output.status, said.trim());
    Ok(())
}

/// Removes the empty groups of containers that have ended. Those of another box that is up are not
/// empty, and stay.
pub(crate) fn clear_cgroups() {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([root.to_owned()]) {
        remove_empty(&hierarchy.join("k8s.io"));
    }
}

/// Removes a group and those below it, innermost first, as far as they are empty.
fn remove_empty(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    // The kernel refuses to remove a group with processes.
    fs::remove_dir(group).ok();
}
