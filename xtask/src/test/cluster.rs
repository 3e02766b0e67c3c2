//! The real Kubernetes that some stages need.

use std::process::Command;

use anyhow::Context;
use zdd_testbed::{Event, Lack, Level, Lifetime, Machine, Options, Testbed};

use crate::test::machine::Missing;

/// What a stage needs of a real Kubernetes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Cluster {
    /// Nothing.
    #[default]
    None,
    /// All parts of it: its tests bring it up and down themselves.
    Parts(Level),
    /// One that is up while its calls run.
    Up(Level),
}

impl Cluster {
    /// Returns what the machine lacks for it.
    pub(super) fn lacks(self) -> Vec<Missing> {
        let lacks = match self {
            Self::None => Vec::new(),
            Self::Parts(level) | Self::Up(level) => Machine::here().lacks(level),
        };
        let missing = |lack: Lack| Missing { program: lack.what, install: lack.remedy };
        lacks.into_iter().map(missing).collect()
    }

    /// Brings it up if it has to be. It ends with this process, whatever ends that.
    pub(super) fn up(self) -> anyhow::Result<Option<Testbed>> {
        let level = match self {
            Self::None | Self::Parts(_) => return Ok(None),
            Self::Up(level) => level,
        };
        let mut options = Options::named(level, &format!("test-{}", std::process::id()))?;
        options.lifetime = Lifetime::Tied;
        let mut show = |event: &Event| {
            if let Event::Building { what, number, of } = event {
                eprintln!("building {what}, {number} of {of}");
            }
        };
        let testbed = Testbed::up(&options, &mut show)
            .with_context(|| format!("the {level} did not come up"))?;
        let info = testbed.info();
        eprintln!("the {level} was ready after {} ms: {:?}", info.ready_ms, info.stages);
        Ok(Some(testbed))
    }
}

/// Returns the command for a program whose tests use a testbed.
pub(super) fn command(testbed: &Testbed, program: &std::ffi::OsStr) -> anyhow::Result<Command> {
    let info = testbed.info();
    let mut command = testbed.command(program)?;
    command
        .env("ZDD_TESTBED_KUBECONFIG", &info.kubeconfig)
        .env("ZDD_TESTBED_LEVEL", info.level.name())
        .env("ZDD_TESTBED_AUDIT_LOG", &info.audit_log);
    Ok(command)
}
