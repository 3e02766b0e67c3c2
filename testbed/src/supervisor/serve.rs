//! Answers what a supervisor is asked.

use std::rc::Rc;

use anyhow::{Context, ensure};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::control::{Answer, Condition, Request, Status};
use crate::plan::Component;
use crate::start;
use crate::supervisor::Supervisor;

/// Answers for ever.
pub(crate) async fn serve(
    supervisor: &Rc<Supervisor>,
    listener: &UnixListener,
) -> anyhow::Result<()> {
    let mut connections: JoinSet<anyhow::Result<()>> = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.context("the control socket is gone")?;
                let supervisor = Rc::clone(supervisor);
                connections.spawn_local(async move { converse(&supervisor, stream).await });
            }
            // Whoever asked may go away before the answer.
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(supervisor: &Rc<Supervisor>, stream: UnixStream) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let request = serde_json::from_str::<Request>(&line).context("the request is not understood");
    let answer = match request {
        Ok(request) => answer(supervisor, request).await,
        Err(error) => Err(error),
    };
    let answer = answer.unwrap_or_else(|error| Answer::Refused(format!("{error:#}")));
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    Ok(())
}

async fn answer(supervisor: &Rc<Supervisor>, request: Request) -> anyhow::Result<Answer> {
    match request {
        Request::Status => return Ok(Answer::Status(statuses(supervisor))),
        Request::Signal { component, signal } => send(supervisor, component, signal).await?,
        Request::Start { component } => again(supervisor, component).await?,
        Request::Down => supervisor.take_down(),
    }
    Ok(Answer::Done)
}

async fn send(supervisor: &Supervisor, component: Component, signal: i32) -> anyhow::Result<()> {
    let signal = Signal::from_named_raw(signal).context("there is no such signal")?;
    let child = supervisor.components.borrow().get(&component).cloned();
    let child = child.with_context(|| format!("{component} is no part of this testbed"))?;
    child.signal(signal).with_context(|| format!("failed to send a signal to {component}"))?;
    if signal == Signal::KILL {
        child.ended().await;
    }
    Ok(())
}

async fn again(supervisor: &Supervisor, component: Component) -> anyhow::Result<()> {
    let runs = supervisor
        .components
        .borrow()
        .get(&component)
        .is_some_and(|child| child.status().is_none());
    ensure!(!runs, "{component} runs already");
    start::component(supervisor, component).await
}

fn statuses(supervisor: &Supervisor) -> Vec<Status> {
    let components = supervisor.components.borrow();
    let status = |component: &Component| {
        let child = components.get(component)?;
        let condition = match child.status() {
            Some(_) if child.doomed.get() => Condition::Killed,
            Some(status) => Condition::Ended { how: status.to_string() },
            None if child.stopped.get() => Condition::Stopped,
            None => Condition::Running,
        };
        let pid = child.status().is_none().then(|| child.pid.as_raw_pid());
        let log = start::log(&supervisor.spec.dir, component.name());
        Some(Status { component: *component, pid, condition, starts: child.starts, log })
    };
    supervisor.spec.level.components().iter().filter_map(status).collect()
}
