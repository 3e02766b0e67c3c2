//! Ends all process groups when this process ends, in whatever way.
//!
//! Destructors do not run when a process is killed, and the groups of containers do not get the
//! Ctrl-C of a terminal. So a shell holds the read end of a pipe and the list of groups; when the
//! pipe breaks, it kills what is on the list.

use std::fs::File;
use std::io::{self, Write};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use tokio::process::Command;

/// Waits for the end of its input; the list has a space on both sides of each number.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
live=' '
while read -r change group; do
  case $change in
    +) live="$live$group " ;;
    -) live="${live%% "$group" *} ${live#* "$group" }" ;;
  esac
done
for group in $live; do kill -s KILL -- "-$group" 2>/dev/null; done
"#;

/// The write end of the pipe.
#[derive(Debug)]
pub(super) struct Guard {
    pipe: Mutex<File>,
}

impl Guard {
    /// Starts the shell. Must be called within a tokio runtime, which reaps it.
    pub(super) fn start() -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pipe = shell.stdin.take().ok_or_else(|| io::Error::other("the shell has no input"))?;
        Ok(Self { pipe: Mutex::new(pipe.into_owned_fd()?.into()) })
    }

    pub(super) fn add(&self, group: i32) {
        self.tell('+', group);
    }

    pub(super) fn remove(&self, group: i32) {
        self.tell('-', group);
    }

    fn tell(&self, change: char, group: i32) {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        // Without its guard a group still ends with the runtime; only a killed process leaves it.
        if let Err(error) = pipe.write_all(format!("{change} {group}\n").as_bytes()) {
            tracing::warn!(group, %error, "the guard of process groups is gone");
        }
    }
}
