//! What was measured so far, in a file of JSON lines.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{
    measure::Shutdown,
    scenario::{Peer, Scenario},
};

/// One shutdown and what it was of.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    scenario: String,
    /// The conditions in words, so that a file from other settings is not mixed in.
    what: String,
    server: String,
    threads: usize,
    round: u32,
    shutdown: Shutdown,
}

/// Shutdowns, and the file that keeps them.
#[derive(Debug)]
pub(crate) struct Record {
    entries: Vec<Entry>,
    file: Option<File>,
}

impl Record {
    /// Opens a file and reads what it holds; without one, keeps everything in memory.
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self { entries: Vec::new(), file: None }) };
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .with_context(|| format!("failed to open {}", path.display()))?;
        let mut entries = Vec::new();
        for (number, line) in BufReader::new(&file).lines().enumerate() {
            let entry = serde_json::from_str(&line?).with_context(|| {
                format!("line {} of {} is no shutdown", number + 1, path.display())
            })?;
            entries.push(entry);
        }
        Ok(Self { entries, file: Some(file) })
    }

    pub(crate) fn has(&self, scenario: &Scenario, peer: &Peer, round: u32) -> bool {
        self.entries.iter().any(|entry| entry.is_of(scenario, peer) && entry.round == round)
    }

    pub(crate) fn add(
        &mut self,
        scenario: &Scenario,
        peer: &Peer,
        round: u32,
        shutdown: Shutdown,
    ) -> anyhow::Result<()> {
        let entry = Entry {
            scenario: scenario.name.to_owned(),
            what: scenario.what.clone(),
            server: peer.name.to_owned(),
            threads: scenario.threads,
            round,
            shutdown,
        };
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", serde_json::to_string(&entry)?)
                .context("failed to keep a shutdown")?;
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Returns the shutdowns of one row, in order.
    pub(crate) fn of(&self, scenario: &Scenario, peer: &Peer) -> Vec<Shutdown> {
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| entry.is_of(scenario, peer) && entry.round < scenario.shutdowns)
            .collect();
        entries.sort_by_key(|entry| entry.round);
        entries.into_iter().map(|entry| entry.shutdown.clone()).collect()
    }
}

impl Entry {
    fn is_of(&self, scenario: &Scenario, peer: &Peer) -> bool {
        self.scenario == scenario.name
            && self.what == scenario.what
            && self.server == peer.name
            && self.threads == scenario.threads
    }
}
