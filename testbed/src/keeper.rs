//! The process outside of the box: holds the lock, and clears up however the testbed ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};

use crate::control::{self, Request};
use crate::plan::Level;
use crate::state::{Event, Info, Spec};
use crate::supervisor::report;
use crate::{launch, room};

/// The file whose lock says that a testbed is up.
pub(crate) const LOCK: &str = "lock";
/// What stays behind when a testbed did not come up, or was killed.
const LOGS: &str = "logs";
/// How long a supervisor has to take everything down.
const GRACE: Duration = Duration::from_secs(10);

/// Keeps a testbed until it ends.
pub(crate) fn run(spec: Spec) -> anyhow::Result<ExitCode> {
    keep(&Spec { keeper: std::process::id(), ..spec })
}

fn keep(spec: &Spec) -> anyhow::Result<ExitCode> {
    // Signals for the terminal's foreground are not for a testbed that outlives its command.
    rustix::process::setsid().ok();
    let Some(_lock) = lock(&spec.dir)? else {
        let running = Info::read(&spec.dir).ok().flatten();
        let keeper = running.map_or_else(String::new, |info| format!(" (keeper {})", info.keeper));
        bail!(
            "a testbed is already up in {}{keeper}; take it down, or name another one",
            spec.dir.display()
        );
    };
    if clear(&spec.dir, &[LOCK])? {
        report(&Event::Cleared { dir: spec.dir.clone() });
    }
    fs::create_dir_all(spec.dir.join(LOGS)).context("failed to make the folder of the logs")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(watch(spec));
    // The supervisor may have been killed in the midst of anything.
    let cleared = clear(&spec.dir, &[LOCK, LOGS]);
    if matches!(outcome, Ok(Outcome::TakenDown)) {
        clear(&spec.dir, &[])?;
        fs::remove_dir(&spec.dir).ok();
    }
    cleared?;
    Ok(match outcome? {
        Outcome::TakenDown => ExitCode::SUCCESS,
        Outcome::Ended => ExitCode::FAILURE,
    })
}

/// How a supervisor ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// It was asked to.
    TakenDown,
    /// By itself, or it was killed.
    Ended,
}

async fn watch(spec: &Spec) -> anyhow::Result<Outcome> {
    let within = match spec.level {
        Level::ControlPlane => None,
        Level::Node => Some(room::UNSHARE),
    };
    let mut command = launch::supervisor(spec, within)?;
    let log = spec.dir.join(LOGS).join("supervisor.log");
    let log = File::create(&log).with_context(|| format!("failed to make {}", log.display()))?;
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(log);
    let mut child =
        tokio::process::Command::from(command).spawn().context("failed to start the supervisor")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let status = tokio::select! {
        status = child.wait() => status?,
        _ = terminate.recv() => down(spec, &mut child).await?,
        _ = interrupt.recv() => down(spec, &mut child).await?,
    };
    Ok(if status.success() { Outcome::TakenDown } else { Outcome::Ended })
}

/// Asks the supervisor to end, and kills it if it does not.
async fn down(
    spec: &Spec,
    child: &mut tokio::process::Child,
) -> io::Result<std::process::ExitStatus> {
    if control::ask(&spec.dir, &Request::Down).is_ok()
        && let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await
    {
        return status;
    }
    child.kill().await?;
    child.wait().await
}

/// Takes the lock of a state folder, which is made if need be; `None` while a testbed is up.
pub(crate) fn lock(dir: &Path) -> anyhow::Result<Option<File>> {
    let mut builder = fs::DirBuilder::new();
    // Whoever can read a key in there is an administrator.
    builder.recursive(true).mode(0o700);
    builder.create(dir).with_context(|| format!("failed to make {}", dir.display()))?;
    let path = dir.join(LOCK);
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    let file = options.open(&path).with_context(|| format!("failed to open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("failed to lock {}", path.display()))
        }
    }
}

/// Removes what a testbed made, except for some files of its folder; tells if there was anything.
pub(crate) fn clear(dir: &Path, keep: &[&str]) -> anyhow::Result<bool> {
    let mut found = false;
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            return Err(error).with_context(|| format!("failed to list {}", dir.display()));
        }
    };
    for entry in entries {
        let entry = entry?;
        if keep.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let path = entry.path();
        // Logs of a run that failed are no sign of one that was killed.
        found |= entry.file_name() != LOGS;
        remove(&path).with_context(|| format!("failed to remove {}", path.display()))?;
    }
    room::clear_cgroups();
    Ok(found)
}

fn remove(path: &PathBuf) -> io::Result<()> {
    if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}
