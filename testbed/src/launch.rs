//! How a process of the testbed starts another one, so that none outlives its parent.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, getppid};

use crate::state::Spec;
use crate::{keeper, supervisor};

/// The first argument of a process that is a part of a testbed.
const INTERNAL: &str = "testbed-internal";

/// The parts that this program plays for itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Exec,
    Keeper,
    Supervisor,
}

/// Plays a part in a testbed if this process was started for that, and tells how it went.
///
/// A program that brings testbeds up calls it first in `main`: it starts itself again for the
/// processes that outlive the command.
#[must_use]
pub fn dispatch() -> Option<ExitCode> {
    let mut args = env::args_os().skip(1);
    if args.next()?.to_str() != Some(INTERNAL) {
        return None;
    }
    Some(match play(args) {
        Ok(code) => code,
        Err(error) => {
            supervisor::complain(&error);
            ExitCode::FAILURE
        }
    })
}

fn play(mut args: impl Iterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    let part = args.next().context("no part is named")?;
    let text = args.next().context("a part needs an argument")?;
    let text = text.to_str().context("an argument is not text")?;
    match part.to_str().and_then(Part::parse).context("there is no such part")? {
        Part::Exec => exec(text.parse()?, args),
        Part::Keeper => keeper::run(spec(text)?),
        Part::Supervisor => supervisor::run(spec(text)?),
    }
}

fn spec(text: &str) -> anyhow::Result<Spec> {
    serde_json::from_str(text).context("what is to be started is not understood")
}

/// Becomes another program that is killed when the parent ends.
fn exec(parent: i32, mut args: impl Iterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    die_with_parent()?;
    // Had the parent died before that call, no signal would ever come.
    ensure!(getppid().map_or(0, Pid::as_raw_pid) == parent, "the parent has gone");
    let program = args.next().context("no program is named")?;
    let error = Command::new(&program).args(args).exec();
    Err(error).with_context(|| format!("failed to start {}", program.display()))
}

#[cfg(target_os = "linux")]
fn die_with_parent() -> anyhow::Result<()> {
    use rustix::process::{Signal, set_parent_process_death_signal};
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent() -> anyhow::Result<()> {
    bail!("a testbed needs Linux")
}

impl Part {
    fn parse(name: &str) -> Option<Self> {
        [Self::Exec, Self::Keeper, Self::Supervisor].into_iter().find(|part| part.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Keeper => "keeper",
            Self::Supervisor => "supervisor",
        }
    }
}

/// Returns the command for a program that must not outlive this process.
///
/// The main thread has to start it: the kernel looks at the thread, not at the process.
pub(crate) fn bound(program: impl AsRef<OsStr>) -> Command {
    // Also right when the file was replaced by a newer build meanwhile.
    let mut command = Command::new("/proc/self/exe");
    let own = rustix::process::getpid().as_raw_pid().to_string();
    command.args([INTERNAL, Part::Exec.name(), &own]).arg(program);
    command
}

/// Returns the command for the process that outlives the one that starts it.
pub(crate) fn keeper(spec: &Spec) -> anyhow::Result<Command> {
    let mut command = Command::new("/proc/self/exe");
    command.args([INTERNAL, Part::Keeper.name(), &serde_json::to_string(spec)?]);
    Ok(command)
}

/// Returns the command for the parent of all components, inside of a box if one is asked for.
pub(crate) fn supervisor(spec: &Spec, within: Option<&[&str]>) -> anyhow::Result<Command> {
    // Not by /proc/self: that is another program once the box has been made.
    let own = env::current_exe().context("failed to find this program")?;
    if !Path::new(&own).exists() {
        bail!("{} was replaced while it was starting; try again", own.display());
    }
    let mut command = match within {
        Some([program, args @ ..]) => {
            let mut command = bound(program);
            command.args(args).arg(own);
            command
        }
        Some([]) | None => bound(own),
    };
    command.args([INTERNAL, Part::Supervisor.name(), &serde_json::to_string(spec)?]);
    Ok(command)
}
