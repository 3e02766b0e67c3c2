//! What a supervisor can be asked, over a socket in the state folder.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::plan::Component;

/// The longest path that a Unix socket may have, on Linux.
const LONGEST: usize = 107;
/// How long an answer may take: a component that is started again has to become ready.
const PATIENCE: Duration = Duration::from_secs(90);

/// A question.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// How are the components?
    Status,
    /// Send a signal, by its number.
    Signal { component: Component, signal: i32 },
    /// Start a component that has ended, and wait until it is ready.
    Start { component: Component },
    /// Take everything down.
    Down,
}

/// An answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    Done,
    Status(Vec<Status>),
    Refused(String),
}

/// How a component is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Which one.
    pub component: Component,
    /// Its process as the supervisor sees it: on the node level a number inside the box.
    pub pid: Option<i32>,
    /// Whether it runs.
    pub condition: Condition,
    /// How often it was started.
    pub starts: u32,
    /// Its log.
    pub log: PathBuf,
}

/// Whether a component runs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "condition", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Condition {
    /// It runs.
    Running,
    /// It was stopped by a signal and can go on.
    Stopped,
    /// It was killed on request.
    Killed,
    /// It ended, and nobody had asked for that.
    Ended {
        /// How.
        how: String,
    },
}

/// Returns the path of the socket; refuses a state folder that is too deep for one.
pub(crate) fn socket(dir: &Path) -> anyhow::Result<PathBuf> {
    let path = dir.join("control.sock");
    ensure!(
        path.as_os_str().len() <= LONGEST,
        "{} is too long for the path of a socket; choose another folder by --state",
        path.display()
    );
    Ok(path)
}

/// Asks the supervisor of a testbed.
pub(crate) fn ask(dir: &Path, request: &Request) -> anyhow::Result<Answer> {
    let path = socket(dir)?;
    // A supervisor that is just dying takes the connection and closes it.
    let silent = || format!("no testbed answers at {}", path.display());
    let mut stream = UnixStream::connect(&path).with_context(silent)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).with_context(silent)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).with_context(silent)?;
    ensure!(!answer.is_empty(), silent());
    match serde_json::from_str(&answer).context("the answer of the supervisor is not understood")? {
        Answer::Refused(problem) => bail!(problem),
        answer @ (Answer::Done | Answer::Status(_)) => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn one_that_hangs_up_does_not_answer() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket(dir.path()).unwrap()).unwrap();
        // Closed with the request unread, and closed after it: a reset, and an end.
        for read in [false, true] {
            let error = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let stream = listener.accept().unwrap().0;
                    let mut line = String::new();
                    if read {
                        BufReader::new(stream).read_line(&mut line).unwrap();
                    }
                });
                ask(dir.path(), &Request::Status).unwrap_err()
            });
            assert!(error.to_string().starts_with("no testbed answers at "), "{error:#}");
        }
    }
}
