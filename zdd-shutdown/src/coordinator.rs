//! The thread that moves the phases.
//!
//! It is an OS thread, so that phases advance when every worker of the
//! runtime is blocked. While the process serves, it sleeps in a channel; while
//! the process drains, it looks at the counters every few milliseconds. Looking
//! costs nothing at that rate and leaves no wake-up to be lost; requests never
//! have to notify anybody.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    machine::{Facts, Input, State, Traffic},
    phase::Phase,
    shared::{Command, Shared},
    silence::Silence,
};

/// How often the counters are looked at during a shutdown.
const TICK: Duration = Duration::from_millis(5);

pub(crate) fn start(shared: &Arc<Shared>, commands: Receiver<Command>) -> io::Result<()> {
    // Weak, so that dropping the last handle ends the thread.
    let shared = Arc::downgrade(shared);
    let body = move || Coordinator::new(shared).run(&commands);
    thread::Builder::new().name("zdd-shutdown".into()).spawn(body).map(drop)
}

struct Coordinator {
    shared: Weak<Shared>,
    state: State,
    /// Start of the machine's time.
    epoch: Instant,
    ready_at: Instant,
    silence: Silence,
}

impl Coordinator {
    fn new(shared: Weak<Shared>) -> Self {
        let epoch = Instant::now();
        let (state, silence) = (State::Starting, Silence::from(0, epoch));
        Self { shared, state, epoch, ready_at: epoch, silence }
    }

    fn run(mut self, commands: &Receiver<Command>) {
        while !self.state.phase().is_final() {
            let command = if self.state.phase().is_shutting_down() {
                commands.recv_timeout(TICK)
            } else {
                commands.recv().map_err(RecvTimeoutError::from)
            };
            let Some(shared) = self.shared.upgrade() else { return };
            match command {
                Ok(command) => self.command(&shared, &command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // Behind a command too: however many there are, time goes on.
            if self.state.phase().is_shutting_down() {
                self.observe(&shared);
            }
        }
    }

    fn command(&mut self, shared: &Shared, command: &Command) {
        match command {
            Command::Ready => {
                self.ready_at = Instant::now();
                self.step(shared, Input::Ready);
            }
            Command::HooksDone => self.step(shared, Input::HooksDone),
            Command::Force => self.step(shared, Input::Force),
            Command::Trigger => {
                let arrivals = shared.arrivals.load(Ordering::Relaxed);
                self.silence = Silence::from(arrivals, Instant::now());
                if !shared.called.load(Ordering::Relaxed) {
                    // As long as traffic may take to go it may take to come.
                    let known_at = self.ready_at + shared.budget.lame_duck.max;
                    self.silence = self.silence.unknown_until(known_at);
                }
                let moves =
                    shared.started().is_some_and(|started| started.reason.wants_lame_duck());
                self.step(
                    shared,
                    Input::Trigger(if moves { Traffic::Moves } else { Traffic::Stays }),
                );
            }
        }
    }

    fn observe(&mut self, shared: &Shared) {
        let now = Instant::now();
        self.ramp(shared, now);
        let alive = shared.alive();
        let facts = Facts {
            in_flight: alive.in_flight(),
            connections: alive.open(),
            listeners: alive.listeners,
            quiet_for: self.silence.look(shared.arrivals.load(Ordering::Relaxed), now),
        };
        self.step(shared, Input::Observe(facts));
    }

    /// Raises the share of responses that ask clients to move: all of it at
    /// once would turn traffic that is still routed here into handshakes.
    fn ramp(&self, shared: &Shared, now: Instant) {
        let (State::LameDuck { .. }, Some(started)) = (self.state, shared.started()) else {
            return;
        };
        let lame_duck = shared.budget.lame_duck;
        let full = if lame_duck.min.is_zero() { lame_duck.max } else { lame_duck.min };
        shared.set_close_share((now - started.at).as_secs_f64() / full.as_secs_f64());
    }

    fn step(&mut self, shared: &Shared, input: Input) {
        // The clock of the trigger is the moment of the signal, not the
        // moment this thread heard of it: the deadline counts from there.
        let at = match (input, shared.started()) {
            (Input::Trigger(_), Some(started)) => started.at,
            _ => Instant::now(),
        };
        let next =
            self.state.apply(&shared.budget, at.saturating_duration_since(self.epoch), input);
        if next.phase() == self.state.phase() {
            return;
        }
        self.state = next;
        if next.phase() >= Phase::Hooks {
            shared.end_time_of_requests();
        }
        shared.enter_phase(next.phase());
        let log = || {
            tracing::info!(
                phase = next.phase().as_str(),
                in_flight = shared.requests.sum(),
                connections = shared.alive().open(),
                "shutdown phase entered"
            );
        };
        // A subscriber that panics, as on a standard output that is closed, must not end
        // the thread on which everything waits.
        let _ = catch_unwind(AssertUnwindSafe(log));
    }
}

#[cfg(test)]
mod tests {
    use tracing::{
        Event, Metadata, Subscriber,
        span::{Attributes, Id, Record},
    };

    use super::*;
    use crate::Shutdown;

    struct Broken;

    impl Subscriber for Broken {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            panic!("failed printing to stdout")
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_log_that_panics_does_not_stop_the_phases() {
        let shutdown = Shutdown::builder().embed().unwrap();
        let shared = &shutdown.shared;
        let mut coordinator = Coordinator::new(Arc::downgrade(shared));
        tracing::subscriber::with_default(Broken, || {
            coordinator.command(shared, &Command::Ready);
        });
        assert_eq!(shared.phase(), Phase::Serving);
    }
}
