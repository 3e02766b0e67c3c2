//! Containers that exist in virtual time only.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::runtime::{ContainerId, Reports, Runtime, RuntimeEvent, Start};
use crate::dataplane::servers::{Server, Servers};
use crate::image::{Answers, Behaviour, Crash, Readiness};

/// The exit code after SIGKILL.
const KILLED: i32 = 137;

/// Runs [`Image::Simulated`]; tells the virtual data plane which addresses serve.
#[derive(Debug)]
pub(crate) struct Simulated {
    reports: Reports,
    servers: Servers,
    random: fastrand::Rng,
    containers: HashMap<ContainerId, Container>,
    agenda: BTreeMap<(Instant, u64), (ContainerId, u64, Step)>,
    count: u64,
    now: Instant,
}

#[derive(Debug)]
struct Container {
    behaviour: Behaviour,
    ip: IpAddr,
    /// Which start of the container this is; steps of earlier ones are void.
    run: u64,
    restarts: u32,
    started: bool,
    kill_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Exit(i32),
    Kill,
    Ready,
    Start,
    StopServing,
}

impl Simulated {
    pub(crate) fn new(reports: Reports, servers: Servers, seed: u64) -> Self {
        Self {
            reports,
            servers,
            random: fastrand::Rng::with_seed(seed),
            containers: HashMap::new(),
            agenda: BTreeMap::new(),
            count: 0,
            now: Instant::now(),
        }
    }

    fn plan(&mut self, at: Instant, id: &ContainerId, run: u64, step: Step) {
        self.count += 1;
        self.agenda.insert((at, self.count), (id.clone(), run, step));
    }

    fn take(&mut self, id: &ContainerId, step: Step, now: Instant) {
        match step {
            Step::Exit(code) => self.exit(id, code, now),
            Step::Kill => self.exit(id, KILLED, now),
            Step::Ready => self.serve(id, now),
            Step::Start => self.begin(id, now),
            Step::StopServing => {
                if let Some(container) = self.containers.get(id) {
                    self.servers.set(container.ip, Server::Refuses, now);
                }
            }
        }
    }

    fn begin(&mut self, id: &ContainerId, now: Instant) {
        let Some(container) = self.containers.get_mut(id) else { return };
        container.started = true;
        let (behaviour, run, restarts) = (container.behaviour, container.run, container.restarts);
        self.reports.send(id, RuntimeEvent::Started);
        match behaviour.crash {
            Crash::FirstRuns(runs) if restarts < runs => {
                self.plan(now, id, run, Step::Exit(behaviour.exit_code));
                return;
            }
            Crash::After(time) => {
                self.plan(now + time, id, run, Step::Exit(behaviour.exit_code));
            }
            Crash::FirstRuns(_) | Crash::Never => {}
        }
        match behaviour.readiness {
            Readiness::After(span) => {
                let at = now + span.draw(&mut self.random);
                self.plan(at, id, run, Step::Ready);
            }
            Readiness::Never => {}
            Readiness::Unprobed => self.serve(id, now),
        }
    }

    fn serve(&self, id: &ContainerId, now: Instant) {
        let Some(container) = self.containers.get(id) else { return };
        let server = match container.behaviour.answers {
            Answers::Errors(per_mille) => Server::Errors(per_mille.min(1000)),
            Answers::Well => Server::Serves,
        };
        self.servers.set(container.ip, server, now);
        self.reports.send(id, RuntimeEvent::Ready);
    }

    fn exit(&mut self, id: &ContainerId, code: i32, now: Instant) {
        if let Some(container) = self.containers.remove(id) {
            self.servers.set(container.ip, Server::Gone, now);
            self.reports.send(id, RuntimeEvent::Exited { code });
        }
    }
}

impl Runtime for Simulated {
    fn start(&mut self, start: Start<'_>) {
        let Some(behaviour) = start.image.behaviour() else {
            let message = "the image is not a simulated one".to_owned();
            self.reports
                .send(&start.id, RuntimeEvent::Failed { reason: "RunContainerError", message });
            return;
        };
        self.count += 1;
        let run = self.count;
        let container = Container {
            behaviour: *behaviour,
            ip: start.ip,
            run,
            restarts: start.restarts,
            started: false,
            kill_at: None,
        };
        self.containers.insert(start.id.clone(), container);
        let at = self.now + behaviour.start.draw(&mut self.random);
        self.plan(at, &start.id, run, Step::Start);
    }

    fn stop(&mut self, id: &ContainerId, grace: Duration) {
        let now = self.now;
        let Some(container) = self.containers.get_mut(id) else {
            // It exited on its own a moment ago; the report is on its way.
            return;
        };
        let (behaviour, run) = (container.behaviour, container.run);
        let first = container.kill_at.is_none();
        if !container.started {
            return self.exit(id, KILLED, now);
        }
        let kill_at = now + grace;
        if container.kill_at.is_some_and(|at| at <= kill_at) {
            return;
        }
        container.kill_at = Some(kill_at);
        self.plan(kill_at, id, run, Step::Kill);
        if first {
            let serves_until = now + behaviour.lame_duck.draw(&mut self.random);
            let exits_at = serves_until + behaviour.drain.draw(&mut self.random);
            self.plan(serves_until, id, run, Step::StopServing);
            self.plan(exits_at, id, run, Step::Exit(0));
        }
    }

    fn advance(&mut self, now: Instant) -> Option<Instant> {
        self.now = now;
        while let Some(first) = self.agenda.first_entry() {
            if first.key().0 > now {
                return Some(first.key().0);
            }
            let (id, run, step) = first.remove();
            if self.containers.get(&id).is_some_and(|container| container.run == run) {
                self.take(&id, step, now);
            }
        }
        None
    }
}
