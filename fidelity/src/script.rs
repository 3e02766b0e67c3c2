//! The files: a fact, steps, and below each step what was observed.

use anyhow::{Context, ensure};

/// Marks a line of the record.
const RECORD: char = '|';

/// A file of `scripts/`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Script {
    /// Folder and file name without ending: `patch/a_wrong_uid_is_refused`.
    pub name: String,
    /// What the script shows, as a sentence.
    pub fact: String,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// One step of a script.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// The lines that say what is done.
    pub text: String,
    /// The lines that say what the real control plane answered.
    pub record: Vec<String>,
}

impl Script {
    /// Reads a file.
    ///
    /// # Errors
    /// When there is no fact or no step.
    pub fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let mut blocks = text.split("\n\n").map(str::trim_end).filter(|block| !block.is_empty());
        let fact = blocks.next().with_context(|| format!("{name} states no fact"))?;
        let steps: Vec<Step> = blocks.map(Step::parse).collect();
        ensure!(!steps.is_empty(), "{name} does nothing");
        let fact = fact.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Self { name: name.to_owned(), fact, steps })
    }

    /// Returns the same script with another record.
    #[must_use]
    pub fn with_record(&self, record: &[Vec<String>]) -> Self {
        let mut script = self.clone();
        for (index, step) in script.steps.iter_mut().enumerate() {
            step.record = record.get(index).cloned().unwrap_or_default();
        }
        script
    }

    /// Returns what was observed on the real control plane, step by step.
    #[must_use]
    pub fn record(&self) -> Vec<Vec<String>> {
        self.steps.iter().map(|step| step.record.clone()).collect()
    }

    /// Tells whether the script was ever recorded.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.steps.iter().any(|step| !step.record.is_empty())
    }

    /// Writes the file.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = fill(&self.fact);
        for step in &self.steps {
            text += "\n";
            text += &step.text;
            text += "\n";
            for line in &step.record {
                text += format!("{RECORD} {line}").trim_end();
                text += "\n";
            }
        }
        text
    }
}

impl Step {
    fn parse(block: &str) -> Self {
        let (record, text): (Vec<_>, Vec<_>) =
            block.lines().partition(|line| line.starts_with(RECORD));
        let record = record.iter().map(|line| line[1..].strip_prefix(' ').unwrap_or("").to_owned());
        Self { text: text.join("\n"), record: record.collect() }
    }
}

/// Breaks a sentence into lines of at most 100 characters.
fn fill(sentence: &str) -> String {
    let mut lines = vec![String::new()];
    for word in sentence.split(' ') {
        let line = lines.last_mut().map(|line| line.len()).unwrap_or_default();
        if line > 0 && line + 1 + word.len() > 100 {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::Script;

    const TEXT: &str =
        "A thing is so.\n\nGET pods/a\nshow spec\n| 200 OK\n|\n| spec.x: 1\n\nGET b\n";

    #[test]
    fn a_file_is_read_and_written_unchanged() {
        let script = Script::parse("x/y", TEXT).unwrap();
        assert_eq!(script.steps.len(), 2);
        assert_eq!(script.steps[0].record, ["200 OK", "", "spec.x: 1"]);
        assert_eq!(script.render(), TEXT);
    }

    #[test]
    fn a_file_without_steps_is_refused() {
        assert!(Script::parse("x/y", "A thing is so.\n").is_err());
    }
}
