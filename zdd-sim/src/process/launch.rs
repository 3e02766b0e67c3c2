//! How commands run in a container: its environment, its directory, its process group.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use tokio::process::Command;

/// The surroundings of a container's commands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launch {
    pub(super) env: BTreeMap<String, String>,
    pub(super) directory: Option<PathBuf>,
    /// The group to join; `None` for the first process, which leads a new one.
    pub(super) group: Option<i32>,
}

impl Launch {
    /// Prepares a further command in the container, for exec probes and handlers. It ends at the
    /// latest with the container, or when it is dropped.
    pub(crate) fn exec(&self, words: &[String]) -> io::Result<Command> {
        let (program, args) = words
            .split_first()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"))?;
        let mut command = self.command(program, args);
        command.kill_on_drop(true);
        if let Some(group) = self.group {
            command.process_group(group);
        }
        Ok(command)
    }

    pub(super) fn command(&self, program: impl AsRef<OsStr>, args: &[String]) -> Command {
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(&self.env);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}
