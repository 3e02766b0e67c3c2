//! An embedded Kubernetes for tests and first steps: API server, controllers, pods, data plane,
//! faults, virtual time.

mod api;
mod clock;
mod cluster;
mod collection;
mod controller;
mod dataplane;
mod fault;
mod image;
mod invariant;
mod kubelet;
mod object;
#[cfg(feature = "process")]
mod probe;
#[cfg(feature = "process")]
mod process;
#[cfg(feature = "process")]
mod proxy;
#[cfg(feature = "serve")]
mod server;
mod store;

pub use api::{
    AdmissionChain, ApiBody, ApiServer, ApiStatus, Authorizer, CallCounts, CallKey, Cause, Details,
    FieldError, Freshness, Gone, Resource, RoleError, Scope, TransportError, Verb,
};
pub use clock::Clock;
pub use cluster::{Cluster, ClusterBuilder, Latencies};
pub use collection::Collection;
pub use controller::Controller;
pub use controller::context::Admission;
pub use dataplane::routes::{Backends, Endpoint, EndpointState, Routes};
pub use dataplane::traffic::{Counts, LoadSpec, LossCause, Served, Traffic};
pub use fault::{Fault, Faults, Plan, PlanError, Seen};
pub use image::{Answers, Behaviour, Crash, Image, Images, Readiness, RuntimeKind, Span};
pub use invariant::{
    CallRate, EndState, Invariant, Moment, OwnedFields, ProvenSelector, ReadyFloor, ServingFloor,
    Summary, Violation,
};
pub use kubelet::{
    ContainerId, ContainerLog, LogLine, Report, Reports, Runtime, RuntimeEvent, Start, Stream,
};
pub use object::Object;
#[cfg(feature = "process")]
pub use probe::ProbeError;
#[cfg(feature = "process")]
pub use process::{
    AddressBlock, AddressError, ContainerEvent, ContainerRuntime, EnvironmentError, Exit,
    ProbeKind, ProcessImage, ServiceError, ServiceImage, ServicePod, StartError,
};
#[cfg(feature = "process")]
pub use proxy::{BackendCounts, Proxy, ProxyCounts, ProxyError, ServiceCounts, ServicePort};
#[cfg(feature = "serve")]
pub use server::HttpServer;
pub use store::{Change, Deletion, Entry, Part, Place, Propagation, Store, StoreError};

#[cfg(all(feature = "process", not(unix)))]
compile_error!(
    "zdd-sim's feature `process` needs Unix signals and process groups; on other systems depend \
     on zdd-sim with `default-features = false` and use simulated pods"
);
