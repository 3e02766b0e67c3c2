//! How a shutdown is set up and started.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use crate::{
    budget::{self, Budget, BudgetError, LameDuck, Request, Warning},
    coordinator,
    env::{EnvError, Environment},
    force,
    handle::ShutdownHandle,
    settings::{IdleClose, ReadinessPolicy, ReadyWhen, SecondSignal, Settings},
    shared::Shared,
    shutdown::Shutdown,
    signal,
};

/// Whether this process has its signal handlers.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Why a shutdown could not be installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// This process has a shutdown already.
    #[error("a shutdown is installed already, pass its handle instead")]
    AlreadyInstalled,
    /// The time does not suffice.
    #[error("time budget does not work")]
    Budget(#[from] BudgetError),
    /// The environment could not be understood.
    #[error("environment does not work")]
    Env(#[from] EnvError),
    /// A duration that must not be zero is.
    #[error("{0} must not be zero")]
    Zero(&'static str),
    /// A duration is longer than a day.
    #[error("{name} of {duration:?} is longer than a day, check its unit")]
    TooLong {
        /// The setting, by the name of its method.
        name: &'static str,
        /// What it was set to.
        duration: Duration,
    },
    /// The system refused a thread.
    #[error("failed to start the {0} thread")]
    Thread(&'static str, #[source] io::Error),
    /// The system refused the signal handlers.
    #[error("failed to install the signal handlers")]
    Signals(#[source] io::Error),
}

/// What the settings come to.
type Resolved = (Budget, Vec<Warning>);

/// Configures a [`Shutdown`].
///
/// The deadline is the one absolute limit, and everything else a share of it: a
/// setting that would end after what it limits is refused by [`install`](Self::install).
/// Where only the pod's termination grace makes it too long, it is shortened, and
/// [`Shutdown::warnings`] says so.
#[derive(Debug, Clone, Default)]
#[must_use = "nothing happens before `install`"]
pub struct Builder {
    request: Request,
    settings: Settings,
    env: Option<Result<(), EnvError>>,
}

impl Builder {
    /// Sets the time from the signal to the forced end of the process, at least
    /// 100 ms and at most a day. Unless set it is 30 s; in Kubernetes 27 s, as
    /// long as nothing else is known of the pod than that SIGKILL comes 30 s
    /// after the signal by default.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.request.deadline = Some(deadline);
        self
    }

    /// Sets the lame duck; in Kubernetes 5 to 15 s unless set, elsewhere none.
    pub fn lame_duck(mut self, lame_duck: LameDuck) -> Self {
        self.request.lame_duck = Some(lame_duck);
        self
    }

    /// Sets how long no new connection must have come before traffic counts as
    /// moved away; 1 s unless set, or a fifth of a deadline below 5 s. With zero
    /// the lame duck ends at its minimum.
    ///
    /// Time in which the process did not run, on a machine that stood still, does not count. Nor
    /// does silence say anything of a process that nobody has ever called and that is younger than
    /// the longest lame duck: a proxy that lags may be about to send the first traffic.
    pub fn quiet(mut self, quiet: Duration) -> Self {
        self.request.quiet = Some(quiet);
        self
    }

    /// Sets how long an HTTP/1 connection must have been idle before it is
    /// closed; 1 s unless set, or a fifth of a deadline below 5 s. With zero it
    /// is closed at the first look, which finds more clients that are about to send.
    pub fn sweep(mut self, sweep: Duration) -> Self {
        self.request.sweep = Some(sweep);
        self
    }

    /// Sets what is kept of the deadline for Closing; 5 s or a fifth of it unless
    /// set. With zero, Closing gets what Draining leaves.
    pub fn close_reserve(mut self, reserve: Duration) -> Self {
        self.request.close_reserve = Some(reserve);
        self
    }

    /// Sets what is kept of the deadline for the hooks; 5 s or a fifth of it
    /// unless set. With zero, hooks get what requests leave.
    pub fn hooks_reserve(mut self, reserve: Duration) -> Self {
        self.request.hooks_reserve = Some(reserve);
        self
    }

    /// Sets how long a new connection may take to send its first byte while
    /// draining; 500 ms unless set, or a fifth of a deadline below 2.5 s; not zero.
    pub fn first_request_grace(mut self, grace: Duration) -> Self {
        self.request.first_request_grace = Some(grace);
        self
    }

    /// Sets how long a client may stall while draining; 5 s unless set, or a
    /// fifth of a deadline below 25 s; not zero.
    pub fn slow_client(mut self, limit: Duration) -> Self {
        self.request.slow_client = Some(limit);
        self
    }

    /// Sets how long an HTTP/2 client may take to answer the PING behind the
    /// first GOAWAY; 5 s unless set, or a fifth of a deadline below 25 s; not zero.
    pub fn pong_cap(mut self, cap: Duration) -> Self {
        self.request.pong_cap = Some(cap);
        self
    }

    /// Sets who closes idle HTTP/1 connections.
    pub fn idle_close(mut self, policy: IdleClose) -> Self {
        self.settings.limits.idle_close = policy;
        self
    }

    /// Tells the pod's `terminationGracePeriodSeconds`: SIGKILL comes then, so
    /// the deadline is brought forward to fire before.
    pub fn termination_grace(mut self, grace: Duration) -> Self {
        self.request.termination_grace = Some(grace);
        self
    }

    /// Tells how long the pod's `preStop` hook sleeps: its time is part of the
    /// termination grace, and need not be waited for again by the lame duck.
    pub fn pre_stop(mut self, sleep: Duration) -> Self {
        self.request.pre_stop = sleep;
        self
    }

    /// Sets when the readiness probe begins to fail.
    pub fn readiness(mut self, policy: ReadinessPolicy) -> Self {
        self.settings.readiness = policy;
        self
    }

    /// Sets when the process counts as ready.
    pub fn ready_when(mut self, when: ReadyWhen) -> Self {
        self.settings.ready_when = when;
        self
    }

    /// Sets what a second SIGTERM does.
    pub fn second_signal(mut self, policy: SecondSignal) -> Self {
        self.settings.second_signal = policy;
        self
    }

    /// Sets the exit code after a second signal; 128 plus its number unless set.
    pub fn second_signal_exit_code(mut self, code: u8) -> Self {
        self.settings.second_signal_code = Some(code);
        self
    }

    /// Sets the paths of the probes, which do not count as traffic;
    /// `/livez`, `/readyz` and `/healthz` unless set.
    pub fn probe_paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.settings.probe_paths = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Takes what the environment says; what it says wins over what was set before.
    ///
    /// | variable | sets |
    /// |---|---|
    /// | `ZDD_SHUTDOWN_DEADLINE` | [`deadline`](Self::deadline) |
    /// | `ZDD_SHUTDOWN_LAME_DUCK_MIN`, `…_MAX` | [`lame_duck`](Self::lame_duck) |
    /// | `ZDD_SHUTDOWN_QUIET` | [`quiet`](Self::quiet) |
    /// | `ZDD_TERMINATION_GRACE` | [`termination_grace`](Self::termination_grace) |
    /// | `ZDD_PRE_STOP` | [`pre_stop`](Self::pre_stop) |
    /// | `KUBERNETES_SERVICE_HOST` | the defaults of a pod |
    ///
    /// Where only one bound of the lame duck is set, the other is that of a pod, 5 or 15 s, or what
    /// was set before, unless the first one leaves no room for it.
    ///
    /// A variable that makes no sense is reported by [`install`](Self::install).
    pub fn from_env(self) -> Self {
        // Lossy, so that a value that is no text is reported and not taken for absent.
        self.from_lookup(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
    }

    /// Takes what `get` says of the variables of [`from_env`](Self::from_env).
    pub fn from_lookup(mut self, get: impl Fn(&str) -> Option<String>) -> Self {
        match Environment::read(get) {
            Err(error) => self.env = Some(Err(error)),
            Ok(env) => {
                let Request { deadline, quiet, termination_grace, .. } = self.request;
                self.request.lame_duck_min = env.lame_duck_min;
                self.request.lame_duck_max = env.lame_duck_max;
                self.request.deadline = env.deadline.or(deadline);
                self.request.quiet = env.quiet.or(quiet);
                self.request.termination_grace = env.termination_grace.or(termination_grace);
                self.request.pre_stop = env.pre_stop.unwrap_or(self.request.pre_stop);
                self.request.in_cluster = env.in_cluster;
                self.settings.in_cluster = env.in_cluster;
            }
        }
        self
    }

    /// Installs the signal handlers and the watchdog of this process.
    ///
    /// Call it before anything else, so that a signal during start-up is not
    /// the end without clean-up. Needs no runtime.
    ///
    /// # Guarantees
    ///
    /// From the first signal or trigger on, the process is gone by the
    /// deadline, whatever the runtime does.
    ///
    /// A process that is forked from this one, without `exec` after it, has the handlers and not
    /// the threads behind them: its signals do nothing. Fork first, as daemons do, then install.
    ///
    /// # Errors
    ///
    /// [`InstallError`] when the settings do not work, when this process has a
    /// shutdown already, or when the system refuses threads or handlers.
    pub fn install(self) -> Result<Shutdown, InstallError> {
        let resolved = self.check()?;
        if INSTALLED.swap(true, Ordering::SeqCst) {
            return Err(InstallError::AlreadyInstalled);
        }
        let installed = self.install_once(resolved);
        if installed.is_err() {
            INSTALLED.store(false, Ordering::SeqCst);
        }
        installed
    }

    fn install_once(self, resolved: Resolved) -> Result<Shutdown, InstallError> {
        let place: force::Place = Arc::new(OnceLock::new());
        let watchdog = force::watchdog(Arc::clone(&place))
            .map_err(|error| InstallError::Thread("watchdog", error))?;
        let shutdown = self.start(resolved, Some(watchdog))?;
        let shared = &shutdown.shared;
        // Set once, here.
        let _ = place.set(Arc::downgrade(shared));
        signal::install(shared, place).map_err(InstallError::Signals)?;
        Ok(shutdown)
    }

    /// Starts a shutdown that touches nothing of the process: no signal
    /// handlers, no forced exit.
    ///
    /// For tests, and for several services in one process. It begins by
    /// [`trigger`](ShutdownHandle::trigger) only; at the deadline
    /// [`finish`](Shutdown::finish) returns a report of a forced end.
    ///
    /// # Errors
    ///
    /// [`InstallError`] when the settings do not work or there is no thread left.
    pub fn embed(self) -> Result<Shutdown, InstallError> {
        let resolved = self.check()?;
        self.start(resolved, None)
    }

    fn check(&self) -> Result<Resolved, InstallError> {
        if let Some(Err(error)) = &self.env {
            return Err(error.clone().into());
        }
        let request = &self.request;
        let not_zero = [
            ("first_request_grace", request.first_request_grace),
            ("slow_client", request.slow_client),
            ("pong_cap", request.pong_cap),
        ];
        if let Some((name, _)) = not_zero.iter().find(|(_, limit)| *limit == Some(Duration::ZERO)) {
            return Err(InstallError::Zero(name));
        }
        // What is not here is a share of the deadline, and checked with it.
        let may_be_zero = [
            ("quiet", request.quiet),
            ("sweep", request.sweep),
            ("pre_stop", Some(request.pre_stop)),
            ("termination_grace", request.termination_grace),
        ];
        for (name, duration) in not_zero.into_iter().chain(may_be_zero) {
            if let Some(duration) = duration.filter(|duration| *duration > budget::LONGEST) {
                return Err(InstallError::TooLong { name, duration });
            }
        }
        Ok(request.resolve()?)
    }

    fn start(
        self,
        (budget, warnings): Resolved,
        watchdog: Option<mpsc::Sender<tokio::time::Instant>>,
    ) -> Result<Shutdown, InstallError> {
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let mut settings = self.settings;
        settings.limits.take(&budget);
        let (commands, received) = mpsc::channel();
        let shared = Arc::new(Shared::new(budget, settings, commands, watchdog));
        coordinator::start(&shared, received)
            .map_err(|error| InstallError::Thread("coordinator", error))?;
        Ok(Shutdown::new(ShutdownHandle { shared }, warnings))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Builder, LameDuck, Shutdown};

    fn lame_duck(builder: Builder, variables: &[(&str, &str)]) -> (u64, u64) {
        let value =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let builder = builder.deadline(Duration::from_secs(60));
        let builder = builder.from_lookup(|name| value(name).map(str::to_owned));
        let LameDuck { min, max } = builder.request.resolve().unwrap().0.lame_duck;
        (min.as_secs(), max.as_secs())
    }

    #[test]
    fn one_bound_of_the_lame_duck_leaves_the_other_where_it_was() {
        let unset = || Shutdown::builder();
        let set = || {
            let (min, max) = (Duration::from_secs(2), Duration::from_secs(8));
            Shutdown::builder().lame_duck(LameDuck { min, max })
        };
        let (min, max) = ("ZDD_SHUTDOWN_LAME_DUCK_MIN", "ZDD_SHUTDOWN_LAME_DUCK_MAX");
        assert_eq!(lame_duck(unset(), &[]), (0, 0));
        assert_eq!(lame_duck(unset(), &[(max, "35")]), (5, 35));
        assert_eq!(lame_duck(unset(), &[(max, "3")]), (3, 3));
        assert_eq!(lame_duck(unset(), &[(min, "1")]), (1, 15));
        assert_eq!(lame_duck(unset(), &[(min, "20")]), (20, 20));
        // The preStop hook has waited already.
        assert_eq!(lame_duck(unset(), &[(max, "35"), ("ZDD_PRE_STOP", "4")]), (1, 35));
        assert_eq!(lame_duck(set(), &[(max, "35")]), (2, 35));
        assert_eq!(lame_duck(set(), &[(min, "1")]), (1, 8));
        assert_eq!(lame_duck(set(), &[(min, "1"), (max, "3")]), (1, 3));
    }
}
