//! Names what a proxy serves.

use std::fmt;

/// A port of a Service, as EndpointSlices name it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct ServicePort {
    /// The namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// The port's name; empty for the only port of a Service.
    pub port: String,
}

impl ServicePort {
    /// Names a Service port; with an empty `port`, the Service's only one.
    #[must_use]
    pub fn new(
        namespace: impl Into<String>,
        service: impl Into<String>,
        port: impl Into<String>,
    ) -> Self {
        Self { namespace: namespace.into(), service: service.into(), port: port.into() }
    }
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service)?;
        if self.port.is_empty() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}
