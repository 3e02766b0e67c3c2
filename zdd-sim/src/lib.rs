//! An embedded Kubernetes for tests and first steps: API server, controllers, pods, data plane,
//! faults, virtual time.

mod clock;
mod collection;
mod object;
mod store;

pub use clock::Clock;
pub use collection::Collection;
pub use object::Object;
pub use store::{Change, Deletion, Entry, Part, Place, Store, StoreError};
