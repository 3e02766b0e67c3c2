//! The rules of this project that no compiler knows.
//!
//! Each rule is a function from the workspace as values to findings, so that
//! its tests can hand it a workspace that breaks it.

mod arrows;
mod docs;
mod lengths;
mod manifests;
mod modules;
mod rust;
mod words;

use std::fmt;
use std::process::ExitCode;

use crate::workspace::Workspace;

/// A rule: its name and what it finds.
type Rule = (&'static str, fn(&Workspace) -> Vec<Finding>);

/// All rules.
const RULES: &[Rule] = &[
    ("arrows", arrows::check),
    ("docs", docs::check),
    ("lengths", lengths::check),
    ("manifests", manifests::check),
    ("modules", modules::check),
    ("words", words::check),
];

/// A place that breaks a rule.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    level: Level,
    problem: String,
}

/// Whether a finding fails the check.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Level {
    /// It does.
    Error,
    /// It is only shown.
    Warning,
}

impl Finding {
    fn error(path: &str, line: usize, problem: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, level: Level::Error, problem: problem.into() }
    }

    fn warning(path: &str, line: usize, problem: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(path, line, problem) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        match self.line {
            0 => write!(f, "{level}: {}: {}", self.path, self.problem),
            line => write!(f, "{level}: {}:{line}: {}", self.path, self.problem),
        }
    }
}

/// Checks the workspace and prints what was found.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let workspace = Workspace::read()?;
    let mut errors = 0;
    for (name, rule) in RULES {
        let mut findings = rule(&workspace);
        findings.sort();
        let failed = findings.iter().filter(|finding| finding.level == Level::Error).count();
        println!("tidy {name}: {failed} errors, {} warnings", findings.len() - failed);
        for finding in findings {
            println!("  {finding}");
        }
        errors += failed;
    }
    println!("tidy: {} files, {errors} errors", workspace.files.len());
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::{Finding, Level, RULES};
    use crate::workspace::{File, Workspace};

    /// A workspace of the given files.
    pub(super) fn workspace(files: &[(&str, &str)]) -> Workspace {
        let file =
            |(path, text): &(&str, &str)| File { path: (*path).into(), text: (*text).into() };
        let paths = files.iter().map(|(path, _)| (*path).to_owned()).collect();
        Workspace { files: files.iter().map(file).collect(), paths, ..Workspace::default() }
    }

    /// The findings, as lines.
    pub(super) fn lines<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<String> {
        findings.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_workspace_is_tidy() {
        let workspace = Workspace::read().unwrap();
        let findings = RULES.iter().flat_map(|(_, rule)| rule(&workspace));
        let errors: Vec<_> = findings.filter(|finding| finding.level == Level::Error).collect();
        assert!(errors.is_empty(), "{:#?}", lines(&errors));
    }
}
