//! A load that is being sent.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, task::JoinSet, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    counters::{Counters, Meter, Snapshot},
    load::{Load, LoadError, Mode},
    pacer::Pacer,
    report::{Connections, Latency, Report},
    worker,
};

/// What all workers of a run share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) load: Load,
    pub(crate) pacer: Pacer,
    pub(crate) counters: Arc<Counters>,
    /// No request begins once this is cancelled.
    pub(crate) stop: CancellationToken,
    /// Cancelled when the run is over or dropped: whatever is left ends at once.
    #[cfg(feature = "http2")]
    pub(crate) abandoned: CancellationToken,
    /// The tasks that move the frames of HTTP/2 connections.
    #[cfg(feature = "http2")]
    pub(crate) drivers: tokio_util::task::TaskTracker,
    pub(crate) started: Instant,
}

/// A load that is being sent; ends by itself when its count or time is used up.
///
/// # Cancel safety
/// Dropping it abandons the requests in flight without an outcome and closes
/// all connections.
#[derive(Debug)]
#[must_use = "dropping it ends the load"]
pub struct Running {
    workers: JoinSet<()>,
    shared: Arc<Shared>,
    _abandon: DropGuard,
}

impl Running {
    pub(crate) fn start(load: Load) -> Result<Self, LoadError> {
        let runtime = Handle::try_current().map_err(|_| LoadError::NoRuntime)?;
        let started = Instant::now();
        let abandoned = CancellationToken::new();
        let shared = Arc::new(Shared {
            pacer: Pacer::new(started, load.rate, load.total, load.max_duration),
            counters: Arc::default(),
            stop: load.cancel.child_token(),
            #[cfg(feature = "http2")]
            abandoned: abandoned.clone(),
            #[cfg(feature = "http2")]
            drivers: tokio_util::task::TaskTracker::new(),
            started,
            load,
        });
        let mut workers = JoinSet::new();
        for _ in 0..shared.load.connections {
            match shared.load.mode {
                Mode::KeepAlive | Mode::Fresh => {
                    workers.spawn_on(worker::http1(Arc::clone(&shared)), &runtime);
                }
                #[cfg(feature = "http2")]
                Mode::Http2 { streams } => {
                    let session = Arc::new(crate::http2::Session::default());
                    for _ in 0..streams {
                        let worker = worker::http2(Arc::clone(&shared), Arc::clone(&session));
                        workers.spawn_on(worker, &runtime);
                    }
                }
            }
        }
        Ok(Self { workers, shared, _abandon: abandoned.drop_guard() })
    }

    /// Returns a handle to the live counts that outlives the run.
    #[must_use]
    pub fn meter(&self) -> Meter {
        Meter(Arc::clone(&self.shared.counters))
    }

    /// Reads the live counts.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.counters.snapshot()
    }

    /// Returns the time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Begins no more requests, lets those in flight end, and reports.
    ///
    /// Takes at most the connect timeout plus the request timeout.
    pub async fn stop(self) -> Report {
        self.shared.stop.cancel();
        self.finish().await
    }

    /// Waits until the count or the time is used up, or the token is cancelled, and reports.
    ///
    /// # Panics
    /// When the callback of [`Load::on_outcome`] panicked; a count with a hole in it is no result.
    pub async fn finish(mut self) -> Report {
        while let Some(ended) = self.workers.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        self.report()
    }

    fn report(&self) -> Report {
        let Shared { counters, started, .. } = &*self.shared;
        let Snapshot { sent, ok, failed, causes, labels } = counters.snapshot();
        Report {
            sent,
            ok,
            failed,
            causes,
            labels,
            latency_us: Latency::of(&counters.latencies),
            connections: Connections::of(counters),
            elapsed_ms: started.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
            samples: counters.samples(),
        }
    }
}
