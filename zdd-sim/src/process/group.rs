//! Process groups: one per container, so that what a container's process started ends with it.

use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use super::guard::Guard;

/// The process group of one container.
///
/// Kills the whole group when it is dropped.
#[derive(Debug)]
pub(super) struct Group {
    /// `None` once the leader has been reaped; its number may then belong to someone else.
    leader: Mutex<Option<Pid>>,
    number: i32,
    guard: Arc<Guard>,
}

impl Group {
    /// Starts a command as the leader of a new group.
    pub(super) fn start(
        mut command: Command,
        guard: &Arc<Guard>,
    ) -> io::Result<(Arc<Self>, Child)> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn()?;
        let number = child.id().and_then(|id| i32::try_from(id).ok());
        let (number, leader) = number
            .and_then(|number| Some((number, Pid::from_raw(number)?)))
            .ok_or_else(|| io::Error::other("the child has no process id"))?;
        guard.add(number);
        let group = Self { leader: Mutex::new(Some(leader)), number, guard: Arc::clone(guard) };
        Ok((Arc::new(group), child))
    }

    /// Returns the number of the group, which is the leader's process id.
    pub(super) fn number(&self) -> i32 {
        self.number
    }

    /// Sends SIGTERM to the leader alone, as container runtimes do.
    pub(super) fn terminate(&self) {
        self.with_leader(|leader| kill_process(leader, Signal::TERM));
    }

    /// Sends SIGKILL to the group.
    pub(super) fn kill(&self) {
        self.with_leader(|leader| kill_process_group(leader, Signal::KILL));
    }

    /// Ends what is left of the group after its leader has been reaped, as the end of a
    /// container's first process ends its PID namespace.
    pub(super) fn reaped(&self) {
        self.kill();
        if self.leader.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            self.guard.remove(self.number);
        }
    }

    fn with_leader(&self, send: impl FnOnce(Pid) -> rustix::io::Result<()>) {
        let leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leader) = *leader
            && let Err(error) = send(leader)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(pid = self.number, %error, "failed to signal");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.reaped();
    }
}
