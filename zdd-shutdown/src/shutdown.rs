//! The owner of the shutdown.

use std::{fmt, ops::Deref};

use crate::{
    budget::Warning,
    builder::{Builder, InstallError},
    finish,
    handle::ShutdownHandle,
    report::Report,
};

/// Owns the shutdown of a process.
///
/// It is a [`ShutdownHandle`] that can also [`finish`](Self::finish); there is
/// one per process, so it is not `Clone`.
#[must_use = "without `finish` the hooks do not run"]
pub struct Shutdown {
    handle: ShutdownHandle,
    warnings: Vec<Warning>,
}

impl Shutdown {
    pub(crate) fn new(handle: ShutdownHandle, warnings: Vec<Warning>) -> Self {
        Self { handle, warnings }
    }

    /// Returns a builder with the defaults of a process outside Kubernetes.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Installs the shutdown with the settings of the environment: the one
    /// line at the top of `main`. See [`Builder::from_env`] and [`Builder::install`].
    ///
    /// # Errors
    ///
    /// As [`Builder::install`].
    pub fn install() -> Result<Self, InstallError> {
        Self::builder().from_env().install()
    }

    /// Returns a handle for other parts of the program.
    #[must_use]
    pub fn handle(&self) -> ShutdownHandle {
        self.handle.clone()
    }

    /// Returns what does not fit the pod; logged at the start as well.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Waits for the shutdown to begin and to drain, runs the hooks, and
    /// returns the report.
    ///
    /// It does not begin the shutdown: a program whose work is done calls
    /// [`trigger`](ShutdownHandle::trigger) with [`Reason::Completed`](crate::Reason::Completed) first.
    ///
    /// # Guarantees
    ///
    /// A stage of hooks begins only when all hooks of the one before have
    /// returned, failed, panicked or timed out, and the first only when no
    /// request is in flight or the time of requests is over. After an
    /// [`install`](Builder::install)ed shutdown returned, the deadline still
    /// holds until the process is gone: blocking tasks that keep the runtime
    /// from being dropped cannot keep the process alive.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: hooks that were running are dropped.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time enabled.
    pub async fn finish(self) -> Report {
        finish::finish(&self.handle.shared).await
    }
}

impl Deref for Shutdown {
    type Target = ShutdownHandle;

    fn deref(&self) -> &ShutdownHandle {
        &self.handle
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shutdown").field(&self.handle.shared).finish()
    }
}
