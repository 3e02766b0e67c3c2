//! A testbed in the hands of a program.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::time::Instant;

use crate::control::{self, Answer, Request, Status};
use crate::machine::Machine;
use crate::pki::Authority;
use crate::plan::{Component, Level};
use crate::state::{Event, Info, Spec};
use crate::supervisor::RELEASE;
use crate::{config, image, keeper, launch, paths, room, tools};

/// How long a testbed may take to go away.
const FAREWELL: Duration = Duration::from_secs(20);

/// What to bring up.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// How much of a cluster.
    pub level: Level,
    /// The folder of its state; two testbeds have two.
    pub dir: PathBuf,
    /// The port of the API server; any that is free if none is asked for.
    pub api_port: Option<u16>,
    /// Whether it outlives its handle.
    pub lifetime: Lifetime,
}

/// How long a testbed lasts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Lifetime {
    /// Until it is taken down.
    #[default]
    Detached,
    /// As long as its handle, and no longer than the process that has it.
    Tied,
}

/// Signals for components.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
#[non_exhaustive]
pub enum Signal {
    /// Goes on after a stop.
    Cont,
    /// Ends at once.
    Kill,
    /// Stands still.
    Stop,
    /// Ends in an orderly way.
    Term,
}

/// A testbed that is up.
#[derive(Debug)]
pub struct Testbed {
    info: Info,
    /// The keeper, if it ends with this handle.
    tie: Option<(Child, ChildStdin)>,
}

impl Options {
    /// Asks for a level, in the state folder of that name.
    ///
    /// # Errors
    /// When the name is none, or there is no home to keep state in.
    pub fn named(level: Level, name: &str) -> anyhow::Result<Self> {
        Ok(Self { level, dir: paths::state(name)?, ..Self::default() })
    }
}

impl Testbed {
    /// Brings a testbed up, and builds what it needs; tells what happens meanwhile.
    ///
    /// # Errors
    /// When the machine lacks something, or a component does not become ready. Nothing is left
    /// then but logs, which the error names.
    pub fn up(options: &Options, observe: &mut dyn FnMut(&Event)) -> anyhow::Result<Self> {
        let machine = Machine::here();
        machine.require(options.level)?;
        let dir = std::path::absolute(&options.dir)?;
        control::socket(&dir)?;
        let bin = tools::build(&machine, options.level, observe)?;
        let mut images = None;
        if options.level == Level::Node {
            images = Some(image::build(observe)?);
            for path in [&dir, &bin].into_iter().chain(&images) {
                room::visible(path)?;
            }
        }
        let cni = machine.cni().map(PathBuf::from);
        let (level, api_port) = (options.level, options.api_port);
        let spec = Spec { level, dir, bin, images, cni, api_port, keeper: 0 };
        Self::start(&spec, options.lifetime, observe)
    }

    fn start(
        spec: &Spec,
        lifetime: Lifetime,
        observe: &mut dyn FnMut(&Event),
    ) -> anyhow::Result<Self> {
        let mut command = launch::keeper(spec)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut keeper = command.spawn().context("failed to start the keeper")?;
        let (Some(mut stdin), Some(stdout)) = (keeper.stdin.take(), keeper.stdout.take()) else {
            bail!("the keeper has no pipes");
        };
        let mut problem = None;
        for line in BufReader::new(stdout).lines() {
            let event: Event =
                serde_json::from_str(&line?).context("an event is not understood")?;
            observe(&event);
            match event {
                Event::Up { info } => {
                    if lifetime == Lifetime::Tied {
                        return Ok(Self { info: *info, tie: Some((keeper, stdin)) });
                    }
                    stdin.write_all(RELEASE.as_bytes()).context("the testbed has gone")?;
                    return Ok(Self { info: *info, tie: None });
                }
                Event::Failed { problem: text } => problem = problem.or(Some(text)),
                Event::Begun { .. }
                | Event::Building { .. }
                | Event::Cleared { .. }
                | Event::Ended { .. } => {}
            }
        }
        // The end of its output is not yet the end of its clearing up.
        let status = keeper.wait()?;
        let logs = spec.dir.join("logs");
        bail!(problem.unwrap_or_else(|| format!(
            "the testbed was killed while it started ({status}); its logs are in {}",
            logs.display()
        )))
    }

    /// Finds the testbed that is up in a state folder.
    ///
    /// # Errors
    /// When there is none, or its state is not understood.
    pub fn find(dir: &std::path::Path) -> anyhow::Result<Self> {
        let dir = std::path::absolute(dir)?;
        let info = Info::read(&dir)?;
        let info = info.with_context(|| {
            format!("no testbed is up in {}; `cargo xtask testbed up` brings one up", dir.display())
        })?;
        control::ask(&dir, &Request::Status)
            .with_context(|| format!("the testbed in {} was killed", dir.display()))?;
        Ok(Self { info, tie: None })
    }

    /// Returns what there is to know about it.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Tells how its components are.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self) -> anyhow::Result<Vec<Status>> {
        match control::ask(&self.info.dir, &Request::Status)? {
            Answer::Status(status) => Ok(status),
            Answer::Done | Answer::Refused(_) => bail!("that is no answer to the question"),
        }
    }

    /// Sends a signal to a component; returns after its end if the signal is [`Signal::Kill`].
    ///
    /// # Errors
    /// When it is no part of this testbed, or does not run.
    pub fn signal(&self, component: Component, signal: Signal) -> anyhow::Result<()> {
        let signal = match signal {
            Signal::Cont => rustix::process::Signal::CONT,
            Signal::Kill => rustix::process::Signal::KILL,
            Signal::Stop => rustix::process::Signal::STOP,
            Signal::Term => rustix::process::Signal::TERM,
        };
        let request = Request::Signal { component, signal: signal.as_raw() };
        control::ask(&self.info.dir, &request).map(|_| ())
    }

    /// Starts a component that has ended, and waits until it is ready.
    ///
    /// # Errors
    /// When it runs already, or does not become ready.
    pub fn restart(&self, component: Component) -> anyhow::Result<()> {
        control::ask(&self.info.dir, &Request::Start { component }).map(|_| ())
    }

    /// Returns the command for a program that reaches the cluster: in the network of the box, with
    /// `KUBECONFIG` set and `kubectl` in the path. It sees the files of the machine.
    ///
    /// # Errors
    /// When the box has gone.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> anyhow::Result<Command> {
        self.enter(&["--net"], program)
    }

    /// Returns the command for a program inside of the box, with its mounts and processes too.
    ///
    /// # Errors
    /// When the box has gone.
    pub fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> anyhow::Result<Command> {
        self.enter(&["--net", "--mount", "--pid"], program)
    }

    fn enter(
        &self,
        namespaces: &[&str],
        program: impl AsRef<std::ffi::OsStr>,
    ) -> anyhow::Result<Command> {
        let mut command = match self.info.level {
            Level::ControlPlane => Command::new(program),
            Level::Node => {
                let mut command = Command::new("nsenter");
                command.arg("--target").arg(self.first_process()?.to_string());
                command.args(namespaces).arg("--").arg(program);
                command
            }
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = [self.info.bin.clone()].into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(places)?);
        command.env("KUBECONFIG", &self.info.kubeconfig);
        // What it learns about this server is not true of the next one.
        command.env("KUBECACHEDIR", self.info.dir.join("kubectl"));
        Ok(command)
    }

    /// Returns the first process of the box, by its number on the machine.
    ///
    /// # Errors
    /// When the box has gone, or this process cannot look at others.
    pub fn first_process(&self) -> anyhow::Result<u32> {
        let outer = fs::metadata(format!("/proc/{}/ns/pid", self.info.keeper))
            .context("the keeper of the testbed has gone")?
            .ino();
        let mut process = self.info.keeper;
        // keeper, unshare, supervisor
        for _ in 0..3 {
            process = child(process)?;
            let inner = fs::metadata(format!("/proc/{process}/ns/pid"))?.ino();
            if inner != outer {
                return Ok(process);
            }
        }
        bail!("the testbed has no box")
    }

    /// Makes credentials for a user of that name, who may do nothing yet; returns a kubeconfig.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn user(&self, name: &str, group: Option<&str>) -> anyhow::Result<PathBuf> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        ensure!(!name.is_empty() && name.chars().all(plain), "{name:?} is no name of a user");
        Authority::open(&self.info.dir.join("pki"))?.client(name, name, group)?;
        config::kubeconfig(&self.info.dir, &self.info.server, name)?;
        Ok(self.info.dir.join("kubeconfigs").join(name))
    }

    /// Takes it down, and returns when nothing of it is left.
    ///
    /// # Errors
    /// When something is left; the error says what.
    pub fn down(mut self) -> anyhow::Result<()> {
        let gone = Gone::of(&self.info.dir)?;
        control::ask(&self.info.dir, &Request::Down)?;
        if let Some((mut keeper, _)) = self.tie.take() {
            keeper.wait()?;
        }
        gone.wait()
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        if let Some((mut keeper, stdin)) = self.tie.take() {
            drop(stdin);
            keeper.wait().ok();
        }
    }
}

/// Takes down whatever is in a state folder: a testbed that is up, or what a killed one left.
/// Tells whether there was anything.
///
/// # Errors
/// When something is left; the error says what.
pub(crate) fn clear(dir: &std::path::Path) -> anyhow::Result<bool> {
    let dir = std::path::absolute(dir)?;
    if !dir.exists() {
        return Ok(false);
    }
    let gone = Gone::of(&dir);
    if control::ask(&dir, &Request::Down).is_ok() {
        gone?.wait()?;
        return Ok(true);
    }
    let lock = keeper::lock(&dir)?;
    ensure!(lock.is_some(), "the testbed in {} is still starting; interrupt that", dir.display());
    let found = keeper::clear(&dir, &[])?;
    fs::remove_dir(&dir).with_context(|| format!("failed to remove {}", dir.display()))?;
    Ok(found)
}

/// The end of a keeper: it holds the lock of the state folder as long as it lives.
struct Gone {
    dir: PathBuf,
    lock: fs::File,
}

impl Gone {
    fn of(dir: &std::path::Path) -> anyhow::Result<Self> {
        let lock = fs::File::open(dir.join(keeper::LOCK)).with_context(|| {
            format!("no testbed is up in {}; `cargo xtask testbed up` brings one up", dir.display())
        })?;
        Ok(Self { dir: dir.to_owned(), lock })
    }

    fn wait(self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.lock.try_lock().is_err() {
            let keeper = "the keeper of the testbed did not end";
            ensure!(begun.elapsed() < FAREWELL, "{keeper}; look into {}", self.dir.display());
            std::thread::sleep(Duration::from_millis(10));
        }
        ensure!(!self.dir.exists(), "{} is still there", self.dir.display());
        Ok(())
    }
}

/// Returns the only child of a process.
fn child(parent: u32) -> anyhow::Result<u32> {
    let of = |status: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        line.and_then(|text| text.trim().parse::<u32>().ok())
    };
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end while the list is read.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        if of(&status) == Some(parent) {
            return Ok(pid);
        }
    }
    bail!("process {parent} has no child")
}
