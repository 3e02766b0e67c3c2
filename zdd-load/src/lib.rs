//! Load client of the tests: never retries, counts every failure by cause.
//!
//! A client that retries hides losses: both `reqwest` and hyper-util's pooled
//! client resend a request that met a closing connection. This one speaks
//! HTTP/1.1 over plain sockets, and each request ends once, as ok or as a
//! failure with a [`Cause`]; `sent = ok + failed` when a run is over.
//!
//! Arrival is open-loop: request *k* is due at `k / rate` whatever the server
//! does, and a latency counts from the time a request was due, so that a server
//! that stalls cannot slow its own load down.
//!
//! Load goes to loopback only. An address outside of it is refused before the
//! first packet, unless the caller vouches for it with
//! [`Endpoints::in_namespace`].
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use zdd_load::{Endpoints, Load, Mode};
//!
//! # async fn demo(server: std::net::SocketAddr) -> Result<(), zdd_load::LoadError> {
//! let running = Load::new(Endpoints::loopback([server])?)
//!     .mode(Mode::KeepAlive)
//!     .connections(50)
//!     .rate(2_000)
//!     .max_duration(Duration::from_secs(10))
//!     .label_header("x-version")
//!     .start()?;
//! println!("{:?}", running.snapshot());
//! let report = running.stop().await;
//! assert_eq!(report.failed, 0, "{report}");
//! # Ok(())
//! # }
//! ```

mod cause;
mod counters;
mod endpoints;
mod histogram;
mod http1;
#[cfg(feature = "http2")]
mod http2;
mod load;
mod pacer;
mod report;
mod running;
mod worker;

pub use cause::Cause;
pub use counters::{Meter, Snapshot};
pub use endpoints::Endpoints;
pub use load::{Load, LoadError, Mode, Outcome};
pub use report::{Connections, FailureSample, Latency, Report, Totals};
pub use running::Running;
