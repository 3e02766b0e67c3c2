//! What a step says.

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::path::Path;

/// A step, understood.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) act: Act,
    /// What is shown of what comes back; everything but managed fields when empty.
    pub(crate) show: Show,
    /// What has to hold before the step is over.
    pub(crate) until: Vec<Fact>,
    /// Values to remember: name and where they lie.
    pub(crate) save: Vec<(String, Path)>,
}

/// What is done.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Sends a request.
    Request(Request),
    /// Opens a watch under a name.
    Watch { name: String, path: String },
    /// Reads the events of an open watch.
    Events { name: String, end: End },
    /// Plays the kubelet or the scheduler with pods.
    Pods { act: PodAct, selector: String, count: usize },
}

/// When enough events were read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// After so many.
    Count(usize),
    /// When the server ends the watch.
    Closed,
    /// When one meets the facts of the step.
    Facts,
}

/// What is done with pods.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PodAct {
    /// Binds them to a node.
    Bind(String),
    /// Ends their containers: they are removed.
    Finish,
    /// Starts them; they become ready.
    Ready,
    /// Lets them become unready.
    Unready,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    /// The file of `bases/` that the body changes.
    pub(crate) like: Option<String>,
    /// YAML, with placeholders.
    pub(crate) body: Option<String>,
}

/// What is shown of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Show {
    /// Everything but managed fields.
    Body,
    /// Code, and what is refused.
    Code,
    /// These paths.
    Paths(Vec<Path>),
}

/// Something that has to hold for an answer or an event.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) path: Path,
    pub(crate) is: Is,
}

/// What a value has to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Is {
    Absent,
    Equal(String),
    Other(String),
    Present,
}

impl Request {
    pub(crate) fn writes(&self) -> bool {
        self.method != "GET" && !self.path.contains("dryRun=All")
    }
}

impl PodAct {
    /// Fills the name of a node.
    pub(crate) fn map_node(&self, fill: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Bind(node) => Self::Bind(fill(node)),
            Self::Finish | Self::Ready | Self::Unready => self.clone(),
        }
    }
}

impl Fact {
    /// That an answer has a code.
    pub(crate) fn code(code: u16) -> Self {
        Self { path: Path::parse("code"), is: Is::Equal(code.to_string()) }
    }

    /// Fills the value.
    pub(crate) fn map(&self, fill: impl FnOnce(&str) -> String) -> Self {
        let is = match &self.is {
            Is::Equal(value) => Is::Equal(fill(value)),
            Is::Other(value) => Is::Other(fill(value)),
            Is::Absent | Is::Present => self.is.clone(),
        };
        Self { path: self.path.clone(), is }
    }

    fn parse(text: &str) -> Self {
        let (path, is) = if let Some((path, value)) = text.split_once("!=") {
            (path, Is::Other(value.to_owned()))
        } else if let Some((path, value)) = text.split_once('=') {
            (path, Is::Equal(value.to_owned()))
        } else if let Some(path) = text.strip_prefix('!') {
            (path, Is::Absent)
        } else {
            (text, Is::Present)
        };
        Self { path: Path::parse(path), is }
    }

    /// Tells whether it holds.
    pub(crate) fn holds(&self, value: &Value) -> bool {
        let found = self.path.find(value).filter(|found| !found.is_null());
        match (&self.is, found) {
            (Is::Absent, found) => found.is_none(),
            (Is::Present, found) => found.is_some(),
            (Is::Equal(wanted), Some(found)) => plain(found) == *wanted,
            (Is::Equal(_), None) => false,
            (Is::Other(wanted), found) => found.is_none_or(|found| plain(found) != *wanted),
        }
    }
}

/// Returns a value as it stands in a fact: text without quotes.
pub(crate) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Command {
    /// Understands a step.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let head = lines.next().context("a step says nothing")?;
        let mut command = Self::head(head).with_context(|| format!("not understood: {head}"))?;
        let mut body = String::new();
        for line in lines {
            if line.starts_with("  ") || line.is_empty() {
                body += line.get(2..).unwrap_or_default();
                body.push('\n');
            } else {
                command.option(line).with_context(|| format!("not understood: {line}"))?;
            }
        }
        if !body.is_empty() {
            let Act::Request(request) = &mut command.act else {
                bail!("only a request has a body: {head}")
            };
            request.body = Some(body);
        }
        Ok(command)
    }

    fn head(head: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = head.split(' ').collect();
        let act = match words.as_slice() {
            ["watch", name, path] => {
                Act::Watch { name: (*name).to_owned(), path: (*path).to_owned() }
            }
            ["events", name, rest @ ..] => {
                let end = match rest {
                    [] => End::Facts,
                    ["closed"] => End::Closed,
                    [count] => End::Count(count.parse()?),
                    _ => bail!("too much after the name"),
                };
                Act::Events { name: (*name).to_owned(), end }
            }
            [verb @ ("bind" | "finish" | "ready" | "unready"), selector, count, rest @ ..] => {
                let act = match (*verb, rest) {
                    ("bind", [node]) => PodAct::Bind((*node).to_owned()),
                    ("finish", []) => PodAct::Finish,
                    ("ready", []) => PodAct::Ready,
                    ("unready", []) => PodAct::Unready,
                    _ => bail!("too much or too little after the number"),
                };
                Act::Pods { act, selector: (*selector).to_owned(), count: count.parse()? }
            }
            [verb, path, rest @ ..] => {
                let (method, content_type) = method(verb)?;
                let like = match rest {
                    [] => None,
                    ["like", base] => Some((*base).to_owned()),
                    _ => bail!("too much after the path"),
                };
                Act::Request(Request {
                    method,
                    content_type,
                    path: (*path).to_owned(),
                    headers: Vec::new(),
                    like,
                    body: None,
                })
            }
            _ => bail!("too short"),
        };
        Ok(Self { act, show: Show::Body, until: Vec::new(), save: Vec::new() })
    }

    fn option(&mut self, line: &str) -> anyhow::Result<()> {
        let (word, rest) = line.split_once(' ').context("an option without a value")?;
        match word {
            "show" if rest == "code" => self.show = Show::Code,
            "show" => self.show = Show::Paths(rest.split(' ').map(Path::parse).collect()),
            "until" => self.until.extend(rest.split(' ').map(Fact::parse)),
            "save" => {
                let (name, path) = rest.split_once(' ').context("a name without a path")?;
                self.save.push((name.to_owned(), Path::parse(path)));
            }
            "header" => {
                let (name, value) = rest.split_once(": ").context("a header without a value")?;
                let Act::Request(request) = &mut self.act else { bail!("only for requests") };
                request.headers.push((name.to_owned(), value.to_owned()));
            }
            _ => bail!("unknown option"),
        }
        ensure!(
            self.until.is_empty() || !self.act.writes(),
            "a request that writes is not repeated"
        );
        Ok(())
    }
}

impl Act {
    fn writes(&self) -> bool {
        matches!(self, Self::Request(request) if request.writes())
    }
}

fn method(verb: &str) -> anyhow::Result<(&'static str, &'static str)> {
    Ok(match verb {
        "GET" => ("GET", ""),
        "POST" => ("POST", "application/json"),
        "PUT" => ("PUT", "application/json"),
        "DELETE" => ("DELETE", "application/json"),
        "JSON-PATCH" => ("PATCH", "application/json-patch+json"),
        "MERGE-PATCH" => ("PATCH", "application/merge-patch+json"),
        "STRATEGIC-PATCH" => ("PATCH", "application/strategic-merge-patch+json"),
        "APPLY" => ("PATCH", "application/apply-patch+yaml"),
        _ => bail!("unknown verb"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Act, Command, Fact};

    #[test]
    fn a_request_with_body_and_options_is_understood() {
        let text =
            "MERGE-PATCH pods/a\n  metadata: {name: a}\nshow spec status\nsave u metadata.uid";
        let command = Command::parse(text).unwrap();
        let Act::Request(request) = &command.act else { panic!("{command:?}") };
        assert_eq!(request.content_type, "application/merge-patch+json");
        assert_eq!(request.body.as_deref(), Some("metadata: {name: a}\n"));
        assert_eq!(command.save.len(), 1);
    }

    #[test]
    fn a_write_is_never_repeated() {
        assert!(Command::parse("POST pods\nuntil status.phase=Running").is_err());
        assert!(Command::parse("POST pods?dryRun=All\nuntil code=403").is_ok());
    }

    #[test]
    fn facts_compare_plain_values() {
        let value = json!({"a": 1, "b": "x"});
        for (text, holds) in [
            ("a=1", true),
            ("b=x", true),
            ("b!=x", false),
            ("c!=x", true),
            ("!c", true),
            ("c", false),
        ] {
            assert_eq!(Fact::parse(text).holds(&value), holds, "{text}");
        }
    }
}
