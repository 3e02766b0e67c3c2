//! The parent of all components.

mod children;
mod serve;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, bail};
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use crate::control;
use crate::plan::{Component, Ports};
use crate::probe::Client;
use crate::start;
use crate::state::{Event, Spec};
use crate::supervisor::children::{Child, Children};

/// What the caller writes to let a testbed go on without it.
pub(crate) const RELEASE: &str = "release\n";

/// Everything that the tasks of a supervisor share; all of them run on one thread.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) spec: Spec,
    pub(crate) children: Children,
    pub(crate) components: RefCell<BTreeMap<Component, Rc<Child>>>,
    pub(crate) ports: Cell<Option<Ports>>,
    pub(crate) client: RefCell<Option<Client>>,
    down: tokio::sync::Notify,
}

/// Why a supervisor ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// It was asked to.
    Down,
    /// Its caller has gone without letting it go on alone.
    Deserted,
}

/// Starts the components, and holds them until the end.
pub(crate) fn run(spec: Spec) -> anyhow::Result<ExitCode> {
    // One thread: a component is killed when the thread that started it ends.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let supervisor = Rc::new(Supervisor {
        spec,
        children: Children::default(),
        components: RefCell::default(),
        ports: Cell::new(None),
        client: RefCell::new(None),
        down: tokio::sync::Notify::new(),
    });
    let ended = runtime.block_on(local.run_until(hold(&supervisor)));
    supervisor.children.kill_all();
    // The thread that reads the standard input cannot be waited for.
    runtime.shutdown_background();
    ended.map(|_| ExitCode::SUCCESS)
}

async fn hold(supervisor: &Rc<Supervisor>) -> anyhow::Result<End> {
    let socket = control::socket(&supervisor.spec.dir)?;
    let listener = UnixListener::bind(&socket)
        .with_context(|| format!("failed to listen on {}", socket.display()))?;
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let reaper = Rc::clone(supervisor);
    tasks.spawn_local(async move { reaper.children.reap().await });
    let server = Rc::clone(supervisor);
    tasks.spawn_local(async move { serve::serve(&server, &listener).await });
    let mut caller = Box::pin(deserted());

    let starting = async {
        let info = start::start(supervisor).await?;
        report(&Event::Up { info: Box::new(info) });
        std::future::pending().await
    };
    tokio::select! {
        failed = starting => failed,
        ended = ended_task(&mut tasks) => ended,
        () = supervisor.down.notified() => Ok(End::Down),
        () = &mut caller => Ok(End::Deserted),
    }
}

async fn ended_task(tasks: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<End> {
    match tasks.join_next().await {
        Some(Ok(Err(error))) => Err(error),
        Some(Ok(Ok(()))) | None => bail!("a part of the supervisor ended"),
        Some(Err(error)) => Err(error).context("a part of the supervisor failed"),
    }
}

/// Ends when the caller goes away, and never if it had said that it would.
async fn deserted() {
    let mut said = String::new();
    let read = tokio::io::stdin().read_to_string(&mut said).await;
    if read.is_ok() && said == RELEASE {
        std::future::pending::<()>().await;
    }
}

impl Supervisor {
    /// Ends it.
    fn take_down(&self) {
        self.down.notify_one();
    }

    /// Returns the client; there is none before the certificates are made.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        self.client.borrow().clone().context("the testbed is not that far yet")
    }
}

/// Tells the caller what happens. Nobody may be listening any more.
pub(crate) fn report(event: &Event) {
    let Ok(mut line) = serde_json::to_vec(event) else { return };
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line).and_then(|()| out.flush()).ok();
}

/// Tells the caller why there is no testbed, and the log too.
pub(crate) fn complain(error: &anyhow::Error) {
    let problem = format!("{error:#}");
    writeln!(std::io::stderr().lock(), "{problem}").ok();
    report(&Event::Failed { problem });
}
