//! The commands of people at a terminal.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "commands for people at a terminal")]

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::control::{Condition, Status};
use crate::machine::Machine;
use crate::plan::{Component, Level};
use crate::state::{Event, Info};
use crate::testbed::{self, Options, Signal};
use crate::truth::Truth;
use crate::{image, paths, tools};

/// Brings a real Kubernetes up and down.
#[derive(Args, Debug)]
pub struct Testbed {
    /// Which testbed: several can be up at once.
    #[arg(long, global = true, default_value = "default")]
    name: String,
    /// The folder of its state, instead of one that is named after it.
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds what a level needs, and starts nothing.
    Build {
        /// How much of a cluster.
        #[arg(long, value_enum, default_value_t)]
        level: Level,
    },
    /// Brings it up, and returns when it is ready.
    Up {
        /// How much of a cluster.
        #[arg(long, value_enum, default_value_t)]
        level: Level,
        /// The port of the API server, instead of any that is free.
        #[arg(long, value_name = "PORT")]
        api_port: Option<u16>,
    },
    /// Takes it down; nothing of it is left.
    Down,
    /// Tells how it is.
    Status,
    /// Runs a shell, or a command, that reaches it: `kubectl` is in the path.
    Shell {
        /// Inside of the box, with its mounts and processes, instead of its network alone.
        #[arg(long)]
        inside: bool,
        /// The command; a shell if there is none.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Sends a signal to a component.
    Signal {
        /// Which one.
        #[arg(value_enum)]
        component: Component,
        /// What.
        #[arg(value_enum)]
        signal: Signal,
    },
    /// Starts a component that has ended.
    Restart {
        /// Which one.
        #[arg(value_enum)]
        component: Component,
    },
    /// Rolls out on a real node under load and faults, and counts the requests that fail.
    Truth(Truth),
    /// Makes credentials for a user who may do nothing yet, and prints the path of a kubeconfig.
    User {
        /// The name.
        user: String,
        /// A group.
        #[arg(long)]
        group: Option<String>,
    },
}

impl Testbed {
    /// Runs the command, and says what is wrong if it fails.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        self.try_run().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        })
    }

    fn try_run(&self) -> anyhow::Result<ExitCode> {
        let dir = match &self.state {
            Some(dir) => std::path::absolute(dir)?,
            None => paths::state(&self.name)?,
        };
        let find = || testbed::Testbed::find(&dir);
        match &self.command {
            Command::Build { level } => Self::build(*level)?,
            Command::Up { level, api_port } => {
                let (level, api_port) = (*level, *api_port);
                self.up(&Options { level, api_port, dir, ..Options::default() })?;
            }
            Command::Down => match testbed::clear(&dir)? {
                true => eprintln!("down"),
                false => eprintln!("nothing was up in {}", dir.display()),
            },
            Command::Status => return self.status(&find()?),
            Command::Shell { inside, command } => return shell(&find()?, *inside, command),
            Command::Signal { component, signal } => find()?.signal(*component, *signal)?,
            Command::Restart { component } => find()?.restart(*component)?,
            Command::Truth(truth) => {
                let progress = Progress::new();
                return truth.run(&dir, self.json, &mut |event| {
                    progress.show(event);
                    if matches!(event, Event::Up { .. }) {
                        progress.clear();
                    }
                });
            }
            Command::User { user, group } => {
                println!("{}", find()?.user(user, group.as_deref())?.display());
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn build(level: Level) -> anyhow::Result<()> {
        let progress = Progress::new();
        let bin = tools::build(&Machine::here(), level, &mut |event| progress.show(event))?;
        if level == Level::Node {
            image::build(&mut |event| progress.show(event))?;
        }
        progress.clear();
        println!("{}", bin.display());
        Ok(())
    }

    fn up(&self, options: &Options) -> anyhow::Result<()> {
        let progress = Progress::new();
        let up = testbed::Testbed::up(options, &mut |event| progress.show(event));
        progress.clear();
        let up = up?;
        if self.json {
            println!("{}", serde_json::to_string(up.info())?);
        } else {
            print!("{}", describe(up.info()));
        }
        Ok(())
    }

    fn status(&self, testbed: &testbed::Testbed) -> anyhow::Result<ExitCode> {
        let components = testbed.status()?;
        if self.json {
            let info = testbed.info();
            println!("{}", serde_json::json!({ "info": info, "components": components }));
        } else {
            print!("{}", describe(testbed.info()));
            for component in &components {
                println!("{}", line(component));
            }
        }
        let well = components.iter().all(|status| status.condition == Condition::Running);
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn describe(info: &Info) -> String {
    let seconds = Duration::from_millis(info.ready_ms).as_secs_f64();
    let stages: Vec<String> = info
        .stages
        .iter()
        .map(|(name, ms)| format!("{name} {:.1}", Duration::from_millis(*ms).as_secs_f64()))
        .collect();
    let reach = match info.level {
        Level::ControlPlane => format!("export KUBECONFIG={}", info.kubeconfig.display()),
        Level::Node => "its addresses are inside of the box: see the command shell".to_owned(),
    };
    format!(
        "{} was ready after {seconds:.1} s ({} s)\n\
         server      {}\nkubeconfig  {}\nlogs        {}\naudit log   {}\nprograms    {}\n{reach}\n",
        info.level,
        stages.join(", "),
        info.server,
        info.kubeconfig.display(),
        info.logs.display(),
        info.audit_log.display(),
        info.bin.display(),
    )
}

fn line(status: &Status) -> String {
    let condition = match &status.condition {
        Condition::Running => "running".to_owned(),
        Condition::Stopped => "stopped by a signal".to_owned(),
        Condition::Killed => "killed on request".to_owned(),
        Condition::Ended { how } => format!("ended by itself ({how}): {}", status.log.display()),
    };
    let pid = status.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
    format!("  {:<24} {pid:>7}  {condition}", status.component.name())
}

fn shell(
    testbed: &testbed::Testbed,
    inside: bool,
    command: &[OsString],
) -> anyhow::Result<ExitCode> {
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "sh".into());
    let (program, args) =
        command.split_first().map_or((&shell, &[][..]), |(first, rest)| (first, rest));
    let mut command = if inside { testbed.inside(program)? } else { testbed.command(program)? };
    let status = command.args(args).status();
    let status = status.with_context(|| format!("failed to start {}", program.display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What is going on, on one line of a terminal or on a line each.
struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar }
    }

    fn show(&self, event: &Event) {
        let text = match event {
            Event::Building { what, number, of } => format!("building {what}, {number} of {of}"),
            Event::Begun { stage } => format!("starting {stage}"),
            Event::Cleared { dir } => {
                format!("removed what a killed testbed had left in {}", dir.display())
            }
            Event::Ended { .. } | Event::Failed { .. } | Event::Up { .. } => return,
        };
        match (&self.bar, event) {
            (Some(bar), Event::Cleared { .. }) => bar.println(text),
            (Some(bar), _) => bar.set_message(text),
            (None, _) => eprintln!("{text}"),
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
