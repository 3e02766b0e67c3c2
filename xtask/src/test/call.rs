//! One command of a stage.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use zdd_testbed::Testbed;

use crate::test::cluster;
use crate::test::counts::Counts;
use crate::workspace;

/// A call of cargo or of another program.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    program: Option<&'static str>,
    args: Vec<String>,
    env: Vec<(&'static str, String)>,
}

impl Call {
    /// Calls cargo with arguments that are separated by spaces.
    pub(super) fn cargo(args: &str) -> Self {
        Self { args: args.split_whitespace().map(str::to_owned).collect(), ..Self::default() }
    }

    /// Calls another program.
    pub(super) fn program(program: &'static str, args: &str) -> Self {
        Self { program: Some(program), ..Self::cargo(args) }
    }

    /// Returns the call that only builds what this one runs, if it runs tests.
    pub(super) fn build(&self) -> Option<Self> {
        let end = self.args.iter().position(|arg| arg == "--").unwrap_or(self.args.len());
        let mut build = Self { args: self.args[..end].to_vec(), ..self.clone() };
        build.args.push("--no-run".to_owned());
        (self.program.is_none() && self.args.first()? == "test").then_some(build)
    }

    /// Sets a variable of the environment.
    pub(super) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Runs it; passes its output on and adds the tests up that it reports.
    pub(super) fn run(&self, testbed: Option<&Testbed>, tests: &mut Counts) -> anyhow::Result<()> {
        let program = self.program.map_or_else(workspace::cargo, Into::into);
        let mut command = match testbed {
            Some(testbed) => cluster::command(testbed, program.as_os_str())?,
            None => Command::new(program),
        };
        command.args(&self.args).current_dir(workspace::root()).stdin(Stdio::null());
        command.stdout(Stdio::piped());
        // What cargo told this program about itself would make build scripts run again.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn().with_context(|| format!("failed to start {self}"))?;
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).split(b'\n') {
                let line = line?;
                let line = String::from_utf8_lossy(&line);
                println!("{line}");
                tests.add(&line);
            }
        }
        let status = child.wait().with_context(|| format!("failed to wait for {self}"))?;
        if !status.success() {
            bail!("{self} ended with {status}");
        }
        Ok(())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}='{value}' ")?;
        }
        write!(f, "{} {}", self.program.unwrap_or("cargo"), self.args.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::Call;

    #[test]
    fn tests_can_be_built_without_being_run() {
        let build = Call::cargo("test -p a real:: -- --ignored").env("A", "1").build();
        assert_eq!(build.unwrap().to_string(), "A='1' cargo test -p a real:: --no-run");
        assert!(Call::cargo("clippy -p a").build().is_none());
    }
}
