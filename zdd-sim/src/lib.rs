//! An embedded Kubernetes for tests and first steps: API server, controllers, pods, data plane,
//! faults, virtual time.

mod api;
mod clock;
mod collection;
mod object;
#[cfg(feature = "process")]
mod proxy;
mod store;

pub use api::{
    ApiBody, ApiServer, ApiStatus, Cause, Details, FieldError, Gone, Resource, Scope,
    TransportError, Verb,
};
pub use clock::Clock;
pub use collection::Collection;
pub use object::Object;
#[cfg(feature = "process")]
pub use proxy::{
    Backend, BackendCounts, Proxy, ProxyCounts, ProxyError, RouteTable, ServiceCounts, ServicePort,
};
pub use store::{Change, Deletion, Entry, Part, Place, Propagation, Store, StoreError};
