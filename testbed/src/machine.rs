//! What this machine has of the parts that a testbed needs.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::ensure;
use serde::Serialize;

use crate::plan::Level;
use crate::{room, tools};

/// Something that a machine lacks.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Lack {
    /// What is missing.
    pub what: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// What a machine has.
#[derive(Clone, Debug)]
pub struct Machine {
    places: Vec<PathBuf>,
    plugins: Vec<PathBuf>,
    root: bool,
    namespaces: Option<String>,
    go: Option<Go>,
}

/// A version of Go.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Go {
    major: u32,
    minor: u32,
}

/// What the Go modules ask for.
const GO: Go = Go { major: 1, minor: 26 };

/// Programs of the node level, and where they come from.
const PROGRAMS: &[(&str, &str)] = &[
    ("containerd", "apt-get install containerd"),
    ("ctr", "apt-get install containerd"),
    ("containerd-shim-runc-v2", "apt-get install containerd"),
    ("runc", "apt-get install runc"),
    ("iptables", "apt-get install iptables"),
    ("conntrack", "apt-get install conntrack"),
    ("ip", "apt-get install iproute2"),
    ("mount", "apt-get install mount"),
    ("unshare", "apt-get install util-linux"),
    ("nsenter", "apt-get install util-linux"),
];

/// Plugins that connect pods.
const PLUGINS: &[&str] = &["bridge", "host-local", "loopback", "portmap"];
/// Where Debian and others keep them.
const PLUGIN_PLACES: &[&str] = &["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
/// Where programs of administrators are, which other users' paths leave out.
const SYSTEM_PLACES: &[&str] = &["/usr/sbin", "/sbin"];

impl Machine {
    /// Looks at this machine.
    #[must_use]
    pub fn here() -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut places: Vec<PathBuf> = env::split_paths(&path).collect();
        places.extend(SYSTEM_PLACES.iter().map(PathBuf::from));
        let root = rustix::process::geteuid().is_root();
        let namespaces = if root { namespaces() } else { None };
        let plugins = PLUGIN_PLACES.iter().map(PathBuf::from).collect();
        Self { places, plugins, root, namespaces, go: Go::here() }
    }

    /// Returns what is missing to build a level, if it is not built yet, and to run it.
    #[must_use]
    pub fn lacks(&self, level: Level) -> Vec<Lack> {
        let mut lacks = self.lacks_to_run(level);
        if !tools::are_built(level) {
            lacks.extend(self.lacks_to_build());
        }
        lacks
    }

    /// Refuses a machine that lacks something for a level, with all that it lacks.
    pub(crate) fn require(&self, level: Level) -> anyhow::Result<()> {
        let lacks = self.lacks(level);
        let list: String = lacks.iter().map(|lack| format!("\n    {lack}")).collect();
        ensure!(lacks.is_empty(), "this machine lacks what the level {level} needs:{list}");
        Ok(())
    }

    /// Returns what is missing to run a level that is built already.
    fn lacks_to_run(&self, level: Level) -> Vec<Lack> {
        if cfg!(not(target_os = "linux")) {
            let remedy = "run it in a virtual machine; a container is enough for the control plane";
            return vec![Lack { what: "Linux".to_owned(), remedy }];
        }
        match level {
            Level::ControlPlane => Vec::new(),
            Level::Node => self.lacks_for_node(),
        }
    }

    /// Returns what is missing to build Kubernetes and etcd.
    pub(crate) fn lacks_to_build(&self) -> Option<Lack> {
        let what = match self.go {
            Some(go) if go >= GO => return None,
            Some(go) => format!("Go {GO}: the one here is {go}"),
            None => format!("Go {GO} or newer"),
        };
        Some(Lack { what, remedy: "install it from https://go.dev/dl and put it into the path" })
    }

    fn lacks_for_node(&self) -> Vec<Lack> {
        let mut lacks = Vec::new();
        if !self.root {
            let remedy = "run it as root, or take --level control-plane, which needs no rights";
            lacks.push(Lack { what: "the rights of root".to_owned(), remedy });
        }
        for (program, remedy) in PROGRAMS {
            if !self.places.iter().any(|place| place.join(program).is_file()) {
                lacks.push(Lack { what: (*program).to_owned(), remedy });
            }
        }
        if self.cni().is_none() {
            let what = format!("the CNI plugins {}", PLUGINS.join(", "));
            lacks.push(Lack { what, remedy: "apt-get install containernetworking-plugins" });
        }
        if let Some(problem) = &self.namespaces {
            let what = format!("namespaces for network, mounts and processes ({problem})");
            let remedy = "a container needs CAP_SYS_ADMIN and CAP_NET_ADMIN for them";
            lacks.push(Lack { what, remedy });
        }
        lacks
    }

    /// Returns the folder of the plugins that connect pods.
    pub(crate) fn cni(&self) -> Option<&Path> {
        let complete = |place: &&PathBuf| PLUGINS.iter().all(|name| place.join(name).is_file());
        self.plugins.iter().find(complete).map(PathBuf::as_path)
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; to get it: {}", self.what, self.remedy)
    }
}

/// Tries the namespaces out; returns what was said if they cannot be made.
fn namespaces() -> Option<String> {
    let [program, args @ ..] = room::UNSHARE else { return None };
    let output = Command::new(program).args(args).arg("true").stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        // That the program is missing is told by its name.
        Err(_) => None,
    }
}

impl Go {
    fn here() -> Option<Self> {
        let mut command = Command::new("go");
        // Else the answer would be that of a version that the network has.
        let output =
            command.args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output().ok()?;
        Self::parse(&String::from_utf8_lossy(&output.stdout))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().strip_prefix("go")?.split(['.', 'r', 'b', '-', ' ']);
        Some(Self { major: parts.next()?.parse().ok()?, minor: parts.next()?.parse().ok()? })
    }
}

impl fmt::Display for Go {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::{Go, Machine};
    use crate::plan::Level;

    fn bare() -> Machine {
        Machine { places: vec![], plugins: vec![], root: false, namespaces: None, go: None }
    }

    fn lacks(machine: &Machine) -> String {
        machine.lacks_to_run(Level::Node).iter().map(|lack| format!("{lack}\n")).collect()
    }

    #[test]
    fn each_part_that_is_missing_is_named_with_the_way_to_get_it() {
        let text = lacks(&bare());
        assert!(text.starts_with("the rights of root; to get it: run it as root"), "{text}");
        assert!(text.contains("\ncontainerd; to get it: apt-get install containerd\n"), "{text}");
        assert!(text.contains("CNI plugins bridge, host-local, loopback, portmap; to"), "{text}");
    }

    #[test]
    fn a_machine_without_namespaces_says_why() {
        let machine = Machine { namespaces: Some("unshare failed: no".into()), ..bare() };
        let text = lacks(&machine);
        assert!(text.contains("processes (unshare failed: no); to get it: a container"), "{text}");
        assert!(!lacks(&bare()).contains("namespaces"));
    }

    #[test]
    fn the_control_plane_needs_only_what_is_built() {
        assert!(bare().lacks_to_run(Level::ControlPlane).is_empty());
    }

    #[test]
    fn an_old_go_is_told_from_none() {
        let build = |machine: Machine| machine.lacks_to_build().unwrap().what;
        assert_eq!(build(bare()), "Go 1.26 or newer");
        let old = Machine { go: Go::parse("go1.24.3"), ..bare() };
        assert_eq!(build(old), "Go 1.26: the one here is 1.24");
        let new = Machine { go: Go::parse("go1.27rc1"), ..bare() };
        assert_eq!(new.lacks_to_build(), None);
    }
}
