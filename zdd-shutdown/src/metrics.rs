//! Gauges and counters for whichever recorder the program has.
//!
//! Values are read once a second and at each change of the phase, on a thread
//! of its own: requests pay nothing, and a recorder that hangs holds nothing up.

use std::{
    io,
    sync::{Arc, Weak, mpsc},
    thread,
    time::Duration,
};

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use crate::{
    handle::ShutdownHandle,
    report::ConnectionReport,
    shared::{Shared, Totals},
};

/// How often values are published while the phase stays as it is.
const PERIOD: Duration = Duration::from_secs(1);

impl ShutdownHandle {
    /// Publishes gauges and counters through the `metrics` crate, to the end of
    /// the process. Call it once, after the recorder is installed: what is
    /// registered without one is never seen. Further calls change nothing.
    ///
    /// | name | kind | value |
    /// |---|---|---|
    /// | `zdd_shutdown_phase` | gauge | the [`Phase`](crate::Phase) as a number, 0 for `Starting` to 7 for `Forced` |
    /// | `zdd_shutdown_in_flight_requests` | gauge | [`in_flight`](Self::in_flight) |
    /// | `zdd_shutdown_guards` | gauge | [`guard`](Self::guard)s that are alive |
    /// | `zdd_shutdown_open_connections` | gauge | [`connections`](Self::connections) |
    /// | `zdd_shutdown_finished_requests_total` | counter | requests and guards that ended since the shutdown began |
    /// | `zdd_shutdown_abandoned_requests_total` | counter | those still alive when their time was over |
    /// | `zdd_shutdown_refused_requests_total` | counter | those that came when their time was over |
    /// | `zdd_shutdown_closed_connections_total` | counter | connections that ended in time |
    /// | `zdd_shutdown_cut_connections_total` | counter | those whose client was silent or too slow |
    /// | `zdd_shutdown_aborted_connections_total` | counter | those still open when their time was over |
    /// | `zdd_shutdown_rescued_connections_total` | counter | those taken from the accept queue when the listener closed |
    ///
    /// Counters stand still until the shutdown begins; the last of them are what the
    /// [`Report`](crate::Report) says. They have no labels: publish one shutdown per process.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let shutdown = zdd_shutdown::Shutdown::builder().embed()?; // in a service: `install`
    /// // After the recorder, such as the one of metrics-exporter-prometheus.
    /// shutdown.publish_metrics()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the system refuses a thread.
    pub fn publish_metrics(&self) -> io::Result<()> {
        let (changed, changes) = mpsc::channel();
        if self.shared.publisher.set(changed).is_err() {
            return Ok(());
        }
        // Registered here: a recorder may be this thread's only.
        let metrics = Metrics::register();
        metrics.publish(&self.shared);
        let shared = Arc::downgrade(&self.shared);
        let body = move || keep_publishing(&metrics, &shared, &changes);
        thread::Builder::new().name("zdd-metrics".into()).spawn(body).map(drop)
    }
}

fn keep_publishing(metrics: &Metrics, shared: &Weak<Shared>, changes: &mpsc::Receiver<()>) {
    while let Ok(()) | Err(mpsc::RecvTimeoutError::Timeout) = changes.recv_timeout(PERIOD) {
        let Some(shared) = shared.upgrade() else { return };
        metrics.publish(&shared);
        if shared.phase().is_final() {
            return;
        }
    }
}

/// What the recorder gave for each name.
struct Metrics {
    phase: Gauge,
    in_flight: Gauge,
    guards: Gauge,
    connections: Gauge,
    finished: Counter,
    abandoned: Counter,
    refused: Counter,
    closed: Counter,
    cut: Counter,
    aborted: Counter,
    rescued: Counter,
}

impl Metrics {
    fn register() -> Self {
        let gauge = |name, help: &'static str| {
            describe_gauge!(name, Unit::Count, help);
            gauge!(name)
        };
        let counter = |name, help: &'static str| {
            describe_counter!(name, Unit::Count, help);
            counter!(name)
        };
        Self {
            phase: gauge(
                "zdd_shutdown_phase",
                "Phase of the shutdown, from 0 (starting) to 7 (forced).",
            ),
            in_flight: gauge(
                "zdd_shutdown_in_flight_requests",
                "Requests whose response body has not ended.",
            ),
            guards: gauge("zdd_shutdown_guards", "Guards that hold up the end."),
            connections: gauge(
                "zdd_shutdown_open_connections",
                "Tracked connections, upgraded ones included.",
            ),
            finished: counter(
                "zdd_shutdown_finished_requests_total",
                "Requests and guards that ended after the signal and in time.",
            ),
            abandoned: counter(
                "zdd_shutdown_abandoned_requests_total",
                "Requests and guards that were alive when their time was over.",
            ),
            refused: counter(
                "zdd_shutdown_refused_requests_total",
                "Requests that came when their time was over.",
            ),
            closed: counter(
                "zdd_shutdown_closed_connections_total",
                "Connections that ended after the signal and in time.",
            ),
            cut: counter(
                "zdd_shutdown_cut_connections_total",
                "Connections cut since the client was silent or too slow.",
            ),
            aborted: counter(
                "zdd_shutdown_aborted_connections_total",
                "Connections cut since the time was over.",
            ),
            rescued: counter(
                "zdd_shutdown_rescued_connections_total",
                "Connections taken from the accept queue when the listener closed.",
            ),
        }
    }

    fn publish(&self, shared: &Shared) {
        let Totals { finished, abandoned, refused, connections } = shared.totals();
        let ConnectionReport { closed, cut, aborted, rescued } = connections;
        self.phase.set(shared.phase() as u8);
        let alive = shared.alive();
        self.in_flight.set(alive.requests as f64);
        self.guards.set(alive.guards as f64);
        self.connections.set(alive.open() as f64);
        self.finished.absolute(finished);
        self.abandoned.absolute(abandoned);
        self.refused.absolute(refused);
        self.closed.absolute(closed);
        self.cut.absolute(cut);
        self.aborted.absolute(aborted);
        self.rescued.absolute(rescued);
    }
}
