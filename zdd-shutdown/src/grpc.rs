//! What tonic needs: its health service, tied to the phases, and the addresses
//! of a connection for its own server.
//!
//! tonic's `Routes` are a tower service, which the serve loop takes as it is.

use tonic::transport::server::{Connected, TcpConnectInfo};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::{
    ServingStatus,
    server::{HealthReporter, HealthService},
};

use crate::{ReadinessPolicy, TrackedIo, handle::ShutdownHandle, phase::Phase};

impl ShutdownHandle {
    /// Returns the health service and its reporter. The overall status, the
    /// one of the empty name, is `SERVING` until readiness flips, then
    /// `NOT_SERVING`; the service answers until the listener closes.
    ///
    /// Names that the program reports itself are its own to flip.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn grpc_health(&self) -> (HealthReporter, HealthServer<impl Health>) {
        let reporter = HealthReporter::new();
        let service = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        let (handle, status) = (self.clone(), reporter.clone());
        self.spawn("grpc health", async move {
            handle.shared.reached(Phase::Serving).await;
            status.set_service_status("", ServingStatus::Serving).await;
            let flips_at = match handle.shared.settings.readiness {
                ReadinessPolicy::FlipAtSignal => Phase::LameDuck,
                ReadinessPolicy::FlipAtClose => Phase::Closing,
            };
            handle.shared.reached(flips_at).await;
            status.set_service_status("", ServingStatus::NotServing).await;
        });
        (reporter, service)
    }
}

/// As for a `TcpStream`; Unix sockets have no addresses.
impl Connected for TrackedIo {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo {
            local_addr: self.io.get_ref().local_addr(),
            remote_addr: self.peer.address(),
        }
    }
}
