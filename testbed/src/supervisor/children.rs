//! The processes that a supervisor has started, and orphans that fell to it.
//!
//! On the node level the supervisor is the first process of its box, and the parent of everything
//! that lost its own: it waits for any process, so nothing else here may wait for one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::rc::Rc;

use anyhow::Context;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// All processes that run.
#[derive(Debug, Default)]
pub(crate) struct Children {
    running: RefCell<HashMap<i32, Rc<Child>>>,
}

/// One process.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: Pid,
    status: Cell<Option<ExitStatus>>,
    ended: Notify,
    /// How often its component was started, with this time.
    pub(crate) starts: u32,
    /// Whether somebody asked for its end.
    pub(crate) doomed: Cell<bool>,
    /// Whether it was stopped by a signal.
    pub(crate) stopped: Cell<bool>,
}

impl Children {
    /// Starts a process.
    pub(crate) fn spawn(&self, command: &mut Command, starts: u32) -> anyhow::Result<Rc<Child>> {
        let process = command.spawn().with_context(|| {
            format!("failed to start {}", command.get_program().to_string_lossy())
        })?;
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        let child = Rc::new(Child {
            pid: pid.context("a process has no number")?,
            starts,
            status: Cell::new(None),
            ended: Notify::new(),
            doomed: Cell::new(false),
            stopped: Cell::new(false),
        });
        self.running.borrow_mut().insert(child.pid.as_raw_pid(), Rc::clone(&child));
        Ok(child)
    }

    /// Takes note of every process that ends, for ever.
    pub(crate) async fn reap(&self) -> anyhow::Result<()> {
        let mut signals = signal(SignalKind::child())?;
        loop {
            while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
                if let Some(child) = self.running.borrow_mut().remove(&pid.as_raw_pid()) {
                    child.status.set(Some(ExitStatus::from_raw(status.as_raw())));
                    child.ended.notify_waiters();
                }
            }
            signals.recv().await.context("no more signals")?;
        }
    }

    /// Kills everything that runs, and waits for it.
    pub(crate) fn kill_all(&self) {
        let running = self.running.borrow();
        for child in running.values() {
            kill_process(child.pid, Signal::KILL).ok();
        }
        for child in running.values() {
            rustix::process::waitpid(Some(child.pid), WaitOptions::empty()).ok();
        }
    }
}

impl Child {
    /// Tells how it ended, if it has.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.status.get()
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) -> ExitStatus {
        loop {
            let notified = self.ended.notified();
            if let Some(status) = self.status.get() {
                return status;
            }
            notified.await;
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        anyhow::ensure!(self.status.get().is_none(), "it has ended");
        kill_process(self.pid, signal)?;
        match signal {
            Signal::STOP => self.stopped.set(true),
            Signal::CONT => self.stopped.set(false),
            _ => self.doomed.set(true),
        }
        Ok(())
    }
}
